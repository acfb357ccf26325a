//! A file's last lines, and those that are added. A file that is renamed and made anew, or emptied, is followed on.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::logs::{Args, has};
use super::stop::Stop;
use crate::errors::{Failure, Result, system_text};

/// How often the file is looked at.
const PAUSE: Duration = Duration::from_millis(100);
/// What is read at a time.
const BLOCK: u64 = 64 << 10;
/// A line that is longer is shown in pieces.
const LONGEST: usize = 1 << 20;

/// Gives the file's last lines, and where `--follow` is set what is added until it is told to stop.
pub(super) fn show(
    path: &str,
    args: &Args,
    stop: &Stop,
    give: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let unread =
        |error: &io::Error| Failure::new(format!("failed to read log file {path:?}: {}", system_text(error)));
    let mut file = File::open(path).map_err(|error| {
        Failure::new(format!("failed to open log file {path:?}: {}", system_text(&error)))
    })?;
    let wanted = |line: &[u8]| has(line, args.grep.as_deref());
    let (last, end) = last_lines(&mut file, args.count(), &wanted).map_err(|error| unread(&error))?;
    for line in last {
        give(&line)?;
    }
    if !args.follow {
        return Ok(());
    }
    let mut followed = Followed { path: Path::new(path), file, position: end, rest: Vec::new() };
    while !stop.is_told() {
        followed.read(&mut |line| give(line).map_err(Interrupted::Taker)).map_err(|why| match why {
            Interrupted::File(error) => unread(&error),
            Interrupted::Taker(failure) => failure,
        })?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The last lines that are wanted, oldest first, and where the file ends. It is read from its end.
fn last_lines(
    file: &mut File,
    count: usize,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> io::Result<(VecDeque<Vec<u8>>, u64)> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut found = VecDeque::new();
    let mut start = end;
    // What has been read of the line that begins further up.
    let mut rest = Vec::new();
    while start > 0 && found.len() < count {
        let size = start.min(BLOCK);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref().take(size).read_to_end(&mut block)?;
        let is_last_block = start + size == end;
        block.append(&mut rest);
        let mut lines: VecDeque<&[u8]> = block.split(|byte| *byte == b'\n').collect();
        if is_last_block && lines.len() > 1 && lines.back().is_some_and(|line| line.is_empty()) {
            // The line break ends a line, and begins none.
            lines.pop_back();
        }
        let beginning = lines.pop_front().unwrap_or_default().to_vec();
        for line in lines.into_iter().rev().filter(|line| wanted(line)).take(count - found.len()) {
            found.push_front(line.to_vec());
        }
        rest = beginning;
        if start == 0 && found.len() < count && wanted(&rest) {
            found.push_front(std::mem::take(&mut rest));
        }
    }
    Ok((found, end))
}

/// A file whose end is waited for.
struct Followed<'p> {
    path: &'p Path,
    file: File,
    position: u64,
    /// The beginning of a line that has no end yet.
    rest: Vec<u8>,
}

/// Why no more lines come.
enum Interrupted {
    File(io::Error),
    Taker(Failure),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Interrupted::File(error)
    }
}

impl Followed<'_> {
    /// Gives the lines that have been added since the last time.
    fn read(
        &mut self,
        give: &mut dyn FnMut(&[u8]) -> std::result::Result<(), Interrupted>,
    ) -> std::result::Result<(), Interrupted> {
        self.read_on(give)?;
        // Between two names a file may be missing for a moment.
        let Ok(now) = fs::metadata(self.path) else { return Ok(()) };
        let own = self.file.metadata()?;
        if (now.dev(), now.ino()) != (own.dev(), own.ino()) {
            self.give_rest(give)?;
            self.file = File::open(self.path)?;
            self.position = 0;
            return self.read_on(give);
        }
        if own.len() < self.position {
            self.give_rest(give)?;
            self.position = 0;
            return self.read_on(give);
        }
        Ok(())
    }

    fn read_on(
        &mut self,
        give: &mut dyn FnMut(&[u8]) -> std::result::Result<(), Interrupted>,
    ) -> std::result::Result<(), Interrupted> {
        loop {
            self.file.seek(SeekFrom::Start(self.position))?;
            let count = self.file.by_ref().take(BLOCK).read_to_end(&mut self.rest)?;
            if count == 0 {
                return Ok(());
            }
            self.position += count as u64;
            let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
            let lines: Vec<u8> = self.rest.drain(..whole).collect();
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                give(line.strip_suffix(b"\n").unwrap_or(line))?;
            }
            if self.rest.len() >= LONGEST {
                self.give_rest(give)?;
            }
        }
    }

    fn give_rest(
        &mut self,
        give: &mut dyn FnMut(&[u8]) -> std::result::Result<(), Interrupted>,
    ) -> std::result::Result<(), Interrupted> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() { Ok(()) } else { give(&rest) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn texts(lines: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn the_last_lines_come_in_their_order() {
        let long = "x".repeat(3 * BLOCK as usize);
        let with_long = format!("a\n{long}\nb\n");
        let cases: [(&str, usize, &[&str]); 11] = [
            ("", 5, &[]),
            ("a", 5, &["a"]),
            ("a\n", 5, &["a"]),
            ("\n", 5, &[""]),
            ("\n\n", 5, &["", ""]),
            ("a\nb\nc", 2, &["b", "c"]),
            ("a\nb\nc\n", 2, &["b", "c"]),
            ("a\nb\nc\n", 3, &["a", "b", "c"]),
            ("a\nb\n", 0, &[]),
            (&with_long, 2, &[long.as_str(), "b"]),
            (&with_long, 9, &["a", long.as_str(), "b"]),
        ];
        for (text, count, expected) in cases {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let (found, end) = last_lines(&mut file, count, &|_| true).unwrap();
            assert!(texts(found) == expected, "{count} of {} bytes", text.len());
            assert_eq!(end, text.len() as u64);
        }
    }

    #[test]
    fn what_is_not_wanted_does_not_count() {
        let mut file = tempfile::tempfile().unwrap();
        for number in 0..50_000 {
            writeln!(file, "{number} {}", if number % 10_000 == 0 { "odd" } else { "usual" }).unwrap();
        }
        let (found, _) = last_lines(&mut file, 3, &|line| line.ends_with(b"odd")).unwrap();
        assert_eq!(texts(found), ["20000 odd", "30000 odd", "40000 odd"]);
    }

    fn more(followed: &mut Followed<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut take = |line: &[u8]| {
            lines.push(line.to_vec());
            Ok::<(), Interrupted>(())
        };
        assert!(followed.read(&mut take).is_ok());
        texts(lines)
    }

    #[test]
    fn a_file_is_followed_through_renames_and_truncation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "old\n").unwrap();
        let file = File::open(&path).unwrap();
        let mut followed = Followed { path: &path, file, position: 4, rest: Vec::new() };
        let append = |text: &str| {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        assert_eq!(more(&mut followed), [""; 0]);
        append("a\nb");
        assert_eq!(more(&mut followed), ["a"]);
        append("c\n");
        assert_eq!(more(&mut followed), ["bc"]);
        append("last words");
        fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        assert_eq!(more(&mut followed), [""; 0]);
        append("anew\n");
        assert_eq!(more(&mut followed), ["last words", "anew"]);
        fs::write(&path, "1\n").unwrap();
        assert_eq!(more(&mut followed), ["1"]);
        append(&"y".repeat(LONGEST + 1));
        assert_eq!(more(&mut followed).concat().len(), LONGEST);
    }
}
