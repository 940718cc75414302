//! A terminal, and what the person at it sees.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    num::NonZeroU16,
    process::Command,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rexpect::process::PtyProcess;
use rustix::termios::{Winsize, tcsetwinsize};

/// Why what was waited for did not show.
#[derive(Debug, thiserror::Error)]
#[error("{what:?} does not show ({why}); the terminal shows:\n{shown}")]
pub struct NotShown {
    what: String,
    why: &'static str,
    shown: String,
}

/// A terminal with a program, which ends with this.
pub struct Terminal {
    _process: PtyProcess,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    written: Vec<u8>,
}

impl Terminal {
    /// Runs a program at a terminal of some lines and columns, neither of which may be zero.
    ///
    /// # Errors
    /// When there is no terminal to be had, or the program can't be started.
    pub fn run(command: Command, lines: u16, columns: u16) -> io::Result<Self> {
        let process = PtyProcess::new(command).map_err(io::Error::other)?;
        let keyboard = process.get_file_handle().map_err(io::Error::other)?;
        let mut screen = keyboard.try_clone()?;
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
        let parser = vt100::Parser::new(size(lines), size(columns), 0);
        let mut terminal = Self { _process: process, keyboard, output, parser, written: Vec::new() };
        terminal.resize(lines, columns)?;
        Ok(terminal)
    }

    /// Types something, escape sequences of keys too.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn types(&mut self, text: &str) -> io::Result<()> {
        self.keyboard.write_all(text.as_bytes())
    }

    /// Makes the terminal larger or smaller.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&mut self, lines: u16, columns: u16) -> io::Result<()> {
        self.parser.set_size(size(lines), size(columns));
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.keyboard, size)?)
    }

    /// Returns what is on it.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// Returns all that was written to it until now, escape sequences too.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.written
    }

    /// Returns the lines without the blanks at their ends.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let columns = self.screen().size().1;
        self.screen().rows(0, columns.get()).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until the lines are as they should be, for at most `patience`; `what` says what that is.
    ///
    /// # Errors
    /// [`NotShown`] when they are not, or when the program has ended.
    pub fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        is_there: impl Fn(&[String]) -> bool,
    ) -> Result<(), NotShown> {
        let until = Instant::now() + patience;
        while !is_there(&self.lines()) {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    self.parser.process(&bytes);
                    self.written.extend(bytes);
                }
                Err(error) => {
                    let why = match error {
                        RecvTimeoutError::Timeout => "it took too long",
                        RecvTimeoutError::Disconnected => "the program has ended",
                    };
                    return Err(NotShown { what: what.to_owned(), why, shown: self.lines().join("\n") });
                }
            }
        }
        Ok(())
    }
}

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN)
}
