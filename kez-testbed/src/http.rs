//! A plain HTTP/1.1 client: one connection, one request at a time.
//!
//! It costs next to nothing beside the server that it asks, and tells exactly when a connection broke: what harnesses
//! need, and nothing else.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What no answer that a harness asks for is longer than.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A connection that is kept from request to request.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, without its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body, as long as `Content-Length` said.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to a server.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request, such as [`get`] makes, and waits for its answer.
    ///
    /// # Errors
    /// When the connection breaks before the answer is whole, or the answer is none; the connection is of no use then.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let (status, length) = read_head(&self.buffer[..head]).ok_or(io::ErrorKind::InvalidData)?;
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        Ok(Answer { status, body: self.buffer[head..head + length].to_vec() })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buffer.len() > MAX_ANSWER_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Makes a request without a body.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Makes a request with a body.
pub fn post(path: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Returns an answer's status and the length of its body; 304 has none (RFC 9110 §15.4.5).
fn read_head(head: &[u8]) -> Option<(u16, usize)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match (status, length) {
        (_, Some((_, length))) => Some((status, length.trim().parse().ok()?)),
        (304, None) => Some((status, 0)),
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_head_is_read() {
        let head = b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(read_head(head), Some((404, 12)));
        assert_eq!(read_head(b"HTTP/1.1 304 Not Modified\r\netag: \"aa\"\r\n\r\n"), Some((304, 0)));
        for none in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 OK\r\ncontent-length: 1\r\n\r\n", "SSH-2.0\r\n\r\n"] {
            assert_eq!(read_head(none.as_bytes()), None, "{none}");
        }
    }
}
