//! The audit: after a whole life of an account, logged at the lowest level, nothing of it is anywhere in plain text.

mod leaks;
mod places;
mod run;
mod scanner;
pub(crate) mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Stdio,
};

use kez_testbed::guard::Guarded;
use serde::Deserialize;
use tempfile::TempDir;

use places::{Folder, files_below};
use scanner::{Form, Scanner, Secret};

/// What is where by its nature: the beginnings of secrets' names and parts of places.
///
/// A ticket says where a blob is and which, and neither opens it. Iroh keeps blobs by their hash, and its log names both
/// at its two lowest levels.
const KNOWN: &[(&str, &str)] = &[
    ("the ticket's hash", "/blobs/"),
    ("the ticket's hash", "log of iroh_blobs"),
    ("the ticket's address", "log of iroh"),
    ("the ticket's address", "log of netwatch"),
    ("the ticket's address", "log of noq_"),
];

/// What was found where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    secret: String,
    form: Form,
    place: String,
}

impl Finding {
    fn is_known(&self) -> bool {
        KNOWN.iter().any(|(secret, place)| self.secret.starts_with(secret) && self.place.contains(place))
    }
}

#[tokio::test]
async fn nothing_secret_is_in_logs_files_or_the_broker() {
    let (_kept, folder) = run(false).await;
    let logs = logs(&folder);
    let all_is_logged = ["kez_chat_sdk", "kez_chat_server", "async_nats", "iroh", "iroh_blobs", "hyper_util"];
    for krate in all_is_logged {
        assert!(logs.contains_key(krate), "{krate} logs nothing: {:?}", logs.keys());
    }
    let mut found = audit(&folder, &logs);
    found.retain(|finding| !finding.is_known());
    assert!(found.is_empty(), "{found:#?}");
}

/// The same life with leaks on purpose: an audit that finds nothing could be one that can't.
#[tokio::test]
async fn each_leak_is_caught() {
    let (_kept, folder) = run(true).await;
    let found = audit(&folder, &logs(&folder));
    for leak in leaks::ALL {
        for place in leak.places {
            let caught = found.iter().filter(|finding| !finding.is_known()).any(|finding| {
                finding.secret.starts_with(leak.secret) && finding.form == leak.form && finding.place.contains(place)
            });
            assert!(caught, "{} as {:?} in {place} was missed: {found:#?}", leak.secret, leak.form);
        }
    }
}

/// Has the life lived in a process of its own, which logs everything that any crate has to say.
async fn run(with_leaks: bool) -> (TempDir, Folder) {
    let kept = tempfile::tempdir().unwrap();
    let folder = Folder::at(kept.path().to_owned());
    for made in [folder.logs(), folder.temporary(), folder.elsewhere()] {
        fs::create_dir(made).unwrap();
    }
    let log = |name| fs::File::create(folder.logs().join(name)).unwrap();
    let mut life = Guarded::spawn(env::current_exe().unwrap(), |command| {
        command
            .args(["--exact", run::NAME, "--ignored", "--nocapture"])
            .env(run::FOLDER, kept.path())
            .env(run::LEAKS, if with_leaks { "all" } else { "none" })
            .env("TMPDIR", folder.temporary())
            .stdout(Stdio::from(log("stdout")))
            .stderr(Stdio::from(log("stderr")));
    })
    .unwrap();
    let lived = life.wait().await.unwrap().success() && folder.secrets().exists();
    let said = || ["stdout", "stderr"].map(|name| fs::read_to_string(folder.logs().join(name)).unwrap());
    assert!(
        lived,
        "{}",
        said().iter().flat_map(|log| log.lines()).filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
    );
    (kept, folder)
}

/// Returns what each crate has logged; what is no record comes from whoever writes to standard error directly.
fn logs(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    #[derive(Deserialize)]
    struct Record {
        target: String,
    }
    let mut logs = BTreeMap::<_, Vec<u8>>::new();
    for line in fs::read(folder.logs().join("stderr")).unwrap().split_inclusive(|byte| *byte == b'\n') {
        let target = serde_json::from_slice(line).map_or("standard error".to_owned(), |Record { target }| target);
        let krate = target.split("::").next().unwrap();
        logs.entry(krate.to_owned()).or_default().extend(line);
    }
    logs
}

/// Looks for all secrets in all that was logged and written.
fn audit(folder: &Folder, logs: &BTreeMap<String, Vec<u8>>) -> BTreeSet<Finding> {
    let secrets: Vec<Secret> = serde_json::from_slice(&fs::read(folder.secrets()).unwrap()).unwrap();
    let scanner = Scanner::new(&secrets);
    let logs = logs.iter().map(|(krate, log)| (format!("log of {krate}"), log.clone()));
    let written = [folder.logs(), folder.homes(), folder.temporary(), folder.seen()];
    let files = written.iter().flat_map(|part| files_below(part)).filter(|path| !path.ends_with("logs/stderr"));
    let files = files.map(|path| {
        let name = path.strip_prefix(folder.root()).unwrap().to_str().unwrap().to_owned();
        // A name tells something as well.
        let told = [name.as_bytes(), b"\n", &fs::read(path).unwrap()].concat();
        (name, told)
    });
    let found = logs.chain(files).flat_map(|(place, told)| {
        let found = scanner.scan(&told).into_iter();
        found.map(move |(secret, form)| Finding { secret, form, place: place.clone() })
    });
    found.collect()
}
