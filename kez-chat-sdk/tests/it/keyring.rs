//! The seed in a real Secret Service, on a session bus of its own. A process has one bus, so what is tested runs in
//! processes of its own.

use std::{
    env,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use kez_chat_sdk::{
    Client, HomeUrl, KeyStore, KeyStoreError, NewAccount, OsKeyring, identity::SecretKey, resolve_handle,
};
use kez_testbed::{Testbed, secret_service::SecretService};
use tokio::{task::spawn_blocking, time::timeout};

use crate::people::PATIENCE;

const TASK: &str = "KEZ_TEST_TASK";
const FOLDER: &str = "KEZ_TEST_FOLDER";
const SERVER: &str = "KEZ_TEST_SERVER";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_service_keeps_the_seed_for_later_processes_and_gives_it_to_nobody_while_locked() {
    let service = SecretService::find().await.unwrap();
    let testbed = Testbed::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    for task in ["register", "come back", "locked"] {
        let running = service.spawn(folder.path(), env::current_exe().unwrap(), |command| {
            command.args(["--exact", "keyring::task_on_a_bus_of_its_own", "--include-ignored", "--nocapture"]);
            command.env(TASK, task).env(FOLDER, folder.path()).env(SERVER, testbed.home_url());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        });
        let output = timeout(PATIENCE, running.unwrap().output()).await.expect("it does not end").unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let fault = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{task}: {said}{fault}");
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
#[ignore = "the test above runs it, beside a Secret Service"]
async fn task_on_a_bus_of_its_own() {
    let Ok(task) = env::var(TASK) else { return };
    let folder = env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let server = HomeUrl::parse(&env::var(SERVER).unwrap()).unwrap();
    let home = folder.join("home");
    assert!(spawn_blocking(OsKeyring::is_available).await.unwrap());
    let keyring = Arc::new(OsKeyring::new(&home.to_string_lossy()));
    match &*task {
        "register" => {
            let account = begin(&home, &keyring).await;
            let account = account.confirm_backup_file(&folder.join("words.txt")).await.unwrap();
            account.register(&resolve_handle("alice", Some(&server)).unwrap(), |_| {}).await.unwrap();
            let again = Arc::clone(&keyring);
            let save = move || again.save(&SecretKey::generate(&mut rand::rng()));
            assert!(matches!(spawn_blocking(save).await.unwrap(), Err(KeyStoreError::Occupied)));
            let other = OsKeyring::new("another account");
            assert!(spawn_blocking(move || other.load()).await.unwrap().unwrap().is_none());
        }
        "come back" => {
            let client = Client::open(home, keyring).await.unwrap();
            let words = std::fs::read_to_string(folder.join("words.txt")).unwrap();
            assert_eq!(client.account().mnemonic().expose_words().join(" "), words);
            client.shutdown().await;
        }
        "locked" => {
            lock();
            // Not "there is no key": that would make a new one.
            let locked = spawn_blocking(move || keyring.load()).await.unwrap();
            assert!(matches!(locked, Err(KeyStoreError::Unavailable(_))), "{locked:?}");
        }
        other => panic!("{other}"),
    }
}

async fn begin(home: &Path, keyring: &Arc<OsKeyring>) -> NewAccount {
    let key_store: Arc<dyn KeyStore> = Arc::<OsKeyring>::clone(keyring);
    match NewAccount::begin(home, key_store).await.unwrap() {
        kez_chat_sdk::BegunAccount::New(account) => account,
        kez_chat_sdk::BegunAccount::BackedUp(_) => panic!("there was a key before"),
    }
}

/// Locks the keyring, as a desktop does with its screen.
fn lock() {
    let mut command = Command::new("dbus-send");
    command.args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"]);
    command.arg("org.freedesktop.Secret.Service.Lock");
    command.arg("array:objpath:/org/freedesktop/secrets/aliases/default");
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
}
