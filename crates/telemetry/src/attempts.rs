use std::fmt::Write;

use a6_snapshot::{Attempt, Record};

/// Whom a request was sent to and how each attempt went, in order: `a=429/quota/0.012, b=200/ok/1.204` is instance, status
/// (`-` where no answer came), what the failure speaks against, and seconds. Of an attempt that is not over yet it is the
/// time to the answer's head.
pub fn attempts(record: &Record) -> String {
    let mut told = String::new();
    for (number, attempt) in record.attempts.iter().enumerate() {
        if number > 0 {
            told.push_str(", ");
        }
        tell(attempt, &mut told);
    }
    told
}

fn tell(attempt: &Attempt, told: &mut String) {
    let class = match (attempt.class, attempt.fault, attempt.status) {
        (Some(class), ..) => class.as_str(),
        (None, Some(fault), _) => fault.as_str(),
        (None, None, Some(_)) => "ok",
        (None, None, None) => "-",
    };
    let took = attempt.duration.or(attempt.header).unwrap_or_default().as_secs_f64();
    // Writing to a String cannot fail.
    let _ = match attempt.status {
        Some(status) => write!(told, "{}={}/{class}/{took:.3}", attempt.instance, status.as_u16()),
        None => write!(told, "{}=-/{class}/{took:.3}", attempt.instance),
    };
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use a6_snapshot::Class;
    use http::{Method, StatusCode};

    use super::*;

    fn attempt(
        name: &str,
        status: Option<u16>,
        class: Option<Class>,
        header: u64,
        over: Option<u64>,
    ) -> Attempt {
        Attempt {
            address: "h.test:443".into(),
            instance: name.into(),
            status: status.and_then(|code| StatusCode::from_u16(code).ok()),
            fault: None,
            class,
            started: Instant::now(),
            connect: None,
            header: Some(Duration::from_millis(header)),
            duration: over.map(Duration::from_millis),
            scheme: "https",
            path: "/".into(),
            response_bytes: 0,
        }
    }

    #[test]
    fn every_attempt_is_told_in_order() {
        let mut record = Record::begin(Method::POST, 0);
        assert_eq!(attempts(&record), "");
        record.attempts = vec![
            attempt("a", Some(429), Some(Class::Quota), 10, Some(12)),
            attempt("b", None, Some(Class::Network), 0, Some(3_000)),
            attempt("gerät", Some(200), None, 250, None),
        ];
        let told = "a=429/quota/0.012, b=-/network/3.000, gerät=200/ok/0.250";
        assert_eq!(attempts(&record), told);
    }
}
