//! People with a handle and an inbox.

use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use kez_core::{
    broker::{Day, LoginNonce, Route},
    handle::{Home, Policy},
    identity::{SecretKey, Statement},
};
use kez_testbed::{http::Connection, processes::Processes};
use tokio::task::JoinSet;

use crate::{
    load::CONNECTIONS,
    requests::{registration, seed},
};

/// What the signature of a login is over.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// Home and nonce, for the auth callout.
    Bound(&'a Home),
    /// The nonce alone, as nats-server itself checks it.
    Bare,
}

/// Somebody, with what a client has at hand when it logs in.
pub(super) struct Person {
    pub(super) key: SecretKey,
    /// The same key for what kez-core does not sign.
    signing: SigningKey,
    pub(super) nkey: String,
    pub(super) hex: String,
}

impl Person {
    pub(super) fn generate() -> Self {
        let seed = seed(&mut rand::rng());
        let key = SecretKey::from_seed(seed);
        let primary = key.primary();
        let (nkey, hex) = (primary.to_nkey(), primary.to_hex());
        Self { key, signing: SigningKey::from_bytes(&seed), nkey, hex }
    }

    /// Signs a broker's nonce.
    pub(super) fn sign(&self, nonce: &str, proof: Proof<'_>) -> [u8; 64] {
        match proof {
            Proof::Bound(domain) => {
                let nonce = LoginNonce::parse(nonce).unwrap();
                self.key.sign(&Statement::NatsLogin { domain, nonce: &nonce }).to_bytes()
            }
            Proof::Bare => self.signing.sign(nonce.as_bytes()).to_bytes(),
        }
    }

    /// Derives the person's own lane into every inbox, today.
    pub(super) fn route(&self, stack: &Processes) -> Route {
        let server = stack.secret().server_keys()[0].primary();
        Route::derive(&self.key.agree(&server), today(), &self.key.primary(), &server)
    }
}

/// Returns the home that people are registered at.
pub(super) fn home() -> Home {
    Home::parse(Processes::HOME, Policy::Development).unwrap()
}

/// Makes people and registers them over HTTP, as their clients do; so the home makes their inboxes.
pub(super) async fn register(stack: &Processes, count: usize) -> Vec<Arc<Person>> {
    let people: Vec<_> = (0..count).map(|_| Arc::new(Person::generate())).collect();
    let mut running = JoinSet::new();
    for part in people.chunks(count.div_ceil(CONNECTIONS)) {
        let (server, part) = (stack.chat.address(), part.to_vec());
        running.spawn(async move {
            let mut connection = Connection::open(server).await.unwrap();
            for person in part {
                // Of the 64 digits those that a name has room for tell everybody apart.
                let answer = connection.ask(&registration(&person.key, &person.hex[..32])).await.unwrap();
                assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
            }
        });
    }
    running.join_all().await;
    people
}

fn today() -> Day {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    Day::from_unix_ms(u64::try_from(now.as_millis()).unwrap())
}
