//! What is refused before anything happens.

use crate::support::Person;

/// Nobody listens there.
const NO_SERVER: &str = "http://localhost:1";

#[tokio::test]
async fn what_cannot_be_understood_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let al = Person::new(folder.path(), "al", NO_SERVER);
    for arguments in [&["nonsense"][..], &[], &["send"], &["fetch"], &["register", "al", "--skip"]] {
        assert_eq!(al.run(arguments).await.code, Some(2), "{arguments:?}");
    }
    let register = |handle, server| ["register", handle, "--server", server, "--backup-file", "words"];
    al.run(&register("a!", "kez.lat")).await.failed(2, "is no name");
    al.run(&register("al", "http://kez.lat")).await.failed(2, "not encrypted");
    al.run(&register("al@elsewhere.example", "kez.lat")).await.failed(2, "does not live at kez.lat");
    assert!(!al.home.exists());
}

#[tokio::test]
async fn without_a_terminal_a_backup_file_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let al = Person::new(folder.path(), "al", NO_SERVER);
    al.run(&["register", "al"]).await.failed(2, "without a terminal");
    let ended = al.run(&["register", "al", "--json"]).await;
    let error: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&error["kind"], &error["code"], &error["exit_code"]), (&"error".into(), &"NoBackup".into(), &2.into()));
    assert!(!al.home.exists(), "a key was made though it could not be backed up");
}

#[tokio::test]
async fn the_seed_is_never_kept_in_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let al = Person::new(folder.path(), "al", NO_SERVER).without_passphrase_file();
    al.run(&["register", "al", "--backup-file", "words"]).await.failed(2, "needs a passphrase");
    let al = al.with("KEZ_PASSPHRASE_FILE", "/nonexistent");
    al.run(&["register", "al", "--backup-file", "words"]).await.failed(2, "can't be read");
    std::fs::write(al.folder.join("empty"), "\n").unwrap();
    let al = al.with("KEZ_PASSPHRASE_FILE", "empty");
    al.run(&["register", "al", "--backup-file", "words"]).await.failed(2, "holds no passphrase");
    assert!(!al.home.exists());
}

#[tokio::test]
async fn a_home_without_an_account_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let al = Person::new(folder.path(), "al", NO_SERVER);
    al.run(&["whoami"]).await.failed(3, "no account");
    let al = al.without_passphrase_file();
    al.run(&["whoami"]).await.failed(3, "no account");
    assert!(!al.home.exists());
}

#[tokio::test]
async fn a_home_server_out_of_reach_is_a_network_failure() {
    let folder = tempfile::tempdir().unwrap();
    let al = Person::new(folder.path(), "al", NO_SERVER);
    al.run(&["register", "al", "--backup-file", "words"]).await.failed(4, "does not answer");
    // The key and its backup are there, and registration goes on with them.
    let words = std::fs::read_to_string(al.folder.join("words")).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    al.run(&["register", "al", "--backup-file", "words"]).await.failed(4, "does not answer");
    assert_eq!(std::fs::read_to_string(al.folder.join("words")).unwrap(), words);
}
