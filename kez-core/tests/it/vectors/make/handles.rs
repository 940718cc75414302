//! `identity.json`: handles, homes, contact URIs and safety numbers.

use kez_core::Code;
use serde_json::json;

use super::super::{
    case::File,
    forge::keys::{ALICE, BOB, CAROL, primary},
};

/// The list of §2, written down a second time.
const RESERVED: [&str; 41] = [
    "abuse",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "billing",
    "bot",
    "channel",
    "everyone",
    "help",
    "here",
    "home",
    "hostmaster",
    "info",
    "kez",
    "kez-chat",
    "mail",
    "me",
    "mod",
    "moderator",
    "nats",
    "no-reply",
    "nobody",
    "noreply",
    "null",
    "official",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "sig",
    "staff",
    "support",
    "system",
    "undefined",
    "unknown",
    "webmaster",
    "www",
    "you",
];

pub(super) fn make(file: &mut File) {
    parsed(file);
    qualified(file);
    homes(file);
    uris(file);
    for handle in ["alice@kez.lat", "admin1@kez.lat", "kez_chat@kez.lat", "kez-lat@root"] {
        file.passes(&format!("{handle} may be given"), "handle.free", json!({"handle": handle}));
    }
    for name in RESERVED {
        let input = json!({"handle": format!("{name}@kez.lat")});
        file.refused(&format!("{name} is reserved"), "handle.free", input, Code::ReservedHandle);
    }
    let input = json!({"handle": "Admin@kez.lat"});
    file.refused("a reserved name in capitals", "handle.free", input, Code::BadHandle);
    let number = "06865 37674 87780 55949 04883 36766 04425 98347 65722 81078 87399 33836";
    for (name, a, b) in [("a safety number", ALICE, BOB), ("a safety number from the other side", BOB, ALICE)] {
        file.gives(name, "safety", json!({"a": primary(a), "b": primary(b)}), json!({"number": number}));
    }
    file.ok("another safety number", "safety", json!({"a": primary(ALICE), "b": primary(CAROL)}));
    file.ok("a safety number with oneself", "safety", json!({"a": primary(BOB), "b": primary(BOB)}));
}

fn parsed(file: &mut File) {
    let input = |text: &str, home: Option<&str>| json!({"text": text, "home": home, "policy": "production"});
    let (longest, own) = ("a".repeat(32), Some("kez.lat"));
    for (text, home, handle, shown) in [
        ("@Alice", own, "alice@kez.lat", Some("@alice")),
        ("alice", own, "alice@kez.lat", Some("@alice")),
        ("ALICE@KEZ.LAT", own, "alice@kez.lat", Some("@alice")),
        ("@alice@kez.lat", None, "alice@kez.lat", None),
        ("bob@other.example", own, "bob@other.example", Some("@bob@other.example")),
        ("a_b-c9@localhost:8080", own, "a_b-c9@localhost:8080", Some("@a_b-c9@localhost:8080")),
        ("42", own, "42@kez.lat", Some("@42")),
        ("root", own, "root@kez.lat", Some("@root")),
    ] {
        let out = json!({"handle": handle, "shown": shown});
        file.gives(&format!("input {text:?}"), "handle.parse", input(text, home), out);
    }
    let out = json!({"handle": format!("{longest}@kez.lat"), "shown": format!("@{longest}")});
    file.gives("a name of 32 characters", "handle.parse", input(&longest, own), out);

    let mut bad = |name: &str, text: &str, home| {
        file.refused(name, "handle.parse", input(text, home), Code::BadHandle);
    };
    bad("a bare name without a home to complete it", "@alice", None);
    bad("a name of one character", "a", own);
    bad("a name of 33 characters", &"a".repeat(33), own);
    for (name, text) in [
        ("nothing", ""),
        ("an @ alone", "@"),
        ("two @ before a name", "@@alice"),
        ("a name without its home", "alice@"),
        ("a home without its name", "@@kez.lat"),
        ("two homes", "alice@kez.lat@kez.lat"),
        ("a hyphen first", "-alice"),
        ("a hyphen last", "alice-"),
        ("an underscore first", "_alice"),
        ("an underscore last", "alice_"),
        ("a dot in a name", "al.ice"),
        ("a blank in a name", "al ice"),
        ("a blank around a name", " alice"),
        ("a plus in a name", "al+ice"),
        ("a Cyrillic a", "\u{430}lice"),
        ("the Kelvin sign for a k", "\u{212a}ez-fan"),
        ("a long s", "\u{17f}am"),
        ("full-width letters", "\u{ff41}lice"),
        ("a zero-width blank", "al\u{200b}ice"),
        ("a dotless i", "al\u{131}ce"),
        ("an umlaut", "m\u{fc}ller"),
    ] {
        bad(name, text, own);
    }
}

fn qualified(file: &mut File) {
    let input = |text: &str, policy: &str| json!({"text": text, "policy": policy});
    for text in ["alice@kez.lat", "al@localhost", "root@kez.lat"] {
        file.gives(&format!("stored {text}"), "handle.qualified", input(text, "production"), json!({"handle": text}));
    }
    let text = "alice@kez.lat:8080";
    file.gives("a port under development", "handle.qualified", input(text, "development"), json!({"handle": text}));
    for (name, text) in [
        ("stored with an @ before", "@alice@kez.lat"),
        ("stored without a home", "alice"),
        ("stored with a capital in the name", "Alice@kez.lat"),
        ("stored with a capital in the home", "alice@Kez.lat"),
        ("stored with a port", "alice@kez.lat:8080"),
        ("stored with a dot at its end", "alice@kez.lat."),
        ("stored with a newline", "alice@kez.lat\n"),
        ("nothing stored", ""),
    ] {
        file.refused(name, "handle.qualified", input(text, "production"), Code::BadHandle);
    }
}

fn homes(file: &mut File) {
    let input = |text: &str, policy: &str| json!({"text": text, "policy": policy});
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    for (text, home) in [
        ("KEZ.lat", "kez.lat"),
        ("localhost", "localhost"),
        ("localhost:1", "localhost:1"),
        ("localhost:65535", "localhost:65535"),
        ("lat", "lat"),
        ("a-b.example", "a-b.example"),
        ("a--b.example", "a--b.example"),
        ("1.2.3.example", "1.2.3.example"),
        ("127.0.0.0x7g", "127.0.0.0x7g"),
        ("1.2.3.4a", "1.2.3.4a"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        file.gives(&format!("home {text}"), "home.parse", input(text, "production"), json!({"home": home}));
    }
    file.gives("a home of 253 characters", "home.parse", input(&longest, "production"), json!({"home": longest}));
    let ported = format!("{longest}:65535");
    let out = json!({"home": ported});
    file.gives("a home of 253 characters and a port", "home.parse", input(&ported, "development"), out);
    let out = json!({"home": "kez.lat:80"});
    file.gives("a home with a port under development", "home.parse", input("kez.lat:80", "development"), out);

    for (name, text) in [
        ("an empty home", ""),
        ("a dot alone", "."),
        ("an empty label", "kez..lat"),
        ("a dot at the end", "kez.lat."),
        ("a dot at the beginning", ".kez.lat"),
        ("a label with a hyphen first", "-kez.lat"),
        ("a label with a hyphen last", "kez-.lat"),
        ("an underscore in a home", "kez_lat.example"),
        ("an IPv4 address", "10.0.0.1"),
        ("an IPv4 address as one number", "2130706433"),
        ("an IPv4 address in hex", "0x7f000001"),
        ("an IPv4 address with its last part in hex", "127.0.0.0x1"),
        ("0x and no digits", "127.0.0.0x"),
        ("0X in capitals", "127.0.0.0X1"),
        ("an IPv6 address", "::1"),
        ("an IPv6 address in brackets", "[::1]"),
        ("a port after a home", "kez.lat:80"),
        ("port 0", "localhost:0"),
        ("a port with a leading zero", "localhost:080"),
        ("port 65536", "localhost:65536"),
        ("a port with a sign", "localhost:+80"),
        ("an empty port", "localhost:"),
        ("two ports", "localhost:80:80"),
        ("a home that is not ASCII", "b\u{fc}cher.example"),
        ("a full-width dot", "kez\u{ff0e}lat"),
        ("a path", "kez.lat/x"),
    ] {
        file.refused(name, "home.parse", input(text, "production"), Code::BadHandle);
    }
    for (name, text) in
        [("an address with a port under development", "127.0.0.1:80"), ("port 0 under development", "kez.lat:0")]
    {
        file.refused(name, "home.parse", input(text, "development"), Code::BadHandle);
    }
    let label = format!("{}.lat", "a".repeat(64));
    file.refused("a label of 64 characters", "home.parse", input(&label, "production"), Code::BadHandle);
    let long = format!("{longest}b");
    file.refused("a home of 254 characters", "home.parse", input(&long, "production"), Code::BadHandle);
}

fn uris(file: &mut File) {
    let key = primary(ALICE).to_string();
    let input = |tail: &str, policy: &str| json!({"text": format!("kez:{key}{tail}"), "policy": policy});
    let url = "https://sig.kez.lat";
    let longest = format!("https://{}", "s".repeat(1016));
    for (name, tail, handle, sigchain) in [
        ("a contact URI", format!("?h=alice@kez.lat&sig={url}"), Some("alice@kez.lat"), url),
        ("a contact without a handle", format!("?h=&sig={url}"), None, url),
        ("a base URL with port and path", format!("?h=&sig={url}:8443/a/b"), None, "https://sig.kez.lat:8443/a/b"),
        ("a handle with a port", format!("?h=al@localhost:80&sig={url}"), Some("al@localhost:80"), url),
        ("a percent sign in the URL", format!("?h=&sig={url}/%2520"), None, "https://sig.kez.lat/%20"),
        ("further members", format!("?h=&sig={url}&later=&x=a%20b&x=%C3%A9"), None, url),
        ("a base URL of 1,024 characters", format!("?h=&sig={longest}"), None, &longest),
    ] {
        let out = json!({"key": key, "handle": handle, "sigchain": sigchain});
        file.gives(name, "uri.parse", input(&tail, "production"), out);
    }
    let out = json!({"key": key, "handle": null, "sigchain": "http://localhost:7878"});
    file.gives("http under development", "uri.parse", input("?h=&sig=http://localhost:7878", "development"), out);

    for (name, tail) in [
        ("no members", String::new()),
        ("h alone", "?h=".to_owned()),
        ("sig alone", format!("?sig={url}")),
        ("the members in another order", format!("?sig={url}&h=")),
        ("a member between h and sig", format!("?h=&x=&sig={url}")),
        ("h twice", format!("?h=&sig={url}&h=")),
        ("sig twice", format!("?h=&sig={url}&sig={url}")),
        ("a member without a name", format!("?h=&sig={url}&=x")),
        ("a member without a value", format!("?h=&sig={url}&x")),
        ("an & at the end", format!("?h=&sig={url}&")),
        ("a bare name", format!("?h=alice&sig={url}")),
        ("a handle with a capital", format!("?h=Alice@kez.lat&sig={url}")),
        ("a handle with an @ before", format!("?h=@alice@kez.lat&sig={url}")),
        ("an escape that is not needed", format!("?h=%61lice@kez.lat&sig={url}")),
        ("an escaped @", format!("?h=alice%40kez.lat&sig={url}")),
        ("an escape in lower case", format!("?h=&sig={url}/%c3%a9")),
        ("half an escape", format!("?h=&sig={url}/%4")),
        ("an escape that is no hex", format!("?h=&sig={url}/%zz")),
        ("an escape with a sign", format!("?h=&sig={url}&x=%+1")),
        ("an escape that is not UTF-8", format!("?h=&sig={url}&x=%FF")),
        ("a byte that should be escaped", format!("?h=&sig={url}&x=a+b")),
        ("an = in a value", format!("?h=&sig={url}&x=a=b")),
        ("no base URL", "?h=&sig=".to_owned()),
        ("no scheme in the base URL", "?h=&sig=sig.kez.lat".to_owned()),
        ("http in the base URL", "?h=&sig=http://sig.kez.lat".to_owned()),
        ("a scheme in capitals", "?h=&sig=HTTPS://sig.kez.lat".to_owned()),
        ("no host in the base URL", "?h=&sig=https:///a".to_owned()),
        ("a slash at the base URL's end", format!("?h=&sig={url}/")),
        ("a query in the base URL", format!("?h=&sig={url}%3Fq")),
        ("a fragment in the base URL", format!("?h=&sig={url}%23f")),
        ("a user in the base URL", "?h=&sig=https://user@sig.kez.lat".to_owned()),
        ("a blank in the base URL", format!("?h=&sig={url}/%20")),
        ("a base URL that is not ASCII", format!("?h=&sig={url}/%C3%A9")),
        ("a base URL of 1,025 characters", format!("?h=&sig={longest}s")),
    ] {
        file.refused(name, "uri.parse", input(&tail, "production"), Code::BadUri);
    }
    let tail = format!("?h=&sig={url}");
    for (name, text, code) in [
        ("an empty URI", String::new(), Code::BadUri),
        ("a scheme in capitals before a key", format!("KEZ:{key}{tail}"), Code::BadUri),
        ("slashes after the scheme", format!("kez://{key}{tail}"), Code::BadUri),
        ("a key in capitals", format!("kez:{}{tail}", key.to_uppercase()), Code::BadUri),
        ("a key without its prefix", format!("kez:{}{tail}", primary(ALICE).to_hex()), Code::BadUri),
        ("a key that is not sound", format!("kez:ed25519:{}{tail}", "00".repeat(32)), Code::BadKey),
        (
            "a key that is not sound, and no handle",
            format!("kez:ed25519:{}?h=x&sig={url}", "00".repeat(32)),
            Code::BadUri,
        ),
    ] {
        file.refused(name, "uri.parse", json!({"text": text, "policy": "production"}), code);
    }
}
