//! What every connection can ask the broker.

use std::time::Duration;

use async_nats::{Client, Request};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(3);

/// Says that somebody is in another account than they have to be.
pub(super) fn misplaced(who: &str, account: Option<&str>, wanted: &str) -> String {
    let account = account.unwrap_or("that tells no name");
    format!("{who} is in account {account} and has to be in {wanted}; put the `accounts` of `nats-conf` into nats.conf")
}

/// Asks the broker which account a connection is in.
pub(super) async fn account_of(client: &Client) -> Option<String> {
    let answer = ask(client, "$SYS.REQ.USER.INFO").await?;
    Some(answer["data"]["account"].as_str()?.to_owned())
}

/// Asks the broker; `None` if nobody answers.
pub(super) async fn ask(client: &Client, subject: &str) -> Option<Value> {
    let request = Request::new().timeout(Some(PATIENCE));
    let message = client.send_request(subject.to_owned(), request).await.ok()?;
    // Those who have nobody listening answer with a status and no body.
    serde_json::from_slice(&message.payload).ok()
}
