//! Waits until a file may have changed.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{Digest, SHA256, digest};

use crate::{ConfigFile, FileError};

/// The file is looked at this often, whatever the system tells: network file systems tell nothing.
const LOOK: Duration = Duration::from_secs(1);
/// What is written piece by piece is read when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(20);
/// But it is not waited for quiet longer than so many times that.
const QUIET_TIMES: usize = 25;
/// A file that was changed less than this before it was read may have changed again without a trace: clocks of file
/// systems tick slowly.
const YOUNG: u64 = 100_000_000;

/// Looks for changes of a [`ConfigFile`]. A file that is written in place, one that another is renamed to, and a symbolic
/// link on the way to it that is replaced are all seen: what counts is what its path leads to.
pub struct Watch {
    file: ConfigFile,
    events: Events,
    has_looked: bool,
    seen: Option<Stamp>,
    /// The content that was told last; none where it could not be read.
    told: Option<Content>,
}

struct Content(Digest);

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

/// What tells one state of a file from another.
#[derive(Clone, PartialEq)]
struct Stamp {
    file: (u64, u64, u64),
    changed: (i64, i64),
    is_young: bool,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found: Metadata = fs::metadata(path).ok()?;
        let changed = (found.ctime(), found.ctime_nsec());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Duration::new(
            u64::try_from(changed.0).unwrap_or_default(),
            u32::try_from(changed.1).unwrap_or_default(),
        );
        let age = now.saturating_sub(at);
        let is_young = age < Duration::from_nanos(YOUNG);
        Some(Self { file: (found.dev(), found.ino(), found.size()), changed, is_young })
    }
}

impl Watch {
    /// Watches the file, of which `bytes` are known already.
    pub fn new(file: ConfigFile, bytes: &[u8]) -> Self {
        let events = Events::new();
        let told = Some(Content(digest(&SHA256, bytes)));
        Self { file, events, has_looked: false, seen: None, told }
    }

    /// The file.
    pub fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// Waits a second at most; gives the bytes of the file, or why it cannot be read, if that is news.
    pub fn wait(&mut self) -> Option<Result<Vec<u8>, FileError>> {
        // What the path leads to may lie elsewhere by now.
        self.events.cover(self.file.path());
        // The first look comes at once: the file may have changed before anything was watched.
        if std::mem::replace(&mut self.has_looked, true) && self.events.wait(LOOK) {
            for _ in 0..QUIET_TIMES {
                if !self.events.wait(QUIET) {
                    break;
                }
            }
        }
        let stamp = Stamp::of(self.file.path());
        let is_same = stamp == self.seen && stamp.as_ref().is_some_and(|stamp| !stamp.is_young);
        self.seen.clone_from(&stamp);
        if is_same {
            return None;
        }
        let bytes = self.file.bytes();
        let content = bytes.as_ref().ok().map(|bytes| Content(digest(&SHA256, bytes)));
        if content == self.told {
            return None;
        }
        self.told = content;
        Some(bytes)
    }
}

#[cfg(target_os = "linux")]
struct Events(Option<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Events {
    fn new() -> Self {
        use rustix::fs::inotify::{CreateFlags, init};
        // Without it, for instance where a user has too many, the look at every second is what is left.
        Self(init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok())
    }

    /// Hears of changes in the directory of a path, and in that of the file that it leads to.
    fn cover(&self, path: &Path) {
        use rustix::fs::inotify::{WatchFlags, add_watch};
        let Some(events) = &self.0 else { return };
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ONLYDIR;
        for path in [Some(path.to_path_buf()), fs::canonicalize(path).ok()].into_iter().flatten() {
            // Once more for a directory that is covered already changes nothing.
            let _ = add_watch(events, directory(&path), flags);
        }
    }

    /// Whether something happened in time.
    fn wait(&self, limit: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(events) = &self.0 else {
            std::thread::sleep(limit);
            return false;
        };
        let limit = Timespec::try_from(limit).ok();
        let came =
            poll(&mut [PollFd::new(events, PollFlags::IN)], limit.as_ref()).is_ok_and(|count| count > 0);
        let mut buffer = [0u8; 4096];
        while rustix::io::read(events, &mut buffer[..]).is_ok_and(|length| length > 0) {}
        came
    }
}

#[cfg(not(target_os = "linux"))]
struct Events;

#[cfg(not(target_os = "linux"))]
impl Events {
    fn new() -> Self {
        Self
    }

    fn cover(&self, _: &Path) {}

    fn wait(&self, limit: Duration) -> bool {
        std::thread::sleep(limit);
        false
    }
}

/// The directory in which a path's last part stands.
#[cfg(target_os = "linux")]
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
