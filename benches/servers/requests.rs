//! What is asked. Making it is not measured.

use std::path::Path;

use kez_core::{
    handle::{Handle, Policy},
    identity::{SecretKey, Statement},
    sigchain::{Chain, Op, Timestamp},
};
use kez_testbed::{http, processes::Processes};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use rusqlite::{Connection, params};
use serde_json::json;

use crate::load::{CONNECTIONS, Requests};

/// People who are registered before anything is measured.
pub(crate) struct Handles {
    pub(crate) count: usize,
}

impl Handles {
    pub(crate) fn new(count: usize) -> Self {
        Self { count }
    }

    /// Puts them into the file of a home server that does not run at the moment.
    pub(crate) fn put_into(&self, registry: &Path) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut connection = Connection::open(registry).unwrap();
        let transaction = connection.transaction().unwrap();
        let insert = "INSERT INTO handles (handle, primary_key, registered_at_ms) VALUES (?1, ?2, 0)";
        for number in 0..self.count {
            let key = SecretKey::from_seed(seed(&mut rng)).primary();
            let handle = format!("{}@{}", name(number), Processes::HOME);
            transaction.prepare_cached(insert).unwrap().execute(params![handle, key.as_bytes()]).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Asks that many times on each connection for one of the first `among`, drawn at random.
    pub(crate) fn look_ups(&self, each: usize, among: usize) -> Requests {
        let mut rng = rand::rng();
        let mut look_up = || http::get(&format!("/v1/u/{}", name(rng.random_range(0..among.min(self.count)))));
        (0..CONNECTIONS).map(|_| (0..each).map(|_| look_up()).collect()).collect()
    }
}

fn name(number: usize) -> String {
    format!("person{number}")
}

/// Registrations of people who were not there before.
#[derive(Default)]
pub(crate) struct Registrations {
    made: usize,
}

impl Registrations {
    pub(crate) fn make(&mut self, each: usize) -> Requests {
        (0..CONNECTIONS).map(|_| (0..each).map(|_| self.next()).collect()).collect()
    }

    fn next(&mut self) -> Vec<u8> {
        self.made += 1;
        registration(&SecretKey::generate(&mut rand::rng()), &format!("newcomer{}", self.made))
    }
}

/// Asks for a name at the home.
pub(crate) fn registration(key: &SecretKey, name: &str) -> Vec<u8> {
    let handle = Handle::from_qualified(&format!("{name}@{}", Processes::HOME), Policy::Development).unwrap();
    let primary = key.primary();
    let signature = key.sign(&Statement::Register { handle: &handle, primary: &primary });
    let body = json!({
        "handle": handle.to_string(),
        "primary": primary.to_string(),
        "registration_sig": signature.to_base64(),
    });
    http::post("/v1/register", "application/json", body.to_string().as_bytes())
}

/// Events of chains that were not there before.
pub(crate) struct Appends;

impl Appends {
    /// A chain of that many events on each connection.
    pub(crate) fn make(&self, events: u64) -> Requests {
        (0..CONNECTIONS).map(|_| chain(events)).collect()
    }
}

fn chain(events: u64) -> Vec<Vec<u8>> {
    let key = SecretKey::generate(&mut rand::rng());
    let mut chain = Chain::new(key.primary(), Policy::Development);
    let path = format!("/v1/sigchains/ed25519/{}/events", key.primary().to_hex());
    let handle = Handle::from_qualified(&format!("alice@{}", Processes::HOME), Policy::Development).unwrap();
    let requests = (0..events).map(|event| {
        let op = Op::SetHandle(Some(handle.clone()));
        let event = chain.sign_next(&key, op, &Timestamp::from_unix_ms(event)).unwrap();
        http::post(&path, "application/jose", event.jws().as_bytes())
    });
    requests.collect()
}

pub(crate) fn seed(rng: &mut impl Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}
