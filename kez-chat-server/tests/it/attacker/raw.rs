//! A client that says to a nats-server whatever it is told to, byte by byte.

use std::time::Duration;

use async_nats::Auth;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// What a nats-server says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Message(Heard),
    /// `-ERR`, without its quotes.
    Error(String),
    Pong,
    /// The connection's end, in whatever way.
    Closed,
}

/// A message as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) subject: String,
    /// The subscription that it came for.
    pub(super) sid: String,
    pub(super) reply: Option<String>,
    pub(super) headers: String,
    pub(super) payload: Vec<u8>,
}

impl Heard {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// A connection that nothing is checked or hidden on.
pub(super) struct Raw {
    stream: BufReader<TcpStream>,
    /// The server's INFO.
    pub(super) info: Value,
    /// Whether the server has ended the connection.
    pub(super) closed: bool,
    /// Messages that came while another was waited for.
    aside: Vec<Heard>,
}

impl Raw {
    /// Connects and reads INFO; says nothing yet.
    pub(super) async fn dial(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        timeout(PATIENCE, stream.read_line(&mut line)).await.expect("no INFO").unwrap();
        let info = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        Self { stream, info, closed: false, aside: Vec::new() }
    }

    /// Returns the nonce to sign, empty if there is none.
    pub(super) fn nonce(&self) -> Vec<u8> {
        self.info["nonce"].as_str().unwrap_or_default().as_bytes().to_vec()
    }

    /// Sends a CONNECT with these members beside the usual ones, and tells what came of it.
    pub(super) async fn connect(&mut self, members: Value) -> Result<(), String> {
        let mut options = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1,
            "echo": true, "name": "kez-chat", "lang": "raw", "version": "1",
        });
        options.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.send(format!("CONNECT {options}\r\n").as_bytes()).await;
        let mut error = "the connection ended".to_owned();
        for said in self.fence().await {
            match said {
                Said::Error(text) => error = text,
                Said::Closed => return Err(error),
                Said::Pong | Said::Message(_) => {}
            }
        }
        Ok(())
    }

    /// Sends bytes as they are. A connection that is gone takes them in silence.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        if timeout(PATIENCE, self.stream.get_mut().write_all(bytes)).await.expect("nobody reads").is_err() {
            self.closed = true;
        }
    }

    /// Subscribes and waits until the server has taken it.
    pub(super) async fn subscribe(&mut self, subject: &str, sid: &str) {
        self.send(format!("SUB {subject} {sid}\r\n").as_bytes()).await;
        assert_eq!(self.fence_into_aside().await, 0, "{subject} is not taken");
    }

    /// Waits until the server has worked off what was sent before, and returns what it said up to then.
    pub(super) async fn fence(&mut self) -> Vec<Said> {
        self.send(b"PING\r\n").await;
        let mut said = Vec::new();
        loop {
            let next = self.next(PATIENCE).await.expect("the server does not answer a PING");
            let last = matches!(next, Said::Pong | Said::Closed);
            said.push(next);
            if last {
                return said;
            }
        }
    }

    /// Waits like [`Raw::fence`], keeps the messages for [`Raw::drain`] and returns how many errors there were.
    pub(super) async fn fence_into_aside(&mut self) -> usize {
        let mut errors = 0;
        for said in self.fence().await {
            match said {
                Said::Message(heard) => self.aside.push(heard),
                Said::Error(_) | Said::Closed => errors += 1,
                Said::Pong => {}
            }
        }
        errors
    }

    /// Returns the messages that came up to a fence.
    pub(super) async fn drain(&mut self) -> Vec<Heard> {
        self.fence_into_aside().await;
        std::mem::take(&mut self.aside)
    }

    /// Waits for the next message that passes, at most so long; the others are kept for [`Raw::drain`].
    pub(super) async fn find(&mut self, patience: Duration, mut passes: impl FnMut(&Heard) -> bool) -> Option<Heard> {
        timeout(patience, async {
            loop {
                match self.next(PATIENCE).await {
                    Some(Said::Message(heard)) if passes(&heard) => return Some(heard),
                    Some(Said::Message(heard)) => self.aside.push(heard),
                    Some(Said::Closed) => return None,
                    Some(Said::Pong | Said::Error(_)) | None => {}
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    /// Returns the next thing said, or `None` if there is none for so long.
    pub(super) async fn next(&mut self, patience: Duration) -> Option<Said> {
        loop {
            let mut line = String::new();
            let read = timeout(patience, self.stream.read_line(&mut line)).await.ok()?;
            if !matches!(read, Ok(1..)) {
                self.closed = true;
                return Some(Said::Closed);
            }
            let (verb, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            match verb {
                "PING" => self.send(b"PONG\r\n").await,
                "PONG" => return Some(Said::Pong),
                "-ERR" => return Some(Said::Error(rest.trim_matches('\'').to_owned())),
                "MSG" | "HMSG" => {
                    let heard = self.message(verb == "HMSG", rest).await;
                    self.closed |= heard.is_none();
                    return Some(heard.map_or(Said::Closed, Said::Message));
                }
                _ => {}
            }
        }
    }

    /// Reads the rest of a message, if the connection does not end in its midst.
    async fn message(&mut self, has_headers: bool, line: &str) -> Option<Heard> {
        let mut words: Vec<&str> = line.split(' ').collect();
        let size = |word: Option<&str>| word.unwrap().parse::<usize>().unwrap();
        let total = size(words.pop());
        let header_bytes = if has_headers { size(words.pop()) } else { 0 };
        let mut bytes = vec![0; total + 2];
        self.stream.read_exact(&mut bytes).await.ok()?;
        bytes.truncate(total);
        let payload = bytes.split_off(header_bytes);
        Some(Heard {
            subject: words[0].to_owned(),
            sid: words[1].to_owned(),
            reply: words.get(2).map(|reply| (*reply).to_owned()),
            headers: String::from_utf8_lossy(&bytes).into_owned(),
            payload,
        })
    }
}

/// The members of a CONNECT that a login gives.
pub(super) fn members(auth: &Auth) -> Value {
    json!({ "nkey": auth.nkey, "sig": auth.signature.as_ref().map(|signature| BASE64URL_NOPAD.encode(signature)) })
}

/// Writes a PUB, or an HPUB if there are header lines.
pub(super) fn publish(subject: &str, reply: Option<&str>, headers: &str, payload: &[u8]) -> Vec<u8> {
    let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
    let mut bytes = if headers.is_empty() {
        format!("PUB {subject}{reply} {}\r\n", payload.len()).into_bytes()
    } else {
        let headers = format!("NATS/1.0\r\n{headers}\r\n");
        let (own, total) = (headers.len(), headers.len() + payload.len());
        format!("HPUB {subject}{reply} {own} {total}\r\n{headers}").into_bytes()
    };
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
