//! A terminal as the person at it sees it.

use std::{fs, path::PathBuf, process::Command};

use kez_testbed::terminal::Terminal;

use crate::support::{PATIENCE, Person};

const LINES: u16 = 24;
const COLUMNS: u16 = 80;
/// All that an ordinary command writes is on it at its end, no line of it broken.
const LARGE: (u16, u16) = (80, 250);
/// Runs the command in a shell, which then shows how it ended, and how it left the terminal. The command's process has its
/// number in a file.
const SCRIPT: &str = "trap : INT; stty echo; echo before the command
    sh -c 'echo $$ > pid; exec \"$0\" \"$@\"' \"$0\" \"$@\"; echo ended $?; stty -a; echo over";

/// A terminal on which a command runs. It ends with this.
pub(crate) struct Shown {
    terminal: Terminal,
    pid: PathBuf,
}

impl Shown {
    /// Runs a command at a terminal.
    pub(crate) fn run(person: &Person, arguments: &[&str]) -> Self {
        Self::of_size((LINES, COLUMNS), person, arguments)
    }

    /// Runs a command at a terminal that is larger than most.
    pub(crate) fn large(person: &Person, arguments: &[&str]) -> Self {
        Self::of_size(LARGE, person, arguments)
    }

    fn of_size((lines, columns): (u16, u16), person: &Person, arguments: &[&str]) -> Self {
        let terminal = Terminal::run(person.in_shell(SCRIPT, arguments), lines, columns).unwrap();
        Self { terminal, pid: person.folder.join("pid") }
    }

    /// Types something, escape sequences of keys too.
    pub(crate) fn types(&mut self, text: &str) {
        self.terminal.types(text).unwrap();
    }

    /// Makes the terminal larger or smaller.
    pub(crate) fn resize(&mut self, lines: u16, columns: u16) {
        self.terminal.resize(lines, columns).unwrap();
    }

    /// Sends the command a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(&self.pid).unwrap();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", signal, pid.trim()]).status().unwrap();
        assert!(sent.success());
    }

    /// Returns the lines without the blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.terminal.lines()
    }

    /// Returns all that was written until now, escape sequences too.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(self.terminal.written()).into_owned()
    }

    /// Tells whether the screen is one that goes, with all that is on it.
    pub(crate) fn is_private(&self) -> bool {
        self.terminal.screen().alternate_screen()
    }

    /// Tells whether something has the whole terminal to itself.
    pub(crate) fn is_taken(&self) -> bool {
        self.terminal.screen().alternate_screen() && self.terminal.screen().bracketed_paste()
    }

    /// Waits until a line has a text in it, and returns all lines.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        self.wait(text, |lines| lines.iter().any(|line| line.contains(text)));
        self.lines().join("\n")
    }

    /// Waits until there is a line.
    #[track_caller]
    pub(crate) fn until_line(&mut self, line: &str) {
        self.wait(line, |lines| lines.iter().any(|shown| shown == line));
    }

    /// Waits until the command has ended, checks that the terminal is as it was before, and returns what the command has left
    /// there.
    #[track_caller]
    pub(crate) fn ended(&mut self, code: i32) -> String {
        self.until_line("over");
        let lines = self.lines();
        assert!(lines.contains(&"before the command".to_owned()), "{lines:#?}");
        // What was typed last may stand before it.
        assert!(lines.iter().any(|line| line.ends_with(&format!("ended {code}"))), "{lines:#?}");
        let settings = lines.join(" ");
        for setting in [" icanon", " echo ", " isig", " icrnl", " opost"] {
            assert!(settings.contains(setting), "{setting}: {lines:#?}");
        }
        let screen = self.terminal.screen();
        assert!(!screen.alternate_screen() && !screen.bracketed_paste() && !screen.hide_cursor());
        let shown = lines.join("\n");
        let (_, left) = shown.split_once("before the command\n").unwrap();
        left.split_once(&format!("ended {code}")).unwrap().0.to_owned()
    }

    #[track_caller]
    fn wait(&mut self, what: &str, is_there: impl Fn(&[String]) -> bool) {
        if let Err(not_shown) = self.terminal.wait(what, PATIENCE, is_there) {
            panic!("{not_shown}");
        }
    }
}
