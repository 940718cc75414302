//! `identity.json`: claims and their proofs.

use bech32::{Bech32, Bech32m, Hrp};
use data_encoding::HEXLOWER;
use kez_core::{Code, claim::NostrSecretKey};
use serde_json::{Value, json};

use super::super::{
    bytes::plain,
    case::File,
    forge::keys::{ALICE, BOB, Odd, base64, primary, sign, sign_oddly},
    replay::Replay,
};

const LINE: &str = "kez1:dns:alice.example:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c:\
                    mHwuMow0Plelt66nkn0wuwVr0HzBaOwhDajK04a-qtImZdj8ZP4jUksDc56jEAl5CnqrhsGYJHYPah6G7GZwCg";
/// The npub of NIP-19's examples.
const NPUB: &str = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
const NPUB_HEX: &str = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e";
const GIST: &str = "https://gist.github.com/alice/0a1b";

pub(super) fn make(file: &mut File) {
    places(file);
    malformed(file);
    npubs(file);
    proved(file);
    lines(file);
    nostr(file);
}

fn input(claim: &str, at: Option<&str>) -> Value {
    json!({"claim": claim, "at": at})
}

fn places(file: &mut File) {
    let user = "a".repeat(39);
    let longest = format!("github:{user}");
    let at = format!("https://gist.github.com/{user}/0");
    let place = format!("{user}/0");
    for (claim, at, scheme, place) in [
        ("dns:alice.example", None, "dns", Some("_kez.alice.example")),
        ("dns:localhost", Some("nowhere"), "dns", Some("_kez.localhost")),
        ("https:alice.example", None, "https", Some("https://alice.example/.well-known/kez.txt")),
        ("github:alice", Some(GIST), "github", Some("alice/0a1b")),
        (&longest, Some(&at), "github", Some(&place)),
        ("github:-", Some("https://gist.github.com/-/f"), "github", Some("-/f")),
        ("mastodon:@alice@social.example", None, "unknown", None),
        ("x:y", Some("z"), "unknown", None),
        ("a1:::", None, "unknown", None),
    ] {
        let out = json!({"scheme": scheme, "where": place});
        file.gives(&format!("the claim {claim}"), "claim.parse", input(claim, at), out);
    }
    let nostr = format!("nostr:{NPUB}");
    file.gives("the claim of an npub", "claim.parse", input(&nostr, None), json!({"scheme": "nostr", "where": null}));
}

fn malformed(file: &mut File) {
    let mut bad = |name: &str, claim: &str, at: Option<&str>| {
        file.refused(&format!("claim: {name}"), "claim.parse", input(claim, at), Code::BadClaim);
    };
    for (name, claim) in [
        ("empty", ""),
        ("no scheme", "alice.example"),
        ("an empty scheme", ":alice.example"),
        ("a scheme in capitals", "DNS:alice.example"),
        ("a scheme that begins with a digit", "1a:b"),
        ("a scheme with a hyphen", "a-b:c"),
        ("nothing claimed", "x:"),
        ("a blank", "x:a b"),
        ("not ASCII", "x:\u{e9}"),
        ("a domain in capitals", "dns:Alice.example"),
        ("a domain with a port", "dns:localhost:80"),
        ("a domain with a dot at its end", "dns:alice.example."),
        ("a domain with an underscore", "dns:_kez.alice.example"),
        ("an address as a domain", "dns:127.0.0.1"),
        ("a wildcard domain", "dns:*.example"),
        ("a host with a port", "https:alice.example:443"),
        ("a host with a path", "https:alice.example/x"),
        ("a host with slashes", "https://alice.example"),
        ("an address as a host", "https:0x7f"),
    ] {
        bad(name, claim, None);
    }
    bad("256 characters", &format!("x:{}", "y".repeat(256)), None);
    for (name, claim, at) in [
        ("a user in capitals", "github:Alice", GIST),
        ("a user with an underscore", "github:a_b", GIST),
        ("an empty user", "github:", GIST),
        ("a user of 40 characters", &format!("github:{}", "a".repeat(40)), GIST),
        ("another user's gist", "github:bob", GIST),
        ("a gist over http", "github:alice", "http://gist.github.com/alice/0a"),
        ("a gist elsewhere", "github:alice", "https://gist.github.example/alice/0a"),
        ("a gist's host in capitals", "github:alice", "https://Gist.github.com/alice/0a"),
        ("a gist's user in capitals", "github:alice", "https://gist.github.com/Alice/0a"),
        ("a gist's id in capitals", "github:alice", "https://gist.github.com/alice/0A"),
        ("a gist without an id", "github:alice", "https://gist.github.com/alice/"),
        ("a gist's id that is no hex", "github:alice", "https://gist.github.com/alice/0g"),
        ("a slash after the gist's id", "github:alice", "https://gist.github.com/alice/0a/"),
        ("a query after the gist's id", "github:alice", "https://gist.github.com/alice/0a?x"),
        ("a fragment after the gist's id", "github:alice", "https://gist.github.com/alice/0a#x"),
    ] {
        bad(name, claim, Some(at));
    }
    bad("no gist", "github:alice", None);
    let long = format!("https://gist.github.com/alice/{}", "0".repeat(1025 - 30));
    bad("a gist's URL of 1,025 characters", "github:alice", Some(&long));
}

fn npubs(file: &mut File) {
    let hrp = |text| Hrp::parse(text).unwrap();
    let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap();
    let key = bytes(NPUB_HEX);
    assert_eq!(bech32::encode::<Bech32>(hrp("npub"), &key).unwrap(), NPUB, "NIP-19's example");
    let encode = |prefix, bytes: &[u8]| bech32::encode::<Bech32>(hrp(prefix), bytes).unwrap();
    // BIP-340's vectors 5 and 14.
    let off_curve = bytes("eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34");
    let above = bytes("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30");
    for (name, npub) in [
        ("hex instead of an npub", NPUB_HEX.to_owned()),
        ("an npub in capitals", NPUB.to_uppercase()),
        ("an npub with one capital", NPUB.replacen("npub1", "nPub1", 1)),
        ("an npub with a wrong checksum", format!("{}q", &NPUB[..NPUB.len() - 1])),
        ("an npub in bech32m", bech32::encode::<Bech32m>(hrp("npub"), &key).unwrap()),
        ("a secret key", encode("nsec", &key)),
        ("an npub of 31 bytes", encode("npub", &key[..31])),
        ("an npub of 33 bytes", encode("npub", &[&key[..], &[0]].concat())),
        ("an npub that is not on the curve", encode("npub", &off_curve)),
        ("an npub above the field", encode("npub", &above)),
        ("an npub of zero", encode("npub", &[0; 32])),
        ("an npub with a blank", format!(" {NPUB}")),
    ] {
        file.refused(name, "claim.parse", input(&format!("nostr:{npub}"), None), Code::BadClaim);
    }
}

fn proved(file: &mut File) {
    let prove = |claim: &str| json!({"seed": plain(ALICE), "claim": claim});
    file.gives("the example of §10", "claim.prove", prove("dns:alice.example"), json!({"line": LINE}));
    file.ok("a web site is proved", "claim.prove", prove("https:alice.example"));
    file.ok("a GitHub user is proved", "claim.prove", prove("github:alice"));
    for (name, claim) in [
        ("no text proves an npub", format!("nostr:{NPUB}")),
        ("no text proves an unknown claim", "x:y".to_owned()),
        ("a malformed domain is not proved", "dns:Alice.example".to_owned()),
    ] {
        file.refused(name, "claim.prove", prove(&claim), Code::BadClaim);
    }
    let statement = json!({"kind": "claim", "claim": "dns:alice.example", "key": primary(ALICE)});
    let message = ["kez/claim/1\0dns:alice.example\0", &primary(ALICE).to_string(), "\0"].concat();
    let signature = LINE.rsplit_once(':').unwrap().1;
    let out = json!({"message": plain(message), "signature": signature});
    file.gives("a claim, signed", "statement.sign", json!({"seed": plain(ALICE), "statement": statement}), out);
    let statement = json!({"kind": "claim", "claim": "x:any thing", "key": primary(ALICE)});
    let input = json!({"seed": plain(ALICE), "statement": statement});
    file.refused("no claim, signed", "statement.sign", input, Code::BadClaim);
}

/// Returns the statement of Alice's claim, signed in a way, as a proof text.
fn line(claim: &str, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
    let message = ["kez/claim/1\0", claim, "\0", &primary(ALICE).to_string(), "\0"].concat();
    format!("kez1:{claim}:{}:{}", primary(ALICE).to_hex(), base64(sign(message.as_bytes())))
}

fn lines(file: &mut File) {
    let verify = |claim: &str, at: Option<&str>, line: &str| json!({"key": primary(ALICE), "claim": claim, "at": at, "line": line});
    let dns = "dns:alice.example";
    let alices = |claim: &str| line(claim, |message| sign(ALICE, message));
    file.passes("a domain's proof", "claim.verify", verify(dns, None, LINE));
    file.passes("a web site's proof", "claim.verify", verify("https:a.example", None, &alices("https:a.example")));
    file.passes("a GitHub user's proof", "claim.verify", verify("github:alice", Some(GIST), &alices("github:alice")));

    let hex = primary(ALICE).to_hex();
    let mut bad = |name: &str, line: &str, code| {
        file.refused(&format!("proof: {name}"), "claim.verify", verify(dns, None, line), code);
    };
    for (name, line) in [
        ("an empty line", String::new()),
        ("another prefix", LINE.replacen("kez1", "kez2", 1)),
        ("a prefix in capitals", LINE.replacen("kez1", "KEZ1", 1)),
        ("a blank before", format!(" {LINE}")),
        ("no signature's place", format!("kez1:{dns}:{hex}")),
        ("no claim", format!("kez1:{hex}:{}", base64([0; 64]))),
        ("a claim that is none", format!("kez1:alice:{hex}:{}", base64([0; 64]))),
        ("a key in capitals", LINE.replace(&hex, &hex.to_uppercase())),
        ("a key of 63 digits", LINE.replace(&hex, &hex[1..])),
        ("a blank in the claim", LINE.replacen("alice.", "ali ce.", 1)),
    ] {
        bad(name, &line, Code::BadClaim);
    }
    let signature = LINE.rsplit_once(':').unwrap().1;
    for (name, line) in [
        // Read from the right, the prefix of the key belongs to the claim.
        ("a key in text form", LINE.replace(&hex, &primary(ALICE).to_string())),
        ("another claim", LINE.replacen("alice.example", "alicf.example", 1)),
        ("another scheme", LINE.replacen("dns:", "https:", 1)),
        ("a claim in capitals", LINE.replacen("alice.example", "Alice.example", 1)),
        ("another key", LINE.replace(&hex, &primary(BOB).to_hex())),
        ("another key that is not sound", LINE.replace(&hex, &"00".repeat(32))),
        ("a colon more in the claim", LINE.replacen("dns:", "dns::", 1)),
        ("another claim and a bad signature", LINE.replacen("alice", "bob", 1).replace(signature, "%")),
    ] {
        bad(name, &line, Code::WrongSubject);
    }
    for (name, line) in [
        ("a padded signature", format!("{LINE}==")),
        ("a blank after", format!("{LINE} ")),
        ("a carriage return after", format!("{LINE}\r")),
        ("a signature that is no base64", LINE.replace(signature, "%")),
    ] {
        bad(name, &line, Code::BadBase64);
    }
    bad("an empty signature", &LINE.replace(signature, ""), Code::BadSignature);
    bad("a signature of 63 bytes", &LINE.replace(signature, &signature[..84]), Code::BadSignature);
    bad("a flipped bit", &LINE.replacen("mHwu", "mHwv", 1), Code::BadSignature);
    bad("another's signature", &line(dns, |message| sign(BOB, message)), Code::BadSignature);
    for (odd, name) in Odd::ALL {
        bad(name, &line(dns, |message| sign_oddly(ALICE, message, odd)), Code::BadSignature);
    }
    let swapped = alices("https:alice.example").replacen("https:", "dns:", 1);
    bad("the signature of another scheme", &swapped, Code::BadSignature);

    let nostr = format!("nostr:{NPUB}");
    let refused = [
        ("a text for an npub", verify(&nostr, None, &alices(&nostr))),
        ("a text for an unknown claim", verify("x:y", None, &alices("x:y"))),
        ("a GitHub user's proof without a gist", verify("github:alice", None, &alices("github:alice"))),
    ];
    for (name, input) in refused {
        file.refused(name, "claim.verify", input, Code::BadClaim);
    }
}

fn nostr(file: &mut File) {
    let secret = NostrSecretKey::from_bytes(&[0x21; 32]).unwrap();
    let other = NostrSecretKey::from_bytes(&[0x22; 32]).unwrap();
    let claim = |secret: &NostrSecretKey| format!("nostr:{}", secret.public().to_npub());
    let prove = |secret: &NostrSecretKey, holder| {
        let claim = claim(secret).parse().unwrap();
        secret.prove(&claim, &primary(holder), &mut Replay::new(vec![0x23; 32])).unwrap().to_bytes()
    };
    let input = |claim: &str, sig: [u8; 64]| json!({"key": primary(ALICE), "claim": claim, "sig": plain(sig)});
    let good = prove(&secret, ALICE);
    file.passes("an npub's signature", "claim.nostr", input(&claim(&secret), good));
    let changed = |index: usize, mask: u8| {
        let mut sig = good;
        sig[index] ^= mask;
        sig
    };
    // BIP-340's order n, which s is below.
    let order = HEXLOWER.decode(b"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let with = |r: &[u8], s: &[u8]| -> [u8; 64] { [r, s].concat().try_into().unwrap() };
    for (name, sig) in [
        ("a flipped bit of the point", changed(0, 1)),
        ("a flipped bit of the scalar", changed(63, 1)),
        ("another npub's signature", prove(&other, ALICE)),
        ("a signature for another person", prove(&secret, BOB)),
        ("a scalar that is the order", with(&good[..32], &order)),
        ("a point above the field", with(&[0xff; 32], &good[32..])),
        ("an npub's signature of zeros", [0; 64]),
        ("the primary's signature", sign(ALICE, claim(&secret).as_bytes())),
    ] {
        file.refused(name, "claim.nostr", input(&claim(&secret), sig), Code::BadSignature);
    }
    file.refused("an npub's signature for a domain", "claim.nostr", input("dns:alice.example", good), Code::BadClaim);
    file.refused("an npub's signature for an unknown claim", "claim.nostr", input("x:y", good), Code::BadClaim);
    file.refused("an npub's signature for no npub", "claim.nostr", input("nostr:npub1", good), Code::BadClaim);
}
