//! The parts answer, go and come back where they were.

use kez_testbed::Testbed;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Asks a server for a path in the plainest way and returns the status line; `None` if nobody listens.
async fn status_of(base: &str, path: &str) -> Option<String> {
    let address = base.strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.lines().next().map(ToOwned::to_owned)
}

#[tokio::test]
async fn both_servers_answer_and_restart_where_they_were() {
    let mut testbed = Testbed::start().await.unwrap();
    let (home, sig) = (testbed.home_url(), testbed.sig_url());
    assert_eq!(home, format!("http://{}", testbed.domain()));
    let ok = Some("HTTP/1.1 200 OK".to_owned());
    assert_eq!(status_of(&home, "/v1/info").await, ok);
    assert_eq!(status_of(&sig, "/v1/healthz").await, ok);

    testbed.stop_chat_server().await;
    testbed.stop_sig_server().await;
    assert_eq!(status_of(&home, "/v1/info").await, None);
    assert_eq!(status_of(&sig, "/v1/healthz").await, None);

    testbed.start_sig_server().await.unwrap();
    testbed.start_chat_server().await.unwrap();
    assert_eq!((testbed.home_url(), testbed.sig_url()), (home.clone(), sig.clone()));
    assert_eq!(status_of(&home, "/v1/info").await, ok);
    assert_eq!(status_of(&sig, "/v1/healthz").await, ok);
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_killed_broker_comes_back_on_its_port() {
    let mut testbed = Testbed::start().await.unwrap();
    let url = testbed.nats_url();
    let address = url.strip_prefix("nats://").unwrap().to_owned();
    testbed.kill_nats().await.unwrap();
    assert!(TcpStream::connect(&address).await.is_err());
    testbed.start_nats().await.unwrap();
    assert_eq!(testbed.nats_url(), url);
    let mut greeting = [0; 4];
    TcpStream::connect(&address).await.unwrap().read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"INFO");
    testbed.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_does_not_start_shows_its_log() {
    let started = Testbed::builder().extra_nats_conf("no_such_setting: 1").start().await;
    let Err(error) = started else { panic!("it started") };
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}
