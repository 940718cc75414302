//! `kez-chat doctor`: what it finds, with an account and without one, whoever owns the home.

use std::collections::BTreeMap;

use kez_testbed::{Testbed, guard::Signal};
use serde_json::Value;

use crate::support::{Ended, Person};

/// Reads what was found of each part: nothing if it works, or the fault's code.
fn parts(ended: &Ended) -> BTreeMap<String, Option<String>> {
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let findings = lines.filter(|line| line["kind"] == "finding");
    let found = findings.map(|finding| {
        let code = finding["code"].as_str().map(str::to_owned);
        assert_eq!(finding["works"].as_bool(), Some(code.is_none()), "{finding}");
        assert_eq!(finding["advice"].is_string(), code.is_some(), "{finding}");
        (finding["part"].as_str().unwrap().to_owned(), code)
    });
    found.collect()
}

fn found<const N: usize>(parts: [(&str, Option<&str>); N]) -> BTreeMap<String, Option<String>> {
    parts.map(|(part, code)| (part.to_owned(), code.map(str::to_owned))).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_works_and_what_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::new(folder.path(), "alice", &testbed.home_url());
    let bob = Person::new(folder.path(), "bob", &testbed.home_url());

    // Without an account.
    let ended = alice.run(&["doctor", "--json"]).await;
    let no_account = found([("account", Some("NotRegistered")), ("home", None), ("clock", None)]);
    assert_eq!((ended.code, parts(&ended)), (Some(4), no_account));
    assert!(!alice.home.exists());

    tokio::join!(alice.register("alice"), bob.register("bob"));
    let shown = alice.run(&["doctor"]).await.ok();
    assert!(shown.lines().all(|line| line.starts_with("ok ")), "{shown}");
    assert_eq!(shown.lines().count(), 4, "{shown}");
    alice.run(&["doctor", "@bob"]).await.failed(5, "not a contact");
    alice.run(&["add", "@bob"]).await.ok();
    let ended = alice.run(&["doctor", "@bob", "--json"]).await;
    let servers = [("home", None), ("clock", None), ("sigchain", None), ("broker", None)];
    let mut bob_is_away = found(servers);
    bob_is_away.extend(found([("contact", None), ("path", Some("Away"))]));
    assert_eq!((ended.code, parts(&ended)), (Some(4), bob_is_away));

    // A background process that is offline.
    let mut running = alice.start(&["run"]);
    testbed.kill_nats().await.unwrap();
    testbed.stop_chat_server().await;
    let ended = alice.run(&["doctor", "--json"]).await;
    let down = Some("HomeUnreachable");
    let offline = found([
        ("home", down),
        ("clock", Some("NotSeen")),
        ("relay", Some("NotSeen")),
        ("sigchain", None),
        ("broker", down),
    ]);
    assert_eq!((ended.code, parts(&ended)), (Some(4), offline));
    let ended = alice.run(&["doctor"]).await;
    assert!(ended.stdout.contains("FAIL  home") && ended.stdout.contains("check the network"), "{ended:?}");
    assert!(ended.stderr.contains("of these do not work"), "{ended:?}");
    running.signal(Signal::Interrupt).await;
    assert_eq!(running.end().await.code, Some(130));

    // A passphrase that is wrong: the home can be looked at all the same.
    let alice = alice.with("KEZ_PASSPHRASE_FILE", bob.folder.join("passphrase").to_str().unwrap());
    let ended = alice.run(&["doctor", "--json"]).await;
    let seen = parts(&ended);
    assert!(seen["account"].is_some() && seen["home"].as_deref() == down, "{seen:?}");
    testbed.shutdown().await.unwrap();
}
