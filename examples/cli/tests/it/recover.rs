//! An account that comes back from its words.

use std::fs;

use kez_testbed::Testbed;
use tokio::task::spawn_blocking;

use crate::support::Person;

#[tokio::test(flavor = "multi_thread")]
async fn words_on_standard_input_bring_the_account_here_and_end_it_there() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let lost = Person::new(folder.path(), "lost", &testbed.home_url());
    lost.register("al").await;
    let before = lost.json(&["whoami"]).await.remove(0);
    let words = fs::read(lost.folder.join("words")).unwrap();

    let new = Person::new(folder.path(), "new", &testbed.home_url());
    let recover = ["recover", "--server", &testbed.home_url()];
    new.run_with_input(&recover, b"zebra zoo").await.failed(2, "a backup has 24 words; these are 2");
    let nobodys = "legal winner thank year wave sausage worth useful ".repeat(2)
        + "legal winner thank year wave sausage worth title";
    new.run_with_input(&recover, nobodys.as_bytes()).await.failed(3, "nobody is registered with");
    let stdout = new.run_with_input(&recover, &words).await.ok();
    assert!(stdout.starts_with("You are @al@localhost:"), "{stdout}");
    let after = new.json(&["whoami"]).await.remove(0);
    assert_eq!((&after["handle"], &after["primary"]), (&before["handle"], &before["primary"]));
    new.run_with_input(&recover, &words).await.failed(3, "already holds the account");

    let ended = lost.run(&["listen", "--timeout", "60"]).await;
    assert!(ended.code == Some(3) && ended.stderr.contains("another installation of yours"), "{ended:#?}");
    lost.run(&["register", "al", "--backup-file", "words"]).await.failed(3, "already holds the account");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_the_words_bring_contacts_back() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let [lost, bob] = ["lost", "bob"].map(|name| Person::new(folder.path(), name, &testbed.home_url()));
    lost.register("al").await;
    bob.register("bob").await;
    lost.run(&["add", "@bob"]).await.ok();
    let said = lost.run(&["backup", "--to", "al.kez"]).await.ok();
    assert!(said.starts_with("0 messages kept in al.kez (") && said.contains("24 words"), "{said}");
    lost.run(&["backup", "--to", "al.kez"]).await.failed(6, "there is a file of that name");
    let told = lost.json(&["backup", "--to", "again.kez"]).await.remove(0);
    assert_eq!(
        (&told["kind"], &told["file"]),
        (&"backup".into(), &lost.folder.join("again.kez").display().to_string().into())
    );

    let words = fs::read(lost.folder.join("words")).unwrap();
    let file = lost.folder.join("al.kez").display().to_string();
    let new = Person::new(folder.path(), "new", &testbed.home_url());
    let passphrase = new.folder.join("passphrase").display().to_string();
    new.run_with_input(&["recover", "--from", "nowhere"], &words).await.failed(6, "nowhere can't be used");
    new.run_with_input(&["recover", "--from", &passphrase], &words).await.failed(3, "does not open");
    new.run_with_input(&["recover", "--from", &file], &words).await.ok();
    let contacts = new.json(&["contacts"]).await;
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_typed_until_they_are_right_on_a_screen_that_goes() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let lost = Person::new(folder.path(), "lost", &testbed.home_url());
    lost.register("al").await;
    let words = fs::read_to_string(lost.folder.join("words")).unwrap();
    let new = Person::new(folder.path(), "new", &testbed.home_url());
    let at_terminal = spawn_blocking(move || {
        let mut terminal = new.at_terminal(&["recover"]);
        terminal.exp_string("Words: ").unwrap();
        let mut misspelt: Vec<&str> = words.split(' ').collect();
        misspelt[3] = "yeeer";
        terminal.send_line(&misspelt.join(" ")).unwrap();
        terminal.exp_string("word 4 is not on the BIP-39 English list").unwrap();
        terminal.exp_string("Words: ").unwrap();
        terminal.send_line(&words.to_uppercase()).unwrap();
        terminal.exp_string("\x1b[?1049l").unwrap();
        terminal.exp_string("You are @al@localhost:").unwrap();
        terminal.exp_eof().unwrap();
    });
    at_terminal.await.unwrap();
    testbed.shutdown().await.unwrap();
}
