//! The JWTs of NATS auth callout: nats-server's question and the chat-server's answer (§5).

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroize;

use super::{
    LoginError, Permissions, login,
    nkey::{self, Kind},
    object::Object,
};
use crate::{
    error::Code,
    handle::Home,
    identity::{PrimaryKey, Signature},
};

const ALGORITHM: &str = "ed25519-nkey";
const REQUEST_TYPE: &str = "authorization_request";
const RESPONSE_TYPE: &str = "authorization_response";
/// The version of NATS' JWT claims.
const CLAIMS_VERSION: u8 = 2;

/// Says that a callout's request can't be answered at all.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CalloutError {
    /// The request is no JWT that a nats-server signed.
    #[error("the callout's request is no JWT of a nats-server: {part} is missing or malformed")]
    BadJwt {
        /// What is wrong with it.
        part: &'static str,
    },
}

impl CalloutError {
    /// Returns the stable code of §13.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::BadJwt
    }
}

/// A nats-server's question: may this client connect?
#[derive(Clone, Debug)]
pub struct CalloutRequest {
    /// The server's id, which the answer is addressed to.
    pub server_id: String,
    /// The server's key (`N…`), under which the request is signed.
    pub server_key: String,
    /// The key that the server made for this connection (`U…`); the answer is about it.
    pub user_nkey: String,
    /// The key that the client presented.
    pub client_nkey: Option<String>,
    /// The signature that the client presented. Nobody has checked it yet.
    pub client_sig: Option<String>,
    /// The nonce that the server sent to the client.
    pub nonce: Option<String>,
    /// The client's address, for the log.
    pub client_host: Option<String>,
    /// The client's name for itself, for the log.
    pub client_name: Option<String>,
}

impl CalloutRequest {
    /// Reads a request and checks that the server that it names signed it.
    ///
    /// # Errors
    /// [`CalloutError::BadJwt`].
    pub fn parse(jwt: &str) -> Result<Self, CalloutError> {
        let bad = |part: &'static str| CalloutError::BadJwt { part };
        let decode = |text: &str, part| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| bad(part));
        let [header, claims, signature] = *jwt.split('.').collect::<Vec<_>>() else {
            return Err(bad("its three parts"));
        };

        let Object(Header { typ, alg }) =
            serde_json::from_slice(&decode(header, "the header")?).map_err(|_| bad("the header"))?;
        if !typ.eq_ignore_ascii_case("jwt") || alg != ALGORITHM {
            return Err(bad("the header"));
        }
        let Object(RequestClaims { iss, nats: Object(nats) }) =
            serde_json::from_slice(&decode(claims, "the claims")?).map_err(|_| bad("the claims"))?;
        let server = match nkey::decode(&iss) {
            Ok((Kind::Server, key)) => PrimaryKey::from_bytes(&key).map_err(|_| bad("the issuer"))?,
            _ => return Err(bad("the issuer")),
        };
        let signature = Signature::from_base64(signature).map_err(|_| bad("the signature"))?;
        let signed = jwt.rsplit_once('.').map_or("", |(signed, _)| signed);
        server.verify_bytes(signed.as_bytes(), &signature).map_err(|_| bad("the signature"))?;
        if nats.kind != REQUEST_TYPE {
            return Err(bad("the type"));
        }
        if !matches!(nkey::decode(&nats.user_nkey), Ok((Kind::User, _))) {
            return Err(bad("the user nkey"));
        }
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        let RequestBody { server_id: Object(server_id), user_nkey, .. } = nats;
        let (Object(client_info), Object(connect_opts)) = (nats.client_info, nats.connect_opts);
        Ok(Self {
            server_id: server_id.id,
            server_key: iss,
            user_nkey,
            client_nkey: present(connect_opts.nkey),
            client_sig: present(connect_opts.sig),
            nonce: present(client_info.nonce),
            client_host: present(client_info.host),
            client_name: present(connect_opts.name),
        })
    }

    /// Checks that the client holds the key that it presented, and meant to log in to `domain`'s broker.
    ///
    /// # Errors
    /// [`LoginError`], unless key, signature and nonce are all there and fit.
    pub fn login(&self, domain: &Home) -> Result<PrimaryKey, LoginError> {
        login::check(domain, self.client_nkey.as_deref(), self.client_sig.as_deref(), self.nonce.as_deref())
    }
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

#[derive(Deserialize)]
struct RequestClaims {
    iss: String,
    nats: Object<RequestBody>,
}

#[derive(Deserialize)]
struct RequestBody {
    server_id: Object<ServerId>,
    user_nkey: String,
    client_info: Object<ClientInfo>,
    connect_opts: Object<ConnectOpts>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
}

#[derive(Deserialize)]
struct ClientInfo {
    nonce: Option<String>,
    host: Option<String>,
}

#[derive(Deserialize)]
struct ConnectOpts {
    nkey: Option<String>,
    sig: Option<String>,
    name: Option<String>,
}

/// The account key that signs answers: the chat-server's own, never a person's.
pub struct IssuerKey(SigningKey);

impl IssuerKey {
    /// Takes the key's seed.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self(key)
    }

    /// Returns the public key, `A…`, which nats-server's configuration names as issuer.
    #[must_use]
    pub fn public(&self) -> String {
        nkey::encode(Kind::Account, self.0.verifying_key().as_bytes())
    }

    /// Signs claims as a NATS JWT; its `jti` is a hash of the rest.
    fn sign<T: Serialize>(&self, mut claims: Claims<'_, T>) -> String {
        claims.jti = HEXLOWER.encode(&Sha256::digest(to_json(&claims)));
        let header = to_json(&serde_json::json!({ "typ": "JWT", "alg": ALGORITHM }));
        let signed = format!("{}.{}", BASE64URL_NOPAD.encode(&header), BASE64URL_NOPAD.encode(&to_json(&claims)));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerKey(of {}, redacted)", self.public())
    }
}

/// Who may connect, under what name, with which rights, and for how long.
#[derive(Clone, Debug)]
pub struct UserGrant<'a> {
    /// The account that the user lands in.
    pub account: &'a str,
    /// The key that the server made for the connection.
    pub user_nkey: &'a str,
    /// The client's own key; it shows as `authorized_user`, by which a connection is found again.
    pub client_nkey: &'a str,
    /// The rights.
    pub permissions: &'a Permissions,
    /// When the grant is made, in seconds since 1970.
    pub issued_at_s: u64,
    /// When nats-server ends the connection, in seconds since 1970.
    pub expires_at_s: u64,
}

/// Writes the user JWT that lets a client in.
#[must_use]
pub fn user_jwt(issuer: &IssuerKey, grant: &UserGrant<'_>) -> String {
    issuer.sign(Claims {
        jti: String::new(),
        iat: grant.issued_at_s,
        exp: Some(grant.expires_at_s),
        iss: issuer.public(),
        sub: grant.user_nkey,
        aud: grant.account,
        name: Some(grant.client_nkey),
        nats: UserClaims {
            publish: Allow { allow: &grant.permissions.publish },
            subscribe: Allow { allow: &grant.permissions.subscribe },
            // Unlimited here: nats-server ignores them in this mode, and the account's limits hold.
            subs: -1,
            data: -1,
            payload: -1,
            kind: "user",
            version: CLAIMS_VERSION,
        },
    })
}

/// Writes the answer to a request: the user JWT, or a refusal with a reason that the server logs.
#[must_use]
pub fn response_jwt(
    issuer: &IssuerKey,
    request: &CalloutRequest,
    outcome: Result<&str, &str>,
    issued_at_s: u64,
) -> String {
    issuer.sign(Claims {
        jti: String::new(),
        iat: issued_at_s,
        exp: None,
        iss: issuer.public(),
        sub: &request.user_nkey,
        aud: &request.server_id,
        name: None,
        nats: ResponseClaims { jwt: outcome.ok(), error: outcome.err(), kind: RESPONSE_TYPE, version: CLAIMS_VERSION },
    })
}

#[derive(Serialize)]
struct Claims<'a, T> {
    jti: String,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    iss: String,
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    nats: T,
}

#[derive(Serialize)]
struct UserClaims<'a> {
    #[serde(rename = "pub")]
    publish: Allow<'a>,
    #[serde(rename = "sub")]
    subscribe: Allow<'a>,
    subs: i64,
    data: i64,
    payload: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

#[derive(Serialize)]
struct Allow<'a> {
    allow: &'a [String],
}

#[derive(Serialize)]
struct ResponseClaims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(_) => unreachable!("texts and integers can be written to memory"),
    }
}
