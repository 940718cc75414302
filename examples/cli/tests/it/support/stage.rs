//! What most tests play on: one home for all of them, and one keyring, whose keys open in no time.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Stdio,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use kez_testbed::{Testbed, guard::Guarded, secret_service::SecretService};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    runtime::Runtime,
};

use super::Person;

/// It stands until the process ends, and its guards take it down.
static STAGE: LazyLock<Stage> = LazyLock::new(|| thread::spawn(Stage::set).join().expect("there is no stage"));

struct Stage {
    testbed: Testbed,
    people: PathBuf,
    bus: String,
    last: AtomicU32,
    _keyring: Guarded,
    _runtime: Runtime,
}

impl Stage {
    fn set() -> Self {
        let runtime = Runtime::new().unwrap();
        let (testbed, keyring, bus) = runtime.block_on(async {
            let testbed = Testbed::start().await.unwrap();
            let (keyring, bus) = keyring(&testbed).await;
            (testbed, keyring, bus)
        });
        let people = testbed.folder().join("people");
        fs::create_dir(&people).unwrap();
        Self { testbed, people, bus, last: AtomicU32::new(0), _keyring: keyring, _runtime: runtime }
    }
}

/// Starts a keyring, and returns the bus that reaches it.
async fn keyring(testbed: &Testbed) -> (Guarded, String) {
    let folder = testbed.folder().join("keyring");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let service = SecretService::find().await.unwrap();
    let mut keyring = service
        .spawn(&folder, "sh", |command| {
            command
                .args(["-c", "echo $DBUS_SESSION_BUS_ADDRESS; exec tail -f /dev/null >/dev/null"])
                .stdout(Stdio::piped());
        })
        .unwrap();
    let mut lines = BufReader::new(keyring.take_stdout().unwrap()).lines();
    let bus = lines.next_line().await.unwrap().expect("there is no bus");
    (keyring, bus)
}

/// Returns the home's name.
pub(crate) fn domain() -> String {
    STAGE.testbed.domain().to_string()
}

/// Returns the home's URL.
pub(crate) fn home_url() -> String {
    STAGE.testbed.home_url()
}

/// Prepares somebody with a name that nobody else has, of whom nothing is there yet.
pub(crate) fn newcomer(name: &str) -> Person {
    let number = STAGE.last.fetch_add(1, Ordering::Relaxed) + 1;
    Person::with_bus(&STAGE.people, &format!("{name}-{number}"), &STAGE.testbed.home_url(), &STAGE.bus)
}

/// Prepares somebody for another home than the stage's, in a folder.
pub(crate) fn elsewhere(folder: &std::path::Path, name: &str, testbed: &Testbed) -> Person {
    Person::with_bus(folder, name, &testbed.home_url(), &STAGE.bus)
}

/// Registers somebody.
pub(crate) async fn registered(name: &str) -> Person {
    let person = newcomer(name);
    person.register(&person.name).await;
    person
}

/// Makes two people who know each other.
pub(crate) async fn pair() -> (Person, Person) {
    let (alice, bob) = tokio::join!(registered("alice"), registered("bob"));
    introduce(&alice, &bob).await;
    (alice, bob)
}

/// Has two people add each other.
pub(crate) async fn introduce(alice: &Person, bob: &Person) {
    let (bobs, alices) = (bob.at(), alice.at());
    let to_bob = ["add", bobs.as_str()];
    let to_alice = ["add", alices.as_str()];
    let (one, other) = tokio::join!(alice.run(&to_bob), bob.run(&to_alice));
    one.ok();
    other.ok();
}

/// Makes two people who know each other at a home of their own, whose parts a test may stop.
pub(crate) async fn two_contacts() -> (TempDir, Testbed, Person, Person) {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| elsewhere(folder.path(), name, &testbed));
    tokio::join!(alice.register("alice"), bob.register("bob"));
    introduce(&alice, &bob).await;
    (folder, testbed, alice, bob)
}
