//! A pseudo-terminal of 40 lines and 120 columns, on which a command runs as in front of a person.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::eventually;

/// The command, what it shows, and the keys.
pub struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts the command with all three standard streams on the terminal.
    pub fn start(command: &mut Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        fcntl_setfd(&master, FdFlags::CLOEXEC).expect("close on exec");
        grantpt(&master).expect("the terminal is ours");
        unlockpt(&master).expect("the terminal is unlocked");
        let name = ptsname(&master, Vec::<u8>::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("the terminal opens");
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("a size");
        let stream = || Stdio::from(slave.try_clone().expect("a copy"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("the command starts");
        // The end of the output is seen once nobody holds the terminal, the command's description included.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        drop(slave);
        let keys = File::from(master.try_clone().expect("a copy"));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut master = File::from(master);
            let mut bytes = [0; 4096];
            // An error (EIO) is how a terminal says that its last user is gone.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                shown.lock().expect("no panic under the lock").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, screen, reader: Some(reader) }
    }

    /// Everything shown so far, control sequences included, lines ended by `\n`.
    pub fn screen(&self) -> String {
        let bytes = self.screen.lock().expect("no panic under the lock").clone();
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    }

    /// Waits until this is shown.
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.screen().contains(text) {
            assert!(Instant::now() < deadline, "waited ten seconds for {text:?} on\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses these keys; `\u{3}` is Ctrl-C, `\u{1b}[B` the arrow down.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits for the end of the command: its exit code and all that was shown.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status =
            eventually("the end of the command", || self.child.try_wait().expect("it can be waited for"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        (status.code(), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
