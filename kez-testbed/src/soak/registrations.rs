//! People who register.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use anyhow::{Context as _, Result};
use kez_core::{
    handle::{Handle, Policy},
    identity::{PrimaryKey, SecretKey, Statement},
};
use kez_testbed::{http, processes::Processes};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    consumers::Consumers,
    line::Line,
    work::{Tally, Work, lock},
};

/// How many are looked at after each kill: of those who came last, and of all. At the end everybody is, with that many
/// lines.
const LAST_LOOKED_AT: usize = 100;
const LOOKED_AT_AGAIN: usize = 10;
const LINES: usize = 8;

#[derive(Clone)]
pub(super) struct Person {
    name: String,
    primary: PrimaryKey,
}

/// Those who were acknowledged, in that order.
pub(super) struct Registrations<'a> {
    acknowledged: Mutex<Vec<Person>>,
    /// How many names were given.
    names: AtomicUsize,
    consumers: Consumers,
    tally: &'a Tally,
}

impl<'a> Registrations<'a> {
    pub(super) fn new(consumers: Consumers, tally: &'a Tally) -> Self {
        let (acknowledged, names) = Default::default();
        Self { acknowledged, names, consumers, tally }
    }

    /// Checks that everybody has an inbox.
    pub(super) async fn check_inboxes(&self) -> Result<()> {
        let there = self.consumers.all().await?;
        for person in lock(&self.acknowledged).iter() {
            if !there.contains(&person.primary.to_hex()) {
                self.tally.breaks(format!("{}: registered, and there is no inbox", person.name));
            }
        }
        Ok(())
    }

    async fn register(&self, line: &mut Line, key: &SecretKey) -> Result<()> {
        let name = format!("person{}", self.names.fetch_add(1, Relaxed));
        let person = Person { name, primary: key.primary() };
        let handle = Handle::from_qualified(&handle_of(&person), Policy::Development)?;
        let signature = key.sign(&Statement::Register { handle: &handle, primary: &person.primary });
        let body = json!({
            "handle": handle.to_string(),
            "primary": person.primary.to_string(),
            "registration_sig": signature.to_base64(),
        });
        let request = http::post("/v1/register", "application/json", body.to_string().as_bytes());
        let stands = async |line: &mut Line| {
            let stands = self.stands(line, &person).await?;
            // The inbox comes first, so that a handle that resolves can be written to.
            if stands && !self.consumers.has(&person.primary).await? {
                self.tally.breaks(format!("{}: resolves, and there is no inbox", person.name));
            }
            Ok(stands)
        };
        if self.tally.insist(&person.name, line, &request, stands).await?.is_some() {
            self.tally.registered();
            lock(&self.acknowledged).push(person);
        }
        Ok(())
    }

    /// Tells whether somebody is registered; both look-ups have to say the same.
    async fn stands(&self, line: &mut Line, person: &Person) -> Result<bool> {
        let expected = (Some(handle_of(person)), Some(person.primary.to_string()));
        let mut found = [false; 2];
        let paths = [format!("/v1/u/{}", person.name), format!("/v1/p/{}", person.primary)];
        for (found, path) in found.iter_mut().zip(&paths) {
            let answer = line.ask_until_answered(&http::get(path)).await?;
            let profile: Value = serde_json::from_slice(&answer.body).context("an answer is no JSON")?;
            let text = |member: &str| profile[member].as_str().map(ToOwned::to_owned);
            *found = answer.status == 200;
            let right = match answer.status {
                200 => (text("handle"), text("primary")) == expected,
                status => status == 404,
            };
            if !right {
                self.tally.breaks(format!("{}: {path} says {} {profile}", person.name, answer.status));
            }
        }
        if found[0] != found[1] {
            self.tally.breaks(format!("{}: half there, by handle {}, by key {}", person.name, found[0], found[1]));
        }
        Ok(found[0])
    }
}

impl Work for Registrations<'_> {
    const WRITERS: usize = 4;
    type Promised = Vec<Person>;

    async fn write(&self, mut line: Line, mut rng: StdRng, end: watch::Receiver<bool>) -> Result<()> {
        while !*end.borrow() && self.tally.broken().is_empty() {
            self.register(&mut line, &SecretKey::generate(&mut rng)).await?;
        }
        Ok(())
    }

    fn promised(&self) -> Vec<Person> {
        let acknowledged = lock(&self.acknowledged);
        let last = acknowledged.len().saturating_sub(LAST_LOOKED_AT);
        let again = (0..LOOKED_AT_AGAIN).filter_map(|_| acknowledged.get(rand::rng().random_range(0..=last)));
        again.chain(&acknowledged[last..]).cloned().collect()
    }

    async fn check(&self, line: &mut Line, promised: Vec<Person>) -> Result<()> {
        for person in &promised {
            if !self.stands(line, person).await? {
                self.tally.breaks(format!("{}: acknowledged, and not there", person.name));
            }
        }
        Ok(())
    }

    fn everything(&self) -> Vec<Person> {
        lock(&self.acknowledged).clone()
    }

    async fn check_copy(&self, server: SocketAddr, everything: Vec<Person>) -> Result<()> {
        let parts = everything.chunks(everything.len().div_ceil(LINES).max(1));
        let checks = parts.map(async |part| self.check(&mut Line::to(server), part.to_vec()).await);
        futures::future::try_join_all(checks).await?;
        Ok(())
    }
}

fn handle_of(person: &Person) -> String {
    format!("{}@{}", person.name, Processes::HOME)
}
