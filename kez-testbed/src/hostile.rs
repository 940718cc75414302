//! What a hostile peer may send to a server, and how the server has to take it. For the tests of both servers.

mod table;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// In what time any answer, or a connection's end, has to come.
const BOUND: Duration = Duration::from_secs(5);

/// A listener under attack.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// The path of a resource, which `GET` answers with `status`.
    pub read: String,
    /// What an ordinary `GET` of it is answered with.
    pub status: u16,
    /// The path of a route that takes `POST`.
    pub write: String,
    /// The media type that `POST` takes there.
    pub media_type: &'static str,
}

/// What came of an attack.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many inputs were sent.
    pub inputs: usize,
    /// What was wrong with how they were taken: the input's name, and what happened.
    pub faults: Vec<String>,
}

/// Sends every input of the table on a connection of its own, and an ordinary request after each.
///
/// An input that has to be refused is answered with nothing but 4xx, as problems or without a body, or by closing
/// the connection. One that is odd but harmless has exactly one answer, and no 5xx. Either way the connection ends.
pub async fn attack(target: &Target) -> Outcome {
    let mut outcome = Outcome::default();
    for input in table::inputs(target) {
        outcome.inputs += 1;
        let answers = exchange(target.address, &input.bytes, input.breaks_off).await;
        let mut judge = |verdict: Result<(), String>| {
            outcome.faults.extend(verdict.err().map(|fault| format!("{}: {fault}", input.name)));
        };
        judge(answers.and_then(|answers| input.judge(&answers)));
        judge(ordinary(target).await);
    }
    outcome
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// It is no request that a server should fulfil.
    Refused,
    /// It is strange, but a request; any single answer will do that is not the server's own failure.
    Taken,
}

#[derive(Debug)]
struct Input {
    name: String,
    bytes: Vec<u8>,
    /// Whether the peer hangs up after it, since the server waits for more.
    breaks_off: bool,
    expect: Expect,
}

impl Input {
    fn judge(&self, answers: &[Answer]) -> Result<(), String> {
        let is_right = |answer: &Answer| match self.expect {
            Expect::Refused => answer.is_refusal(),
            Expect::Taken => !(500..600).contains(&answer.status),
        };
        if let Some(wrong) = answers.iter().find(|answer| !is_right(answer)) {
            return Err(format!("answered {wrong:?}"));
        }
        if self.expect == Expect::Taken && answers.len() != 1 {
            return Err(format!("answered {} times: {answers:?}", answers.len()));
        }
        Ok(())
    }
}

async fn ordinary(target: &Target) -> Result<(), String> {
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.read, target.address);
    let answers = exchange(target.address, request.as_bytes(), false).await?;
    match answers.as_slice() {
        [answer] if answer.status == target.status => Ok(()),
        other => Err(format!("an ordinary request after it was answered {other:?}")),
    }
}

/// Sends `bytes`, and reads until the server closes the connection.
async fn exchange(address: SocketAddr, bytes: &[u8], breaks_off: bool) -> Result<Vec<Answer>, String> {
    let talk = async {
        let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
        let writing = async {
            // A server that has heard enough may close before all is sent.
            let _ = write.write_all(bytes).await;
            if breaks_off {
                let _ = write.shutdown().await;
            }
            // Dropped, it would shut the connection down before the answer.
            write
        };
        let mut answered = Vec::new();
        let (_write, ended) = tokio::join!(writing, read.read_to_end(&mut answered));
        match ended {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(answered),
        }
    };
    match timeout(BOUND, talk).await {
        Err(_) => Err("neither answered nor closed in time".to_owned()),
        Ok(Err(error)) => Err(format!("the connection failed: {error}")),
        Ok(Ok(answered)) => Answer::parse_all(&answered),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// Reads what came over a connection: answers with a `Content-Length`, one after the other, of which the last may
    /// go on to the end instead.
    fn parse_all(mut bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let garbled = || format!("answered with what is not HTTP: {:?}", String::from_utf8_lossy(bytes));
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(garbled)?;
            let head = std::str::from_utf8(&bytes[..end]).map_err(|_| garbled())?;
            let mut lines = head.split("\r\n");
            let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut answer = Self { status: status.ok_or_else(garbled)?, headers, body: String::new() };
            let rest = &bytes[end + 4..];
            let length = match answer.header("content-length") {
                Some(length) => length.parse().map_err(|_| garbled())?,
                None if answer.status < 200 => 0,
                None => rest.len(),
            };
            answer.body = String::from_utf8_lossy(rest.get(..length).ok_or_else(garbled)?).into_owned();
            answers.push(answer);
            bytes = &rest[length..];
        }
        Ok(answers)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is a 4xx that says why, or at least says nothing else. `100 Continue` takes nothing yet.
    fn is_refusal(&self) -> bool {
        let is_problem = self.header("content-type") == Some("application/problem+json");
        self.status == 100 || (400..500).contains(&self.status) && (self.body.is_empty() || is_problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    fn verdict(expect: Expect, answered: &[u8]) -> Result<(), String> {
        let input = Input { name: String::new(), bytes: Vec::new(), breaks_off: false, expect };
        input.judge(&Answer::parse_all(answered)?)
    }

    #[test]
    fn what_has_to_be_refused_is_refused_every_time() {
        let problem =
            b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(verdict(Expect::Refused, b""), Ok(()));
        assert_eq!(verdict(Expect::Refused, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), Ok(()));
        assert_eq!(verdict(Expect::Refused, problem), Ok(()));
        assert!(verdict(Expect::Refused, OK).is_err());
        assert!(verdict(Expect::Refused, &[problem, OK].concat()).is_err(), "a smuggled request was answered");
        assert!(verdict(Expect::Refused, b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\noops").is_err());
        assert!(verdict(Expect::Refused, b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(verdict(Expect::Refused, b"SSH-2.0-OpenSSH\r\n").is_err());
    }

    #[test]
    fn what_is_taken_is_answered_once() {
        assert_eq!(verdict(Expect::Taken, OK), Ok(()));
        assert_eq!(verdict(Expect::Taken, b"HTTP/1.0 404 Not Found\r\n\r\nto the end"), Ok(()));
        assert!(verdict(Expect::Taken, b"").is_err());
        assert!(verdict(Expect::Taken, &[OK, OK].concat()).is_err());
        assert!(verdict(Expect::Taken, b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
