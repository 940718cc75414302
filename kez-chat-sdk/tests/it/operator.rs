//! The broker as whoever runs it sees it.

use async_nats::{Client, ConnectOptions};
use kez_testbed::Testbed;

/// Connects to the account that holds the streams, of which its operator may read and ask everything.
pub(crate) async fn operator(testbed: &Testbed) -> Client {
    let seed = testbed.secret().chat_server_seed().unwrap().to_string();
    ConnectOptions::with_nkey(seed).connect(testbed.nats_url()).await.unwrap()
}
