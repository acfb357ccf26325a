use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long one read may take; a gateway under valgrind is some fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body without chunk framing.
    pub(crate) body: Vec<u8>,
}

/// A keep-alive connection to a port of this machine.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

/// The bytes of an HTTP/1.1 request with that body.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

impl Connection {
    /// Connects to 127.0.0.1.
    pub(crate) fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends the request and reads its reply to the end.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.reader.get_mut().write_all(request).context("sending a request")?;
        let (status, length) = self.head()?;
        let body = match length {
            Some(length) => self.bytes(length)?,
            None => self.chunks()?,
        };
        Ok(Answer { status, body })
    }

    /// The status and the Content-Length; none where the body is chunked.
    fn head(&mut self) -> Result<(u16, Option<usize>)> {
        let first = self.line()?;
        let status: u16 = first
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .with_context(|| format!("not a status line: {first:?}"))?;
        let mut length: Option<usize> = None;
        let mut chunked = false;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line:?}"))?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse().with_context(|| format!("Content-Length is {value:?}"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            }
        }
        ensure!(
            chunked != length.is_some(),
            "a reply must have a Content-Length or be chunked, one of the two"
        );
        Ok((status, length))
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size =
                usize::from_str_radix(&line, 16).with_context(|| format!("not a chunk size: {line:?}"))?;
            body.extend(self.bytes(size)?);
            let end = self.line()?;
            ensure!(end.is_empty(), "a chunk of {size} bytes is followed by {end:?}");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).with_context(|| format!("reading {count} bytes of a body"))?;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).context("reading a line of a reply")?;
        match line.strip_suffix("\r\n") {
            Some(text) => Ok(text.to_owned()),
            None => bail!("the connection ended in the middle of a reply, after {line:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn reads_replies_to_their_end() {
        let cases: [(&str, Option<(u16, &str)>); 6] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some((200, "ok"))),
            (
                "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n",
                Some((201, "ab0123456789")),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\nread to close", None),
            ("nonsense\r\n\r\n", None),
        ];
        for (bytes, expected) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(bytes.as_bytes()).unwrap();
            });
            let answer = Connection::open(port).unwrap().exchange(b"ping");
            server.join().unwrap();
            let answer = answer.ok().map(|answer| (answer.status, String::from_utf8(answer.body).unwrap()));
            assert_eq!(answer.as_ref().map(|(status, body)| (*status, body.as_str())), expected, "{bytes:?}");
        }
    }
}
