//! What a nats-server says of itself before anybody logs in: its INFO line.

use std::io;
use std::time::Duration;

use async_nats::{ServerAddr, ServerInfo};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Report;
use crate::broker::MAX_MESSAGE_BYTES;

/// The first version whose auth callout does what the server needs.
const OLDEST: (u32, u32) = (2, 10);
const PATIENCE: Duration = Duration::from_secs(5);
/// Far more than a nats-server says, also of a large cluster.
const MAX_GREETING_BYTES: u64 = 1 << 16;

/// Looks at a node's greeting; returns whether logging in makes sense.
pub(super) async fn look(server: &ServerAddr, report: &mut Report) -> bool {
    let url = server.as_url_str();
    match greeting(server).await {
        Ok(Some(info)) => {
            report.ok("broker", format!("{url} answers"));
            judge(&info, report)
        }
        Ok(None) => {
            report.ok("broker", format!("{url} takes connections"));
            let parts = ["version", "nonce", "payload", "jetstream"];
            report
                .skipped(&parts, "the broker tells them after a handshake only; give a nats:// or tls:// URL for them");
            true
        }
        Err(error) => {
            let text = format!("{url} can't be reached; start nats-server, or correct NATS_URL ({error})");
            report.missing("broker", text);
            false
        }
    }
}

/// Reads a node's greeting; `None` where it comes after a handshake only (WebSocket, TLS first).
async fn greeting(server: &ServerAddr) -> io::Result<Option<ServerInfo>> {
    let connected = timeout(PATIENCE, TcpStream::connect((server.host(), server.port()))).await??;
    if server.is_websocket() {
        return Ok(None);
    }
    let mut line = String::new();
    let mut stream = BufReader::new(connected.take(MAX_GREETING_BYTES));
    let read = timeout(PATIENCE, stream.read_line(&mut line)).await;
    if read.is_err() && server.tls_required() {
        return Ok(None);
    }
    read??;
    let strange = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let info = line.strip_prefix("INFO ").ok_or_else(|| strange("it does not greet as a nats-server does"))?;
    serde_json::from_str(info).map(Some).map_err(|_| strange("its INFO is not understood"))
}

fn judge(info: &ServerInfo, report: &mut Report) -> bool {
    let (oldest, version) = (format!("{}.{}", OLDEST.0, OLDEST.1), &info.version);
    let new_enough = parse_version(version).is_some_and(|version| version >= OLDEST);
    if new_enough {
        report.ok("version", format!("nats-server {version}"));
    } else {
        let text = format!("this is nats-server {version}; install {oldest} or newer, which has auth callout");
        report.missing("version", text);
    }
    let nonce = !info.nonce.is_empty();
    if nonce {
        report.ok("nonce", "the broker sends one, for logins to sign");
    } else {
        let text = "the broker sends no nonce, so nobody can log in by a key: nats.conf has no nkey user; put what \
                    `nats-conf` prints there";
        report.missing("nonce", text);
    }
    let (max, need) = (info.max_payload, MAX_MESSAGE_BYTES);
    if max >= need as usize {
        report.ok("payload", format!("max_payload is {max} bytes"));
    } else {
        let text = format!("max_payload is {max} bytes, and messages take {need}; set `max_payload: 131072`");
        report.missing("payload", text);
    }
    if info.jetstream {
        report.ok("jetstream", "JetStream is on");
    } else {
        report.missing("jetstream", "JetStream is off; put the `jetstream` block of `nats-conf` into nats.conf");
    }
    new_enough && nonce
}

/// Reads the major and minor version of texts such as `2.10.29` or `2.12.0-RC.1`.
fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        for (text, expected) in [
            ("2.9.25", Some(false)),
            ("2.10.0", Some(true)),
            ("2.12.0-RC.1", Some(true)),
            ("3.0.0", Some(true)),
            ("x", None),
        ] {
            assert_eq!(parse_version(text).map(|version| version >= OLDEST), expected, "{text}");
        }
    }
}
