//! A command at a terminal, and what its screen shows.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZeroU16,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

use rexpect::process::{PtyProcess, WaitStatus};
use rustix::termios::{LocalModes, tcgetattr};

use super::{PATIENCE, Person};

/// A command at a terminal of 24 lines of 100 characters. All of this blocks.
pub(crate) struct Screen {
    process: PtyProcess,
    terminal: File,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

struct Shown {
    parser: vt100::Parser,
    raw: Vec<u8>,
    is_over: bool,
}

impl Screen {
    /// Starts a command of somebody's.
    pub(crate) fn start(person: &Person, arguments: &[&str]) -> Self {
        Self::of(person.terminal_command(arguments))
    }

    /// Starts a command.
    pub(crate) fn of(command: std::process::Command) -> Self {
        let process = PtyProcess::new(command).unwrap();
        let terminal = process.get_file_handle().unwrap();
        let mut reader = process.get_file_handle().unwrap();
        let (rows, columns) = (NonZeroU16::new(24).unwrap(), NonZeroU16::new(100).unwrap());
        let shown = Shown { parser: vt100::Parser::new(rows, columns, 1000), raw: Vec::new(), is_over: false };
        let shown = Arc::new((Mutex::new(shown), Condvar::new()));
        let filled = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                // Linux tells an error once nobody has the terminal any more.
                let count = reader.read(&mut piece).unwrap_or(0);
                let mut shown = filled.0.lock().unwrap();
                shown.parser.process(&piece[..count]);
                shown.raw.extend_from_slice(&piece[..count]);
                shown.is_over = count == 0;
                filled.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { process, terminal, shown }
    }

    /// Waits until the screen shows a text, and returns all that it shows.
    pub(crate) fn until(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contents().contains(text));
        self.contents()
    }

    /// Waits until the screen is as it should be.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut shown = self.shown.0.lock().unwrap();
        while !is_so(shown.parser.screen()) {
            let left = until.saturating_duration_since(Instant::now());
            let is_late = left.is_zero() || shown.is_over;
            assert!(!is_late, "it does not come to {what:?}: {}", shown.parser.screen().contents());
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Returns what the screen shows.
    pub(crate) fn contents(&self) -> String {
        self.shown.0.lock().unwrap().parser.screen().contents()
    }

    /// Tells whether the screen is one that goes, and takes what it showed with it.
    pub(crate) fn is_private(&self) -> bool {
        self.shown.0.lock().unwrap().parser.screen().alternate_screen()
    }

    /// Returns all that was written to the terminal.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.0.lock().unwrap().raw).into_owned()
    }

    /// Types something.
    pub(crate) fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        self.types("\x03");
    }

    /// Waits for its end, checks that the terminal is as it was before, and returns the exit code and what the screen shows.
    pub(crate) fn end(self) -> (i32, String) {
        let until = Instant::now() + PATIENCE;
        let mut shown = self.shown.0.lock().unwrap();
        while !shown.is_over {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not end: {}", shown.parser.screen().contents());
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
        let screen = shown.parser.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "the screen is not given back");
        assert!(!screen.bracketed_paste(), "pastes are still in brackets");
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "the terminal is mute");
        match self.process.wait() {
            Ok(WaitStatus::Exited(_, code)) => (code, screen.contents()),
            other => panic!("{other:?}"),
        }
    }
}
