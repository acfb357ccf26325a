use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::queue::Queue;

/// Between two tries where a stream takes nothing at the moment.
const PAUSE: Duration = Duration::from_millis(10);
/// A buffer that a burst made larger is given back.
const KEPT: usize = 256 << 10;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Sink {
    path: PathBuf,
    file: File,
    /// A standard stream, which cannot be opened anew.
    is_stream: bool,
    /// The last write ended within a line.
    is_mid_line: bool,
    /// The last batch could not be written; told once.
    is_failing: bool,
}

impl Sink {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        // Opening `/dev/stdout` would give a file position of its own: where it is a file, we would write over what the
        // rest of the process prints.
        let stream = match path.to_str() {
            Some("/dev/stdout") => Some(io::stdout().as_fd().try_clone_to_owned()?),
            Some("/dev/stderr") => Some(io::stderr().as_fd().try_clone_to_owned()?),
            _ => None,
        };
        let is_stream = stream.is_some();
        let file = match stream {
            Some(stream) => File::from(stream),
            None => open_file(&path)?,
        };
        Ok(Self { path, file, is_stream, is_mid_line: false, is_failing: false })
    }

    /// Starts the thread that writes what the queue holds until the queue is stopped.
    pub(super) fn start(self, queue: Arc<Queue>) -> io::Result<()> {
        std::thread::Builder::new().name("a6-access-log".into()).spawn(move || self.run(&queue))?;
        Ok(())
    }

    fn run(mut self, queue: &Queue) {
        let mut batch = Vec::new();
        let (mut told, mut is_losing) = (0, false);
        loop {
            let turn = queue.take(&mut batch);
            queue.lose(self.write(&batch));
            batch.clear();
            batch.shrink_to(KEPT);
            if turn.reopen {
                self.reopen();
            }
            let dropped = queue.dropped();
            if dropped > told && !is_losing {
                tracing::warn!(path = %self.path.display(), dropped, "access log lines are being lost");
            }
            (is_losing, told) = (dropped > told, dropped);
            if turn.last {
                break;
            }
        }
        if told > 0 {
            tracing::warn!(path = %self.path.display(), dropped = told, "access log lines were lost");
        }
        queue.end();
    }

    /// Writes a batch of whole lines; returns how many of them were lost.
    fn write(&mut self, batch: &[u8]) -> u64 {
        let mut left = batch;
        while !left.is_empty() {
            // A line that a full disk cut must not swallow the first one after it.
            let text: &[u8] = if self.is_mid_line { b"\n" } else { left };
            match self.file.write(text) {
                Ok(0) => return self.fail(batch, left, &ErrorKind::WriteZero.into()),
                Ok(_) if self.is_mid_line => self.is_mid_line = false,
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(error) => return self.fail(batch, left, &error),
            }
        }
        self.is_failing &= batch.is_empty();
        0
    }

    fn fail(&mut self, batch: &[u8], left: &[u8], error: &io::Error) -> u64 {
        let written = &batch[..batch.len() - left.len()];
        self.is_mid_line |= written.last().is_some_and(|byte| *byte != b'\n');
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(path = %self.path.display(), %error, "the access log cannot be written");
        }
        left.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Where the new file cannot be opened, lines go on into the old one.
    fn reopen(&mut self) {
        if self.is_stream {
            return;
        }
        match open_file(&self.path) {
            Ok(file) => (self.file, self.is_mid_line) = (file, false),
            Err(error) => tracing::error!(%error, "the access log goes on into the file it has"),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path).map_err(|error| {
        let text = format!(
            "cannot open the access log {}: {error}; nginx_config.http.access_log names it: its directory must exist \
             and be writable",
            path.display()
        );
        io::Error::new(error.kind(), text)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_named_with_the_setting() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("missing").join("access.log");
        let error = Sink::open(path.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(text.contains("nginx_config.http.access_log"), "{text}");
    }

    #[test]
    fn a_new_file_is_not_for_everyone_and_an_old_one_is_continued() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("access.log");
        assert_eq!(Sink::open(path.clone()).unwrap().write(b"one\n"), 0);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        assert_eq!(Sink::open(path.clone()).unwrap().write(b"two\n"), 0);
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted() {
        let mut sink = Sink::open(PathBuf::from("/dev/full")).unwrap();
        assert_eq!(sink.write(b"one\ntwo\n"), 2);
        assert_eq!(sink.write(b"three\n"), 1);
    }

    #[test]
    fn a_line_that_was_cut_does_not_swallow_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("access.log");
        let mut sink = Sink::open(path.clone()).unwrap();
        assert_eq!(sink.write(b"cut he"), 0);
        let lost = sink.fail(b"cut here\ngone\n", b"re\ngone\n", &ErrorKind::StorageFull.into());
        assert_eq!(lost, 2);
        assert_eq!(sink.write(b"whole\n"), 0);
        assert_eq!(fs::read(&path).unwrap(), b"cut he\nwhole\n");
    }

    #[test]
    fn reopening_goes_on_in_a_new_file_and_keeps_the_old_one_where_it_cannot() {
        let home = tempfile::tempdir().unwrap();
        let (path, moved) = (home.path().join("access.log"), home.path().join("access.log.1"));
        let mut sink = Sink::open(path.clone()).unwrap();
        sink.write(b"one\n");
        fs::rename(&path, &moved).unwrap();
        sink.write(b"two\n");
        sink.reopen();
        sink.write(b"three\n");
        assert_eq!(fs::read(&moved).unwrap(), b"one\ntwo\n");
        assert_eq!(fs::read(&path).unwrap(), b"three\n");

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        sink.reopen();
        assert_eq!(sink.write(b"four\n"), 0);
    }
}
