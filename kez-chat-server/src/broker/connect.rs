//! Connections to the broker under the server's own nkeys.

use std::future;
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ConnectError, ConnectOptions, Event, ServerAddr};
use nkeys::KeyPair;
use tokio_util::sync::CancellationToken;

use crate::secret::ServerSecret;

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which of the server's users connects.
pub(crate) type User = fn(&ServerSecret) -> Result<KeyPair, nkeys::error::Error>;

/// Connects as one of the server's users; `lost` is cancelled when the connection breaks.
///
/// async-nats' own reconnecting is not used: after a break everything has to be looked at again, streams included
/// (the broker may have lost its disk), and one path for both is enough.
pub(crate) async fn connect(
    servers: &[ServerAddr],
    secret: &ServerSecret,
    user: User,
    name: &str,
    lost: CancellationToken,
) -> Result<Client, ConnectError> {
    let secret = secret.clone();
    ConnectOptions::with_auth_callback(move |nonce| future::ready(sign(&secret, user, &nonce)))
        .name(name)
        .connection_timeout(CONNECT_TIMEOUT)
        // Each server of the list is tried once, at the start and after a break.
        .max_reconnects(servers.len())
        .event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => lost.cancel(),
                Event::ServerError(error) => tracing::warn!(%error, "the broker reports an error"),
                _ => {}
            }
            future::ready(())
        })
        .connect(servers)
        .await
}

fn sign(secret: &ServerSecret, user: User, nonce: &[u8]) -> Result<Auth, AuthError> {
    if nonce.is_empty() {
        return Err(AuthError::new("the broker sent no nonce: its configuration has no nkey user"));
    }
    let keys = user(secret).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.nkey = Some(keys.public_key());
    auth.signature = Some(keys.sign(nonce).map_err(AuthError::new)?);
    Ok(auth)
}
