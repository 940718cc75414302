//! Downloads in a process of their own, and files that are served by one, which are killed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kez_chat_sdk::{Client, DownloadState, Event};
use kez_testbed::{Testbed, guard::Guarded};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::ChildStdout,
    time::{Instant, timeout},
};

use super::{names, offer, offered, states};
use crate::{
    files::content,
    kills::{FileKey, open},
    people::{PATIENCE, Person, next, online, two_friends},
};

const TASK: &str = "KEZ_TEST_FETCHING";
const FOLDER: &str = "KEZ_TEST_FOLDER";
/// How often each side is killed; `cargo xtask soak files` does so more often.
const KILLS: &str = "KEZ_TEST_KILLS";
/// How long each file is.
const MIB: &str = "KEZ_TEST_MIB";
/// What begins the line that says how it went; `cargo xtask soak files` makes its last line of these.
const SOAKED: &str = "soaked: ";
/// How soon a provider that is back has served a small file, on a busy machine. Presence is told once a minute.
const SOON: Duration = Duration::from_secs(30);
/// What a process says when it has nothing more to do.
const END: &str = "the end";

/// What is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other tests here run it, as a process that they kill"]
async fn task_of_its_own() {
    let Ok(task) = env::var(TASK) else { return };
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let client = open(&folder).await;
    match task.as_str() {
        "serve" => {
            online(&client).await;
            println!("{END}");
            std::future::pending::<()>().await;
        }
        "fetch" => {
            let share_id = client.files().offers().await.unwrap().pop().unwrap().share_id;
            let mut fetch = client.files().fetch(share_id, folder.join("to"));
            while let Some(progress) = fetch.progress().await {
                println!("at {}", progress.done_bytes);
            }
            fetch.await.unwrap();
            println!("{END}");
        }
        "go on" => {
            let last = client.files().downloads().await.unwrap().pop().unwrap();
            // Whoever was killed may have waited for its very end.
            if !matches!(last.state, DownloadState::Done { .. }) {
                loop {
                    if let Event::Downloaded { id, paths, .. } = next(&client).await {
                        assert_eq!((id, paths), (last.id, vec![folder.join("to/film.bin")]));
                        break;
                    }
                }
            }
            println!("{END}");
        }
        other => panic!("{other}"),
    }
    client.shutdown().await;
}

/// A process that does a task on somebody's device.
struct Process {
    guarded: Guarded,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(folder: &Path, task: &str) -> Self {
        let mut guarded = Guarded::spawn(env::current_exe().unwrap(), |command| {
            command.args(["--exact", "fetching::killed::task_of_its_own", "--include-ignored", "--nocapture"]);
            command.env(TASK, task).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
        })
        .unwrap();
        let said = BufReader::new(guarded.take_stdout().unwrap()).lines();
        Self { guarded, said }
    }

    /// Waits until it has come as far as so many bytes, or to its end; tells whether that was the end.
    async fn reaches(&mut self, bytes: u64) -> bool {
        let reached = async {
            while let Some(line) = self.said.next_line().await.unwrap() {
                // The test harness says things before it on the same line.
                if line.ends_with(END) {
                    return true;
                }
                let at = line.rsplit_once("at ").and_then(|(_, at)| at.parse::<u64>().ok());
                if at.is_some_and(|at| at >= bytes) {
                    return false;
                }
            }
            panic!("it ended before its time");
        };
        timeout(at_length(PATIENCE), reached).await.expect("it does not come further")
    }

    async fn ends(mut self) {
        assert!(self.reaches(u64::MAX).await);
        // Only then somebody else may open the account.
        timeout(at_length(PATIENCE), self.guarded.wait()).await.expect("it does not end").unwrap();
    }
}

fn kills() -> usize {
    number(KILLS).unwrap_or(5)
}

fn bytes() -> usize {
    number(MIB).unwrap_or(64) << 20
}

/// Returns how long something may take in which a whole file passes, that would take so long with a small one.
fn at_length(small: Duration) -> Duration {
    small + Duration::from_millis(60) * u32::try_from(bytes() >> 20).unwrap()
}

fn number(name: &str) -> Option<usize> {
    env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Where in a file somebody is killed: anywhere, the very beginning and the very end included.
fn somewhere() -> u64 {
    rand::random_range(0..=bytes() as u64)
}

/// Ends all shares and removes what is kept of them: a round leaves no room taken for the next one.
async fn clean_up(a: &Client, b: &Client) {
    for share in a.files().shares().await.unwrap() {
        a.files().unshare(share.id, None).await.unwrap();
    }
    a.files().clean_up().await.unwrap();
    b.files().clean_up().await.unwrap();
}

/// Makes a device out of a person's: their home, and their key in a file.
fn device(person: &Person) -> PathBuf {
    let folder = person.folder.path().to_owned();
    FileKey::write(&folder, &person.key());
    folder
}

fn film(round: usize) -> Vec<u8> {
    let mut film = content(bytes());
    film[..8].copy_from_slice(&(round as u64).to_le_bytes());
    film
}

/// Checks that a file is here, whole, and nothing beside it.
fn is_whole(folder: &Path, film: &[u8]) {
    assert_eq!(names(folder), ["film.bin"]);
    assert!(fs::read(folder.join("film.bin")).unwrap() == film);
    fs::remove_file(folder.join("film.bin")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_is_killed_anywhere_gets_one_whole_file() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, mut b)) = two_friends(&testbed).await;
    let (folder, mut killed) = (device(&bob), 0);
    for round in 0..kills() {
        let film = film(round);
        offer(&alice, &a, &b, "film.bin", &film).await;
        b.shutdown().await;
        let mut reader = Process::start(&folder, "fetch");
        let is_over = reader.reaches(somewhere()).await;
        reader.guarded.kill().await.unwrap();
        if !is_over {
            killed += 1;
            Process::start(&folder, "go on").ends().await;
        }
        is_whole(&folder.join("to"), &film);
        b = bob.open().await;
        clean_up(&a, &b).await;
    }
    assert!(killed > 0, "nobody was killed");
    println!("{SOAKED}readers killed {killed} times, {} whole files of {} MiB", kills(), bytes() >> 20);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_who_is_killed_anywhere_serves_one_whole_file() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, mut a), (bob, b)) = two_friends(&testbed).await;
    let (folder, to) = (device(&alice), bob.folder.path().join("to"));
    for round in 0..kills() {
        let film = film(round);
        let source = alice.folder.path().join("film.bin");
        fs::write(&source, &film).unwrap();
        a.files().share(&source, &[b.primary()]).await.unwrap();
        let share_id = offered(&b).await;
        a.shutdown().await;
        let mut provider = Process::start(&folder, "serve");
        assert!(provider.reaches(0).await);
        let (mut fetch, enough) = (b.files().fetch(share_id, &to), somewhere());
        while fetch.latest().done_bytes < enough && fetch.progress().await.is_some() {}
        provider.guarded.kill().await.unwrap();
        let (again, begun) = (Process::start(&folder, "serve"), Instant::now());
        match timeout(at_length(PATIENCE), fetch).await.expect("it comes to nothing") {
            Ok(_) => {}
            // It was away for long enough to be waited for.
            Err(error) => {
                assert_eq!(error.code(), "Waiting", "{error}");
                while !matches!(next(&b).await, Event::Downloaded { .. }) {}
            }
        }
        // Nobody waited for the peer's next round of presence.
        assert!(begun.elapsed() < at_length(SOON), "{:?}", begun.elapsed());
        is_whole(&to, &film);
        again.guarded.kill().await.unwrap();
        a = alice.open().await;
        clean_up(&a, &b).await;
    }
    assert_eq!(states(&b).await.len(), kills());
    println!("{SOAKED}providers killed {0} times, {0} whole files of {1} MiB", kills(), bytes() >> 20);
    a.shutdown().await;
    b.shutdown().await;
    testbed.shutdown().await.unwrap();
}
