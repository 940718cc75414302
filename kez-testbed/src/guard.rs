//! Processes and a temporary folder that cannot outlive the one who made them.
//!
//! Each is kept by a few lines of `sh` whose standard input is a pipe from us, the *lifeline*. When the
//! lifeline ends (a drop, a panic, a signal, `kill -9`) the guard kills the process group, or removes the
//! folder. No cooperation of the dying parent is needed, and no code of ours runs between fork and exec.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const PROCESS_GUARD: &str = include_str!("guard/process.sh");
const FOLDER_GUARD: &str = include_str!("guard/folder.sh");

/// A signal for a guarded process and everything that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGINT`, what Ctrl-C sends.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
    /// `SIGKILL`: ends the guard too.
    Kill,
}

impl Signal {
    /// Returns the name that `kill -s` knows.
    fn line(self) -> &'static [u8] {
        match self {
            Self::Interrupt => b"INT\n",
            Self::Terminate => b"TERM\n",
            Self::Kill => b"KILL\n",
        }
    }
}

/// A child process in a process group of its own, killed when this value goes away.
///
/// The group is killed with `SIGKILL` however the value goes away: dropped, unwound, or because this
/// process was killed. [`Guarded::stop`] is the polite way. The child reads nothing: its standard input is
/// `/dev/null`.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    lifeline: ChildStdin,
}

impl Guarded {
    /// Starts `program`; `configure` adds arguments, environment, output and folder.
    ///
    /// # Errors
    /// When `sh` can't be started. A program that does not exist is noticed by [`Guarded::wait`], as exit
    /// status 127, with `sh`'s words on standard error.
    pub fn spawn(program: impl AsRef<OsStr>, configure: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", PROCESS_GUARD, "kez-guard"]).arg(program);
        configure(&mut command);
        // After `configure`, which must not take the lifeline away.
        command.stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let lifeline = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, lifeline })
    }

    /// Returns the process id, which is the group's id too; `None` once the end has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Takes the child's standard output, if it was piped and not yet taken.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the child's standard error, if it was piped and not yet taken.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends a signal to the process and everything in its group.
    ///
    /// # Errors
    /// When the guard is gone, which means that the group has been killed.
    pub async fn signal(&mut self, signal: Signal) -> io::Result<()> {
        self.lifeline.write_all(signal.line()).await?;
        self.lifeline.flush().await
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Tells whether the process has ended, without waiting.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the process to end by itself and collects what it wrote to the outputs that were piped.
    ///
    /// # Errors
    /// When an output can't be read.
    pub async fn output(self) -> io::Result<Output> {
        // The lifeline has to live until the process has ended.
        let Self { child, lifeline } = self;
        let output = child.wait_with_output().await;
        drop(lifeline);
        output
    }

    /// Asks the process to end with `SIGTERM`, and kills its whole group after `patience` at the latest.
    ///
    /// # Errors
    /// When the operating system refuses to tell how the process ended.
    pub async fn stop(mut self, patience: Duration) -> io::Result<ExitStatus> {
        // A guard that is gone already has killed the group: nothing left to ask.
        let _ = self.signal(Signal::Terminate).await;
        if let Ok(ended) = timeout(patience, self.child.wait()).await {
            return ended;
        }
        self.kill().await
    }

    /// Kills the process and its group with `SIGKILL`, as a crash would, and waits for its end.
    ///
    /// # Errors
    /// When the operating system refuses to tell how the process ended.
    pub async fn kill(self) -> io::Result<ExitStatus> {
        let Self { mut child, lifeline } = self;
        drop(lifeline);
        child.wait().await
    }
}

/// A temporary folder of mode 0700, removed with all that is in it when this value goes away.
#[derive(Debug)]
pub struct GuardedFolder {
    path: PathBuf,
    guard: Child,
    lifeline: ChildStdin,
}

impl GuardedFolder {
    /// Makes a new folder below the system's temporary folder.
    ///
    /// The guard makes the folder itself, so there is no moment at which it exists unguarded.
    ///
    /// # Errors
    /// When `sh` can't be started, or the folder can't be made.
    pub async fn create(prefix: &str) -> io::Result<Self> {
        let template = std::env::temp_dir().join(format!("{prefix}.XXXXXXXX"));
        let mut guard = Command::new("sh")
            .args(["-c", FOLDER_GUARD, "kez-folder-guard"])
            .arg(&template)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let lifeline = guard.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stdout = guard.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let path = PathBuf::from(line.trim_end_matches('\n'));
        if !path.is_dir() {
            return Err(io::Error::other(format!(
                "no temporary folder could be made from the template {}",
                template.display()
            )));
        }
        Ok(Self { path, guard, lifeline })
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the process id of the folder's guard.
    pub fn guard_id(&self) -> Option<u32> {
        self.guard.id()
    }

    /// Removes the folder now; nothing may use it any more.
    ///
    /// # Errors
    /// When something in it can't be removed.
    pub async fn remove(self) -> io::Result<()> {
        let Self { path, mut guard, mut lifeline } = self;
        lifeline.write_all(b"done\n").await?;
        lifeline.flush().await?;
        drop(lifeline);
        if guard.wait().await?.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("{} could not be removed", path.display())))
        }
    }

    /// Moves the folder to a place where it stays; nothing may use it any more.
    ///
    /// # Errors
    /// When it can't be moved, such as to another file system; then it is removed.
    pub async fn keep(self, place: &Path) -> io::Result<()> {
        let moved = tokio::fs::rename(&self.path, place).await;
        // There is nothing left for the guard to remove, unless it could not be moved.
        self.remove().await?;
        moved
    }
}

// `/proc` is where these tests see who is alive.
#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Starts a shell script and reads the first line that it prints.
    async fn script(text: &str) -> (Guarded, String) {
        let mut guarded = Guarded::spawn("sh", |c| {
            c.args(["-c", text]).stdout(Stdio::piped());
        })
        .unwrap();
        let mut line = String::new();
        let stdout = guarded.take_stdout().unwrap();
        BufReader::new(stdout).read_line(&mut line).await.unwrap();
        (guarded, line.trim().to_owned())
    }

    /// Waits until no process of the group runs any more; a zombie does not run.
    async fn group_ends(group: u32) {
        let gone = timeout(PATIENCE, async {
            while running_in(group) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(gone.await.is_ok(), "process group {group} still runs");
    }

    fn running_in(group: u32) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
                return false;
            };
            // "pid (name) state ppid pgrp …", and the name may hold spaces and brackets.
            let after_name = stat.rsplit_once(')').unwrap().1;
            let mut fields = after_name.split_whitespace();
            let state = fields.next().unwrap();
            state != "Z" && fields.nth(1).unwrap() == group.to_string()
        })
    }

    #[tokio::test]
    async fn a_drop_kills_the_child_and_what_it_started() {
        let (guarded, _) = script("trap '' TERM; sleep 1000 & echo up; sleep 1000").await;
        let group = guarded.id().unwrap();
        assert!(running_in(group));
        drop(guarded);
        group_ends(group).await;
    }

    #[tokio::test]
    async fn a_childs_own_end_is_noticed() {
        let (mut guarded, _) = script("echo up; exit 7").await;
        let group = guarded.id().unwrap();
        let status = timeout(PATIENCE, guarded.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(7));
        drop(guarded);
        group_ends(group).await;
    }

    #[tokio::test]
    async fn a_missing_program_is_noticed() {
        let mut guarded = Guarded::spawn("kez-no-such-program", |c| {
            c.stderr(Stdio::null());
        })
        .unwrap();
        let status = timeout(PATIENCE, guarded.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(127));
    }

    #[tokio::test]
    async fn stop_asks_first() {
        let (guarded, _) = script("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done").await;
        assert_eq!(guarded.stop(PATIENCE).await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn stop_kills_who_does_not_listen() {
        use std::os::unix::process::ExitStatusExt;
        let (guarded, _) = script("trap '' TERM; echo up; while :; do sleep 0.01; done").await;
        let group = guarded.id().unwrap();
        let ended = guarded.stop(Duration::from_millis(100)).await.unwrap();
        assert_eq!(ended.signal(), Some(9));
        group_ends(group).await;
    }

    #[tokio::test]
    async fn an_interrupt_arrives_although_the_terminals_does_not() {
        let (mut guarded, _) = script("trap 'exit 5' INT; echo up; while :; do sleep 0.01; done").await;
        guarded.signal(Signal::Interrupt).await.unwrap();
        let status = timeout(PATIENCE, guarded.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(5));
    }

    #[tokio::test]
    async fn the_child_has_neither_the_lifeline_nor_our_input() {
        use std::os::fd::AsRawFd;
        let (mut guarded, open) = script("exec 2>/dev/null; echo $(readlink /proc/$$/fd/*); cat; exit 4").await;
        let ours = format!("/proc/self/fd/{}", guarded.lifeline.as_raw_fd());
        let lifeline = std::fs::read_link(ours).unwrap();
        assert!(open.contains("pipe:"), "its standard output, at least: {open}");
        assert!(!open.contains(lifeline.to_str().unwrap()), "{open}");
        // `cat` ends at once, at the end of /dev/null.
        assert_eq!(timeout(PATIENCE, guarded.wait()).await.unwrap().unwrap().code(), Some(4));
    }

    #[tokio::test]
    async fn a_folder_goes_when_asked_and_when_dropped() {
        use std::os::unix::fs::PermissionsExt;
        let asked = GuardedFolder::create("kez-guard-test").await.unwrap();
        let path = asked.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/b/c"), "text").unwrap();
        asked.remove().await.unwrap();
        assert!(!path.exists());

        let dropped = GuardedFolder::create("kez-guard-test").await.unwrap();
        let (path, guard) = (dropped.path().to_owned(), dropped.guard_id().unwrap());
        std::fs::write(path.join("file"), "text").unwrap();
        drop(dropped);
        // Somebody writes into it once more.
        let late = path.join("late");
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::create_dir_all(&late).unwrap();
        group_ends(guard).await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_folder_that_is_kept_stays_elsewhere() {
        let around = GuardedFolder::create("kez-guard-test").await.unwrap();
        let folder = GuardedFolder::create("kez-guard-test").await.unwrap();
        let (path, place) = (folder.path().to_owned(), around.path().join("kept"));
        std::fs::write(path.join("log"), "text").unwrap();
        folder.keep(&place).await.unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(place.join("log")).unwrap(), "text");

        let folder = GuardedFolder::create("kez-guard-test").await.unwrap();
        let path = folder.path().to_owned();
        assert!(folder.keep(&place.join("log/none")).await.is_err());
        assert!(!path.exists());
        around.remove().await.unwrap();
    }

    #[tokio::test]
    async fn a_keeper_that_dies_before_it_knows_the_path_leaves_no_folder() {
        let around = GuardedFolder::create("kez-guard-test").await.unwrap();
        let mut guard = std::process::Command::new("sh")
            .args(["-c", FOLDER_GUARD, "kez-folder-guard"])
            .arg(around.path().join("inner.XXXXXXXX"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(guard.stdout.take());
        assert!(guard.wait().unwrap().success());
        assert_eq!(std::fs::read_dir(around.path()).unwrap().count(), 0);
        around.remove().await.unwrap();
    }
}
