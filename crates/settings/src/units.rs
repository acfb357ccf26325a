//! Durations, sizes and shares as nginx and people write them.

use std::time::Duration;

const YEAR: f64 = 365.0 * 86_400.0;

/// `60s`, `500ms`, `1m`, `2h`, `1d`, or a number of seconds; at most 365 days.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit.as_str() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let total = number.parse::<f64>().ok()? * seconds;
    if total <= YEAR { Duration::try_from_secs_f64(total).ok() } else { None }
}

/// `64m`, `1k`, `256MiB`, or a number of bytes; every unit is a power of 1024, as in nginx.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `25%`: 1 to 100.
pub(crate) fn percent(text: &str) -> Option<u64> {
    let share: u64 = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
    (1..=100).contains(&share).then_some(share)
}

/// Number and unit in lower case; a number starts with a digit, so that no sign and no `inf` gets through.
fn split(text: &str) -> Option<(&str, String)> {
    let text = text.trim();
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number, unit.trim().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, percent};
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("60s", Some(60_000)),
            ("500ms", Some(500)),
            ("1m", Some(60_000)),
            ("2 h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("30", Some(30_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            ("365d", Some(31_536_000_000)),
            ("366d", None),
            ("-1", None),
            ("inf", None),
            ("1e3", None),
            ("", None),
            ("1.2.3", None),
            ("10 parsecs", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_and_shares() {
        for (text, size) in [
            ("0", Some(0)),
            ("1k", Some(1024)),
            ("64m", Some(64 << 20)),
            ("64M", Some(64 << 20)),
            ("256MiB", Some(256 << 20)),
            ("2 GB", Some(2 << 30)),
            ("17179869184g", None),
            ("1.5m", None),
            ("m", None),
            ("1x", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
        for (text, share) in [
            ("25%", Some(25)),
            ("100 %", Some(100)),
            ("0%", None),
            ("101%", None),
            ("25", None),
            ("x%", None),
        ] {
            assert_eq!(percent(text), share, "{text}");
        }
    }
}
