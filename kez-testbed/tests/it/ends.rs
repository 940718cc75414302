//! However the testbed's process ends, no process and no temporary folder is left behind.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::Child,
    thread,
    time::Duration,
};

use kez_testbed::Testbed;

use crate::scene::{Scene, end_of, signal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kez-testbed");

/// Starts `kez-testbed up` and waits until it says that it is up.
fn up(scene: &Scene, more: &[&str]) -> Child {
    let mut child = scene.start(PROGRAM, &[&["up", "--json"], more].concat());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("home_url"), "{line:?}");
    let cast = scene.cast().join("\n");
    for expected in ["kez-testbed up", "nats-server --config", "kez-folder-guard"] {
        assert!(cast.contains(expected), "{expected} is not in\n{cast}");
    }
    assert_eq!(scene.props().len(), 1);
    child
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing() {
    for name in ["INT", "TERM"] {
        let scene = Scene::new(name);
        let mut child = up(&scene, &[]);
        signal(&child, name);
        assert!(end_of(&mut child).success());
        // An end in order has waited for everything: nothing is left at once.
        assert_eq!(scene.cast(), Vec::<String>::new());
        assert!(scene.props().is_empty());
    }
}

#[test]
fn the_end_of_standard_input_leaves_nothing() {
    let scene = Scene::new("stdin");
    let mut child = up(&scene, &["--until-stdin-closes"]);
    drop(child.stdin.take());
    assert!(end_of(&mut child).success());
    scene.clears();
}

#[test]
fn kill_9_leaves_nothing() {
    let scene = Scene::new("kill");
    let mut child = up(&scene, &[]);
    child.kill().unwrap();
    end_of(&mut child);
    scene.clears();
}

#[test]
fn kill_9_at_any_moment_of_the_start_leaves_nothing() {
    thread::scope(|scope| {
        for delay_ms in (0..200).step_by(25) {
            scope.spawn(move || {
                let scene = Scene::new(&format!("start-{delay_ms}"));
                let mut child = scene.start(PROGRAM, &["up", "--json"]);
                thread::sleep(Duration::from_millis(delay_ms));
                child.kill().unwrap();
                end_of(&mut child);
                scene.clears();
            });
        }
    });
}

/// Runs itself a second time, in a process of its own, to be the one that panics.
#[test]
fn a_panic_leaves_nothing() {
    const PANICS: &str = "KEZ_TESTBED_PANICS";
    if env::var_os(PANICS).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let testbed = runtime.block_on(Testbed::start()).unwrap();
        panic!("with the testbed in {}", testbed.folder().display());
    }
    let scene = Scene::new("panic");
    let itself = env::current_exe().unwrap();
    // Without its words, which would look like a failed test.
    let script = format!("{PANICS}=1 exec \"$0\" --exact ends::a_panic_leaves_nothing --nocapture 2>/dev/null");
    let mut child = scene.start("sh", &["-c", &script, itself.to_str().unwrap()]);
    assert_eq!(end_of(&mut child).code(), Some(101));
    scene.clears();
}
