//! Making accounts: the backup can't be skipped, and every step can be interrupted.

use kez_chat_sdk::{
    AccountError, BegunAccount, Client, ClientError, HomeDirError, NetError, NewAccount, resolve_handle,
};
use kez_testbed::Testbed;

use crate::people::{Person, handle_at};

#[tokio::test(flavor = "multi_thread")]
async fn no_account_without_a_confirmed_backup() {
    let testbed = Testbed::start().await.unwrap();
    let person = Person::new();
    let account = person.new_account().await;
    let key = account.primary();
    let words = account.mnemonic();
    let quiz = words.quiz(3, &mut rand::rng());
    let wrong = vec!["zoo".to_owned(); 3];
    // Each failure gives the account back for another try.
    let failed = account.confirm_quiz(&quiz, &wrong).await.unwrap_err();
    assert!(matches!(failed.error, AccountError::WrongWords), "{failed:?}");
    let nothing_asked = words.quiz(0, &mut rand::rng());
    let failed = failed.account.confirm_quiz(&nothing_asked, &[]).await.expect_err("an empty quiz proves nothing");
    let others = Person::new().new_account().await.mnemonic();
    let foreign = others.quiz(1, &mut rand::rng());
    let answer = others.expose_words()[foreign.positions()[0] - 1].to_owned();
    let failed = failed.account.confirm_quiz(&foreign, &[answer]).await.expect_err("a quiz on another key's words");
    // What was not confirmed is not backed up after a restart either.
    drop(failed);
    let account = person.new_account().await;
    assert_eq!(account.primary(), key);

    let right: Vec<_> = quiz.positions().iter().map(|&place| words.expose_words()[place - 1].to_owned()).collect();
    let account = account.confirm_quiz(&quiz, &right).await.unwrap();
    let handle = handle_at(&testbed, "alice");
    let registered = account.register(&handle, |_| {}).await.unwrap();
    assert_eq!((registered.handle, registered.primary), (handle, key));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_registration_goes_on_with_the_same_key() {
    let mut testbed = Testbed::start().await.unwrap();
    let person = Person::new();
    let handle = handle_at(&testbed, "alice");
    let other = person.folder.path().join("other.txt");
    std::fs::write(&other, "somebody else's notes").unwrap();
    let failed = person.new_account().await.confirm_backup_file(&other).await.expect_err("another file");
    assert!(matches!(failed.error, AccountError::BackupFile { .. }), "{failed:?}");
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "somebody else's notes", "a file was overwritten");
    let key = failed.account.primary();
    drop(failed);
    // An attempt that was cut off after the file was written finds its own words there, and takes them.
    let words = person.new_account().await.mnemonic().expose_words().join(" ");
    {
        use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
        let mut file =
            std::fs::File::options().write(true).create_new(true).mode(0o600).open(person.words_file()).unwrap();
        file.write_all(words.as_bytes()).unwrap();
    }
    assert_eq!(person.backed_up().await.primary(), key);

    // The handle is registered, but the sigchain server is away: half an account.
    testbed.stop_sig_server().await;
    let BegunAccount::BackedUp(account) = person.begin().await else { panic!("the backup was forgotten") };
    let cut = account.register(&handle, |_| {}).await;
    assert!(matches!(cut, Err(AccountError::Net(NetError::Unreachable { .. }))), "{cut:?}");
    let half = Client::open(person.home(), person.key_store()).await;
    assert!(matches!(half, Err(ClientError::NotRegistered)));

    testbed.start_sig_server().await.unwrap();
    let other = person.backed_up().await.register(&handle_at(&testbed, "malice"), |_| {}).await;
    assert!(matches!(other, Err(AccountError::RegisteredAs { .. })), "{other:?}");
    let registered = person.backed_up().await.register(&handle, |_| {}).await.unwrap();
    assert_eq!(registered.primary, key);
    let complete = NewAccount::begin(person.home(), person.key_store()).await;
    assert!(matches!(complete, Err(AccountError::AlreadyRegistered { .. })));
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_and_reserved_names_are_told_apart_and_another_name_may_be_tried() {
    let testbed = Testbed::start().await.unwrap();
    let (first, second) = (Person::new(), Person::new());
    first.register(&testbed, "alice").await.shutdown().await;
    let taken = second.backed_up().await.register(&handle_at(&testbed, "alice"), |_| {}).await;
    assert!(matches!(taken, Err(AccountError::HandleTaken { .. })), "{taken:?}");
    let reserved = second.backed_up().await.register(&handle_at(&testbed, "admin"), |_| {}).await;
    assert!(matches!(reserved, Err(AccountError::ReservedHandle { .. })), "{reserved:?}");
    second.backed_up().await.register(&handle_at(&testbed, "alicia"), |_| {}).await.unwrap();
    testbed.shutdown().await.unwrap();
}

/// The home is reached under a name that it does not go by, as it would be through a hostile proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_by_another_name_is_refused() {
    let testbed = Testbed::start().await.unwrap();
    let target = (testbed.domain().host().to_owned(), testbed.domain().port().unwrap());
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = proxy.local_addr().unwrap().port();
    let forwarding = tokio::spawn(async move {
        while let Ok((mut client, _)) = proxy.accept().await {
            let mut server = tokio::net::TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let person = Person::new();
    let account = person.backed_up().await;
    let handle = resolve_handle(&format!("alice@localhost:{port}"), None).unwrap();
    match account.register(&handle, |_| {}).await {
        Err(AccountError::Net(NetError::WrongHome { asked, found })) => {
            assert_eq!((asked, found), (format!("localhost:{port}"), testbed.domain().to_string()));
        }
        other => panic!("{other:?}"),
    }
    forwarding.abort();
    testbed.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_owns_a_home() {
    let testbed = Testbed::start().await.unwrap();
    let person = Person::new();
    let client = person.register(&testbed, "alice").await;
    match Client::open(person.home(), person.key_store()).await {
        Err(ClientError::HomeDir(HomeDirError::Owned { pid, .. })) => assert_eq!(pid, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    client.shutdown().await;
    person.open().await.shutdown().await;
    testbed.shutdown().await.unwrap();
}
