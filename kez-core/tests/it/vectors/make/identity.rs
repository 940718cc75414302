//! `identity.json`: keys, paper backups and statements; names are in [`super::handles`].

use curve25519_dalek::constants::EIGHT_TORSION;
use data_encoding::{BASE64, HEXLOWER};
use kez_core::{
    Code,
    broker::nkey::{self, Kind},
};
use serde_json::{Value, json};

use super::super::{
    bytes::plain,
    case::File,
    check,
    forge::keys::{ALICE, BOB, CAROL, Odd, SERVER, base64, mixed_order, p_plus, primary, sign, sign_oddly},
};

const ALICE_WORDS: &str = "absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid \
                           letter advice cage absurd amount doctor acoustic avoid letter advice comic";
const ALICE_NKEY: &str = "UCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZ45L";

pub(in super::super) fn make() -> File {
    let about =
        "Keys, paper backups, statements, handles, contact URIs, safety numbers, claims (PROTOCOL.md 1-3, 10, 11).";
    let mut file = File::new(about, check::identity::run);
    keys(&mut file);
    texts(&mut file);
    mnemonics(&mut file);
    statements(&mut file);
    signatures(&mut file);
    super::handles::make(&mut file);
    super::claims::make(&mut file);
    file
}

fn keys(file: &mut File) {
    file.gives(
        "Alice's key",
        "key.from_seed",
        json!({"seed": plain(ALICE)}),
        json!({
            "key": "ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            "hex": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            "nkey": ALICE_NKEY,
            "x25519_secret": "58e86efb75fa4e2c410f46e16de9f6acae1a1703528651b69bc176c088bef36e",
            "x25519_public": "1b1b58dd50ea14b60da17b790cd02754d970c9bab864ebb3c0f3016fe51d3f57",
            "words": ALICE_WORDS,
        }),
    );
    for (name, seed) in [("Bob's key", BOB), ("the server's key", SERVER), ("the seed of zeros", [0; 32])] {
        file.ok(name, "key.from_seed", json!({"seed": plain(seed)}));
    }

    let from_bytes = |bytes: [u8; 32]| json!({"bytes": plain(bytes)});
    file.gives("sound bytes", "key.from_bytes", from_bytes(*primary(BOB).as_bytes()), json!({"key": primary(BOB)}));
    let mut bad = |name: &str, bytes| file.refused(name, "key.from_bytes", from_bytes(bytes), Code::BadKey);
    for (index, point) in EIGHT_TORSION.iter().enumerate() {
        bad(&format!("point {index} of the small subgroup"), point.compress().to_bytes());
    }
    // The y of these is at or above p. Those whose x exists have a canonical twin, which may even be sound.
    for low in [0, 1, 3, 4, 5, 6, 9, 18] {
        bad(&format!("y = p + {low}"), p_plus(low));
    }
    let signed = |mut bytes: [u8; 32]| {
        bytes[31] |= 0x80;
        bytes
    };
    bad("y = p with the sign of x", signed(p_plus(0)));
    bad("the identity with the sign of x", signed(EIGHT_TORSION[0].compress().to_bytes()));
    bad("the point of order two with the sign of x", signed(EIGHT_TORSION[4].compress().to_bytes()));
    bad("not on the curve", [2; 32]);
    bad("a sound key plus a point of order eight", mixed_order(ALICE));
    let mut flipped = *primary(ALICE).as_bytes();
    flipped[0] ^= 1;
    bad("Alice's key with a flipped bit", flipped);
}

fn texts(file: &mut File) {
    let alice = primary(ALICE).to_string();
    let hex = primary(ALICE).to_hex();
    let text = |text: &str| json!({"text": text});
    file.gives("a key's text", "key.from_text", text(&alice), json!({"hex": hex}));
    for (name, bad) in [
        ("an upper-case prefix", alice.replace("ed25519", "Ed25519")),
        ("upper-case digits", format!("ed25519:{}", hex.to_uppercase())),
        ("no prefix", hex.clone()),
        ("another prefix", alice.replace("ed25519", "x25519")),
        ("63 digits", alice[..71].to_owned()),
        ("65 digits", format!("{alice}0")),
        ("a blank before", format!(" {alice}")),
        ("a newline after", format!("{alice}\n")),
        ("a letter that is no digit", format!("{}g", &alice[..71])),
        ("a full-width digit", format!("{}\u{ff11}", &alice[..71])),
        ("an empty text", String::new()),
    ] {
        file.refused(name, "key.from_text", text(&bad), Code::BadKeyText);
    }
    let unsound = format!("ed25519:{}", HEXLOWER.encode(&mixed_order(ALICE)));
    file.refused("the text of a key of mixed order", "key.from_text", text(&unsound), Code::BadKey);

    for (kind, name) in
        [(Kind::User, "user"), (Kind::Account, "account"), (Kind::Server, "server"), (Kind::Curve, "curve")]
    {
        let nkey = nkey::encode(kind, primary(ALICE).as_bytes());
        let out = json!({"kind": name, "hex": hex});
        file.gives(&format!("a NATS key: {name}"), "nkey.decode", text(&nkey), out);
    }
    let out = json!({"kind": "user", "hex": plain([0; 32])});
    file.gives("a NATS key that is not sound", "nkey.decode", text(&nkey::encode(Kind::User, &[0; 32])), out);
    let (seed_prefix, last) = (ALICE_NKEY.replacen('U', "S", 1), &ALICE_NKEY[..55]);
    for (name, bad) in [
        ("a NATS key in lower case", ALICE_NKEY.to_lowercase()),
        ("a NATS key of 55 characters", last.to_owned()),
        ("a NATS key of 57 characters", format!("{ALICE_NKEY}A")),
        ("a NATS key with padding", format!("{ALICE_NKEY}======")),
        ("a NATS key of another kind", seed_prefix),
        ("a NATS key with a wrong checksum", format!("{last}M")),
        ("a NATS key with a changed letter", ALICE_NKEY.replacen("FIRY", "FIRZ", 1)),
        ("a NATS key with a digit that base32 lacks", ALICE_NKEY.replacen("FIRY", "FIR1", 1)),
        ("no NATS key", String::new()),
    ] {
        file.refused(name, "nkey.decode", text(&bad), Code::BadKeyText);
    }
    file.gives("a user's NATS key", "nkey.user", text(ALICE_NKEY), json!({"key": alice}));
    let account = nkey::encode(Kind::Account, primary(ALICE).as_bytes());
    file.refused("an account's key as a user's", "nkey.user", text(&account), Code::BadKeyText);
    let unsound = nkey::encode(Kind::User, &mixed_order(ALICE));
    file.refused("a user's NATS key of mixed order", "nkey.user", text(&unsound), Code::BadKey);
}

fn mnemonics(file: &mut File) {
    let text = |words: &str| json!({"text": words});
    let legal = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful \
                 legal winner thank year wave sausage worth title";
    for (name, words, seed) in [
        ("Alice's words", ALICE_WORDS.to_owned(), ALICE),
        ("BIP-39's words for 7f", legal.to_owned(), [0x7f; 32]),
        ("BIP-39's words for 00", format!("{}art", "abandon ".repeat(23)), [0; 32]),
        ("BIP-39's words for ff", format!("{}vote", "zoo ".repeat(23)), [0xff; 32]),
        ("upper case", ALICE_WORDS.to_uppercase(), ALICE),
        ("blanks, tabs and lines", format!("\t {}\r\n", ALICE_WORDS.replace(' ', " \n")), ALICE),
        ("ideographic and no-break blanks", ALICE_WORDS.replace(' ', "\u{3000}\u{a0}"), ALICE),
        ("the next-line character between words", ALICE_WORDS.replacen(' ', "\u{85}", 1), ALICE),
        ("full-width letters in a word", ALICE_WORDS.replacen("cage", "\u{ff43}\u{ff21}ge", 1), ALICE),
        ("a long s in a word", ALICE_WORDS.replacen("absurd", "ab\u{17f}urd", 1), ALICE),
        ("the Kelvin sign in a word", legal.replacen("thank", "than\u{212a}", 1), [0x7f; 32]),
    ] {
        file.gives(name, "mnemonic.parse", text(&words), json!({"seed": plain(seed)}));
    }
    let first_23 = ALICE_WORDS.rsplit_once(' ').unwrap().0;
    for (name, words) in [
        ("no words", String::new()),
        ("12 words", format!("{}about", "abandon ".repeat(11))),
        ("23 words", first_23.to_owned()),
        ("25 words", format!("{ALICE_WORDS} comic")),
        ("a word that is not on the list", ALICE_WORDS.replacen("doctor", "doctors", 1)),
        ("a word cut to four letters", ALICE_WORDS.replacen("doctor", "doct", 1)),
        ("another last word", format!("{first_23} cage")),
        ("two words in each other's place", ALICE_WORDS.replacen("absurd amount", "amount absurd", 1)),
        ("an accent on a word", ALICE_WORDS.replacen("absurd", "absu\u{301}rd", 1)),
        ("words joined by hyphens", ALICE_WORDS.replace(' ', "-")),
        ("an invisible character in a word", ALICE_WORDS.replacen("absurd", "ab\u{200b}surd", 1)),
        ("a separator that is no white space", ALICE_WORDS.replacen(' ', "\u{1f}", 1)),
        ("a word in Cyrillic letters", ALICE_WORDS.replacen("cage", "c\u{430}ge", 1)),
    ] {
        file.refused(name, "mnemonic.parse", text(&words), Code::BadMnemonic);
    }
}

fn register() -> Value {
    json!({"kind": "register", "handle": "alice@kez.lat", "key": primary(ALICE)})
}

fn statements(file: &mut File) {
    let retire = json!({"kind": "retire", "handle": "alice@kez.lat", "key": primary(ALICE)});
    let nats = |domain: &str, nonce: &str| json!({"kind": "nats", "domain": domain, "nonce": nonce});
    let naming = |context: &str| plain([context, "\0alice@kez.lat\0", &primary(ALICE).to_string(), "\0"].concat());
    let login = "6b657a2f6e6174732f3100294e149947a0db2d61719f1f64318ae3c4b4cbe9740ca5d00adeebb44b8cf4de";
    let (registered, retired, logged_in) = (
        "ua_B8JNT00BrExjwkt-9p57LQhLOR3PeQX0chUQvVIHdJsUpNvYQu41tuMn7DQyWHEXpu6ilgWv8n2R3Wd-1Cw",
        "LnRc2VVE5viGufc99SQwOD6KvE42xfzpls7E2Oie-1Hr3WXMGvs9fbo-eudT-stO4srMbSJ7EeVNypqlkufrDw",
        "FDLect5d1B1V3CVad62uGr1jDtcSebKss34ILlZVRuNXOG9MZ9EtTy0tdrnizFWPfAOC9BZoKMODUanW5BUUDQ",
    );
    for (name, statement, message, signature) in [
        ("a registration", register(), naming("kez/register/1"), registered),
        ("a retirement", retire, naming("kez/retire/1"), retired),
        ("a login", nats("kez.lat", "abcdefghijklmno"), json!(login), logged_in),
    ] {
        let input = json!({"seed": plain(ALICE), "statement": statement});
        let out = json!({"message": message, "signature": signature});
        file.gives(&format!("{name}, signed"), "statement.sign", input, out);
        let input = json!({"key": primary(ALICE), "statement": statement, "signature": signature});
        file.passes(&format!("{name}, verified"), "statement.verify", input);
    }
    for (name, domain, nonce) in [
        ("a login at a port", "localhost:8080", "n".to_owned()),
        ("a nonce of 64 bytes", "kez.lat", "n".repeat(64)),
        ("a nonce that is not ASCII", "kez.lat", "\u{e9}\u{1f600}".to_owned()),
    ] {
        file.ok(name, "statement.sign", json!({"seed": plain(BOB), "statement": nats(domain, &nonce)}));
    }
    for (name, statement, code) in [
        ("an empty nonce", nats("kez.lat", ""), Code::BadNonce),
        ("a nonce of 65 bytes", nats("kez.lat", &"n".repeat(65)), Code::BadNonce),
        ("a nonce of 33 characters in 66 bytes", nats("kez.lat", &"\u{e9}".repeat(33)), Code::BadNonce),
        ("a login at an address", nats("127.0.0.1", "n"), Code::BadHandle),
        (
            "a registration of a bare name",
            json!({"kind": "register", "handle": "alice", "key": primary(ALICE)}),
            Code::BadHandle,
        ),
    ] {
        file.refused(name, "statement.sign", json!({"seed": plain(ALICE), "statement": statement}), code);
    }

    let mut bad = |name: &str, signer, statement: Value, signature: &str| {
        let input = json!({"key": primary(signer), "statement": statement, "signature": signature});
        file.refused(name, "statement.verify", input, Code::BadSignature);
    };
    bad("another's signature", BOB, register(), registered);
    bad(
        "a registration taken for a retirement",
        ALICE,
        json!({"kind": "retire", "handle": "alice@kez.lat", "key": primary(ALICE)}),
        registered,
    );
    bad(
        "a registration of another handle",
        ALICE,
        json!({"kind": "register", "handle": "alicf@kez.lat", "key": primary(ALICE)}),
        registered,
    );
    bad(
        "a registration of another key",
        ALICE,
        json!({"kind": "register", "handle": "alice@kez.lat", "key": primary(BOB)}),
        registered,
    );
    bad("a login at another home", ALICE, nats("kez.lat.example", "abcdefghijklmno"), logged_in);
    bad("a login with another nonce", ALICE, nats("kez.lat", "abcdefghijklmnp"), logged_in);
    bad("a login with the border moved", ALICE, nats("kez.la", "tabcdefghijklmno"), logged_in);
    let bare = base64(sign(ALICE, b"abcdefghijklmno"));
    bad("a bare nonce, signed", ALICE, nats("kez.lat", "abcdefghijklmno"), &bare);
}

fn signatures(file: &mut File) {
    let message = [b"kez/register/1\0alice@kez.lat\0", primary(ALICE).to_string().as_bytes(), b"\0"].concat();
    let good = sign(ALICE, &message);
    let mut bad = |name: &str, signature: String, code| {
        let input = json!({"key": primary(ALICE), "statement": register(), "signature": signature});
        file.refused(name, "statement.verify", input, code);
    };
    for (odd, name) in Odd::ALL {
        bad(name, base64(sign_oddly(ALICE, &message, odd)), Code::BadSignature);
    }
    for (name, index) in [("a flipped bit of R", 0), ("a flipped bit of S", 32), ("S with its top bit set", 63)] {
        let mut flipped = good;
        flipped[index] ^= if index == 63 { 0x80 } else { 1 };
        bad(name, base64(flipped), Code::BadSignature);
    }
    bad("a signature of zeros", base64([0; 64]), Code::BadSignature);
    bad("63 bytes", base64(&good[..63]), Code::BadSignature);
    bad("65 bytes", base64([&good[..], &[0]].concat()), Code::BadSignature);
    bad("an empty signature", String::new(), Code::BadSignature);
    let text = base64(good);
    bad("padding after the signature", format!("{text}=="), Code::BadBase64);
    bad("the other alphabet", BASE64.encode(&good).trim_end_matches('=').to_owned(), Code::BadBase64);
    bad("a blank in the signature", text.replacen('_', "_ ", 1), Code::BadBase64);
    bad("a newline after the signature", format!("{text}\n"), Code::BadBase64);
    bad("one character more", format!("{text}AAA"), Code::BadBase64);
    // The last character carries four bits that are not used; any of them set is another spelling.
    let last = text.chars().last().unwrap();
    let twin = char::from(u8::try_from(last).unwrap() + 1);
    bad("unused bits that are not zero", format!("{}{twin}", &text[..85]), Code::BadBase64);
    bad("a letter that is no base64url", format!("{}\u{e9}", &text[..84]), Code::BadBase64);

    let input = |key: [u8; 32]| {
        let key = format!("ed25519:{}", HEXLOWER.encode(&key));
        json!({"key": key, "statement": register(), "signature": base64(good)})
    };
    file.refused("a signer's key of mixed order", "statement.verify", input(mixed_order(ALICE)), Code::BadKey);
    let identity = EIGHT_TORSION[0].compress().to_bytes();
    file.refused("a signer's key that is the identity", "statement.verify", input(identity), Code::BadKey);
    let input = json!({"a": primary(CAROL), "b": "ed25519:00"});
    file.refused("a safety number with no key", "safety", input, Code::BadKeyText);
}
