//! A terminal as the person at it sees it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    num::NonZeroU16,
    path::PathBuf,
    process::Command,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use rexpect::process::PtyProcess;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{PATIENCE, Person};

const LINES: u16 = 24;
const COLUMNS: u16 = 80;

/// A terminal on which a command runs. It ends with this.
pub(crate) struct Shown {
    _process: PtyProcess,
    pid: PathBuf,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser,
}

impl Shown {
    /// Runs a command at a terminal; when it ends, the terminal shows how, and how it left the terminal.
    pub(crate) fn run(person: &Person, arguments: &[&str]) -> Self {
        let script = format!(
            "stty rows {LINES} cols {COLUMNS} echo; echo before the command
            sh -c 'echo $$ > pid; exec \"$0\" \"$@\"' \"$0\" \"$@\"; echo ended $?; stty -a; echo over"
        );
        let process = PtyProcess::new(person.in_shell(&script, arguments)).unwrap();
        let (keyboard, mut screen) = (process.get_file_handle().unwrap(), process.get_file_handle().unwrap());
        let (sender, output) = mpsc::channel();
        // It ends with the process, whose end closes the terminal.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let parser = vt100::Parser::new(size(LINES), size(COLUMNS), 0);
        Self { _process: process, pid: person.folder.join("pid"), keyboard, output, parser }
    }

    /// Types something, escape sequences of keys too.
    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Makes the terminal larger or smaller.
    pub(crate) fn resize(&mut self, lines: u16, columns: u16) {
        self.parser.set_size(size(lines), size(columns));
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    /// Sends the command a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(&self.pid).unwrap();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", signal, pid.trim()]).status().unwrap();
        assert!(sent.success());
    }

    /// Returns the lines without the blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let columns = self.parser.screen().size().1;
        self.parser.screen().rows(0, columns.get()).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Tells whether something has the whole terminal to itself.
    pub(crate) fn is_taken(&self) -> bool {
        self.parser.screen().alternate_screen() && self.parser.screen().bracketed_paste()
    }

    /// Waits until a line has a text in it.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        self.wait(text, |lines| lines.iter().any(|line| line.contains(text)));
    }

    /// Waits until there is a line.
    #[track_caller]
    pub(crate) fn until_line(&mut self, line: &str) {
        self.wait(line, |lines| lines.iter().any(|shown| shown == line));
    }

    /// Waits until the command has ended, and checks that the terminal is as it was before.
    #[track_caller]
    pub(crate) fn ended(&mut self, code: i32) {
        self.until_line("over");
        let lines = self.lines();
        assert!(lines.contains(&"before the command".to_owned()), "{lines:#?}");
        assert!(lines.contains(&format!("ended {code}")), "{lines:#?}");
        let settings = lines.join(" ");
        for setting in [" icanon", " echo ", " isig", " icrnl", " opost"] {
            assert!(settings.contains(setting), "{setting}: {lines:#?}");
        }
        let screen = self.parser.screen();
        assert!(!screen.alternate_screen() && !screen.bracketed_paste() && !screen.hide_cursor());
    }

    #[track_caller]
    fn wait(&mut self, what: &str, is_there: impl Fn(&[String]) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_there(&self.lines()) {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("{what:?} does not come: {:#?}", self.lines()),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {what:?}: {:#?}", self.lines()),
            }
        }
    }
}

fn size(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}
