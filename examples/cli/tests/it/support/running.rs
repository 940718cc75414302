//! A command at work, and how it ended.

use kez_testbed::guard::{Guarded, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{ChildStderr, ChildStdout},
    time::timeout,
};

use super::PATIENCE;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Takes the standard output of a good end.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Checks that it failed as it should: the code, two lines for people, nothing else.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, what: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{self:#?}");
        assert!(lines[0].starts_with("kez-chat: ") && lines[0].contains(what), "{self:#?}");
        assert!(lines[1].starts_with("  ") && lines[1].len() > 10, "{self:#?}");
    }
}

/// A command at work.
pub(crate) struct Running {
    guarded: Guarded,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(super) fn new(mut guarded: Guarded) -> Self {
        let lines = BufReader::new(guarded.take_stdout().unwrap()).lines();
        let stderr = BufReader::new(guarded.take_stderr().unwrap()).lines();
        Self { guarded, lines, stderr }
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.guarded.id().unwrap()
    }

    /// Waits for the next line.
    pub(crate) async fn line(&mut self) -> String {
        match timeout(PATIENCE, self.lines.next_line()).await.expect("no line comes").unwrap() {
            Some(line) => line,
            None => {
                let mut stderr = String::new();
                self.stderr.get_mut().read_to_string(&mut stderr).await.unwrap();
                panic!("it ended: {stderr}");
            }
        }
    }

    /// Waits for a line that holds a text.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until it says something by the way, on standard error.
    pub(crate) async fn note(&mut self, text: &str) {
        loop {
            let line = timeout(PATIENCE, self.stderr.next_line()).await.expect("it says nothing").unwrap();
            if line.expect("it ended").contains(text) {
                return;
            }
        }
    }

    pub(crate) async fn signal(&mut self, signal: Signal) {
        self.guarded.signal(signal).await.unwrap();
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(self) {
        self.guarded.kill().await.unwrap();
    }

    /// Ends it as Ctrl-C does.
    pub(crate) async fn interrupt(mut self) -> Ended {
        self.signal(Signal::Interrupt).await;
        self.end().await
    }

    /// Closes the reading end of its standard output.
    pub(crate) fn hang_up(self) -> (Guarded, BufReader<ChildStderr>) {
        (self.guarded, self.stderr.into_inner())
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        let ended = async {
            let mut stdout = String::new();
            let mut stderr = String::new();
            let out = self.lines.get_mut().read_to_string(&mut stdout);
            let (out, err) = tokio::join!(out, self.stderr.get_mut().read_to_string(&mut stderr));
            out.and(err).unwrap();
            Ended { code: self.guarded.wait().await.unwrap().code(), stdout, stderr }
        };
        timeout(PATIENCE, ended).await.expect("it does not end")
    }
}
