//! What a login through nats-server's auth callout costs at least: a service that lets in whoever comes.
//!
//! It opens the question, finds the connection that it is about, and signs and seals the answer with the permissions
//! that ours gives. It checks no signature, knows nobody, and makes no inbox.

use async_nats::{Message, Subject};
use data_encoding::BASE64URL_NOPAD;
use futures::StreamExt as _;
use kez_core::broker::{
    AckScope, Permissions, Route,
    callout::{CalloutRequest, IssuerKey, UserGrant, response_jwt, user_jwt},
};
use nkeys::{KeyPair, XKey};
use serde::Deserialize;

use super::people::Person;

/// The keys that nats-server's configuration names.
pub(super) struct BareCallout {
    issuer: IssuerKey,
    user: KeyPair,
    xkey: XKey,
    permissions: Permissions,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    nats: Body,
}

#[derive(Deserialize)]
struct Body {
    server_id: ServerId,
    user_nkey: String,
    connect_opts: ConnectOpts,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
}

#[derive(Deserialize)]
struct ConnectOpts {
    nkey: String,
}

impl BareCallout {
    /// Makes the keys; everybody gets the rights of `person`.
    pub(super) fn new(person: &Person, route: Route) -> Self {
        let issuer = IssuerKey::from_seed(rand::random());
        let permissions = Permissions::for_user(&person.key.primary(), &[route], &AckScope::of_account("JS", None));
        Self { issuer, user: KeyPair::new_user(), xkey: XKey::new(), permissions }
    }

    /// Returns the configuration of a nats-server that asks it.
    pub(super) fn conf(&self) -> String {
        let (issuer, user, xkey) = (self.issuer.public(), self.user.public_key(), self.xkey.public_key());
        format!(
            r#"accounts {{ AUTH {{ users: [ {{ nkey: {user} }} ] }}, KEZ {{}} }}
authorization {{
  timeout: 2
  auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [ {user} ], xkey: {xkey} }}
}}
"#
        )
    }

    /// Subscribes, and then answers for ever.
    pub(super) async fn start(self, url: &str) {
        let user = async_nats::ConnectOptions::with_nkey(self.user.seed().unwrap());
        let nats = user.connect(url).await.unwrap();
        let mut requests = nats.subscribe("$SYS.REQ.USER.AUTH").await.unwrap();
        // Worked off after the subscription.
        let _ = nats.request("kez.fence", "".into()).await;
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let (reply, answer) = self.answer(&request);
                nats.publish(reply, answer.into()).await.unwrap();
            }
        });
    }

    fn answer(&self, message: &Message) -> (Subject, Vec<u8>) {
        let server = message.headers.as_ref().unwrap().get("Nats-Server-Xkey").unwrap();
        let server = XKey::from_public_key(server.as_str()).unwrap();
        let jwt = String::from_utf8(self.xkey.open(&message.payload, &server).unwrap()).unwrap();
        let claims = BASE64URL_NOPAD.decode(jwt.split('.').nth(1).unwrap().as_bytes()).unwrap();
        let Claims { iss, nats: Body { server_id, user_nkey, connect_opts } } =
            serde_json::from_slice(&claims).unwrap();
        let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let grant = UserGrant {
            account: "KEZ",
            user_nkey: &user_nkey,
            client_nkey: &connect_opts.nkey,
            permissions: &self.permissions,
            issued_at_s: now_s,
            expires_at_s: now_s + 12 * 3600,
        };
        let user = user_jwt(&self.issuer, &grant);
        let request = CalloutRequest {
            server_id: server_id.id,
            server_key: iss,
            user_nkey: user_nkey.clone(),
            client_nkey: None,
            client_sig: None,
            nonce: None,
            client_host: None,
            client_name: None,
        };
        let answer = response_jwt(&self.issuer, &request, Ok(&user), now_s);
        (message.reply.clone().unwrap(), self.xkey.seal(answer.as_bytes(), &server).unwrap())
    }
}
