//! What a failed command says: one message, and where it helps a hint on a line of its own. The first lines for HTTP
//! statuses are the a6 tool's; the hint adds what the server said where that line drops it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use serde_json::Value;

/// The result of every command and of its steps.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// More of a foreign error body than this many characters helps nobody.
const SHOWN_BODY: usize = 500;

/// What to do about an HTML page.
const NO_ADMIN_API: &str = "that page does not look like an Admin API's; check the server address";

/// Why a command failed, for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    status: Option<u16>,
    is_unanswered: bool,
}

impl Failure {
    /// A failure with this message; an empty message is reported by the exit code alone.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, status: None, is_unanswered: false }
    }

    /// Adds what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do about it, unless that has been said.
    pub(crate) fn or_hint(self, hint: impl Into<String>) -> Self {
        if self.hint.is_some() { self } else { self.with_hint(hint) }
    }

    /// Says in front what failed.
    pub(crate) fn within(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The status of the answer that the failure is about.
    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether a request was sent and no whole answer came: nobody knows what the server made of it.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.is_unanswered
    }

    fn unanswered(self) -> Self {
        Failure { is_unanswered: true, ..self }
    }

    /// Writes message and hint, a line each.
    pub(crate) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.message.is_empty() {
            return Ok(());
        }
        // What a server, a file or an argument says must not drive the terminal.
        let harmless = |letter: char| letter == '\n' || letter == '\t' || !letter.is_control();
        let text = self.to_string();
        let text: String = text.chars().map(|letter| if harmless(letter) { letter } else { ' ' }).collect();
        writeln!(out, "{text}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end())?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Only for writing to the standard streams; every other I/O error is wrapped where what was tried is known.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // `a6 route list | head -1` closed the pipe on purpose: nothing to report.
        if error.kind() == ErrorKind::BrokenPipe {
            return Failure::new("");
        }
        Failure::new(format!("failed to write output: {}", system_text(&error)))
    }
}

/// The operating system's reason, in the lower-case words the a6 tool shows, without error numbers.
pub(crate) fn system_text(error: &io::Error) -> String {
    let text = match error.kind() {
        ErrorKind::NotFound => "no such file or directory",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::IsADirectory => "is a directory",
        ErrorKind::NotADirectory => "not a directory",
        ErrorKind::StorageFull => "no space left on device",
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::HostUnreachable => "no route to host",
        ErrorKind::NetworkUnreachable => "network is unreachable",
        ErrorKind::TimedOut => "timed out",
        _ => return error.to_string(),
    };
    text.to_owned()
}

/// The failure for an HTTP status of 400 or more with this body.
pub(crate) fn from_status(status: u16, body: &str) -> Failure {
    Failure { status: Some(status), ..refusal(status, body) }
}

fn refusal(status: u16, body: &str) -> Failure {
    let (said, detail) = server_text(body);
    match status {
        401 if said.starts_with('<') => {
            Failure::new("authentication failed: check your API key").with_hint(NO_ADMIN_API)
        }
        401 => Failure::new("authentication failed: check your API key").with_hint(format!(
            "the server said {:?}; the key comes from --api-key, A6_API_KEY or the context (`a6 context current`)",
            detail.unwrap_or(said)
        )),
        403 => {
            let failure = Failure::new(format!("permission denied: {said}"));
            if said.starts_with('<') { failure.with_hint(NO_ADMIN_API) } else { failure }
        }
        404 => {
            let failure = Failure::new("resource not found");
            match said.as_str() {
                "" => failure,
                page if page.starts_with('<') => failure.with_hint(NO_ADMIN_API),
                _ => failure.with_hint(format!("the server said {said:?}")),
            }
        }
        409 => Failure::new(format!("conflict: {said}")),
        _ if said.is_empty() => Failure::new(format!("API error: status {status}")),
        _ => {
            let failure = Failure::new(format!("API error (status {status}): {said}"));
            if said.starts_with('<') {
                failure.with_hint(NO_ADMIN_API)
            } else {
                failure
            }
        }
    }
}

/// The message in an error body (`error_msg`, for missing objects `message`, else the text itself) and the
/// `description` that authentication errors carry beside it.
fn server_text(body: &str) -> (String, Option<String>) {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let member = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let said = member("error_msg").or_else(|| member("message")).unwrap_or_else(|| shorten(body.trim()));
    (said, member("description"))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_BODY) {
        Some((end, _)) => format!("{}... ({} bytes)", text.get(..end).unwrap_or(text), text.len()),
        None => text.to_owned(),
    }
}

/// The failure for a request that got no answer from `server`.
pub(crate) fn from_transport(server: &str, error: &ureq::Error, patience: Duration) -> Failure {
    let unreachable = |why: &str| {
        Failure::new(format!(
            "cannot connect to {server}: {why}; is `a6 serve` running? see `a6 context list`"
        ))
    };
    let tls = |why: &dyn fmt::Display| {
        let why = why.to_string();
        let hint = if why.contains("CaUsedAsEndEntity") {
            "the server shows an authority's certificate (openssl req -x509 makes such), which cannot be its own: give it one \
             with basicConstraints=CA:FALSE"
        } else if why.contains("InvalidContentType") {
            "that server speaks no TLS: use http://"
        } else {
            "the certificate must be valid for this name and from an authority that this system trusts; \
             SSL_CERT_FILE names a file of authorities to trust instead"
        };
        Failure::new(format!("TLS with {server} failed: {why}")).with_hint(hint)
    };
    match error {
        ureq::Error::HostNotFound => unreachable("host not found"),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => unreachable("timed out"),
        ureq::Error::Timeout(_) => {
            let seconds = patience.as_secs();
            Failure::new(format!("{server} accepted the request but did not answer in time ({seconds} s)"))
                .with_hint(
                    "a write may have been applied all the same, look before you repeat it; --timeout waits longer",
                )
                .unanswered()
        }
        ureq::Error::Tls(why) => tls(why),
        ureq::Error::Rustls(why) => tls(why),
        ureq::Error::Io(io) if io.kind() == ErrorKind::InvalidData => tls(io),
        ureq::Error::Io(io) => match io.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Failure::new(format!("{server} closed the connection before it answered"))
                    .with_hint("is it an Admin API, and does it expect https://?")
                    .unanswered()
            }
            _ => unreachable(&system_text(io)),
        },
        other => Failure::new(format!("request to {server} failed: {other}"))
            .with_hint("is it an Admin API, and does it expect https://?")
            .unanswered(),
    }
}

/// The failure for an answer that began and did not end.
pub(crate) fn from_cut_answer(server: &str, error: &ureq::Error, patience: Duration) -> Failure {
    match error {
        ureq::Error::Io(io) if matches!(io.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            Failure::new(format!("{server} closed the connection in the middle of its answer"))
                .with_hint("a write may have been applied all the same, look before you repeat it")
                .unanswered()
        }
        other => from_transport(server, other, patience),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_as_the_a6_tool_writes_them() {
        let long = "x".repeat(600);
        let cases = [
            (
                401,
                r#"{"error_msg":"failed to check token","description":"wrong apikey"}"#,
                "authentication failed: check your API key\nhint: the server said \"wrong apikey\"; \
                 the key comes from --api-key, A6_API_KEY or the context (`a6 context current`)",
            ),
            (403, r#"{"error_msg":"viewer"}"#, "permission denied: viewer"),
            (404, "", "resource not found"),
            (
                404,
                r#"{"message":"Key not found"}"#,
                "resource not found\nhint: the server said \"Key not found\"",
            ),
            (
                403,
                "<html></html>",
                "permission denied: <html></html>\nhint: that page does not look like an Admin API's; \
                 check the server address",
            ),
            (409, r#"{"error_msg":"twice"}"#, "conflict: twice"),
            (400, r#"{"error_msg":"wrong route id"}"#, "API error (status 400): wrong route id"),
            (500, "", "API error: status 500"),
            (502, "bad\n", "API error (status 502): bad"),
            (
                500,
                "<html></html>",
                "API error (status 500): <html></html>\nhint: that page does not look like an Admin API's; \
                 check the server address",
            ),
        ];
        for (status, body, expected) in cases {
            assert_eq!(from_status(status, body).to_string(), expected, "{status} {body}");
        }
        let shown = from_status(500, &long).to_string();
        assert!(shown.ends_with("x... (600 bytes)"), "{shown}");
    }

    #[test]
    fn a_refused_connection_says_what_to_look_at() {
        let refused = ureq::Error::Io(io::Error::from(ErrorKind::ConnectionRefused));
        assert_eq!(
            from_transport("http://127.0.0.1:9180", &refused, Duration::from_secs(60)).to_string(),
            "cannot connect to http://127.0.0.1:9180: connection refused; is `a6 serve` running? \
             see `a6 context list`"
        );
    }

    #[test]
    fn a_request_that_may_have_arrived_is_told_from_one_that_did_not() {
        let io = |kind: ErrorKind| ureq::Error::Io(io::Error::from(kind));
        for (error, expected) in [
            (io(ErrorKind::ConnectionRefused), false),
            (ureq::Error::HostNotFound, false),
            (ureq::Error::Timeout(ureq::Timeout::Connect), false),
            (ureq::Error::Timeout(ureq::Timeout::RecvResponse), true),
            (io(ErrorKind::UnexpectedEof), true),
            (io(ErrorKind::ConnectionReset), true),
        ] {
            let failure = from_transport("http://gw", &error, Duration::from_secs(1));
            assert_eq!(failure.is_unanswered(), expected, "{error}");
        }
        assert!(!from_status(500, "").is_unanswered());
    }

    #[test]
    fn what_a_server_says_does_not_drive_the_terminal() {
        let mut out = Vec::new();
        let failure = from_status(500, r#"{"error_msg":"\u001b[31mred\u009b0m\nsecond\tline"}"#);
        assert!(failure.write_to(&mut out).is_ok());
        assert_eq!(out, b"API error (status 500):  [31mred 0m\nsecond\tline\n");
    }

    #[test]
    fn a_closed_pipe_is_reported_by_the_exit_code_alone() {
        let mut out = Vec::new();
        let failure = Failure::from(io::Error::from(ErrorKind::BrokenPipe));
        assert!(failure.write_to(&mut out).is_ok());
        assert!(out.is_empty());
    }
}
