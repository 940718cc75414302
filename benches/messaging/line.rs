//! A connection between the program that measures and one of its agents: a line of JSON for each order and each report.

use std::net::SocketAddr;

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// One end of it.
pub(crate) struct Line(BufReader<TcpStream>);

impl Line {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn say(&mut self, what: &impl Serialize) {
        let mut line = serde_json::to_vec(what).unwrap();
        line.push(b'\n');
        self.0.get_mut().write_all(&line).await.unwrap();
    }

    /// Returns what the other side says next; `None` when it is gone.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(read) if read > 0 => Some(serde_json::from_str(&line).unwrap()),
            _ => None,
        }
    }
}
