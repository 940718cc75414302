//! Foreign bytes as an envelope for Bob (`docs/PROTOCOL.md` §6).

use kez_core::{
    Code,
    envelope::{self, MAX_WIRE_BYTES, MIN_WIRE_BYTES, Peer},
};

use super::input::{Seed, alice, bob, carol};

/// What the first checks must say, read off the table of §6 without a key.
fn verdict_in_the_open(wire: &[u8]) -> Option<Code> {
    // p = 2^255 − 19, big-endian.
    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0x7f, 0xed);
        p
    };
    match *wire {
        [] | [_] => Some(Code::BadLength),
        [version, ..] if version != 1 => Some(Code::BadVersion),
        [_, suite, ..] if suite != 1 => Some(Code::UnknownSuite),
        _ if wire.len() < MIN_WIRE_BYTES || wire.len() > MAX_WIRE_BYTES => Some(Code::BadLength),
        [_, _, a, b, c, d, ..] if [a, b, c, d] != [0; 4] => Some(Code::UnknownKeyId),
        _ if wire[6..38].iter().rev().copied().ge(P) => Some(Code::BadKey),
        _ => None,
    }
}

pub fn run(wire: &[u8]) {
    let opened = match (envelope::open(&bob(), wire, |_| None), verdict_in_the_open(wire)) {
        (Ok(opened), None) => opened,
        (Ok(_), Some(code)) => panic!("opened what is {code}"),
        (Err(error), Some(code)) => return assert_eq!(error.code(), code),
        (Err(error), None) => {
            let later = [Code::ZeroSecret, Code::BadHeader, Code::BadKey, Code::BadSignature, Code::BadBody];
            return assert!(later.contains(&error.code()) || error.code() == Code::BadPadding, "{error}");
        }
    };
    let sender = *opened.sender.key();
    let cached = envelope::open(&bob(), wire, |_| Some(Peer::new(&bob(), sender))).unwrap();
    assert_eq!((cached.sender.key(), &cached.payload), (&sender, &opened.payload));
    assert!(opened.payload.len() < wire.len());
    assert_eq!(envelope::open(&carol(), wire, |_| None).unwrap_err().code(), Code::BadHeader);
}

pub fn seeds() -> Vec<Seed> {
    let seal = |payload: &[u8], random| {
        envelope::seal(&alice(), &Peer::new(&alice(), bob().primary()), payload, &[random; 32]).unwrap()
    };
    let sound = seal(b"hello", 9);
    let with = |index: usize, byte: u8| {
        let mut wire = sound.clone();
        wire[index] = byte;
        wire
    };
    let mut no_point = sound.clone();
    no_point[6..38].fill(0);
    vec![
        ("next-size", seal(&[7; 300], 8)),
        ("version", with(0, 2)),
        ("suite", with(1, 2)),
        ("key-id", with(5, 1)),
        ("not-canonical", with(37, 0xff)),
        ("header", with(40, sound[40] ^ 1)),
        ("body", with(200, sound[200] ^ 1)),
        ("short", sound[..MIN_WIRE_BYTES - 1].to_vec()),
        ("zero-secret", no_point),
        ("sound", sound),
    ]
}
