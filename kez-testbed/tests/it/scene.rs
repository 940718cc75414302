//! A temporary folder of a test's own, by which everything that the test has started can be told.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// `TMPDIR` for a test's processes. All that they start inherits it, so `/proc` shows who is still there.
pub(crate) struct Scene {
    folder: PathBuf,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kez-it-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    /// Starts a program in this scene; its output can be read.
    pub(crate) fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Child {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).env("TMPDIR", &self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Returns the programs that run in this scene.
    pub(crate) fn cast(&self) -> Vec<String> {
        let marker = format!("TMPDIR={}", self.folder.display());
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        processes
            // A process may end while it is looked at; a zombie shows an empty environment.
            .filter(|process| {
                let environment = fs::read(process.join("environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
            })
            .filter_map(|process| fs::read_to_string(process.join("cmdline")).ok())
            .map(|line| line.replace('\0', " "))
            .collect()
    }

    /// Returns what lies in the folder.
    pub(crate) fn props(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.folder).unwrap().flatten().map(|entry| entry.path()).collect()
    }

    /// Returns the path of something that the test itself puts here.
    pub(crate) fn add(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits until nobody and nothing of the scene is left.
    pub(crate) fn clears(&self) {
        let start = Instant::now();
        loop {
            let (cast, props) = (self.cast(), self.props());
            if cast.is_empty() && props.is_empty() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "still there: {cast:#?} {props:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Sends a signal by name.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Reads what a child prints to its end, and tells how it ended.
pub(crate) fn lines_of(mut child: Child) -> (ExitStatus, Vec<String>) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    (end_of(&mut child), lines)
}

/// Waits for a child's end, but not for ever.
pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
}
