//! Leaks on purpose: what the audit has to find, or it finds nothing.

use std::{
    fs,
    io::{self, Write as _},
    time::Duration,
};

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use kez_chat_sdk::{KeyStore as _, broker::subject};
use kez_testbed::guard::Guarded;
use rusqlite::Connection;

use super::{
    places::note_processes,
    run::Life,
    scanner::{Form, Value},
};
use crate::{database, frames::route_of, raw::Raw};

/// One secret that gets out in one form, and where it has to be found.
pub(super) struct Leak {
    /// Whose name begins like this.
    pub(super) secret: &'static str,
    pub(super) form: Form,
    /// Parts of the paths where it has to be found, each.
    pub(super) places: &'static [&'static str],
    write: fn(&[u8]) -> Vec<u8>,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    Log,
    Stdout,
    Stderr,
    FileInHome(&'static str),
    PlainDatabase,
    Temporary,
    Broker,
    HomesDatabase,
    Environment,
}

const LOG: &[&str] = &["log of control"];
/// Its store and its own log, and whoever listens.
const BROKER: &[&str] = &["/nats/store/", "/nats/nats.log", "logs/wire"];

pub(super) const ALL: &[Leak] = &[
    Leak { secret: "text", form: Form::Raw, places: LOG, write: as_is, way: Way::Log },
    Leak { secret: "alice's seed", form: Form::Hex, places: LOG, write: hex, way: Way::Log },
    Leak { secret: "alice's seed", form: Form::List, places: LOG, write: debug, way: Way::Log },
    Leak { secret: "alice's seed", form: Form::Base32, places: LOG, write: nkey, way: Way::Log },
    Leak { secret: "alice's X25519 secret", form: Form::Base64, places: LOG, write: base64, way: Way::Log },
    Leak { secret: "alice's expanded key", form: Form::List, places: LOG, write: pretty, way: Way::Log },
    Leak { secret: "alice's words", form: Form::Words, places: LOG, write: as_is, way: Way::Log },
    Leak { secret: "alice's database key", form: Form::Hex, places: LOG, write: upper_hex, way: Way::Log },
    Leak { secret: "the content key", form: Form::Hex, places: LOG, write: hex, way: Way::Log },
    Leak { secret: "the file's name", form: Form::Raw, places: LOG, write: as_is, way: Way::Log },
    Leak { secret: "the ticket's hash", form: Form::Base32, places: LOG, write: base32, way: Way::Log },
    Leak { secret: "the ticket's address", form: Form::Raw, places: LOG, write: as_is, way: Way::Log },
    Leak { secret: "bob's seed", form: Form::Base64, places: &["logs/stdout"], write: base64url, way: Way::Stdout },
    Leak { secret: "a wrong passphrase", form: Form::Raw, places: &["standard error"], write: as_is, way: Way::Stderr },
    Leak {
        secret: "alice's seed",
        form: Form::Raw,
        places: &["homes/alice/seed"],
        write: as_is,
        way: Way::FileInHome("seed"),
    },
    Leak {
        secret: "bob's words",
        form: Form::Words,
        places: &["homes/alice/words"],
        write: lines,
        way: Way::FileInHome("words"),
    },
    Leak {
        secret: "text",
        form: Form::Utf16,
        places: &["homes/alice/draft"],
        write: utf16,
        way: Way::FileInHome("draft"),
    },
    Leak { secret: "text", form: Form::Raw, places: &["homes/alice/plain.db"], write: as_is, way: Way::PlainDatabase },
    Leak {
        secret: "the content key",
        form: Form::Raw,
        places: &["homes/bob/plain.db"],
        write: as_is,
        way: Way::PlainDatabase,
    },
    Leak {
        secret: "the file's content",
        form: Form::Raw,
        places: &["temporary/part"],
        write: as_is,
        way: Way::Temporary,
    },
    Leak { secret: "text", form: Form::Raw, places: BROKER, write: as_is, way: Way::Broker },
    Leak { secret: "the ticket's address", form: Form::Raw, places: BROKER, write: as_is, way: Way::Broker },
    Leak { secret: "the content key", form: Form::Hex, places: BROKER, write: hex, way: Way::Broker },
    Leak {
        secret: "alice's seed",
        form: Form::Raw,
        places: &["/nats/store/", "logs/wire"],
        write: as_is,
        way: Way::Broker,
    },
    Leak { secret: "text", form: Form::Raw, places: &["registry.db"], write: as_is, way: Way::HomesDatabase },
    #[cfg(target_os = "linux")]
    Leak {
        secret: "alice's passphrase",
        form: Form::Raw,
        places: &["logs/processes"],
        write: as_is,
        way: Way::Environment,
    },
];

impl Leak {
    pub(super) async fn happen(&self, life: &Life) {
        let secret = life.secrets.iter().find(|secret| secret.name.starts_with(self.secret)).unwrap();
        let bytes = match &secret.value {
            Value::Bytes(bytes) => (self.write)(bytes),
            Value::Words(words) => (self.write)(words.join(" ").as_bytes()),
        };
        let text = || std::str::from_utf8(&bytes).unwrap();
        let line = [&bytes[..], b"\n"].concat();
        match self.way {
            Way::Log => tracing::trace!(target: "control", said = text()),
            Way::Stdout => io::stdout().write_all(&line).unwrap(),
            Way::Stderr => io::stderr().write_all(&line).unwrap(),
            Way::FileInHome(name) => fs::write(life.folder.homes().join("alice").join(name), &bytes).unwrap(),
            Way::PlainDatabase => {
                for (name, key) in [("alice", life.alice.load()), ("bob", life.bob.load())] {
                    let home = life.folder.homes().join(name);
                    if home.join("plain.db").exists() {
                        continue;
                    }
                    let database = database::open(&home.join("kez.db"), &key.unwrap().unwrap());
                    database.execute("ATTACH DATABASE ?1 AS plain KEY ''", [home.join("plain.db").to_str()]).unwrap();
                    database.query_row("SELECT sqlcipher_export('plain')", [], |_| Ok(())).unwrap();
                }
            }
            Way::Temporary => fs::write(life.folder.temporary().join("part"), &bytes).unwrap(),
            Way::Broker => {
                let key = life.alice.load().unwrap().unwrap();
                let mut raw = Raw::login(&life.testbed, &key).await;
                let inbox = subject::inbox_publish(&life.key_of_bob(), &route_of(&life.testbed, &key));
                raw.publish(&inbox, "", "", &bytes).await;
                assert!(raw.fence().await.is_empty());
            }
            Way::HomesDatabase => {
                let registry = Connection::open(life.testbed.folder().join("registry.db")).unwrap();
                registry.execute_batch("CREATE TABLE leak (said TEXT)").unwrap();
                registry.execute("INSERT INTO leak VALUES (?1)", [text()]).unwrap();
            }
            Way::Environment => {
                let _child = Guarded::spawn("sleep", |command| {
                    command.arg("600").env("PASSPHRASE", text());
                })
                .unwrap();
                // A process that was started just now shows its environment a moment later.
                let noted = life.folder.logs().join("processes");
                for _ in 0..500 {
                    note_processes(&noted);
                    if fs::read(&noted).unwrap().windows(bytes.len()).any(|part| part == bytes) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

fn as_is(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    HEXLOWER.encode(bytes).into_bytes()
}

fn upper_hex(bytes: &[u8]) -> Vec<u8> {
    HEXUPPER.encode(bytes).into_bytes()
}

fn debug(bytes: &[u8]) -> Vec<u8> {
    format!("{bytes:?}").into_bytes()
}

fn pretty(bytes: &[u8]) -> Vec<u8> {
    format!("{bytes:#04x?}").into_bytes()
}

fn nkey(seed: &[u8]) -> Vec<u8> {
    let seed = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, seed.try_into().unwrap()).unwrap().seed();
    seed.unwrap().into_bytes()
}

/// Behind another byte, so that no group of characters begins with it.
fn base64(bytes: &[u8]) -> Vec<u8> {
    BASE64.encode(&[b"?", bytes].concat()).into_bytes()
}

fn base64url(bytes: &[u8]) -> Vec<u8> {
    BASE64URL_NOPAD.encode(bytes).into_bytes()
}

fn base32(bytes: &[u8]) -> Vec<u8> {
    BASE32_NOPAD.encode(&[b"?", bytes].concat()).to_ascii_lowercase().into_bytes()
}

fn lines(words: &[u8]) -> Vec<u8> {
    words.iter().map(|&byte| if byte == b' ' { b'\n' } else { byte }).collect()
}

fn utf16(text: &[u8]) -> Vec<u8> {
    std::str::from_utf8(text).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect()
}
