//! The demo as it is shown, and as it is interrupted.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout},
};

use crate::scene::{Scene, end_of, signal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kez-testbed");

/// Starts the demo with the `kez-chat` that lies beside the testbed's program.
fn demo(scene: &Scene) -> (Child, Lines<BufReader<ChildStdout>>) {
    let cli: PathBuf = Path::new(PROGRAM).with_file_name("kez-chat");
    assert!(cli.is_file(), "{} is not built: cargo build -p kez-chat-cli -p kez-testbed", cli.display());
    let mut child = scene.start(PROGRAM, &["demo", "--cli", cli.to_str().unwrap()]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[test]
fn the_demo_shows_every_step_and_leaves_nothing() {
    let scene = Scene::new("demo");
    let (mut child, lines) = demo(&scene);
    let shown: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(end_of(&mut child).success(), "{}", shown.join("\n"));
    let steps = (1..).take_while(|step| shown.iter().any(|line| line.starts_with(&format!("{step}. ")))).count();
    let last = shown.last().unwrap();
    let seconds = last.strip_prefix(&format!("demo: {steps} steps ok in ")).and_then(|rest| rest.strip_suffix(" s"));
    assert!(seconds.is_some_and(|seconds| seconds.parse::<u64>().unwrap() < 120), "{last}");
    assert!(steps >= 10, "{last}");
    assert_eq!(scene.cast(), Vec::<String>::new());
    assert!(scene.props().is_empty());
}

/// Ends the demo with a signal while a command of that step is at work.
fn interrupted(step: usize, name: &str) {
    let scene = Scene::new(&format!("demo-{name}-{step}"));
    let (mut child, mut lines) = demo(&scene);
    let title = format!("{step}. ");
    assert!(lines.any(|line| line.unwrap().starts_with(&title)), "there is no step {step}");
    // The command as typed, and then the first that it says.
    for _ in 0..2 {
        lines.next().unwrap().unwrap();
    }
    signal(&child, name);
    // Whoever writes to the end must not be stopped by a full pipe.
    for line in lines {
        line.unwrap();
    }
    assert!(!end_of(&mut child).success());
    scene.clears();
}

#[test]
fn ctrl_c_leaves_nothing_of_the_demo() {
    interrupted(5, "INT");
}

#[test]
fn ctrl_c_in_the_word_quiz_leaves_nothing_of_the_demo() {
    interrupted(1, "INT");
}

#[test]
fn kill_9_leaves_nothing_of_the_demo() {
    interrupted(9, "KILL");
}

#[test]
fn kill_9_in_the_word_quiz_leaves_nothing_of_the_demo() {
    interrupted(1, "KILL");
}

/// A panic that aborts is a `SIGABRT`; one that unwinds is tested where the testbed itself is.
#[test]
fn an_abort_leaves_nothing_of_the_demo() {
    interrupted(3, "ABRT");
}
