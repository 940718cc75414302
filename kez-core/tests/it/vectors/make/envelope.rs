//! `envelope.json`: envelopes; payloads are in [`super::payload`].

use data_encoding::HEXLOWER;
use kez_core::Code;
use serde_json::{Value, json};

use super::super::{
    bytes::{concat, plain, repeat},
    case::File,
    check,
    forge::{
        envelope::{Envelope, pad},
        keys::{ALICE, BOB, CAROL, Odd, mixed_order, p_plus, primary, sha256, sign, sign_oddly},
    },
};

/// PROTOCOL.md's example of a payload.
pub(super) const PAYLOAD: &str = "01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa001122334455667701a8bfd6afa0340d616c696365406b657a2e6c61740b626f62406b657a2e6c617401\
     060568656c6c6f01022103a07b7fd9df4f15644f4b7b49979f8029ce0cd4144cc486e670113b259480ff1c";
/// SHA-256 of the wire that carries it.
const WIRE_SHA256: &str = "4d388dbab71d9f4ee6797f4b52611613c3add23377ebb114f4ab05594b180f64";
const RANDOM: [u8; 32] = [9; 32];

pub(in super::super) fn make() -> File {
    let mut file = File::new("Envelopes and payloads (PROTOCOL.md 6, 7).", check::envelope::run);
    sealed(&mut file);
    opened(&mut file);
    changed(&mut file);
    keys(&mut file);
    signatures(&mut file);
    paddings(&mut file);
    super::payload::make(&mut file);
    file
}

fn example() -> Vec<u8> {
    HEXLOWER.decode(PAYLOAD.as_bytes()).unwrap()
}

fn envelope() -> Envelope {
    Envelope::new(&example(), &RANDOM)
}

fn sealed(file: &mut File) {
    let input = |payload: Value, random: u8| json!({"sender": plain(ALICE), "recipient": primary(BOB), "payload": payload, "random": plain([random; 32])});
    let wire = envelope().seal();
    assert_eq!(HEXLOWER.encode(&sha256(&wire)), WIRE_SHA256);
    file.gives("the example of §6", "envelope.seal", input(json!(PAYLOAD), 9), json!({"wire": plain(wire)}));
    file.ok("the example with other randomness", "envelope.seal", input(json!(PAYLOAD), 10));
    // The lengths at which the padded length changes.
    for len in [0, 255, 256, 271, 272, 511, 512, 1_000] {
        file.ok(&format!("a payload of {len} bytes"), "envelope.seal", input(repeat(&[7], len), 9));
    }
    for len in [1_001, 4_096, 63_487] {
        file.ok(&format!("a payload of {len} bytes"), "envelope.seal", input(repeat(&[1, 2, 0x80, 0], len), 9));
    }
    file.ok("a payload that ends like padding", "envelope.seal", input(json!("8000"), 9));
    file.refused("a payload that does not fit", "envelope.seal", input(repeat(&[7], 63_488), 9), Code::TooLarge);
    let note = json!({"sender": plain(BOB), "recipient": primary(BOB), "payload": "6e6f7465", "random": plain(RANDOM)});
    file.ok("a note to self", "envelope.seal", note);
    let mut unsound = input(json!(PAYLOAD), 9);
    unsound["recipient"] = json!(format!("ed25519:{}", HEXLOWER.encode(&mixed_order(BOB))));
    file.refused("a recipient's key of mixed order", "envelope.seal", unsound, Code::BadKey);
}

fn input(recipient: [u8; 32], wire: &[u8]) -> Value {
    json!({"recipient": plain(recipient), "wire": plain(wire)})
}

fn opens(file: &mut File, name: &str, envelope: &Envelope, payload: &[u8]) {
    let out = json!({"sender": primary(envelope.sender), "payload": plain(payload)});
    file.gives(name, "envelope.open", input(BOB, &envelope.seal()), out);
}

fn opened(file: &mut File) {
    opens(file, "the example, opened", &envelope(), &example());
    for payload in [&b""[..], &[0x80], &[0; 3], &[7; 255], &[7; 256]] {
        let padded = pad(payload, if payload.len() == 256 { 272 } else { 256 });
        let name = format!("{} bytes beginning {:02x?}", payload.len(), &payload[..payload.len().min(1)]);
        opens(file, &name, &Envelope { padded, ..Envelope::new(payload, &RANDOM) }, payload);
    }
    let scalar = [0x11; 32];
    opens(file, "a one-time key made in another way", &Envelope { scalar, ..envelope() }, &example());
    let (sender, named) = (BOB, *primary(BOB).as_bytes());
    opens(file, "a note to self, opened", &Envelope { sender, named, ..envelope() }, &example());

    let wire = envelope().seal();
    file.refused("opened by somebody else", "envelope.open", input(CAROL, &wire), Code::BadHeader);
    file.refused("opened by its sender", "envelope.open", input(ALICE, &wire), Code::BadHeader);
}

/// Changes a sound envelope on its way.
fn changed(file: &mut File) {
    let good = envelope().seal();
    let mut flipped = |name: &str, index: usize, mask: u8, code| {
        let mut wire = good.clone();
        wire[index] ^= mask;
        file.refused(name, "envelope.open", input(BOB, &wire), code);
    };
    let last = good.len() - 1;
    flipped("a flipped bit of the version", 0, 1, Code::BadVersion);
    flipped("version 0x81", 0, 0x80, Code::BadVersion);
    flipped("a flipped bit of the suite", 1, 1, Code::UnknownSuite);
    flipped("suite 3", 1, 2, Code::UnknownSuite);
    flipped("the highest bit of the key id", 2, 0x80, Code::UnknownKeyId);
    flipped("the lowest bit of the key id", 5, 1, Code::UnknownKeyId);
    flipped("a flipped bit of E", 6, 1, Code::BadHeader);
    flipped("a flipped bit in the middle of E", 20, 0x10, Code::BadHeader);
    flipped("the highest bit of E", 37, 0x80, Code::BadKey);
    flipped("a flipped bit of the sender's key", 38, 1, Code::BadHeader);
    flipped("a flipped bit of the signature", 70, 1, Code::BadHeader);
    flipped("a flipped bit of the header's tag", 149, 0x80, Code::BadHeader);
    flipped("a flipped bit of the body", 150, 1, Code::BadHeader);
    flipped("a flipped bit of the padding", 400, 1, Code::BadHeader);
    flipped("a flipped bit of the body's tag", last, 1, Code::BadHeader);

    let mut cut = |name: &str, wire: Value, code| {
        file.refused(name, "envelope.open", json!({"recipient": plain(BOB), "wire": wire}), code);
    };
    cut("no bytes", json!(""), Code::BadLength);
    cut("one byte", json!("01"), Code::BadLength);
    cut("one byte of another version", json!("02"), Code::BadLength);
    cut("two bytes", json!("0101"), Code::BadLength);
    cut("another version and nothing else", json!("0209"), Code::BadVersion);
    cut("another suite and nothing else", json!("0109"), Code::UnknownSuite);
    cut("421 bytes", plain(&good[..last]), Code::BadLength);
    cut("another key id in 421 bytes", concat(&[json!("010100000001"), repeat(&[0], 415)]), Code::BadLength);
    cut("63,655 bytes", concat(&[json!("0101"), repeat(&[0], 63_653)]), Code::BadLength);
    cut("63,655 bytes of another version", concat(&[json!("0201"), repeat(&[0], 63_653)]), Code::BadVersion);
    cut("63,654 bytes of key id 1", concat(&[json!("010100000001"), repeat(&[1], 63_648)]), Code::UnknownKeyId);
    cut("a byte more", concat(&[plain(&good), json!("00")]), Code::BadHeader);
    let other = Envelope { scalar: [0x11; 32], ..envelope() }.seal();
    cut(
        "the header of another envelope",
        concat(&[plain(&good[..38]), plain(&other[38..150]), plain(&good[150..])]),
        Code::BadHeader,
    );
    cut("the body of another envelope", concat(&[plain(&good[..150]), plain(&other[150..])]), Code::BadHeader);
}

fn keys(file: &mut File) {
    let good = envelope().seal();
    let mut with_e = |name: &str, e: [u8; 32], code| {
        let wire = concat(&[plain(&good[..6]), plain(e), plain(&good[38..])]);
        file.refused(name, "envelope.open", json!({"recipient": plain(BOB), "wire": wire}), code);
    };
    let order_eight = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = p_plus(0);
    minus_one[0] -= 1;
    with_e("E is 0", [0; 32], Code::ZeroSecret);
    with_e("E is 1", one, Code::ZeroSecret);
    with_e("E is p − 1", minus_one, Code::ZeroSecret);
    for (index, e) in order_eight.iter().enumerate() {
        let e = HEXLOWER.decode(e.as_bytes()).unwrap().try_into().unwrap();
        with_e(&format!("E is of order eight, {index}"), e, Code::ZeroSecret);
    }
    for low in [0, 1, 9, 18] {
        with_e(&format!("E is p + {low}"), p_plus(low), Code::BadKey);
    }
    let mut high = one;
    high[31] = 0x80;
    with_e("E is 1 with bit 255 set", high, Code::BadKey);

    let identity = one;
    for (name, named) in [
        ("a sender of mixed order", mixed_order(ALICE)),
        ("a sender that is the identity", identity),
        ("a sender that is the identity, not canonical", p_plus(1)),
        ("a sender that is no point", [2; 32]),
        ("a sender of zeros", [0; 32]),
    ] {
        let wire = Envelope { named, ..envelope() }.seal();
        file.refused(name, "envelope.open", input(BOB, &wire), Code::BadKey);
    }
}

fn signatures(file: &mut File) {
    let mut bad = |name: &str, envelope: Envelope, recipient, code| {
        file.refused(name, "envelope.open", input(recipient, &envelope.seal()), code);
    };
    for (name, sign) in [
        (Odd::ALL[0].1, (|seed, message| sign_oddly(seed, message, Odd::HighS)) as fn([u8; 32], &[u8]) -> [u8; 64]),
        (Odd::ALL[1].1, |seed, message| sign_oddly(seed, message, Odd::SmallR)),
        (Odd::ALL[2].1, |seed, message| sign_oddly(seed, message, Odd::NonCanonicalR)),
        (Odd::ALL[3].1, |seed, message| sign_oddly(seed, message, Odd::TorsionR)),
        ("signed by somebody else", |_, message| sign(CAROL, message)),
        ("signed over nothing", |seed, _| sign(seed, b"")),
        ("a signature of zeros", |_, _| [0; 64]),
    ] {
        bad(name, Envelope { sign, ..envelope() }, BOB, Code::BadSignature);
    }
    // Alice signed for Bob, and Bob seals her header for Carol.
    let forwarded = Envelope { recipient: primary(CAROL), ..envelope() };
    bad("forwarded to a third person", forwarded, CAROL, Code::BadSignature);
    let (sender, sign) = (BOB, (|_, message| sign(ALICE, message)) as fn([u8; 32], &[u8]) -> [u8; 64]);
    let forwarded = Envelope { recipient: primary(CAROL), sender, sign, ..envelope() };
    bad("forwarded, sealed by the one who forwards", forwarded, CAROL, Code::BadSignature);
    bad("signed for a third person", Envelope { signed_for: primary(CAROL), ..envelope() }, BOB, Code::BadSignature);
    bad("another commitment", Envelope { other_commitment: true, ..envelope() }, BOB, Code::BadSignature);
    bad("the sender is another", Envelope { named: *primary(CAROL).as_bytes(), ..envelope() }, BOB, Code::BadSignature);
    bad("a body under another key", Envelope { other_body_key: true, ..envelope() }, BOB, Code::BadBody);
    // A fault of the signature comes before one of the body.
    let both = Envelope { other_body_key: true, signed_for: primary(CAROL), ..envelope() };
    bad("a body under another key, signed for another", both, BOB, Code::BadSignature);
}

fn paddings(file: &mut File) {
    let mut twice = pad(b"abc", 256);
    twice[200] = 1;
    let mut other_mark = pad(b"abc", 256);
    other_mark[3] = 0x81;
    for (name, padded) in [
        ("no mark", vec![0; 256]),
        ("a full block without a mark", vec![7; 256]),
        ("another mark", other_mark),
        ("a byte after the mark", twice),
        ("the next length", pad(b"abc", 272)),
        ("a length between", pad(b"abc", 257)),
        ("twice the length", pad(b"abc", 512)),
        ("272 bytes for 255", pad(&[7; 255], 272)),
        ("288 bytes for 256", pad(&[7; 256], 288)),
        ("a multiple of 16 that is no length", pad(&[7; 512], 528)),
    ] {
        let wire = Envelope { padded, ..envelope() }.seal();
        file.refused(&format!("padding: {name}"), "envelope.open", input(BOB, &wire), Code::BadPadding);
    }
}
