//! The commands that work on the registry of a server while it runs.

use async_nats::ConnectErrorKind;
use kez_core::handle::RESERVED_NAMES;
use kez_core::sigchain::Timestamp;
use kez_service::rusqlite::{Connection, params};
use kez_testbed::Testbed;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::program::{beside, command, done};
use crate::support::{PATIENCE, Person, code_of, get, json_of, next, register, try_login};

async fn registered_at(testbed: &Testbed, name: &str) -> String {
    let entry: Value = serde_json::from_str(&done(testbed, &["handles", "show", name, "--json"]).await).unwrap();
    let text = entry["registered_at"].as_str().unwrap().to_owned();
    assert!(text.parse::<Timestamp>().is_ok() && text.starts_with("20"), "{text}");
    text
}

#[tokio::test]
async fn who_is_blocked_is_disconnected_and_refused_and_keeps_what_waits() {
    let testbed = Testbed::start().await.unwrap();
    let mallory = Person::registered(&testbed, "mallory").await;
    let home = testbed.domain().to_string();
    let mut mallory_on = [mallory.connect(&testbed).await, mallory.connect(&testbed).await];
    let route = mallory.route(&testbed).await;
    mallory_on[0].send(&mallory.primary, &route, "waits").await;

    let said = format!("mallory@{home} is blocked now; the server ends their connections while it runs\n");
    assert_eq!(done(&testbed, &["block", "mallory"]).await, said);
    for connection in &mut mallory_on {
        connection.cut_off().await;
    }
    let (person, domain) = (Person { key: mallory.key.clone(), primary: mallory.primary }, testbed.domain().clone());
    let refused = try_login(&testbed, move |nonce| person.login(&domain, &nonce)).await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ConnectErrorKind::AuthorizationViolation);
    assert_eq!(done(&testbed, &["block", "mallory"]).await, format!("mallory@{home} was blocked already\n"));

    let nkey = mallory.primary.to_nkey();
    let said = format!("mallory@{home} is not blocked any more, and can log in\n");
    assert_eq!(done(&testbed, &["unblock", &nkey]).await, said);
    let mut inbox = mallory.connect(&testbed).await.inbox().await;
    assert_eq!(next(&mut inbox).await.payload, "waits");
    let said = format!("mallory@{home} was not blocked\n");
    assert_eq!(done(&testbed, &["unblock", &format!("mallory@{home}")]).await, said);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_removed_handle_is_anybodys() {
    let testbed = Testbed::start().await.unwrap();
    let (alice, other) = (Person::registered(&testbed, "alice").await, Person::new());
    let taking = other.registration(testbed.domain(), "alice");
    assert_eq!(register(&testbed, &taking).await.status(), StatusCode::CONFLICT);

    let asked = beside(&testbed, &["handles", "remove", "alice"]).await;
    let expected = format!(
        "error: nobody can be asked here, since this is no terminal; give --yes to remove alice@{}\n",
        testbed.domain()
    );
    assert_eq!((asked.code, asked.stdout.as_str(), asked.stderr), (Some(1), "", expected));
    assert_eq!(get(&testbed, "/v1/u/alice").await.status(), StatusCode::OK, "she is still there");

    let said = format!(
        "alice@{} is removed and free again; the server ends their connections and clears their inbox while it runs\n",
        testbed.domain()
    );
    assert_eq!(done(&testbed, &["handles", "remove", "alice", "--yes"]).await, said);
    assert_eq!(get(&testbed, "/v1/u/alice").await.status(), StatusCode::NOT_FOUND);
    let domain = testbed.domain().clone();
    assert!(try_login(&testbed, move |nonce| alice.login(&domain, &nonce)).await.is_err(), "her key is nobody's now");
    assert_eq!(register(&testbed, &taking).await.status(), StatusCode::CREATED);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn removing_asks_on_a_terminal() {
    let testbed = Testbed::start().await.unwrap();
    Person::registered(&testbed, "alice").await;
    let db_path = testbed.folder().join("registry.db");
    for (answer, left) in [("no", StatusCode::OK), ("yes", StatusCode::NOT_FOUND)] {
        let remove = command(&["handles", "remove", "alice"], &[("DB_PATH", db_path.to_str().unwrap())]);
        // The terminal is the process's, not the null device that others get.
        let told = tokio::task::spawn_blocking(move || {
            let timeout = Some(u64::try_from(PATIENCE.as_millis()).unwrap());
            let mut terminal = rexpect::session::spawn_command(on_a_terminal(remove), timeout).unwrap();
            let told = terminal.exp_string("Type yes to remove it: ").unwrap();
            terminal.send_line(answer).unwrap();
            told + &terminal.exp_eof().unwrap()
        });
        let told = told.await.unwrap();
        assert!(told.contains("whoever registers it next gets what is sent to it"), "{told}");
        assert!(told.contains(if answer == "yes" { "is removed" } else { "was not removed" }), "{told}");
        assert_eq!(get(&testbed, "/v1/u/alice").await.status(), left, "after {answer}");
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_question_is_seen_wherever_the_output_goes() {
    let testbed = Testbed::start().await.unwrap();
    Person::registered(&testbed, "alice").await;
    let mut piped = std::process::Command::new("sh");
    piped.args(["-c", r#""$0" handles remove alice | cat > "$DB_PATH.said""#, env!("CARGO_BIN_EXE_kez-chat-server")]);
    piped.env("DB_PATH", testbed.folder().join("registry.db"));
    tokio::task::spawn_blocking(move || {
        let timeout = Some(u64::try_from(PATIENCE.as_millis()).unwrap());
        let mut terminal = rexpect::session::spawn_command(piped, timeout).unwrap();
        terminal.exp_string("Type yes to remove it: ").unwrap();
        terminal.send_line("yes").unwrap();
        terminal.exp_eof().unwrap();
    })
    .await
    .unwrap();
    let said = std::fs::read_to_string(testbed.folder().join("registry.db.said")).unwrap();
    assert!(said.starts_with("alice@") && said.contains("is removed"), "{said}");
    testbed.shutdown().await.unwrap();
}

/// The same command without a fixed standard input.
fn on_a_terminal(from: std::process::Command) -> std::process::Command {
    let mut command = std::process::Command::new(from.get_program());
    command.args(from.get_args()).env_clear();
    command.envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn a_reserved_name_is_refused_at_once() {
    let testbed = Testbed::start().await.unwrap();
    let (home, domain) = (testbed.domain().clone(), testbed.domain().to_string());
    Person::registered(&testbed, "press").await;
    let ceo = Person::new().registration(&home, "ceo");

    let qualified = format!("press@{domain}");
    let said = done(&testbed, &["handles", "reserve", "ceo", &qualified]).await;
    let kept = format!("press is reserved now; press@{domain} is somebody's and stays theirs\n");
    assert_eq!(said, format!("ceo is reserved now\n{kept}"));
    assert_eq!(done(&testbed, &["handles", "reserve", "ceo"]).await, "ceo was reserved already\n");
    let response = register(&testbed, &ceo).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(code_of(response).await, "ReservedHandle");
    assert_eq!(get(&testbed, "/v1/u/press").await.status(), StatusCode::OK);

    let listed = done(&testbed, &["handles", "list", "--reserved"]).await;
    assert!(listed.starts_with("at          name\nevery home  abuse\nevery home  admin\n"), "{listed}");
    assert!(listed.contains("\nthis home   ceo\n") && listed.contains("\nthis home   press\n"), "{listed}");
    assert_eq!(listed.lines().count(), 1 + 2 + RESERVED_NAMES.len());
    let listed = done(&testbed, &["handles", "list", "--reserved", "--json"]).await;
    assert!(listed.lines().any(|line| line == r#"{"at":"this home","name":"ceo"}"#), "{listed}");

    assert_eq!(done(&testbed, &["handles", "release", "ceo"]).await, "ceo can be registered again\n");
    assert_eq!(register(&testbed, &ceo).await.status(), StatusCode::CREATED);
    for (arguments, code, said) in [
        (
            ["handles", "release", "ceo"],
            1,
            "error: ceo is not reserved; `kez-chat-server handles list --reserved` shows which names are\n".to_owned(),
        ),
        (
            ["handles", "release", "admin"],
            1,
            "error: admin is reserved at every home, which no operator changes\n".to_owned(),
        ),
        (
            ["handles", "reserve", "ceo@kez.example"],
            2,
            format!(
                "error: the name can't be used: the handle is \"ceo@kez.example\", but it has to be a handle of {domain}, such as alice or \
                 alice@{domain}\n"
            ),
        ),
    ] {
        let ran = beside(&testbed, &arguments).await;
        assert_eq!((ran.code, ran.stderr), (Some(code), said), "{arguments:?}");
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn registrations_are_listed_and_shown() {
    let testbed = Testbed::start().await.unwrap();
    let domain = testbed.domain().to_string();
    let (bob, alice) = (Person::registered(&testbed, "bob").await, Person::registered(&testbed, "alice").await);
    done(&testbed, &["block", "bob"]).await;
    let (alice_at, bob_at) = (registered_at(&testbed, "alice").await, registered_at(&testbed, "bob").await);

    let (alice_key, bob_key) = (alice.primary.to_string(), bob.primary.to_string());
    let expected = format!(
        "\
registered            standing  key{space}handle
{alice_at}  active    {alice_key}  alice@{domain}
{bob_at}  blocked   {bob_key}  bob@{domain}
",
        space = " ".repeat(71),
    );
    assert_eq!(done(&testbed, &["handles", "list"]).await, expected);
    let listed = done(&testbed, &["handles", "list", "--json"]).await;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |handle: &str, primary: &str, at: &str, standing: &str| json!({ "handle": handle, "primary": primary, "registered_at": at, "standing": standing });
    let (of_alice, of_bob) = (
        of(&format!("alice@{domain}"), &alice_key, &alice_at, "active"),
        of(&format!("bob@{domain}"), &bob_key, &bob_at, "blocked"),
    );
    assert_eq!(listed, [of_alice.clone(), of_bob]);

    let nkey = alice.primary.to_nkey();
    let expected = format!(
        "\
handle      alice@{domain}
key         {alice_key}
nkey        {nkey}
registered  {alice_at}
standing    active
"
    );
    for whom in ["alice", "@alice", &format!("alice@{domain}"), &alice_key, &nkey] {
        assert_eq!(done(&testbed, &["handles", "show", whom]).await, expected, "{whom}");
    }
    let shown = done(&testbed, &["handles", "show", &alice_key, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), of_alice);

    let nobody = Person::new().primary.to_string();
    for (whom, code, said) in [
        ("carol", 1, "error: nobody is registered as carol here; `kez-chat-server handles list` shows who is\n"),
        (nobody.as_str(), 1, "nobody is registered as ed25519:"),
        ("ed25519:12", 2, "the key is \"ed25519:12\", but it has to be ed25519: and 64 hex digits"),
        ("c", 2, "the handle is \"c\", but it has to be a handle of "),
    ] {
        let ran = beside(&testbed, &["handles", "show", whom]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{whom}");
        assert!(ran.stderr.contains(said), "{whom}: {}", ran.stderr);
    }
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_long_list_is_whole_and_in_order() {
    let testbed = Testbed::start().await.unwrap();
    let home = testbed.domain().to_string();
    let handles: Vec<_> = (0..1201).map(|n| format!("person{n:04}@{home}")).collect();
    let mut db = Connection::open(testbed.folder().join("registry.db")).unwrap();
    let rows = db.transaction().unwrap();
    for handle in handles.iter().rev() {
        let primary = *Person::new().primary.as_bytes();
        let sql = "INSERT INTO handles (handle, primary_key, registered_at_ms) VALUES (?1, ?2, 0)";
        rows.execute(sql, params![handle, primary]).unwrap();
    }
    rows.commit().unwrap();
    let listed = done(&testbed, &["handles", "list"]).await;
    let listed: Vec<_> = listed.lines().skip(1).map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(listed, handles);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_backup_beside_a_server_opens() {
    let mut testbed = Testbed::start().await.unwrap();
    let alice = Person::registered(&testbed, "alice").await;
    let copy = testbed.folder().join("copy.db");
    let copy = copy.to_str().unwrap();
    assert_eq!(done(&testbed, &["backup", copy]).await, format!("wrote a copy of the registry to {copy}\n"));
    let again = beside(&testbed, &["backup", copy]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.starts_with(&format!("error: no backup was written to {copy}; name a new file")), "{again:?}");
    Person::registered(&testbed, "later").await;

    // A server on the copy knows whom the copy knows.
    testbed.stop_chat_server().await;
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(testbed.folder().join(format!("registry.db{suffix}")));
    }
    std::fs::rename(copy, testbed.folder().join("registry.db")).unwrap();
    testbed.start_chat_server().await.unwrap();
    let profile = json_of(get(&testbed, "/v1/u/alice").await).await;
    assert_eq!(profile["primary"], alice.primary.to_string());
    assert_eq!(get(&testbed, "/v1/u/later").await.status(), StatusCode::NOT_FOUND);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_command_without_a_registry_says_so_and_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handles.db");
    let path = path.to_str().unwrap();
    for arguments in [&["handles", "list"][..], &["block", "alice"], &["backup", "copy.db"]] {
        let ran = crate::program::run(arguments, &[("DB_PATH", path)]).await;
        let said = format!("error: there is no database {path}; name the file that the server uses\n");
        assert_eq!((ran.code, ran.stderr), (Some(1), said), "{arguments:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
