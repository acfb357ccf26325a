use std::cell::RefCell;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Both forms of one second. Formatting them takes longer than the rest of a line, and a busy gateway writes many lines in
/// a second.
struct Stamps {
    second: Option<u64>,
    local: String,
    iso8601: String,
}

thread_local! {
    static STAMPS: RefCell<Stamps> =
        const { RefCell::new(Stamps { second: None, local: String::new(), iso8601: String::new() }) };
}

/// Appends `22/Nov/2026:10:28:51 +0000`, in the machine's time zone.
pub(super) fn local(out: &mut Vec<u8>, unix_ms: u64) {
    with_stamps(unix_ms, |stamps| out.extend_from_slice(stamps.local.as_bytes()));
}

/// Appends `2026-11-22T10:28:51+00:00`, in the machine's time zone.
pub(super) fn iso8601(out: &mut Vec<u8>, unix_ms: u64) {
    with_stamps(unix_ms, |stamps| out.extend_from_slice(stamps.iso8601.as_bytes()));
}

fn with_stamps(unix_ms: u64, read: impl FnOnce(&Stamps)) {
    STAMPS.with_borrow_mut(|stamps| {
        let second = unix_ms / 1000;
        if stamps.second != Some(second) {
            stamps.set(second, TimeZone::system());
        }
        read(stamps);
    });
}

impl Stamps {
    fn set(&mut self, second: u64, zone: TimeZone) {
        let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let time = timestamp.unwrap_or_default().to_zoned_datetime(zone);
        self.second = Some(second);
        self.local.clear();
        self.iso8601.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.local, "{}", time.strftime("%d/%b/%Y:%H:%M:%S %z"));
        let _ = write!(self.iso8601, "{}", time.strftime("%Y-%m-%dT%H:%M:%S%:z"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_nginx_and_iso_form_in_its_zone() {
        let mut stamps = Stamps { second: None, local: String::new(), iso8601: String::new() };
        let zone = |hours| TimeZone::fixed(jiff::tz::offset(hours));
        for (second, hours, local, iso8601) in [
            (1_795_343_331, 0, "22/Nov/2026:10:28:51 +0000", "2026-11-22T10:28:51+00:00"),
            (1_795_343_331, -5, "22/Nov/2026:05:28:51 -0500", "2026-11-22T05:28:51-05:00"),
            (0, 2, "01/Jan/1970:02:00:00 +0200", "1970-01-01T02:00:00+02:00"),
        ] {
            stamps.set(second, zone(hours));
            assert_eq!((stamps.local.as_str(), stamps.iso8601.as_str()), (local, iso8601));
        }
    }

    #[test]
    fn the_next_second_is_another_stamp() {
        let written = |unix_ms| {
            let mut out = Vec::new();
            local(&mut out, unix_ms);
            out
        };
        let first = written(1_795_343_331_000);
        assert_eq!(written(1_795_343_331_999), first);
        assert_ne!(written(1_795_343_332_000), first);
    }
}
