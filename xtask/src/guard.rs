//! Child processes that end with us, and can be given a deadline.
//!
//! The same few lines of `sh` as in `kez-testbed` keep them: see `kez_testbed::guard`, which this crate does not
//! depend on, to stay quick to build.

use std::{
    ffi::OsStr,
    io,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROCESS_GUARD: &str = include_str!("../../kez-testbed/src/guard/process.sh");
const POLL: Duration = Duration::from_millis(20);

/// A child in a process group of its own that is killed when this value goes away, or this process does.
pub(crate) struct Guarded {
    child: Child,
    /// Its end, however it comes about, kills the group.
    _lifeline: ChildStdin,
}

impl Guarded {
    /// Starts `program`; `configure` adds arguments, environment, output and folder.
    pub(crate) fn spawn(program: impl AsRef<OsStr>, configure: impl FnOnce(&mut Command)) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("sh");
        command.args(["-c", PROCESS_GUARD, "kez-guard"]).arg(program);
        configure(&mut command);
        command.stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let lifeline = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, _lifeline: lifeline })
    }

    /// Takes the child's standard output, if it was piped.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the child's end, until the deadline if there is one; `None` when that has passed.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }
}
