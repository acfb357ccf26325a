//! The lanes: what each sends, how much of it, and the limit that a6 must hold. And the bytes of a request.

use anyhow::{Result, bail};

/// The model that the client asks for; nginx passes it on.
pub(crate) const CLIENT_MODEL: &str = "bench-small";
/// The model that a6's route puts in its place: as long as the other, so that replies are equally long.
pub(crate) const ROUTE_MODEL: &str = "bench-large";
/// Streams in the slow lanes, and in a smoke run.
pub(crate) const SLOW_STREAMS: u32 = 1000;
/// See [`SLOW_STREAMS`].
pub(crate) const SLOW_STREAMS_SMOKE: u32 = 50;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Name, as `--lanes` takes it.
    pub(crate) name: &'static str,
    /// What the figures count.
    pub(crate) unit: &'static str,
    /// The most that a6 may reach; `None` is a lane for information.
    pub(crate) limit: Option<Limit>,
    /// How it is measured.
    pub(crate) work: Work,
}

/// The most that a6 may reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// Times nginx.
    Ratio(f64),
    /// In the lane's unit, whatever nginx has.
    Value(f64),
}

/// How a lane is measured.
#[derive(Debug)]
pub(crate) enum Work {
    /// CPU time of a number of requests.
    Requests(Traffic),
    /// CPU time of many slow streams that are open at once.
    SlowCpu,
    /// Memory of the same streams.
    SlowMemory,
    /// Memory of a fresh gateway that has answered one request.
    Idle,
    /// From exec to the first answered request.
    StartUp,
    /// Size of the program file.
    Binary,
}

/// What the load generator sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Request path; nginx gives `/large/` a larger body buffer.
    pub(crate) path: &'static str,
    /// Size of the JSON body in bytes.
    pub(crate) body: usize,
    /// True asks for a stream.
    pub(crate) stream: bool,
    /// Headers that tell the mock what to answer.
    pub(crate) knobs: &'static [(&'static str, &'static str)],
    /// Milliseconds between the events of a stream.
    pub(crate) delay_ms: u32,
    /// Connections that send at once.
    pub(crate) connections: u32,
    /// Requests per run; a tenth of it goes before as warm-up.
    pub(crate) requests: u32,
    /// Requests in a smoke run.
    pub(crate) smoke: u32,
}

const CHAT: &str = "/v1/chat/completions";
/// a6 has a route without plugins to an ordinary upstream here, the mock itself.
pub(crate) const ORDINARY: &str = "/ordinary/v1/chat/completions";
const EVENTS: &[(&str, &str)] = &[("x-mock-chunks", "64"), ("x-mock-chunk-bytes", "16")];
const ONE_WRITE: &[(&str, &str)] =
    &[("x-mock-chunks", "64"), ("x-mock-chunk-bytes", "16"), ("x-mock-one-write", "true")];

const PLAIN: Traffic = Traffic {
    path: CHAT,
    body: 300,
    stream: false,
    knobs: &[("x-mock-body-bytes", "1024")],
    delay_ms: 0,
    connections: 32,
    requests: 30_000,
    smoke: 200,
};
/// A small plain request: it shows that a gateway is ready.
pub(crate) const SMALLEST: Traffic = PLAIN;
const STREAM: Traffic = Traffic { stream: true, knobs: EVENTS, requests: 6_000, smoke: 64, ..PLAIN };

/// Content events of each slow stream.
pub(crate) const SLOW_EVENTS: u32 = 64;
/// The slow streams: 64 events, 100 ms apart (20 ms in a smoke run, which has no 13 s for this).
pub(crate) const SLOW: Traffic = Traffic { delay_ms: 100, ..STREAM };
/// See [`SLOW`].
pub(crate) const SLOW_SMOKE: Traffic = Traffic { delay_ms: 20, ..STREAM };

/// Every lane, in the order of the table. The limits are those of the issue that brought the gates.
pub(crate) static LANES: [Lane; 12] = [
    Lane {
        name: "plain",
        unit: "us CPU/request",
        limit: Some(Limit::Ratio(1.5)),
        work: Work::Requests(PLAIN),
    },
    Lane {
        name: "ordinary",
        unit: "us CPU/request",
        limit: Some(Limit::Ratio(1.4)),
        work: Work::Requests(Traffic { path: ORDINARY, ..PLAIN }),
    },
    Lane {
        name: "request-100k",
        unit: "us CPU/request",
        limit: Some(Limit::Ratio(1.35)),
        work: Work::Requests(Traffic { body: 100 * 1024, requests: 6_000, smoke: 64, ..PLAIN }),
    },
    Lane {
        name: "request-2m",
        unit: "us CPU/request",
        limit: Some(Limit::Ratio(1.6)),
        work: Work::Requests(Traffic {
            path: "/large/v1/chat/completions",
            body: 2 * 1024 * 1024,
            connections: 8,
            requests: 400,
            smoke: 8,
            ..PLAIN
        }),
    },
    Lane {
        name: "stream-64",
        unit: "us CPU/stream",
        limit: Some(Limit::Ratio(1.2)),
        work: Work::Requests(STREAM),
    },
    Lane {
        name: "stream-64-2ms",
        unit: "us CPU/stream",
        limit: None,
        work: Work::Requests(Traffic { delay_ms: 2, requests: 1_000, smoke: 32, ..STREAM }),
    },
    Lane {
        name: "stream-one-write",
        unit: "us CPU/stream",
        limit: Some(Limit::Ratio(1.15)),
        work: Work::Requests(Traffic { knobs: ONE_WRITE, requests: 12_000, ..STREAM }),
    },
    Lane { name: "slow-1000", unit: "us CPU/stream", limit: Some(Limit::Ratio(1.15)), work: Work::SlowCpu },
    Lane {
        name: "slow-1000-memory",
        unit: "KiB PSS/stream",
        limit: Some(Limit::Value(24.0)),
        work: Work::SlowMemory,
    },
    Lane { name: "idle", unit: "MiB PSS", limit: Some(Limit::Value(12.0)), work: Work::Idle },
    Lane { name: "start-up", unit: "ms", limit: Some(Limit::Value(60.0)), work: Work::StartUp },
    Lane { name: "binary", unit: "MiB", limit: Some(Limit::Value(20.0)), work: Work::Binary },
];

/// The lanes whose name starts with one of `wanted`, in table order; all if nothing is wanted.
pub(crate) fn select(wanted: &[String]) -> Result<Vec<&'static Lane>> {
    for name in wanted {
        if name.is_empty() || !LANES.iter().any(|lane| lane.name.starts_with(name.as_str())) {
            let known: Vec<_> = LANES.iter().map(|lane| lane.name).collect();
            bail!("--lanes: no lane is named {name:?}; there are {}", known.join(", "));
        }
    }
    let chosen =
        |lane: &&Lane| wanted.is_empty() || wanted.iter().any(|name| lane.name.starts_with(name.as_str()));
    Ok(LANES.iter().filter(chosen).collect())
}

/// The bytes of one request. The same for the mock, nginx and a6: `Host` is a name and not an address.
pub(crate) fn request(traffic: &Traffic) -> Vec<u8> {
    let body = body(traffic.body, traffic.stream);
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: gateway.bench\r\nUser-Agent: a6-bench\r\nAccept: application/json\r\n\
         Authorization: Bearer client-key\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        traffic.path,
        body.len()
    );
    for (name, value) in traffic.knobs {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if traffic.delay_ms > 0 {
        head.push_str(&format!("x-mock-chunk-delay-ms: {}\r\n", traffic.delay_ms));
    }
    head.push_str("\r\n");
    head.push_str(&body);
    head.into_bytes()
}

/// A chat request of exactly `size` bytes if that is at least about 250, else the smallest there is. Long ones
/// are long conversations of messages of a few KiB, with the escapes that real text has. A stream asks for
/// usage, so that nginx's and a6's upstream send the same events.
fn body(size: usize, stream: bool) -> String {
    const OPEN: &str = r#"{"role":"user","content":""#;
    const CLOSE: &str = r#""},"#;
    const MESSAGE: usize = 4096;
    let ask = r#"{"role":"user","content":"Say in one line what this is about."}]"#;
    let stream = if stream { r#","stream":true,"stream_options":{"include_usage":true}}"# } else { "}" };
    let end = format!(r#"{ask},"temperature":0.2{stream}"#);
    let mut body = format!(r#"{{"model":"{CLIENT_MODEL}","messages":["#);
    let frame = OPEN.len() + CLOSE.len();
    loop {
        let left = size.saturating_sub(body.len() + end.len());
        if left < frame {
            break;
        }
        // The last message takes what would be too little for another one.
        let whole = if left < MESSAGE + frame { left } else { MESSAGE };
        body.push_str(OPEN);
        fill(&mut body, whole - frame);
        body.push_str(CLOSE);
    }
    body.push_str(&end);
    body
}

/// Appends `size` bytes of JSON-escaped English.
fn fill(body: &mut String, size: usize) {
    const TEXT: &str = r#"The quick brown fox said \"jump\" and the lazy dog slept on.\n"#;
    for _ in 0..size / TEXT.len() {
        body.push_str(TEXT);
    }
    body.extend(std::iter::repeat_n('z', size % TEXT.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_valid_json_of_the_exact_size() {
        for size in [300, 301, 4_096, 4_400, 8_222, 100 * 1024, 2 * 1024 * 1024] {
            for stream in [false, true] {
                let body = body(size, stream);
                assert_eq!(body.len(), size);
                let value: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(value["model"], CLIENT_MODEL);
                assert_eq!(value["stream"].as_bool(), stream.then_some(true));
                assert!(value["messages"].as_array().unwrap().len() > size / 5000);
            }
        }
    }

    #[test]
    fn requests_carry_knobs_and_length() {
        let text = String::from_utf8(request(&SLOW)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in ["x-mock-chunks: 64", "x-mock-chunk-delay-ms: 100", "Host: gateway.bench"] {
            assert!(head.lines().any(|found| found == line), "{line} in {head}");
        }
        assert!(head.lines().any(|found| found == format!("Content-Length: {}", body.len())));
        assert_eq!(CLIENT_MODEL.len(), ROUTE_MODEL.len());
    }

    #[test]
    fn lanes_are_selected_by_the_first_part_of_their_name() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            select(&wanted).map(|lanes| lanes.iter().map(|lane| lane.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), LANES.len());
        assert_eq!(names(&["stream"]).unwrap(), ["stream-64", "stream-64-2ms", "stream-one-write"]);
        assert_eq!(names(&["idle", "plain"]).unwrap(), ["plain", "idle"]);
        assert!(
            names(&["plane"]).unwrap_err().to_string().contains("there are plain, ordinary, request-100k")
        );
        assert!(names(&[""]).is_err());
    }
}
