use std::future::poll_fn;
use std::rc::Rc;

use a6_core::{Fault, FaultKind, Secret};
use a6_snapshot::{Findings, Inquiring, Inquiry, Services, Target};
use bytes::{Bytes, BytesMut};

use crate::client::timeout;
use crate::{Call, Upstream, UpstreamBody};

impl Services for Upstream {
    fn ask(self: Rc<Self>, inquiry: Inquiry) -> Inquiring {
        Box::pin(async move {
            let Inquiry { target, keepalive, limit, max_answer, method, head, body } = inquiry;
            let asked = target.clone();
            let body = body.expose().clone();
            let call = Call {
                target,
                keepalive,
                timeout: limit,
                method,
                keep_header: |_| false,
                head,
                body: if body.is_empty() { Vec::new() } else { vec![body] },
            };
            let finding = async {
                let answer = self.send(call).await?;
                let body = whole(answer.body, max_answer, &asked).await?;
                Ok(Findings { status: answer.head.status, body: Secret::new(body) })
            };
            tokio::time::timeout(limit, finding)
                .await
                .unwrap_or_else(|_| Err(timeout(&asked, "waiting for the answer of", limit)))
        })
    }
}

/// All of a body, which is small: mostly it came in one piece, which is not copied.
async fn whole(mut body: UpstreamBody, max: usize, target: &Target) -> Result<Bytes, Fault> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(piece) = poll_fn(|cx| body.poll_data(cx)).await {
        let piece = piece?;
        if first.len() + joined.len() + piece.len() > max {
            let text = format!("the answer of {target} is longer than {max} bytes");
            return Err(Fault::upstream(FaultKind::UpstreamProtocol, text));
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        joined.extend_from_slice(&std::mem::take(&mut first));
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use a6_protocols::Scheme;
    use a6_snapshot::Keepalive;
    use http::Method;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Resolver, TlsRoots};

    const HEAD: &str = "POST /e HTTP/1.1\r\nhost: e.test\r\ncontent-length: 2\r\n\r\n";

    fn upstream() -> Rc<Upstream> {
        Rc::new(Upstream::new(Arc::new(Resolver::new([])), Arc::new(TlsRoots::new(None))))
    }

    fn inquiry(port: u16, limit: Duration) -> Inquiry {
        let target = Target { scheme: Scheme::Http, host: "127.0.0.1".into(), port, verify: false };
        Inquiry {
            target: Arc::new(target),
            keepalive: Some(Keepalive { size: 1, idle: Duration::from_secs(60) }),
            limit,
            max_answer: 64,
            method: Method::POST,
            head: Secret::new(HEAD.into()),
            body: Secret::new("hi".into()),
        }
    }

    /// Answers each request on one connection with the next of these, then says no more.
    async fn service(answers: Vec<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut asked = vec![0; HEAD.len() + 2];
                stream.read_exact(&mut asked).await.unwrap();
                assert!(asked.ends_with(b"\r\n\r\nhi"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            // Quiet, and open, until the other side leaves.
            let _ = stream.read(&mut [0]).await;
        });
        port
    }

    fn answer(length: usize) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length))
    }

    #[tokio::test]
    async fn answers_come_whole_over_one_kept_connection() {
        let chunked = "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let port = service(vec![answer(64), chunked.into(), answer(0)]).await;
        let upstream = upstream();
        let mut found = Vec::new();
        for _ in 0..3 {
            let told = upstream.clone().ask(inquiry(port, Duration::from_secs(10))).await.unwrap();
            found.push((told.status.as_u16(), told.body.expose().clone()));
        }
        let expected = [(200, Bytes::from("x".repeat(64))), (503, "abc".into()), (200, Bytes::new())];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn too_much_and_too_slow_are_faults_that_say_nothing_of_what_was_asked() {
        let port = service(vec![answer(65)]).await;
        let fault = upstream().ask(inquiry(port, Duration::from_secs(10))).await.unwrap_err();
        assert!(fault.text.contains("longer than 64 bytes"), "{fault}");
        // Half an answer: the limit is for the whole of it.
        let port = service(vec!["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab".into()]).await;
        let fault = upstream().ask(inquiry(port, Duration::from_millis(50))).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::UpstreamTimeout);
        let told = format!("the answer of 127.0.0.1:{port} broke off: no byte came within the timeout");
        assert_eq!(fault.text, told);
    }
}
