//! A NATS client of a few lines, so that little of what is measured is the client's.

use std::net::SocketAddr;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::people::{Person, Proof};

/// A connection that is logged in.
pub(super) struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How much of the buffer has been taken.
    taken: usize,
}

/// A message that came in.
pub(super) struct Frame<'a> {
    pub(super) reply: Option<&'a str>,
    /// Without headers.
    pub(super) payload: &'a [u8],
}

#[derive(Deserialize)]
struct Info {
    nonce: String,
}

impl Link {
    /// Connects, signs the nonce, and returns when the broker has let the person in.
    pub(super) async fn log_in(broker: SocketAddr, person: &Person, proof: Proof<'_>) -> Self {
        let stream = TcpStream::connect(broker).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut link = Self { stream, buffer: Vec::with_capacity(4096), taken: 0 };
        let info = link.line().await;
        let Info { nonce } = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        let signature = BASE64URL_NOPAD.encode(&person.sign(&nonce, proof));
        let connect = json!({
            "verbose": false,
            "pedantic": false,
            "lang": "bench",
            "version": "1",
            "protocol": 1,
            "headers": true,
            "no_responders": true,
            "nkey": person.nkey,
            "sig": signature,
        });
        link.send(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await;
        loop {
            let line = link.line().await;
            match line.as_str() {
                "PONG" => return link,
                other => assert!(other.starts_with("INFO "), "{other}"),
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Waits for more to [`take`](Self::take). It may be dropped at any point.
    pub(super) async fn fill(&mut self) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the broker hung up");
    }

    /// Takes the next message out of what has come in, if it is there as a whole. What has to be answered goes to
    /// `out`.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> Option<Frame<'_>> {
        loop {
            let rest = &self.buffer[self.taken..];
            let end = rest.windows(2).position(|window| window == b"\r\n")?;
            let line = std::str::from_utf8(&rest[..end]).unwrap();
            let mut words = line.split(' ');
            let has_headers = match words.next().unwrap() {
                "MSG" => false,
                "HMSG" => true,
                verb => {
                    assert!(!verb.starts_with('-'), "{line}");
                    if verb == "PING" {
                        out.extend_from_slice(b"PONG\r\n");
                    }
                    self.taken += end + 2;
                    continue;
                }
            };
            // Subject, subscription, perhaps a reply, perhaps the headers' size, and the size of all.
            let words: Vec<&str> = words.collect();
            let size = |from_end: usize| words[words.len() - from_end].parse::<usize>().unwrap();
            let (skip, all) = (if has_headers { size(2) } else { 0 }, size(1));
            let has_reply = words.len() == if has_headers { 5 } else { 4 };
            let body = end + 2;
            if rest.len() < body + all + 2 {
                return None;
            }
            let start = self.taken;
            self.taken += body + all + 2;
            // Looked at anew, for what was found above may not outlive the change of `taken`.
            let frame = &self.buffer[start..self.taken];
            let reply = std::str::from_utf8(&frame[..end]).unwrap().split(' ').nth(3).filter(|_| has_reply);
            return Some(Frame { reply, payload: &frame[body + skip..body + all] });
        }
    }

    async fn line(&mut self) -> String {
        loop {
            let rest = &self.buffer[self.taken..];
            if let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8(rest[..end].to_vec()).unwrap();
                self.taken += end + 2;
                return line;
            }
            self.fill().await;
        }
    }
}
