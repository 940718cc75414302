//! Registration at a terminal, and after it was interrupted.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use kez_testbed::{Testbed, guard::Signal};
use rexpect::{
    process::{Signal as RawSignal, WaitStatus},
    session::PtySession,
};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};

use crate::support::{PATIENCE, Person, answer, number_in, read_words};

const ENTER_SCREEN: &str = "\x1b[?1049h";
const LEAVE_SCREEN: &str = "\x1b[?1049l";

#[tokio::test(flavor = "multi_thread")]
async fn the_words_are_shown_until_the_quiz_is_passed_and_then_gone() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let al = Person::new(folder.path(), "al", &testbed.home_url());
    let at_terminal = spawn_blocking(move || {
        // The quiz is held though there is a backup file.
        let mut terminal = al.at_terminal(&["register", "al", "--backup-file", "words"]);
        terminal.exp_string(ENTER_SCREEN).unwrap();
        let (words, asked) = read_words(&mut terminal);
        for _ in 0..2 {
            terminal.send_line("wrong").unwrap();
            let (_, again) = terminal.exp_regex(r"Word [0-9]+: ").unwrap();
            assert_eq!(number_in(&again), asked, "another word is asked for before the tries are used up");
        }
        terminal.send_line("wrong").unwrap();
        let (shown_again, asked) = read_words(&mut terminal);
        assert_eq!(shown_again, words);
        answer(&mut terminal, &words, asked);
        terminal.exp_string(LEAVE_SCREEN).unwrap();
        let rest = terminal.exp_eof().unwrap();
        assert!(rest.contains("You are @al@localhost:"), "{rest}");
        let listed: Vec<&str> = words.values().map(String::as_str).collect();
        assert!(!rest.contains(&listed[..2].join(" ")), "{rest}");
        assert!(matches!(terminal.process().wait(), Ok(WaitStatus::Exited(_, 0))));
        let file = al.folder.join("words");
        assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), listed.join(" "));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        al
    });
    let al = at_terminal.await.unwrap();
    al.run(&["register", "al", "--backup-file", "more"]).await.failed(3, "already holds the account");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_chosen_twice_and_asked_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let al = Person::new(folder.path(), "al", &testbed.home_url()).without_passphrase_file();
    let at_terminal = spawn_blocking(move || {
        let mut terminal = al.at_terminal(&["register", "al"]);
        terminal.exp_string("New passphrase: ").unwrap();
        assert!(!shows_what_is_typed(&terminal));
        terminal.send_control('c').unwrap();
        terminal.exp_eof().unwrap();
        assert!(matches!(terminal.process().wait(), Ok(WaitStatus::Exited(_, 130))));
        assert!(shows_what_is_typed(&terminal), "Ctrl-C left the terminal mute");

        let mut terminal = al.at_terminal(&["register", "al"]);
        for (prompt, typed) in [
            ("New passphrase: ", "short"),
            ("New passphrase: ", "correct horse"),
            ("Once more: ", "battery staple"),
            ("New passphrase: ", "correct horse"),
            ("Once more: ", "correct horse"),
        ] {
            terminal.exp_string(prompt).unwrap();
            terminal.send_line(typed).unwrap();
        }
        let (words, asked) = read_words(&mut terminal);
        assert!(shows_what_is_typed(&terminal));
        answer(&mut terminal, &words, asked);
        let quiz = terminal.exp_string("You are @al@").unwrap();
        assert!(!quiz.contains("correct horse"));
        terminal.exp_eof().unwrap();

        let mut terminal = al.at_terminal(&["whoami"]);
        terminal.exp_string("Passphrase: ").unwrap();
        terminal.send_line("correct horse").unwrap();
        terminal.exp_string("@al@localhost:").unwrap();
        terminal.exp_eof().unwrap();
        al
    });
    let al = at_terminal.await.unwrap();
    al.run(&["whoami"]).await.failed(2, "needs a passphrase");
    let al = al.with("KEZ_PASSPHRASE_FILE", "passphrase");
    al.run(&["whoami"]).await.failed(3, "passphrase is wrong");
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiz_that_was_killed_is_held_again_with_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    let al = Person::new(folder.path(), "al", &testbed.home_url());
    let at_terminal = spawn_blocking(move || {
        let mut terminal = al.at_terminal(&["register", "al"]);
        let (words, _) = read_words(&mut terminal);
        // No cooperation, and no Drop.
        terminal.process_mut().signal(RawSignal::SIGKILL).unwrap();
        terminal.process().wait().unwrap();

        // Ctrl-C too, which gives the screen back.
        let mut terminal = al.at_terminal(&["register", "al"]);
        assert_eq!(read_words(&mut terminal).0, words);
        terminal.send_control('c').unwrap();
        terminal.exp_string(LEAVE_SCREEN).unwrap();
        terminal.exp_eof().unwrap();
        assert!(matches!(terminal.process().wait(), Ok(WaitStatus::Exited(_, 130))));

        let mut terminal = al.at_terminal(&["register", "al"]);
        let (shown_again, asked) = read_words(&mut terminal);
        assert_eq!(shown_again, words);
        answer(&mut terminal, &words, asked);
        terminal.exp_string("You are @al@").unwrap();
        terminal.exp_eof().unwrap();
    });
    at_terminal.await.unwrap();
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_was_killed_between_its_steps_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut testbed = Testbed::start().await.unwrap();
    let al = Person::new(folder.path(), "al", &testbed.home_url());
    let arguments = ["register", "al", "--backup-file", "words"];

    // In the sigchain server's place somebody takes the connection and never answers: the handle is registered by
    // then, and nothing is published.
    let address = testbed.sig_url().trim_start_matches("http://").to_owned();
    testbed.stop_sig_server().await;
    let silent = TcpListener::bind(address).await.unwrap();
    let registering = al.start(&arguments);
    let connection = timeout(PATIENCE, silent.accept()).await.expect("nobody connects").unwrap();
    registering.kill().await;
    drop((connection, silent));
    al.run(&["whoami"]).await.failed(3, "no account");
    let words = fs::read_to_string(al.folder.join("words")).unwrap();

    testbed.start_sig_server().await.unwrap();
    al.run(&["register", "allan", "--backup-file", "words"]).await.failed(3, "already registered al@");
    let stdout = al.run(&arguments).await.ok();
    assert!(stdout.starts_with("You are @al@localhost:"), "{stdout}");
    assert_eq!(fs::read_to_string(al.folder.join("words")).unwrap(), words);
    assert!(al.run(&["whoami"]).await.ok().contains(&key_in(&stdout)));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let testbed = Testbed::start().await.unwrap();
    Person::new(folder.path(), "al", &testbed.home_url()).register("al").await;
    let eve = Person::new(folder.path(), "eve", &testbed.home_url());
    eve.run(&["register", "al", "--backup-file", "words"]).await.failed(3, "is taken");
    // Their key is kept, and backed up; only the name has to be another one.
    assert!(Path::new(&eve.folder).join("words").exists());
    eve.run(&["register", "eve", "--backup-file", "words"]).await.ok();
    testbed.shutdown().await.unwrap();
}

/// Stopping is asked for by a program as well, which gets its own exit code.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_registration_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("localhost:0").await.unwrap();
    let server = format!("http://localhost:{}", silent.local_addr().unwrap().port());
    let al = Person::new(folder.path(), "al", &server);
    let mut registering = al.start(&["register", "al", "--backup-file", "words"]);
    let _connection = timeout(PATIENCE, silent.accept()).await.expect("nobody connects").unwrap();
    registering.signal(Signal::Terminate).await;
    let ended = registering.end().await;
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(143), "", ""));
}

fn shows_what_is_typed(terminal: &PtySession) -> bool {
    let terminal = terminal.process().get_file_handle().unwrap();
    tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO)
}

fn key_in(text: &str) -> String {
    let start = text.find("ed25519:").unwrap();
    text[start..].split_whitespace().next().unwrap().to_owned()
}
