//! Registering, recovering and leaving in a process of their own, which is killed between any two steps.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

#[cfg(feature = "files")]
use kez_chat_sdk::sigchain::Op;
use kez_chat_sdk::{
    AccountError, Client, ConnectionState, HomeUrl, KeyStore, KeyStoreError, MessageContent, NewAccount, OldHandle,
    Roots, identity::SecretKey, mnemonic::Mnemonic, recover_account, recover_account_from, resolve_handle,
    sigchain::Chain,
};
use kez_testbed::{Testbed, guard::Guarded};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    chains::{profile, published},
    gate::{Counted, Gate, Moment},
    people::{PATIENCE, online, until},
};

const TASK: &str = "KEZ_TEST_TASK";
const FOLDER: &str = "KEZ_TEST_FOLDER";
const SERVER: &str = "KEZ_TEST_SERVER";
/// The name of a backup in a device's folder, and what is in it.
const BACKUP: &str = "backup.kez";
const NOTE: &str = "remember the milk";
/// The name of a folder that is shared, and before each number of bytes of it that is sealed.
#[cfg(feature = "files")]
const SHARED: &str = "shared";
#[cfg(feature = "files")]
const SEALED: &str = "sealed ";

/// How a task is killed.
struct Kills {
    counted: Counted,
    /// How many there are at least, or the task asks for less than it must.
    least: usize,
    /// How many more there are at random moments, and within which time: what a task that is not killed takes, mostly.
    random: usize,
    within_ms: u64,
}

const AT_ALL_REQUESTS: Kills = Kills { counted: Counted::All, least: 8, random: 6, within_ms: 800 };
const AT_WRITES: Kills = Kills { counted: Counted::Writes, least: 8, random: 0, within_ms: 0 };
/// One event is all that is written, some seconds after the task's begin.
#[cfg(feature = "files")]
const WHILE_PUBLISHING: Kills = Kills { counted: Counted::Writes, least: 2, random: 4, within_ms: 5_000 };

/// An application's own key store: one file that is there or not.
pub(crate) struct FileKey(PathBuf);

impl FileKey {
    /// Writes a key where [`open`] looks for it.
    #[cfg(feature = "files")]
    pub(crate) fn write(folder: &Path, key: &SecretKey) {
        fs::write(folder.join("seed"), key.expose_seed()).unwrap();
    }
}

impl KeyStore for FileKey {
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
        Ok(fs::read(&self.0).ok().map(|seed| SecretKey::from_seed(seed.try_into().unwrap())))
    }

    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
        let mut file = tempfile::NamedTempFile::new_in(self.0.parent().unwrap()).unwrap();
        file.write_all(key.expose_seed()).unwrap();
        file.persist_noclobber(&self.0).map(drop).map_err(|_| KeyStoreError::Occupied)
    }
}

/// A device: a folder with a key, an account, and the words in a file.
struct Device {
    folder: TempDir,
}

impl Device {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn words(&self) -> PathBuf {
        self.folder.path().join("words.txt")
    }

    /// Starts a task on this device, in a process of its own.
    fn start(&self, testbed: &Testbed, task: &str) -> Guarded {
        let program = env::current_exe().unwrap();
        Guarded::spawn(program, |command| {
            command.args(["--exact", "kills::task_of_its_own", "--include-ignored"]);
            command.env(TASK, task).env(FOLDER, self.folder.path()).env(SERVER, testbed.home_url());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        })
        .unwrap()
    }

    /// Runs a task to its end.
    async fn finish(&self, testbed: &Testbed, task: &str) {
        let output = timeout(PATIENCE, self.start(testbed, task).output()).await.expect("it does not end").unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{task}: {said}");
    }

    async fn open(&self) -> Client {
        open(self.folder.path()).await
    }
}

pub(crate) async fn open(folder: &Path) -> Client {
    // Nobody writes here, so a move need not wait for what an earlier process was handed.
    let builder = Client::builder(folder.join("home"), Arc::new(FileKey(folder.join("seed"))));
    builder.gap_wait(Duration::ZERO).open().await.unwrap()
}

/// What is killed: it goes on where an earlier run was.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other tests here run it, as a process that they kill"]
async fn task_of_its_own() {
    let Ok(task) = env::var(TASK) else { return };
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let server = HomeUrl::parse(&env::var(SERVER).unwrap()).unwrap();
    let key_store = Arc::new(FileKey(folder.join("seed")));
    let words = folder.join("words.txt");
    let home = folder.join("home");
    match task.split_once(' ').unwrap_or((&task, "")) {
        ("register", name) => {
            let account = match NewAccount::begin(home, key_store).await {
                Ok(begun) => begun.with_backup_file(&words).await.unwrap(),
                Err(AccountError::AlreadyRegistered { .. }) => return,
                Err(error) => panic!("{error}"),
            };
            account.register(&resolve_handle(name, Some(&server)).unwrap(), |_| {}).await.unwrap();
        }
        ("recover", _) => {
            let words = Mnemonic::parse(&fs::read_to_string(words).unwrap()).unwrap();
            match recover_account(home, key_store, &words, &server, &Roots::system()).await {
                Ok(_) | Err(AccountError::AlreadyRegistered { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        ("back-up", _) => {
            let client = open(&folder).await;
            client.conversation(client.primary()).send_text(NOTE).await.unwrap();
            client.backup_to(folder.join(BACKUP)).await.unwrap();
            client.shutdown().await;
        }
        ("restore", _) => {
            let words = Mnemonic::parse(&fs::read_to_string(words).unwrap()).unwrap();
            let (roots, backup) = (Roots::system(), folder.join(BACKUP));
            match recover_account_from(home, key_store, &words, &server, &roots, backup).await {
                Ok(_) | Err(AccountError::AlreadyRegistered { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        #[cfg(feature = "files")]
        ("share", who) => {
            let client = open(&folder).await;
            let reader = client.contacts().add(who).await.unwrap().primary;
            let mut sharing = client.files().share(&folder.join(SHARED), &[reader]);
            while let Some(progress) = sharing.progress().await {
                // What the test harness does not keep for itself.
                writeln!(std::io::stdout(), "{}{}", SEALED, progress.done_bytes).unwrap();
            }
            sharing.await.unwrap();
            std::future::pending().await
        }
        ("retire", _) => {
            let client = open(&folder).await;
            client.account().retire().await.unwrap();
            until(&client, |state| *state == ConnectionState::Retired).await;
            client.shutdown().await;
        }
        #[cfg(feature = "files")]
        ("publish", _) => {
            let client = open(&folder).await;
            if client.files().published().await.unwrap().is_empty() {
                let file = folder.join("news.txt");
                fs::write(&file, NOTE).unwrap();
                client.files().publish(&file, kez_chat_sdk::manifest::Access::Public).await.unwrap();
            }
            client.files().until_published().await.unwrap();
            client.shutdown().await;
        }
        ("move", to) => {
            let to = resolve_handle(to, None).unwrap();
            let client = open(&folder).await;
            if *client.handle() != to {
                let moved = async {
                    let plan = client.account().plan_move(&to).await?;
                    client.account().move_to(plan, OldHandle::GiveUp).await
                };
                // It may have gone on by itself meanwhile.
                match moved.await {
                    Ok(_) | Err(AccountError::Moved) => {}
                    Err(error) => panic!("{error}"),
                }
                until(&client, |state| *state == ConnectionState::Moved).await;
            }
            client.shutdown().await;
            let client = open(&folder).await;
            client.account().sync().await.unwrap();
            client.shutdown().await;
        }
        other => panic!("{other:?}"),
    }
}

/// Makes a device on which somebody is registered.
async fn registered(testbed: &Testbed, name: &str) -> Device {
    let device = Device::new();
    device.finish(testbed, &format!("register {name}")).await;
    device
}

/// Runs a task again and again, each time on what `prepare` makes, and kills it at every one of its requests, before and
/// after the server has done what it asks for, and at random moments. Then it is run to its end, and `check` looks at what
/// came of it.
async fn kill_everywhere(
    task: impl Fn(&Testbed, &str) -> String,
    how: Kills,
    prepare: impl AsyncFn(&Testbed, &str) -> Device,
    check: impl AsyncFn(&Testbed, &str, &Device),
) {
    let mut testbed = Testbed::start().await.unwrap();
    let gate = Gate::before(&mut testbed).await;
    let mut round = 0;
    let mut next_name = || {
        round += 1;
        format!("p{round}")
    };
    let mut kills = 0;
    for request in 1.. {
        let mut was_killed = false;
        for moment in [Moment::Before, Moment::After] {
            let name = next_name();
            let device = prepare(&testbed, &name).await;
            let task = task(&testbed, &name);
            gate.stop_at_counted(how.counted, request, moment);
            let mut child = device.start(&testbed, &task);
            let ended = tokio::select! {
                () = gate.reached() => None,
                ended = child.wait() => Some(ended.unwrap()),
                () = tokio::time::sleep(PATIENCE) => panic!("{task} neither asks nor ends"),
            };
            gate.lift();
            match ended {
                None => {
                    child.kill().await.unwrap();
                    was_killed = true;
                    kills += 1;
                }
                Some(status) if status.success() => {}
                Some(_) => {
                    let said = child.output().await.unwrap().stdout;
                    panic!("{task} fails without having been killed: {}", String::from_utf8_lossy(&said));
                }
            }
            device.finish(&testbed, &task).await;
            check(&testbed, &name, &device).await;
        }
        if !was_killed {
            break;
        }
    }
    assert!(kills >= how.least, "it asks for less than it must: {kills}");
    for _ in 0..how.random {
        let name = next_name();
        let device = prepare(&testbed, &name).await;
        let task = task(&testbed, &name);
        let child = device.start(&testbed, &task);
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..how.within_ms))).await;
        child.kill().await.unwrap();
        device.finish(&testbed, &task).await;
        check(&testbed, &name, &device).await;
    }
    gate.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_killed_anywhere_ends_in_one_complete_account() {
    let prepare = async |_: &Testbed, _: &str| Device::new();
    let check = async |testbed: &Testbed, name: &str, device: &Device| {
        let client = device.open().await;
        let words = Mnemonic::parse(&fs::read_to_string(device.words()).unwrap()).unwrap();
        assert_eq!(words.secret_key().primary(), client.primary());
        let profile = profile(testbed, &client.primary()).await.unwrap();
        assert_eq!(profile["handle"], format!("{name}@{}", testbed.domain()));
        let chain = published(testbed, &client.primary()).await;
        assert_eq!(chain.events().len(), 3, "nothing is said twice");
        assert_eq!(chain.state().handle(), Some(client.handle()));
        assert!(chain.state().nats().is_some());
        lives_in(&chain, &client);
        client.shutdown().await;
    };
    kill_everywhere(|_, name| format!("register {name}"), AT_ALL_REQUESTS, prepare, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_killed_anywhere_ends_in_one_complete_account() {
    let prepare = async |testbed: &Testbed, name: &str| {
        let lost = registered(testbed, name).await;
        let device = Device::new();
        fs::copy(lost.words(), device.words()).unwrap();
        device
    };
    let check = async |testbed: &Testbed, name: &str, device: &Device| {
        let client = device.open().await;
        assert_eq!(client.handle().to_string(), format!("{name}@{}", testbed.domain()));
        let chain = published(testbed, &client.primary()).await;
        assert_eq!(chain.events().len(), 5, "the new installation comes, the old one goes");
        lives_in(&chain, &client);
        client.shutdown().await;
    };
    kill_everywhere(|_, _| "recover".into(), AT_ALL_REQUESTS, prepare, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_from_a_backup_that_is_killed_anywhere_ends_in_one_account_with_its_history() {
    let prepare = async |testbed: &Testbed, name: &str| {
        let lost = registered(testbed, name).await;
        lost.finish(testbed, "back-up").await;
        let device = Device::new();
        fs::copy(lost.words(), device.words()).unwrap();
        fs::copy(lost.folder.path().join(BACKUP), device.folder.path().join(BACKUP)).unwrap();
        device
    };
    let check = async |testbed: &Testbed, name: &str, device: &Device| {
        let client = device.open().await;
        assert_eq!(client.handle().to_string(), format!("{name}@{}", testbed.domain()));
        let notes = client.conversation(client.primary()).history(None, 9).await.unwrap();
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert_eq!(note.content, MessageContent::Text { text: NOTE.to_owned(), edited: false });
        let chain = published(testbed, &client.primary()).await;
        assert_eq!(chain.events().len(), 5, "the new installation comes, the old one goes");
        lives_in(&chain, &client);
        client.shutdown().await;
        let left = fs::read_dir(device.folder.path().join("home")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| name != "kez.new"), "half of an attempt is left");
    };
    kill_everywhere(|_, _| "restore".into(), AT_ALL_REQUESTS, prepare, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_that_is_killed_anywhere_is_whole_in_the_end() {
    let check = async |testbed: &Testbed, _: &str, device: &Device| {
        let client = device.open().await;
        until(&client, |state| *state == ConnectionState::Retired).await;
        assert_eq!(profile(testbed, &client.primary()).await, None);
        let chain = published(testbed, &client.primary()).await;
        assert!(chain.state().is_retired() && chain.events().len() == 4);
        client.shutdown().await;
    };
    kill_everywhere(|_, _| "retire".into(), AT_ALL_REQUESTS, registered, check).await;
}

#[cfg(feature = "files")]
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_killed_anywhere_is_said_once() {
    let check = async |testbed: &Testbed, _: &str, device: &Device| {
        let client = device.open().await;
        assert_eq!(client.files().published().await.unwrap().len(), 1);
        let said = client.files().until_published().await.unwrap();
        let chain = published(testbed, &client.primary()).await;
        let [.., last] = chain.events() else { panic!("an empty chain") };
        assert!(chain.events().len() == 4, "nothing is said twice");
        let is_it = |op: &Op| matches!(op, Op::SetSharedFiles { manifest: Some(_), version } if *version == said);
        assert!(last.op().is_ok_and(is_it), "{last:?}");
        client.shutdown().await;
    };
    kill_everywhere(|_, _| "publish".into(), WHILE_PUBLISHING, registered, check).await;
}

/// The old home hears of three events and of the handle that is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_at_the_old_home_ends_at_the_new_one() {
    let new = Testbed::start().await.unwrap();
    let check = async |old: &Testbed, name: &str, device: &Device| moved(old, &new, name, device).await;
    kill_everywhere(|_, name| format!("move {name}@{}", new.domain()), AT_WRITES, registered, check).await;
    new.shutdown().await.unwrap();
}

/// The new home hears of the registration and of six events.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_at_the_new_home_ends_there() {
    let old = Testbed::start().await.unwrap();
    let prepare = async |_: &Testbed, name: &str| registered(&old, name).await;
    let check = async |new: &Testbed, name: &str, device: &Device| moved(&old, new, name, device).await;
    kill_everywhere(|new, name| format!("move {name}@{}", new.domain()), AT_WRITES, prepare, check).await;
    old.shutdown().await.unwrap();
}

/// Checks that somebody has moved from one home to the other, and that both know.
async fn moved(old: &Testbed, new: &Testbed, name: &str, device: &Device) {
    let client = device.open().await;
    assert_eq!(client.handle().to_string(), format!("{name}@{}", new.domain()));
    online(&client).await;
    let profile_there = profile(new, &client.primary()).await.unwrap();
    assert_eq!(profile_there["handle"], client.handle().to_string());
    assert_eq!(profile(old, &client.primary()).await, None);
    let chain = published(new, &client.primary()).await;
    assert_eq!(chain.events().len(), 6, "nothing is said twice");
    assert_eq!(chain.tip(), published(old, &client.primary()).await.tip());
    assert_eq!(chain.state().handle(), Some(client.handle()));
    let homes: Vec<_> = chain.state().nats_endpoints().map(|nats| &nats.home).collect();
    assert_eq!(homes, [new.domain()]);
    lives_in(&chain, &client);
    client.shutdown().await;
}

/// Checks that the account lives in the client's installation, and in no other.
#[track_caller]
fn lives_in(chain: &Chain, client: &Client) {
    let installs: Vec<_> = chain.state().iroh_endpoints().map(|iroh| iroh.install).collect();
    assert_eq!(installs, [client.account().install()]);
}

#[cfg(feature = "files")]
#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_killed_anywhere_is_whole_or_leaves_nothing_that_lasts() {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use crate::sharing::kept_in;

    let testbed = Testbed::start().await.unwrap();
    let _bob = registered(&testbed, "bob").await;
    let alice = registered(&testbed, "alice").await;
    let folder = alice.folder.path().join(SHARED);
    fs::create_dir(&folder).unwrap();
    let total = 12_000_000 + 70 * 20_000;
    fs::write(folder.join("film"), vec![7; 12_000_000]).unwrap();
    (0..70).for_each(|i| fs::write(folder.join(i.to_string()), vec![i; 20_000]).unwrap());
    for moment in [0, 1, total / 2, total - 1, total, total] {
        let mut child = alice.start(&testbed, "share @bob");
        let mut said = BufReader::new(child.take_stdout().unwrap()).lines();
        let come = async {
            while let Some(line) = said.next_line().await.unwrap() {
                if line.strip_prefix(SEALED).is_some_and(|done| done.parse::<u64>().unwrap() >= moment) {
                    return;
                }
            }
            panic!("it ended by itself");
        };
        timeout(PATIENCE, come).await.expect("it does not share");
        child.kill().await.unwrap();

        let client = alice.open().await;
        client.files().clean_up().await.unwrap();
        let shares = client.files().shares().await.unwrap();
        assert!(shares.len() <= 1 && (shares.is_empty() || moment == total), "{moment}");
        assert!(client.files().verify().await.unwrap().is_empty(), "{moment}");
        for share in shares {
            assert_eq!(share.total_bytes, total);
            client.files().unshare(share.id, None).await.unwrap();
        }
        client.files().clean_up().await.unwrap();
        assert_eq!(client.files().usage().await.unwrap().shared_bytes, 0, "{moment}");
        client.shutdown().await;
        let left = kept_in(&alice.folder.path().join("home"));
        assert!(left.is_empty(), "{moment}: {left:?}");
    }
    testbed.shutdown().await.unwrap();
}
