//! Walking a sigchain, beside the signature checks that it cannot do without.

use std::thread;

use criterion::Criterion;
use ed25519_dalek::{Signature, VerifyingKey};
use kez_core::{
    handle::{Handle, Policy},
    identity::SecretKey,
    sigchain::{Chain, Op, Progress, Timestamp},
};

use crate::measure::{Comparison, Ratio, Work};

/// A chain of this length, as a server hands it out.
fn chain(events: usize) -> Chain {
    let key = SecretKey::from_seed([1; 32]);
    let mut chain = Chain::new(key.primary(), Policy::Production);
    let handle = Handle::from_qualified("alice@kez.lat", Policy::Production).unwrap();
    for event in 0..events {
        let ts = Timestamp::from_unix_ms(1_700_000_000_000 + event as u64);
        chain.sign_next(&key, Op::SetHandle(Some(handle.clone())), &ts).unwrap();
    }
    chain
}

/// Reads on to the chain's end, all in one page.
fn walk_on(mut chain: Chain, page: &[String], server_seq: u64) -> Chain {
    assert_eq!(chain.walk().take(page, server_seq).unwrap(), Progress::Done);
    chain
}

fn jws(chain: &Chain) -> Vec<String> {
    chain.events().iter().map(|event| event.jws().to_owned()).collect()
}

/// 10,000 events; the peer does nothing but `verify_strict`.
///
/// The target is the peer's rate on one core times their number. Beside it stands the rate that the peer really has on all
/// cores at once, which is less where the cores have other things to do, or share something.
pub(crate) fn walk(criterion: &mut Criterion) -> [Ratio; 2] {
    let made = chain(10_000);
    let events = jws(&made);
    let primary = *made.primary();
    let verifying = VerifyingKey::from_bytes(primary.as_bytes()).unwrap();
    let signed: Vec<_> = events.iter().map(|jws| message_and_signature(jws)).collect();
    let cores = thread::available_parallelism().unwrap().get();

    let ours = || Work::new(|| walk_on(Chain::new(primary, Policy::Production), &events, 10_000));
    let mut beside_one = Comparison { ours: ours(), peer: Work::new(|| verify_all(&verifying, &signed)) };
    let mut beside_all = Comparison {
        ours: ours(),
        peer: Work::new(|| {
            thread::scope(|scope| {
                for part in signed.chunks(signed.len().div_ceil(cores)) {
                    scope.spawn(|| verify_all(&verifying, part));
                }
            });
        }),
    };
    beside_one.ours.measure(criterion, "chain_10k", "walk");
    beside_one.peer.measure(criterion, "chain_10k", "verify_strict");
    beside_all.peer.measure(criterion, "chain_10k", "verify_strict_on_all_cores");
    // Rates: the inverse of times.
    [
        ("chain_walk_10k_vs_verify_strict", 1.0 / (beside_one.ratio() * cores as f64)),
        ("chain_walk_10k_vs_verify_strict_on_all_cores", 1.0 / beside_all.ratio()),
    ]
}

fn message_and_signature(jws: &str) -> (String, Signature) {
    let (message, signature) = jws.rsplit_once('.').unwrap();
    let signature = kez_core::identity::Signature::from_base64(signature).unwrap();
    (message.to_owned(), Signature::from_bytes(&signature.to_bytes()))
}

fn verify_all(key: &VerifyingKey, signed: &[(String, Signature)]) {
    for (message, signature) in signed {
        key.verify_strict(message.as_bytes(), signature).unwrap();
    }
}

/// 100 new events on a chain of 9,900 that was walked before, beside a chain of only 100 events.
pub(crate) fn resume(criterion: &mut Criterion) -> Ratio {
    let events = jws(&chain(10_000));
    let empty = Chain::new(SecretKey::from_seed([1; 32]).primary(), Policy::Production);
    let pin = walk_on(empty.clone(), &events[..9_900], 9_900).pin().unwrap();
    // The server shows the pinned event again, before the new ones.
    let (page, first) = (&events[9_899..], &events[..100]);
    let mut both = Comparison {
        ours: Work::prepared(|| pin.clone(), |pin| walk_on(Chain::resume(pin), page, 10_000)),
        peer: Work::prepared(|| empty.clone(), |empty| walk_on(empty, first, 100)),
    };
    both.ours.measure(criterion, "chain_100_events", "resumed_after_9900");
    both.peer.measure(criterion, "chain_100_events", "from_the_start");
    ("chain_resume_100_of_10k_vs_walk_100", both.ratio())
}
