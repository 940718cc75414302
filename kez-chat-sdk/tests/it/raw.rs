//! A client of NATS' bare protocol, for what a well-behaved library would not send.

use data_encoding::BASE64URL_NOPAD;
use kez_chat_sdk::{
    broker::LoginNonce,
    identity::{SecretKey, Statement},
};
use kez_testbed::Testbed;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::people::PATIENCE;

/// A connection of somebody with an account.
pub(crate) struct Raw(BufReader<TcpStream>);

/// What the broker sends.
#[derive(Debug)]
pub(crate) enum Op {
    Frame(Frame),
    Error(String),
    Pong,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    pub(crate) headers: String,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    /// Logs in as `docs/PROTOCOL.md` §5 says.
    pub(crate) async fn login(testbed: &Testbed, key: &SecretKey) -> Self {
        let url = testbed.nats_url();
        let stream = TcpStream::connect(url.strip_prefix("nats://").unwrap()).await.unwrap();
        let mut raw = Self(BufReader::new(stream));
        let info: Value = serde_json::from_str(raw.line().await.strip_prefix("INFO ").unwrap()).unwrap();
        let nonce = LoginNonce::parse(info["nonce"].as_str().unwrap()).unwrap();
        let signature = key.sign(&Statement::NatsLogin { domain: testbed.domain(), nonce: &nonce });
        let connect = json!({
            "verbose": false, "pedantic": false, "lang": "raw", "version": "1", "protocol": 1, "name": "kez-chat",
            "headers": true, "no_responders": true, "echo": true,
            "nkey": key.primary().to_nkey(), "sig": BASE64URL_NOPAD.encode(&signature.to_bytes()),
        });
        raw.send(format!("CONNECT {connect}\r\n").as_bytes()).await;
        assert!(raw.fence().await.is_empty());
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    /// Publishes; `headers` are whole lines, the first of them NATS' version line, or empty for none.
    pub(crate) async fn publish(&mut self, subject: &str, reply: &str, headers: &str, payload: &[u8]) {
        let line = if headers.is_empty() {
            format!("PUB {subject} {reply} {}\r\n", payload.len())
        } else {
            let total = headers.len() + 2 + payload.len();
            format!("HPUB {subject} {reply} {} {total}\r\n{headers}\r\n", headers.len() + 2)
        };
        self.send(&[line.as_bytes(), payload, b"\r\n"].concat()).await;
    }

    /// Waits until the broker has worked off what was sent before, and returns what else it had to say.
    pub(crate) async fn fence(&mut self) -> Vec<Op> {
        self.send(b"PING\r\n").await;
        let mut said = Vec::new();
        loop {
            match self.next().await {
                Op::Pong => return said,
                op => said.push(op),
            }
        }
    }

    /// Waits for the next delivery.
    pub(crate) async fn frame(&mut self) -> Frame {
        match self.next().await {
            Op::Frame(frame) => frame,
            other => panic!("a frame was expected: {other:?}"),
        }
    }

    async fn next(&mut self) -> Op {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("the broker said nothing")
    }

    async fn read(&mut self) -> Op {
        loop {
            let line = self.line().await;
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default() {
                "PING" => self.send(b"PONG\r\n").await,
                "PONG" => return Op::Pong,
                "-ERR" => return Op::Error(line),
                kind @ ("MSG" | "HMSG") => {
                    let words: Vec<&str> = words.collect();
                    let lengths = if kind == "MSG" { 1 } else { 2 };
                    let (names, lengths) = words.split_at(words.len() - lengths);
                    let lengths: Vec<usize> = lengths.iter().map(|length| length.parse().unwrap()).collect();
                    let mut bytes = vec![0; lengths.last().unwrap() + 2];
                    self.0.read_exact(&mut bytes).await.unwrap();
                    bytes.truncate(bytes.len() - 2);
                    let payload = bytes.split_off(if kind == "MSG" { 0 } else { lengths[0] });
                    return Op::Frame(Frame {
                        subject: names[0].to_owned(),
                        reply: names.get(2).map(|&reply| reply.to_owned()),
                        headers: String::from_utf8(bytes).unwrap(),
                        payload,
                    });
                }
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        assert!(line.ends_with('\n'), "the broker hung up");
        line
    }
}
