//! The server's own three users at the broker, each in its account.

use async_nats::{Client, ConnectErrorKind, ServerAddr};
use kez_core::broker::subject;
use kez_service::process::chain_of;
use tokio_util::sync::CancellationToken;

use super::ask::{account_of, ask, misplaced};
use super::{Report, accounts, probe};
use crate::broker::connect::{User, connect};
use crate::broker::{JetStream, JsError};
use crate::nats_conf::{JS_ACCOUNT, USER_ACCOUNT};
use crate::secret::ServerSecret;

/// Everything that takes a login to see.
pub(super) const PARTS: [&str; 9] =
    ["inboxes", "storage", "streams", "sys", "logins", "xkey", "issuer", "users", "sharing"];

/// Logs in to a node as each of the server's users, then as nobody.
pub(super) async fn look(server: &ServerAddr, secret: &ServerSecret, report: &mut Report) {
    let keys = secret.public_keys();
    let join = async |user: User, key: &str| {
        connect(std::slice::from_ref(server), secret, user, "kez-chat-server check", CancellationToken::new())
            .await
            .map_err(|error| match error.kind() {
                ConnectErrorKind::AuthorizationViolation => format!(
                    "the broker does not let {key} in; put what `nats-conf` prints with this secret into nats.conf, \
                     and restart the broker"
                ),
                _ => format!("the broker can't be logged in to as {key}: {}", chain_of(&error)),
            })
    };

    let js = match join(ServerSecret::chat_server, &keys.chat_server).await {
        Ok(client) => look_at_inboxes(client, report).await,
        Err(text) => {
            report.missing("inboxes", text);
            report.skipped(&["storage", "streams"], "the user of the inboxes can't log in");
            None
        }
    };
    match join(ServerSecret::sys_user, &keys.sys_user).await {
        Ok(client) => look_at_system(&client, report).await,
        Err(text) => report.missing("sys", text),
    }
    match join(ServerSecret::callout_user, &keys.callout_user).await {
        Ok(client) => {
            let Some(account) = look_at_logins(&client, report).await else {
                return report.skipped(&["xkey", "issuer", "users", "sharing"], "logins are not where they belong");
            };
            let probe = probe::look(server, secret, &client, &account, report).await;
            match (probe, js) {
                (Some(probe), Some(js)) => accounts::look(&probe, &js, report).await,
                (None, _) => report.skipped(&["sharing"], "no user could be let in"),
                (_, None) => report.skipped(&["sharing"], "the user of the inboxes is not where it belongs"),
            }
        }
        Err(text) => {
            report.missing("logins", text);
            report.skipped(&["xkey", "issuer", "users", "sharing"], "the user of the logins can't log in");
        }
    }
}

/// Looks at the account of the streams; returns the connection if it can be used for more.
async fn look_at_inboxes(client: Client, report: &mut Report) -> Option<Client> {
    let account = account_of(&client).await;
    if account.as_deref() != Some(JS_ACCOUNT) {
        // The subjects of acknowledgements are made of its name.
        report.missing("inboxes", misplaced("the user of the inboxes", account.as_deref(), JS_ACCOUNT));
        report.skipped(&["storage", "streams"], "the user of the inboxes is not where it belongs");
        return None;
    }
    report.ok("inboxes", format!("their user is in account {JS_ACCOUNT}"));
    let js = JetStream::new(client.clone(), 1);
    match js.max_storage().await {
        Ok(max) if max > 0 => report.ok("storage", format!("account {JS_ACCOUNT} stores up to {max} bytes")),
        Ok(_) => report.ok("storage", format!("account {JS_ACCOUNT} stores without a limit of its own")),
        Err(error) => {
            let text = format!(
                "account {JS_ACCOUNT} has no JetStream; give it the `jetstream` line of `nats-conf` ({})",
                chain_of(&error)
            );
            report.missing("storage", text);
            report.skipped(&["streams"], "there is no JetStream");
            return Some(client);
        }
    }
    match streams(&js).await {
        Ok(absent) if absent.is_empty() => report.ok("streams", "both are there"),
        Ok(absent) => report.ok("streams", format!("not there yet: {}; the server makes them", absent.join(", "))),
        Err(error) => report.missing("streams", chain_of(&error)),
    }
    Some(client)
}

async fn streams(js: &JetStream) -> Result<Vec<&'static str>, JsError> {
    let mut absent = Vec::new();
    for stream in [subject::INBOX_STREAM, subject::PRESENCE_STREAM] {
        if !js.has_stream(stream).await? {
            absent.push(stream);
        }
    }
    Ok(absent)
}

async fn look_at_system(client: &Client, report: &mut Report) {
    match ask(client, "$SYS.REQ.SERVER.PING").await {
        Some(_) => report.ok("sys", "their user is in the system account"),
        None => report.missing(
            "sys",
            "the system user gets no answer from the broker; its account has to be the `system_account` of nats.conf",
        ),
    }
}

/// Looks at the account of the logins; returns its name if it is one of its own.
async fn look_at_logins(client: &Client, report: &mut Report) -> Option<String> {
    let account = account_of(client).await;
    let Some(own) = account.filter(|account| account != JS_ACCOUNT && account != USER_ACCOUNT) else {
        let text = format!(
            "the user of the logins needs an account where nobody else is, neither {JS_ACCOUNT} nor {USER_ACCOUNT}: who \
             can publish beside it can ask for logins; put the `accounts` of `nats-conf` into nats.conf"
        );
        report.missing("logins", text);
        return None;
    };
    if ask(client, "$JS.API.INFO").await.is_some_and(|answer| answer.get("error").is_none()) {
        report.missing("logins", format!("account {own} has JetStream, which only {JS_ACCOUNT} may have"));
        return None;
    }
    Some(own)
}
