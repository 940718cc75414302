//! What a diagnosis finds when all is well, and when one part after the other is not.

use std::{
    fs,
    time::{Duration, Instant},
};

use kez_chat_sdk::{
    Availability, Client, Clock, Diagnosis, Event, Fault, HomeUrl, OfflineCause, Part, Roots, Seen, TransferPath,
    Visibility, identity::PrimaryKey,
};
use kez_testbed::Testbed;

use crate::{
    authority::Authority,
    front::home_with,
    people::{PATIENCE, Person, next, offline, online, two_friends},
    relay::Relay,
};

const SERVERS: [Part; 4] = [Part::Home, Part::Clock, Part::Sigchain, Part::Broker];

/// Looks, in the time that it has, and returns the findings' parts and the codes of their faults.
async fn look(client: &Client, contact: Option<PrimaryKey>) -> (Diagnosis, Vec<(Part, String)>) {
    let begun = Instant::now();
    let diagnosis = client.diagnose(contact).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let faults = diagnosis.findings.iter().filter_map(|finding| {
        let fault = finding.outcome.as_ref().err()?;
        assert!(fault.to_string().len() > 20, "{fault:?}");
        Some((finding.part, fault.code().to_owned()))
    });
    let faults: Vec<_> = faults.collect();
    assert_eq!(diagnosis.works(), faults.is_empty());
    (diagnosis, faults)
}

#[track_caller]
fn seen(diagnosis: &Diagnosis, part: Part) -> &Seen {
    diagnosis.of(part).expect("it was looked at").outcome.as_ref().unwrap()
}

fn faults(faults: &[(Part, &str)]) -> Vec<(Part, String)> {
    faults.iter().map(|(part, code)| (*part, (*code).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_that_is_down_is_named_and_the_others_are_well() {
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&a).await;
    online(&b).await;

    // Bob is there, without an endpoint.
    until_seen(&a, &b).await;
    let (diagnosis, found) = look(&a, Some(b.primary())).await;
    assert_eq!(found, []);
    let parts: Vec<_> = diagnosis.findings.iter().map(|finding| finding.part).collect();
    assert_eq!(parts, [&SERVERS[..], &[Part::Contact, Part::Path]].concat(), "no relay is used");
    assert!(matches!(seen(&diagnosis, Part::Home), Seen::Home { home, .. } if home == testbed.domain()));
    assert!(matches!(seen(&diagnosis, Part::Clock), Seen::Clock { ahead_s: -1..=1 }));
    assert_eq!(*seen(&diagnosis, Part::Sigchain), Seen::Sigchain { events: 3 });
    assert_eq!(*seen(&diagnosis, Part::Contact), Seen::Contact { events: 3 });
    assert_eq!(*seen(&diagnosis, Part::Path), Seen::NoEndpoint);
    let (diagnosis, found) = look(&b, None).await;
    assert_eq!((diagnosis.findings.len(), found), (4, Vec::new()));

    // Bob's endpoint answers whoever knows where it is.
    let report = alice.folder.path().join("report.txt");
    fs::write(&report, "all is well").unwrap();
    b.files().share(&report, &[a.primary()]).await.unwrap();
    while !matches!(next(&a).await, Event::FileShared { .. }) {}
    let (diagnosis, found) = until(&a, &b, |diagnosis| *seen(diagnosis, Part::Path) != Seen::NoEndpoint).await;
    assert_eq!(found, []);
    assert_eq!(*seen(&diagnosis, Part::Path), Seen::Reached { over: Some(TransferPath::Direct) });

    testbed.stop_sig_server().await;
    let (_, found) = look(&a, Some(b.primary())).await;
    assert_eq!(found, faults(&[(Part::Sigchain, "Unreachable"), (Part::Contact, "Unreachable")]));
    testbed.start_sig_server().await.unwrap();

    testbed.kill_nats().await.unwrap();
    offline(&a, "BrokerUnreachable").await;
    let (diagnosis, found) = look(&a, None).await;
    assert_eq!(found, faults(&[(Part::Broker, "BrokerUnreachable")]));
    let broker = &diagnosis.of(Part::Broker).unwrap().outcome;
    assert!(matches!(broker, Err(Fault::Offline(OfflineCause::BrokerUnreachable { .. }))), "{broker:?}");
    testbed.start_nats().await.unwrap();
    online(&a).await;
    assert_eq!(look(&a, None).await.1, []);

    // Whoever is connected stays so without the home.
    let server = HomeUrl::parse(&testbed.home_url()).unwrap();
    assert!(Diagnosis::of_home(&server, &Roots::system()).await.works());
    testbed.stop_chat_server().await;
    assert!(!Diagnosis::of_home(&server, &Roots::system()).await.works());
    let (_, found) = look(&a, None).await;
    let without_home = [(Part::Home, "HomeUnreachable"), (Part::Clock, "NotSeen"), (Part::Relay, "NotSeen")];
    assert_eq!(found, faults(&without_home));
    testbed.kill_nats().await.unwrap();
    offline(&a, "HomeUnreachable").await;
    let (_, found) = look(&a, None).await;
    assert!(found.contains(&(Part::Broker, "HomeUnreachable".to_owned())), "it is asked anew: {found:?}");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_who_is_away_and_a_clock_that_is_off_are_told() {
    let testbed = Testbed::start().await.unwrap();
    let ((alice, a), (bob, b)) = two_friends(&testbed).await;
    let report = bob.folder.path().join("report.txt");
    fs::write(&report, "all is well").unwrap();
    b.files().share(&report, &[a.primary()]).await.unwrap();
    while !matches!(next(&a).await, Event::FileShared { .. }) {}
    b.shutdown().await;
    let bobs = bob.key().primary();
    let mut watch = a.presence().watch();
    while a.presence().of(bobs) != Availability::Offline {
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
    }
    let (_, found) = look(&a, Some(bobs)).await;
    assert_eq!(found, faults(&[(Part::Path, "Away")]));

    // What can't be sent to is no better.
    a.contacts().block(bobs).await.unwrap();
    let (_, found) = look(&a, Some(bobs)).await;
    assert_eq!(found, faults(&[(Part::Contact, "Blocked"), (Part::Path, "NotSeen")]));
    let (_, found) = look(&a, Some(a.primary())).await;
    assert_eq!(found, faults(&[(Part::Contact, "NotAContact"), (Part::Path, "NotSeen")]));

    a.suspend().await;
    let (_, found) = look(&a, None).await;
    assert_eq!(found, faults(&[(Part::Broker, "Suspended")]));
    a.shutdown().await;
    let slow = Clock::from_fn(|| Clock::system().now_ms() - 3_600_000);
    let a = alice.builder().clock(slow).open().await.unwrap();
    let (diagnosis, found) = look(&a, None).await;
    assert_eq!(found, faults(&[(Part::Clock, "ClockOff")]));
    let clock = diagnosis.of(Part::Clock).unwrap();
    assert!(matches!(clock.outcome, Err(Fault::ClockOff { ahead_s: -3_601..=-3_599 })), "{clock:?}");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_takes_the_endpoint_is_told_from_one_that_is_down() {
    let (authority, mut testbed) = (Authority::new(), Testbed::start().await.unwrap());
    let relay = Relay::start(&authority, "localhost", ([127, 0, 0, 1], 0).into(), None).await;
    let url = relay.url().to_string();
    let urls = vec![url.clone()];
    let home = home_with(&mut testbed, |settings| settings.relay_urls = urls).await;
    let alice = Person::new();
    alice.register(&testbed, "alice").await.shutdown().await;
    let a = alice.builder().roots(authority.roots()).open().await.unwrap();
    let (diagnosis, found) = look(&a, None).await;
    assert_eq!(found, []);
    assert_eq!(*seen(&diagnosis, Part::Relay), Seen::Relay { url });
    assert!(!alice.home().join("blobs").exists(), "no node that others would be told of");
    relay.shutdown().await;
    let (_, found) = look(&a, None).await;
    assert_eq!(found, faults(&[(Part::Relay, "NoRelay")]));
    a.shutdown().await;
    home.shutdown().await;
    testbed.shutdown().await.unwrap();
}

/// Has one hear that the other is there.
async fn until_seen(client: &Client, other: &Client) {
    let mut watch = client.presence().watch();
    other.presence().set(Visibility::Away).await.unwrap();
    let seen = async { while watch.changed().await.is_some_and(|(who, _)| who != other.primary()) {} };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
}

async fn until(
    client: &Client,
    other: &Client,
    wanted: impl Fn(&Diagnosis) -> bool,
) -> (Diagnosis, Vec<(Part, String)>) {
    let looked = async {
        loop {
            let (diagnosis, found) = look(client, Some(other.primary())).await;
            if wanted(&diagnosis) {
                return (diagnosis, found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap()
}
