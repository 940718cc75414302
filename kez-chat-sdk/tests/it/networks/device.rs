//! Devices: clients in processes of their own, each in a network of its own, that do what they are told.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use kez_chat_sdk::{Client, Event, Roots, ShareId, TransferPath, TransferProgress};
use kez_service::process::{self, LogFormat};
use kez_testbed::guard::Guarded;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::{
    namespace::Network,
    open_network::{OpenNetwork, register},
    people::{PATIENCE, Person, next, online},
};

const NAME: &str = "KEZ_TEST_NAME";
const FOLDER: &str = "KEZ_TEST_FOLDER";
/// What lies in a device's folder.
const SOCKET: &str = "orders";
const AUTHORITY: &str = "authority.pem";

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Adds somebody, with whom files are exchanged from now on.
    Befriend(String),
    Share(PathBuf),
    /// Fetches what was offered last.
    Fetch(PathBuf),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done,
    Progress(Progress),
    Fetched(Vec<PathBuf>),
    Failed(String),
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) done_bytes: u64,
    pub(super) is_relayed: Option<bool>,
}

impl From<TransferProgress> for Progress {
    fn from(progress: TransferProgress) -> Self {
        let is_relayed = progress.over.map(|over| over == TransferPath::Relay);
        Self { done_bytes: progress.done_bytes, is_relayed }
    }
}

/// The test's end of a device. The device ends with it.
pub(super) struct Device {
    folder: PathBuf,
    child: Guarded,
    orders: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
}

impl Device {
    /// Starts somebody's device in a network, where it registers and goes online.
    pub(super) async fn start(network: &Network, open: &OpenNetwork, name: &str) -> Self {
        let folder = open.folder().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(AUTHORITY), open.authority.pem()).unwrap();
        let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
        let mut child = Guarded::spawn("nsenter", |command| {
            command.arg(network.entrance()).arg(env::current_exe().unwrap());
            command.args(["--exact", "networks::device::device_of_its_own", "--include-ignored", "--nocapture"]);
            command.env(NAME, name).env(FOLDER, &folder);
        })
        .unwrap();
        let (stream, _) = tokio::select! {
            accepted = timeout(PATIENCE, listener.accept()) => accepted.expect("a device in time").unwrap(),
            ended = child.wait() => panic!("{name}'s device has ended: {ended:?}"),
        };
        let (answers, orders) = stream.into_split();
        Self { folder, child, orders, answers: BufReader::new(answers).lines() }
    }

    pub(super) async fn befriend(&mut self, handle: &str) {
        self.order(&Order::Befriend(handle.to_owned())).await;
        self.until_done().await;
    }

    /// Offers content to the friend.
    pub(super) async fn share(&mut self, name: &str, content: &[u8]) {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        self.order(&Order::Share(path)).await;
        self.until_done().await;
    }

    /// Begins to fetch what was offered last.
    pub(super) async fn begin_to_fetch(&mut self) {
        self.order(&Order::Fetch(self.downloads())).await;
    }

    /// Waits for a step of the fetch, passing over others. It must not be over.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Progress) -> bool) -> Progress {
        loop {
            match self.answer().await {
                Answer::Progress(progress) if wanted(&progress) => return progress,
                Answer::Progress(_) => {}
                other => panic!("it is over: {other:?}"),
            }
        }
    }

    /// Waits for the end of the fetch, and returns its last step and what came, or the error's name.
    pub(super) async fn end_of_fetch(&mut self) -> (Option<Progress>, Result<Vec<u8>, String>) {
        let mut last = None;
        loop {
            match self.answer().await {
                Answer::Progress(progress) => last = Some(progress),
                Answer::Fetched(paths) => {
                    let there: Vec<_> =
                        fs::read_dir(self.downloads()).unwrap().map(|entry| entry.unwrap().path()).collect();
                    assert_eq!(there, paths, "one whole file and no part");
                    return (last, Ok(fs::read(&paths[0]).unwrap()));
                }
                Answer::Failed(code) => return (last, Err(code)),
                Answer::Done => panic!("nothing else was asked for"),
            }
        }
    }

    pub(super) async fn shutdown(self) {
        drop((self.orders, self.answers));
        let ended = timeout(PATIENCE, self.child.output()).await.expect("it ends when nobody orders");
        assert!(ended.unwrap().status.success());
    }

    fn downloads(&self) -> PathBuf {
        let folder = self.folder.join("downloads");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    async fn order(&mut self, order: &Order) {
        let line = serde_json::to_string(order).unwrap() + "\n";
        self.orders.write_all(line.as_bytes()).await.unwrap();
    }

    async fn until_done(&mut self) {
        let answer = self.answer().await;
        assert!(matches!(answer, Answer::Done), "{answer:?}");
    }

    async fn answer(&mut self) -> Answer {
        let line = timeout(PATIENCE, self.answers.next_line()).await.expect("an answer in time").unwrap();
        serde_json::from_str(&line.expect("the device has ended")).unwrap()
    }
}

/// What runs on a device.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other tests here run it, in a network of its own"]
async fn device_of_its_own() {
    let Ok(name) = env::var(NAME) else { return };
    if let Ok(filter) = env::var("KEZ_LOG") {
        // For who looks for the reason of a failure.
        process::init_logging(LogFormat::Pretty, &filter).unwrap();
    }
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let roots = Roots::system().and_pem(&fs::read(folder.join(AUTHORITY)).unwrap()).unwrap();
    let person = Person::new_in(&folder);
    register(&person, &name, roots.clone()).await.unwrap();
    let client = person.builder().roots(roots).open().await.unwrap();
    online(&client).await;
    let (orders, mut answers) = UnixStream::connect(folder.join(SOCKET)).await.unwrap().into_split();
    let mut orders = BufReader::new(orders).lines();
    let (mut friend, mut offer) = (None, None);
    while let Some(order) = orders.next_line().await.unwrap() {
        match serde_json::from_str(&order).unwrap() {
            Order::Befriend(handle) => {
                friend = Some(client.contacts().add(&handle).await.unwrap().primary);
                tell(&mut answers, &Answer::Done).await;
            }
            Order::Share(path) => {
                client.files().share(&path, &[friend.unwrap()]).await.unwrap();
                tell(&mut answers, &Answer::Done).await;
            }
            Order::Fetch(folder) => {
                let share_id = match offer {
                    Some(share_id) => share_id,
                    None => *offer.insert(offered(&client).await),
                };
                fetch(&client, share_id, &folder, &mut answers).await;
            }
        }
    }
    client.shutdown().await;
}

async fn offered(client: &Client) -> ShareId {
    loop {
        if let Event::FileShared { share_id, .. } = next(client).await {
            return share_id;
        }
    }
}

async fn fetch(client: &Client, share_id: ShareId, folder: &Path, answers: &mut OwnedWriteHalf) {
    let mut transfer = client.files().fetch(share_id, folder);
    while let Some(progress) = transfer.progress().await {
        tell(answers, &Answer::Progress(progress.into())).await;
    }
    let outcome = match transfer.await {
        Ok(paths) => Answer::Fetched(paths),
        Err(error) => {
            // For who reads what a failed test has printed.
            tracing::warn!(%error, "not fetched");
            Answer::Failed(error.code().to_owned())
        }
    };
    tell(answers, &outcome).await;
}

async fn tell(answers: &mut OwnedWriteHalf, answer: &Answer) {
    let line = serde_json::to_string(answer).unwrap() + "\n";
    answers.write_all(line.as_bytes()).await.unwrap();
}
