//! `broker.json`: subjects, routes, permissions, logins and frames; the auth callout is in [`super::callout`].

use kez_core::Code;
use serde_json::{Value, json};

use super::super::{
    bytes::plain,
    case::File,
    check,
    forge::keys::{ALICE, BOB, SERVER, primary},
};

/// 2026-11-23T01:11:53Z.
const DAY_MS: u64 = 1_795_396_313_000;
const ROUTE: &str = "dec79aabf0d45579cbbe0083cca18bb5";
const NEXT_ROUTE: &str = "432c36d33850f69a16d82464ad99ca21";

pub(in super::super) fn make() -> File {
    let mut file = File::new("The broker (PROTOCOL.md 5).", check::broker::run);
    names(&mut file);
    routes(&mut file);
    permissions(&mut file);
    logins(&mut file);
    inbox_frames(&mut file);
    presence_frames(&mut file);
    super::callout::make(&mut file);
    file
}

fn names(file: &mut File) {
    let hex = primary(BOB).to_hex();
    file.gives(
        "Bob's subjects",
        "subjects",
        json!({"key": primary(BOB), "route": ROUTE}),
        json!({
            "inbox": format!("kez.inbox.{hex}"),
            "inbox_publish": format!("kez.inbox.{hex}.{ROUTE}"),
            "presence_publish": format!("kez.presence.{hex}.{ROUTE}"),
            "deliver": format!("kez.deliver.{hex}"),
            "presence_deliver": format!("kez.pdeliver.{hex}"),
            "reply_prefix": format!("_INBOX_{hex}"),
        }),
    );
    let unsound = json!({"key": format!("ed25519:{}", "00".repeat(32)), "route": ROUTE});
    file.refused("subjects of no sound key", "subjects", unsound, Code::BadKey);
}

fn routes(file: &mut File) {
    let input = |sender: [u8; 32], server: [u8; 32], day_ms: u64| json!({"sender": plain(sender), "server": primary(server), "day_ms": day_ms});
    let (midnight, day) = (1_795_392_000_000, 24 * 3_600_000);
    for (name, day_ms, route, day) in [
        ("the example of §5", DAY_MS, ROUTE, "2026-11-23"),
        ("the day's first moment", midnight, ROUTE, "2026-11-23"),
        ("the day's last moment", midnight + day - 1, ROUTE, "2026-11-23"),
        ("the day after", midnight + day, NEXT_ROUTE, "2026-11-24"),
    ] {
        file.gives(name, "route", input(ALICE, SERVER, day_ms), json!({"route": route, "day": day}));
    }
    for (name, sender, server, day_ms) in [
        ("a route of Bob's", BOB, SERVER, DAY_MS),
        ("a route of another server key", ALICE, [4; 32], DAY_MS),
        ("a route of the first day", ALICE, SERVER, 0),
        ("a route of a leap day", ALICE, SERVER, 1_709_208_000_000),
        ("a route of the year 9999", ALICE, SERVER, 253_402_300_799_999),
    ] {
        file.ok(name, "route", input(sender, server, day_ms));
    }
    let mut unsound = input(ALICE, SERVER, DAY_MS);
    unsound["server"] = json!(format!("ed25519:{}", "00".repeat(32)));
    file.refused("a route of no sound server key", "route", unsound, Code::BadKey);
}

fn permissions(file: &mut File) {
    let hex = primary(ALICE).to_hex();
    let subscribe = [format!("kez.deliver.{hex}"), format!("kez.pdeliver.{hex}"), format!("_INBOX_{hex}.>")];
    let input = |routes: &[&str], account: &str, domain: Option<&str>| json!({"key": primary(ALICE), "routes": routes, "account": account, "domain": domain});
    let ack = format!("$JS.ACK.KEZ_INBOX.{hex}.>");
    let acks = |domain: &str, hash: &str| format!("$JS.ACK.{domain}.{hash}.KEZ_INBOX.{hex}.>");
    let out = json!({"publish": [ack, acks("_", "9Nj4u4iY")], "subscribe": subscribe});
    file.gives("permissions without a route", "permissions", input(&[], "JS", None), out);
    let publish = json!([
        format!("kez.inbox.*.{ROUTE}"),
        format!("kez.inbox.*.{NEXT_ROUTE}"),
        format!("kez.presence.*.{ROUTE}"),
        format!("kez.presence.*.{NEXT_ROUTE}"),
        ack,
        acks("hub", "9Nj4u4iY"),
    ]);
    let out = json!({"publish": publish, "subscribe": subscribe});
    let routes = [ROUTE, NEXT_ROUTE];
    file.gives("permissions with two routes and a domain", "permissions", input(&routes, "JS", Some("hub")), out);
    for account in ["KEZ", "$G", "a much longer account's name"] {
        let name = format!("permissions in the account {account}");
        file.ok(&name, "permissions", input(&[ROUTE], account, None));
    }
}

fn logins(file: &mut File) {
    let input = |domain: &str, nonce: &str| json!({"seed": plain(ALICE), "domain": domain, "nonce": nonce});
    let out = json!({
        "nkey": "UCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZ45L",
        "sig": "FDLect5d1B1V3CVad62uGr1jDtcSebKss34ILlZVRuNXOG9MZ9EtTy0tdrnizFWPfAOC9BZoKMODUanW5BUUDQ",
    });
    file.gives("the login of §5", "login.sign", input("kez.lat", "abcdefghijklmno"), out);
    file.ok("a login at a port", "login.sign", input("localhost:8080", "abc"));
    file.ok("a nonce of 64 bytes", "login.sign", input("kez.lat", &"n".repeat(64)));
    for (name, nonce) in [
        ("no nonce", String::new()),
        ("a nonce of 65 bytes", "n".repeat(65)),
        ("a nonce of 22 characters in 66 bytes", "\u{2028}".repeat(22)),
    ] {
        file.refused(name, "login.sign", input("kez.lat", &nonce), Code::BadNonce);
    }
}

fn inbox_frames(file: &mut File) {
    let (me, other) = (primary(ALICE).to_hex(), primary(BOB).to_hex());
    let input = |subject: &str, reply: Option<&str>| json!({"key": primary(ALICE), "streams": ["KEZ_INBOX", "KEZ_INBOX_2"], "subject": subject, "reply": reply});
    let subject = format!("kez.inbox.{me}.{ROUTE}");
    let ack = format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.5");
    for (name, reply) in [
        ("an ack of 9 tokens", ack.clone()),
        ("an ack of another listed stream", format!("$JS.ACK.KEZ_INBOX_2.{me}.1.2.3.4.5")),
        ("an ack of 11 tokens", format!("$JS.ACK._.AbCdEfGh.KEZ_INBOX.{me}.1.2.3.4.5")),
        ("an ack of 12 tokens", format!("$JS.ACK.hub.AbCdEfGh.KEZ_INBOX.{me}.1.2.3.4.5.x")),
        ("an ack of 14 tokens", format!("$JS.ACK.hub.AbCdEfGh.KEZ_INBOX.{me}.1.2.3.4.5.x.y.~")),
        ("an ack whose tokens are no numbers", format!("$JS.ACK.KEZ_INBOX.{me}.a.b.c.d.e")),
    ] {
        file.passes(name, "frame.inbox", input(&subject, Some(&reply)));
    }
    for (name, subject) in [
        ("an empty subject", String::new()),
        ("another's inbox", format!("kez.inbox.{other}.{ROUTE}")),
        ("an inbox without a route", format!("kez.inbox.{me}")),
        ("an empty route", format!("kez.inbox.{me}.")),
        ("a route of 31 digits", format!("kez.inbox.{me}.{}", &ROUTE[1..])),
        ("a route of 33 digits", format!("kez.inbox.{me}.{ROUTE}0")),
        ("a route in capitals", format!("kez.inbox.{me}.{}", ROUTE.to_uppercase())),
        ("a route that is no hex", format!("kez.inbox.{me}.{}g", &ROUTE[1..])),
        ("a token after the route", format!("kez.inbox.{me}.{ROUTE}.x")),
        ("a person in capitals", format!("kez.inbox.{}.{ROUTE}", me.to_uppercase())),
        ("a delivery's subject", format!("kez.deliver.{me}")),
        ("presence's subject", format!("kez.presence.{me}.{ROUTE}")),
        ("a reply's subject", format!("_INBOX_{me}.1")),
        ("the stream's own answer", "$JS.API.STREAM.INFO.KEZ_INBOX".to_owned()),
    ] {
        file.refused(name, "frame.inbox", input(&subject, Some(&ack)), Code::BadFrame);
    }
    for (name, reply) in [
        ("an empty reply", String::new()),
        ("another's consumer", format!("$JS.ACK.KEZ_INBOX.{other}.1.2.3.4.5")),
        ("another stream", format!("$JS.ACK.OTHER.{me}.1.2.3.4.5")),
        ("a stream in small letters", format!("$JS.ACK.kez_inbox.{me}.1.2.3.4.5")),
        ("8 tokens", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4")),
        ("10 tokens", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.5.6")),
        ("10 tokens of the newer shape", format!("$JS.ACK._.x.KEZ_INBOX.{me}.1.2.3.4")),
        ("9 tokens of the newer shape", format!("$JS.ACK._.x.KEZ_INBOX.{me}.1.2.3")),
        ("11 tokens of the older shape", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.5.6.7")),
        ("one's own names further on", format!("$JS.ACK.KEZ_INBOX.{other}.KEZ_INBOX.{me}.1.2.3.4")),
        ("one's own names further on, in 12 tokens", format!("$JS.ACK._.x.KEZ_INBOX.{other}.KEZ_INBOX.{me}.1.2.3.4")),
        ("an empty token", format!("$JS.ACK.KEZ_INBOX.{me}.1.2..4.5")),
        ("an empty last token", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.")),
        ("a star", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.*.4.5")),
        ("a star inside a token", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.a*b.4.5")),
        ("a greater sign", format!("$JS.ACK._.x.KEZ_INBOX.{me}.1.2.3.4.>")),
        ("a blank", format!("$JS.ACK.KEZ_INBOX.{me}.1.2. .4.5")),
        ("a line's end", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.3.4.5\r\n")),
        ("a token that is not ASCII", format!("$JS.ACK.KEZ_INBOX.{me}.1.2.\u{e9}.4.5")),
        ("a prefix in small letters", format!("$js.ack.KEZ_INBOX.{me}.1.2.3.4.5")),
        ("a call of the API", format!("$JS.API.STREAM.DELETE.KEZ_INBOX.{me}.1.2.3")),
    ] {
        file.refused(&format!("reply: {name}"), "frame.inbox", input(&subject, Some(&reply)), Code::BadFrame);
    }
    file.refused("no reply", "frame.inbox", input(&subject, None), Code::BadFrame);
    let mut none = input(&subject, Some(&ack));
    none["streams"] = json!([]);
    file.refused("no stream listed", "frame.inbox", none, Code::BadFrame);
}

fn presence_frames(file: &mut File) {
    let (me, other) = (primary(ALICE).to_hex(), primary(BOB).to_hex());
    let input = |subject: &str| -> Value { json!({"key": primary(ALICE), "subject": subject}) };
    file.passes("presence", "frame.presence", input(&format!("kez.pdeliver.{me}")));
    for (name, subject) in [
        ("another's presence", format!("kez.pdeliver.{other}")),
        ("presence with a token more", format!("kez.pdeliver.{me}.{ROUTE}")),
        ("presence as it is published", format!("kez.presence.{me}.{ROUTE}")),
        ("presence as a message", format!("kez.deliver.{me}")),
        ("presence of a person in capitals", format!("kez.pdeliver.{}", me.to_uppercase())),
    ] {
        file.refused(name, "frame.presence", input(&subject), Code::BadFrame);
    }
}
