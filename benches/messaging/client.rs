//! What a client costs that does nothing, and how soon it is there: with a new account, and with one that holds much.

use std::time::Duration;

use kez_testbed::{
    Testbed,
    measure::{percentile, resident_mb},
};
use tokio::task::JoinSet;

use crate::{
    agent::Kind,
    control::Order,
    pair::{Agent, Pair},
    person::Person,
    progress,
};

/// How long a client has for what it does after its start.
const SETTLE: Duration = Duration::from_secs(10);
const STARTS: usize = 11;
const CONTACTS: usize = 1000;
const MESSAGES: usize = 10_000;
/// How many people register, and how many messages are accepted, at the same time.
const AT_ONCE: usize = 64;

pub(crate) async fn measure(testbed: &Testbed) {
    progress("client: a new account");
    let Pair { mut writer, mut reader, .. } = Pair::start(testbed, Kind::Kez, "client").await;
    let name = "client-reader";
    reader.end().await;
    reader = show_starts(testbed, name, "new").await;
    show_idle(&reader, "new").await;

    progress(&format!("client: {CONTACTS} people register, and are added"));
    for (handle, primary) in register(testbed).await {
        reader.order(Order::Meet { handle, primary }).await;
    }
    progress(&format!("client: {MESSAGES} messages come in"));
    let (send, take) = (Order::Send { count: MESSAGES, callers: AT_ONCE }, Order::Take { count: MESSAGES });
    tokio::join!(writer.order(send), reader.order(take));
    show_idle(&reader, "after_1k_contacts_10k_messages").await;
    reader.end().await;
    let reader = show_starts(testbed, name, "1k_contacts_10k_messages").await;
    show_idle(&reader, "1k_contacts_10k_messages").await;
    reader.end().await;
    writer.end().await;
}

async fn show_idle(agent: &Agent, of: &str) {
    tokio::time::sleep(SETTLE).await;
    println!("figure client_idle_rss_mb_{of} {:.1}", resident_mb(agent.id()).unwrap());
}

/// Starts an account again and again, and returns it open.
async fn show_starts(testbed: &Testbed, name: &str, of: &str) -> Agent {
    let (mut starts, mut openings) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let agent = Agent::start(testbed, Kind::Kez, name).await;
        starts.push(agent.start);
        openings.push(agent.opening);
        agent.end().await;
    }
    for (name, took) in [("start", &mut starts), ("open", &mut openings)] {
        println!("figure client_{name}_to_online_ms_{of} {:.1}", percentile(took, 50).unwrap().as_secs_f64() * 1e3);
    }
    Agent::start(testbed, Kind::Kez, name).await
}

/// Registers people; returns their handles and keys.
async fn register(testbed: &Testbed) -> Vec<(String, String)> {
    let mut running = JoinSet::new();
    for part in 0..AT_ONCE {
        let (folder, home_url) = (testbed.folder().to_owned(), testbed.home_url());
        running.spawn(async move {
            let mut people = Vec::new();
            for number in (part..CONTACTS).step_by(AT_ONCE) {
                let name = format!("contact{number}");
                let person = Person::find_or_register(&folder.join(&name), &name, &home_url).await;
                people.push((person.handle.to_string(), person.key.primary().to_string()));
            }
            people
        });
    }
    running.join_all().await.concat()
}
