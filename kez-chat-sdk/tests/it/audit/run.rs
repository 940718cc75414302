//! One account's life with another, in a process of its own, so that all it logs and writes can be looked through.

use std::{env, fs, io, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use kez_chat_sdk::{
    Client, ClientError, ConnectionState, Event, HomeUrl, KeyStore, MessageState, NewAccount, Passphrase,
    PassphraseFile, Query, Roots, identity::PrimaryKey, mnemonic::Mnemonic, recover_account_from, resolve_handle,
};
use kez_testbed::Testbed;
use tokio::task::JoinHandle;
use tracing::level_filters::LevelFilter;

use super::{
    leaks::{self, Leak},
    places::{Folder, copy_tree, note_processes},
    scanner::Secret,
    secrets::{bytes, marker, of_key, of_share, share_in},
};
use crate::{
    frames::route_of,
    operator::operator,
    people::{HeldKey, PATIENCE, next, online, text_of, until},
    raw::Raw,
};

/// Names the folder of the run to the process that does it.
pub(super) const FOLDER: &str = "KEZ_AUDIT_FOLDER";
/// Tells whether it leaks on purpose.
pub(super) const LEAKS: &str = "KEZ_AUDIT_LEAKS";
/// The life's name among the tests.
pub(super) const NAME: &str = "audit::run::a_life_that_is_looked_through";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of its own; run by the audit's other tests"]
async fn a_life_that_is_looked_through() {
    let folder = Folder::at(PathBuf::from(env::var_os(FOLDER).expect("the audit names a folder")));
    tracing_subscriber::fmt().json().with_max_level(LevelFilter::TRACE).with_writer(io::stderr).init();
    let leaks = if env::var(LEAKS).as_deref() == Ok("all") { leaks::ALL } else { &[] };
    Life::begin(folder).await.live(leaks).await;
}

/// Whatever the run has to hand.
pub(super) struct Life {
    pub(super) folder: Folder,
    pub(super) testbed: Testbed,
    pub(super) alice: Arc<PassphraseFile>,
    pub(super) bob: Arc<HeldKey>,
    pub(super) secrets: Vec<Secret>,
    /// All that passes through the broker, as its operator can have it.
    wire: JoinHandle<()>,
}

impl Life {
    async fn begin(folder: Folder) -> Self {
        let testbed = Testbed::builder().extra_nats_conf("debug: true\ntrace: true\n").start().await.unwrap();
        let wire = tokio::spawn(keep_frames(operator(&testbed).await, folder.logs().join("wire")));
        let passphrase = marker();
        let secrets = vec![bytes("alice's passphrase", passphrase.clone())];
        fs::create_dir(folder.homes()).unwrap();
        fs::create_dir(folder.homes().join("alice")).unwrap();
        let alice = PassphraseFile::new(folder.homes().join("alice/seed.age"), Passphrase::new(passphrase));
        Self { folder, testbed, alice: Arc::new(alice), bob: Arc::default(), secrets, wire }
    }

    async fn live(mut self, leaks: &[Leak]) {
        let (a, b) = tokio::join!(self.register("alice", self.alice.clone()), self.register("bob", self.bob.clone()));
        for (owner, key) in [("alice", self.alice.load()), ("bob", self.bob.load())] {
            self.secrets.extend(of_key(owner, &key.unwrap().unwrap()));
        }
        a.contacts().add("@bob").await.unwrap();
        b.contacts().add("@alice").await.unwrap();
        online(&a).await;
        online(&b).await;
        tracing::debug!(?a, ?b, key_store = ?self.alice, "what an application may log");

        self.tell(&a, &b).await;
        self.tell(&b, &a).await;
        self.hand_over_a_file(&a, &b).await;
        self.snapshot("with all at work");

        // What waits is on the broker's disk.
        b.shutdown().await;
        let text = self.secret_text();
        let id = a.conversation(self.key_of_bob()).send_text(&text).await.unwrap();
        a.wait_until(id, MessageState::Sent, PATIENCE).await.unwrap();
        self.snapshot("while bob is away");
        let b = self.open("bob", self.bob.clone()).await;
        assert_eq!(text_of(&next(&b).await), text);
        a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap();

        // A restart, and a restart that fails.
        a.shutdown().await;
        let wrong = marker();
        let key_store = PassphraseFile::new(self.folder.homes().join("alice/seed.age"), Passphrase::new(wrong.clone()));
        self.secrets.push(bytes("a wrong passphrase", wrong));
        let error = Client::open(self.folder.homes().join("alice"), Arc::new(key_store)).await.unwrap_err();
        assert!(matches!(error, ClientError::KeyStore(_)));
        tracing::error!(%error, ?error, "alice mistyped");
        let a = self.open("alice", self.alice.clone()).await;
        online(&a).await;
        self.nonsense(&a, &b).await;
        self.without_servers(&a, &b).await;
        self.tell(&a, &b).await;

        self.keep(&a).await;

        note_processes(&self.folder.logs().join("processes"));
        // What is sent to somebody who is away stays in the broker's store.
        b.shutdown().await;
        for leak in leaks {
            leak.happen(&self).await;
        }
        self.snapshot("before the end");
        a.shutdown().await;
        self.come_back().await;
        self.wire.abort();
        self.testbed.kill_nats().await.unwrap();
        self.testbed.stop_chat_server().await;
        self.testbed.stop_sig_server().await;
        self.snapshot("after the end");
        fs::write(self.folder.secrets(), serde_json::to_vec(&self.secrets).unwrap()).unwrap();
        self.testbed.shutdown().await.unwrap();
    }

    async fn register(&self, name: &str, key_store: Arc<dyn KeyStore>) -> Client {
        let home = self.folder.homes().join(name);
        let begun = NewAccount::begin(&home, Arc::clone(&key_store)).await.unwrap();
        let account = begun.with_backup_file(&self.folder.elsewhere().join(format!("{name}'s words"))).await.unwrap();
        tracing::debug!(?account, "what an application may log");
        let server = HomeUrl::parse(&self.testbed.home_url()).unwrap();
        let handle = resolve_handle(name, Some(&server)).unwrap();
        account.register(&handle, |step| tracing::info!(%step, ?step, "registering")).await.unwrap();
        self.open(name, key_store).await
    }

    async fn open(&self, name: &str, key_store: Arc<dyn KeyStore>) -> Client {
        Client::open(self.folder.homes().join(name), key_store).await.unwrap()
    }

    pub(super) fn key_of_bob(&self) -> PrimaryKey {
        self.bob.load().unwrap().unwrap().primary()
    }

    /// Makes a text that is looked for.
    fn secret_text(&mut self) -> String {
        let text = marker();
        self.secrets.push(bytes(format!("text {}", self.secrets.len()), text.clone()));
        text
    }

    async fn tell(&mut self, from: &Client, to: &Client) {
        let text = self.secret_text();
        let id = from.conversation(to.primary()).send_text(&text).await.unwrap();
        loop {
            if let Event::Message { text: got, .. } = next(to).await {
                assert_eq!(got, text);
                break;
            }
        }
        let state = from.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap();
        assert_eq!(state, MessageState::Delivered);
    }

    async fn hand_over_a_file(&mut self, a: &Client, b: &Client) {
        let name = format!("{}.pdf", marker());
        // Two segments and a bit, each piece of which would be known again.
        let mut content = vec![0; 140_000];
        blake3::Hasher::new().update(&rand::random::<[u8; 32]>()).finalize_xof().fill(&mut content);
        let file = self.folder.elsewhere().join(&name);
        fs::write(&file, &content).unwrap();
        self.secrets.push(bytes("the file's name", name.clone()));
        for start in [0, 70_000, 139_936] {
            self.secrets.push(bytes("the file's content", &content[start..start + 64]));
        }
        let share = a.files().share(&file, &[b.primary()]).await.unwrap();
        tracing::debug!(messages = ?share.messages, "shared");
        let share_id = loop {
            if let Event::FileShared { share_id, .. } = next(b).await {
                break share_id;
            }
        };
        let downloads = self.folder.elsewhere().join("downloads");
        fs::create_dir(&downloads).unwrap();
        b.files().fetch(share_id, &downloads).await.unwrap();
        assert!(fs::read(downloads.join(&name)).unwrap() == content);
        let key = self.bob.load().unwrap().unwrap();
        self.secrets.extend(of_share(&share_in(&self.folder.homes().join("bob/kez.db"), &key)));
        // And what fails: there is a file of that name.
        let error = b.files().fetch(share_id, &file).await.unwrap_err();
        tracing::error!(code = error.code(), "not fetched");
    }

    /// Alice's own connection, without her client, sends what none of ours would.
    async fn nonsense(&mut self, a: &Client, b: &Client) {
        let key = self.alice.load().unwrap().unwrap();
        let mut raw = Raw::login(&self.testbed, &key).await;
        let inbox = kez_chat_sdk::broker::subject::inbox_publish(&b.primary(), &route_of(&self.testbed, &key));
        for frame in [&b"\x01"[..], &[2; 500], &[1; 500], b"\x01\x09", &[0xff; 60_000]] {
            raw.publish(&inbox, "", "", frame).await;
        }
        raw.publish("kez.inbox.nobody.else", "", "", b"x").await;
        assert_eq!(raw.fence().await.len(), 1, "the last is denied");
        self.tell(a, b).await;
    }

    /// Whatever is asked for while home and broker are away fails, and is logged as an application would.
    async fn without_servers(&mut self, a: &Client, b: &Client) {
        self.testbed.stop_chat_server().await;
        let error = a.contacts().add("@nobody").await.unwrap_err();
        tracing::error!(%error, ?error, "not added");
        let stranger = Arc::new(HeldKey::default());
        let home = self.folder.homes().join("carol");
        let begun = NewAccount::begin(&home, stranger.clone()).await.unwrap();
        self.secrets.extend(of_key("carol", &stranger.load().unwrap().unwrap()));
        let account = begun.with_backup_file(&self.folder.elsewhere().join("carol's words")).await.unwrap();
        let server = HomeUrl::parse(&self.testbed.home_url()).unwrap();
        let error = account.register(&resolve_handle("carol", Some(&server)).unwrap(), |_| {}).await.unwrap_err();
        tracing::error!(%error, ?error, "not registered");

        self.testbed.kill_nats().await.unwrap();
        until(a, |state| matches!(state, ConnectionState::Offline { .. })).await;
        let text = self.secret_text();
        let id = a.conversation(b.primary()).send_text(&text).await.unwrap();
        let state = a.wait_until(id, MessageState::Sent, Duration::from_millis(1)).await.unwrap();
        assert_eq!(state, MessageState::Queued);
        self.testbed.start_nats().await.unwrap();
        self.testbed.start_chat_server().await.unwrap();
        loop {
            if let Event::Message { text: got, .. } = next(b).await {
                assert_eq!(got, text);
                break;
            }
        }
        a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap();
    }

    /// Alice looks for what was said, and keeps it.
    async fn keep(&mut self, a: &Client) {
        let text = self.secret_text();
        a.conversation(a.primary()).send_text(&text).await.unwrap();
        let hits = a.search(&Query::new(&text)).await.unwrap();
        assert_eq!(hits.len(), 1);
        tracing::debug!(?hits, query = ?Query::new(&text), "what an application may log");
        let backup = a.backup_to(self.folder.homes().join("alice's backup")).await.unwrap();
        tracing::debug!(?backup, "what an application may log");
        a.export_to(self.folder.elsewhere().join("alice's export"), |_| {}).await.unwrap();
        let error = a.backup_to(self.folder.homes().join("alice's backup")).await.unwrap_err();
        tracing::error!(%error, ?error, "not written twice");
    }

    /// Alice takes her account to another device.
    async fn come_back(&self) {
        let words = fs::read_to_string(self.folder.elsewhere().join("alice's words")).unwrap();
        let words = Mnemonic::parse(&words).unwrap();
        let (home, key_store) = (self.folder.homes().join("alice again"), Arc::new(HeldKey::default()));
        let (server, roots) = (HomeUrl::parse(&self.testbed.home_url()).unwrap(), Roots::system());
        let backup = self.folder.homes().join("alice's backup");
        recover_account_from(&home, key_store.clone(), &words, &server, &roots, &backup).await.unwrap();
        let client = Client::open(&home, key_store).await.unwrap();
        assert!(!client.conversation(client.primary()).history(None, 9).await.unwrap().is_empty());
        self.snapshot("with alice come back");
        client.shutdown().await;
    }

    /// Keeps what all folders hold now.
    fn snapshot(&self, moment: &str) {
        let target = self.folder.seen().join(moment);
        copy_tree(&self.folder.homes(), &target.join("homes"));
        copy_tree(&self.folder.temporary(), &target.join("temporary"));
    }
}

/// Writes down every frame of the account that holds the streams, bytes as they are.
async fn keep_frames(operator: async_nats::Client, file: PathBuf) {
    let mut frames = operator.subscribe(">").await.unwrap();
    let mut kept = fs::File::create(file).unwrap();
    while let Some(frame) = frames.next().await {
        let head = format!("\n{} {:?} {:?}\n", frame.subject, frame.reply, frame.headers);
        io::Write::write_all(&mut kept, &[head.as_bytes(), &frame.payload].concat()).unwrap();
    }
}
