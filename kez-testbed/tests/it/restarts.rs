//! Every part killed with `kill -9` while people use it: what comes back by itself, and in what time.

mod home;
mod ledger;
mod load;
mod person;
mod side_by_side;

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use kez_core::{broker::subject, identity::PrimaryKey};
use kez_testbed::processes::{Processes, Programs};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use self::{
    home::{RETRY, epoch, health_is},
    ledger::Counts,
    load::{Late, Load},
};
use crate::soak::server;

/// Within this time after everything runs again, everything works again.
const BOUND: Duration = Duration::from_secs(30);
/// So many messages wait for who comes late, at least.
const WAITING: usize = 10;

const WELL: (&str, &str, &str) = ("ok", "ok", "ok");

fn programs() -> Programs {
    Programs { chat_server: server("kez-chat-server"), sig_server: server("kez-sig-server") }
}

/// The inbox stream, as the home server's own user sees it.
struct Stream(Client);

impl Stream {
    async fn of(stack: &Processes) -> Self {
        let seed = stack.secret().chat_server_seed().unwrap();
        let options = ConnectOptions::with_nkey(seed.to_string()).reconnect_delay_callback(|_| RETRY);
        Self(options.connect(stack.nats_url()).await.unwrap())
    }

    /// Counts the messages of one inbox, or of all.
    async fn waiting(&self, owner: Option<&PrimaryKey>) -> Option<u64> {
        let filter = owner.map_or("kez.inbox.*.*".to_owned(), subject::inbox_filter);
        let body = json!({ "subjects_filter": filter }).to_string();
        let answer =
            self.0.request(format!("$JS.API.STREAM.INFO.{}", subject::INBOX_STREAM), body.into()).await.ok()?;
        let info: Value = serde_json::from_slice(&answer.payload).unwrap();
        // Without one of the subjects there is nothing; without a state there is no stream, and nothing to say of it.
        let subjects = info.get("state")?["subjects"].as_object();
        Some(subjects.map_or(0, |subjects| subjects.values().filter_map(Value::as_u64).sum()))
    }

    /// Waits until an inbox is purged.
    async fn drains(&self, owner: Option<&PrimaryKey>) {
        while self.waiting(owner).await != Some(0) {
            sleep(RETRY).await;
        }
    }
}

/// One kill under load.
struct Scene<'a> {
    load: &'a Load,
    stream: &'a Stream,
    late: &'a Late,
    before: Counts,
}

impl<'a> Scene<'a> {
    /// Lets everybody write, and waits until messages wait on the broker for somebody who is not there.
    async fn begin(load: &'a Load, stream: &'a Stream, late: &'a Late) -> Self {
        load.write_to(load.people.iter().chain([&late.person]));
        load.ledger.until(|_| load.ledger.stored_for(&late.person.primary) >= WAITING).await;
        Self { load, stream, late, before: load.ledger.counts() }
    }

    /// Waits until everything works that has nothing to do with one part which is away.
    async fn goes_on(&self, is_more: impl Fn(&Counts, &Counts) -> bool) {
        let now = self.load.ledger.counts();
        let goes_on = self.load.ledger.until(|counts| is_more(counts, &now));
        timeout(BOUND, goes_on).await.expect("a part that is away holds up another");
    }

    /// Waits until everything works again: everybody reads what was written meanwhile and after, people register and
    /// log in, chains grow, the home is well, and whoever comes late has all that was ever written to them.
    async fn recovers(self, what: &str) {
        let Self { load, stream, late, .. } = &self;
        let ledger = &load.ledger;
        let working = async {
            health_is(load.home(), WELL).await;
            let (then, read) = (ledger.counts(), load.people.iter().map(|it| ledger.read_by(&it.primary)));
            let read: Vec<_> = read.collect();
            let everybody_reads =
                || load.people.iter().zip(&read).all(|(it, then)| ledger.read_by(&it.primary) > *then);
            let all_goes_on = |now: &Counts| {
                now.registered > then.registered && now.logins > then.logins && now.appended > then.appended
            };
            ledger.until(|now| everybody_reads() && all_goes_on(now)).await;
            let waiting = ledger.unread_to(&late.person.primary);
            assert!(waiting.len() >= WAITING);
            load.write_to(&load.people);
            late.comes();
            ledger.until(|_| ledger.are_read(&waiting)).await;
            stream.drains(Some(&late.person.primary)).await;
        };
        timeout(BOUND, working).await.unwrap_or_else(|_| panic!("{what}: it does not come back; {self:?}"));
    }
}

impl std::fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "before {:?}, now {:?}", self.before, self.load.ledger.counts())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_is_killed_under_load_and_all_comes_back_by_itself() {
    let mut stack = Processes::start(&programs()).await.unwrap();
    let late = ["nats", "chat", "sig", "disk", "all"].map(|what| Late::new(&format!("late-{what}")));
    let load = Load::new(&stack, &late).await;
    tokio::select! {
        () = load.run(&late) => unreachable!("the load ends with the test"),
        () = story(&mut stack, &load, &late) => {}
    }
    stack.shutdown().await.unwrap();
}

async fn story(stack: &mut Processes, load: &Load, late: &[Late; 5]) {
    let (home, ledger) = (stack.chat.address(), &load.ledger);
    let stream = Stream::of(stack).await;
    let [for_nats, for_chat, for_sig, for_disk, for_all] = late;
    let first_epoch = epoch(home).await;

    let scene = Scene::begin(load, &stream, for_nats).await;
    stack.kill_nats().await.unwrap();
    health_is(home, ("degraded", "away", "ok")).await;
    scene.goes_on(|now, then| now.appended > then.appended).await;
    stack.start_nats().await.unwrap();
    scene.recovers("the broker").await;

    let scene = Scene::begin(load, &stream, for_chat).await;
    stack.chat.kill().await.unwrap();
    // Who is on the broker stays there.
    scene.goes_on(|now, then| now.read > then.read + 50 && now.appended > then.appended).await;
    stack.chat.start().await.unwrap();
    scene.recovers("the home server").await;

    let scene = Scene::begin(load, &stream, for_sig).await;
    stack.sig.kill().await.unwrap();
    scene
        .goes_on(|now, then| now.read > then.read + 50 && now.registered > then.registered && now.logins > then.logins)
        .await;
    health_is(home, ("degraded", "ok", "away")).await;
    stack.sig.start().await.unwrap();
    scene.recovers("the sigchain server").await;
    assert_eq!(
        (epoch(home).await, ledger.counts().sent_again),
        (first_epoch.clone(), 0),
        "the stream is the first one"
    );

    let scene = Scene::begin(load, &stream, for_disk).await;
    stack.wipe_nats().await.unwrap();
    health_is(home, ("degraded", "away", "ok")).await;
    stack.start_nats().await.unwrap();
    scene.recovers("the broker's disk").await;
    let second_epoch = epoch(home).await;
    assert_ne!(second_epoch, first_epoch);
    let sent_again = ledger.counts().sent_again;
    assert!(sent_again >= WAITING as u64, "{sent_again} messages were sent again");

    // Nothing is on its way to anybody now, so that nothing has to wait for being delivered a second time at the end.
    all_is_read_and_purged(load, &stream).await;
    load.write_to([&for_all.person]);
    ledger.until(|_| ledger.stored_for(&for_all.person.primary) >= WAITING).await;
    let before = ledger.counts();
    tokio::try_join!(stack.chat.kill(), stack.sig.kill()).unwrap();
    stack.kill_nats().await.unwrap();
    // The home server is there first, and finds nobody.
    stack.chat.start().await.unwrap();
    health_is(home, ("degraded", "away", "away")).await;
    stack.sig.start().await.unwrap();
    stack.start_nats().await.unwrap();
    load.write_to(&load.people);
    Scene { load, stream: &stream, late: for_all, before }.recovers("everything").await;
    assert_eq!((epoch(home).await, ledger.counts().sent_again), (second_epoch, sent_again));

    all_is_read_and_purged(load, &stream).await;
    load.check_what_was_acknowledged().await;
}

/// Has nobody write any more, and waits until everything is read that was ever sent, and all inboxes are empty.
async fn all_is_read_and_purged(load: &Load, stream: &Stream) {
    load.write_to([]);
    let all_read = load.ledger.until(|_| load.ledger.is_all_read());
    timeout(BOUND, all_read).await.expect("not everything that was sent has been read");
    timeout(BOUND, stream.drains(None)).await.expect("what was acknowledged is not purged");
}
