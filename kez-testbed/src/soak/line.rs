//! A client's connection to a server that goes away and comes back.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use kez_testbed::http::{Answer, Connection};
use tokio::sync::watch;

/// Connects whenever there is a server and no connection.
pub(crate) struct Line {
    /// Where the server is, while it is there.
    up: watch::Receiver<Option<SocketAddr>>,
    connection: Option<Connection>,
}

impl Line {
    pub(crate) fn new(up: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self { up, connection: None }
    }

    /// Makes a line to a server that stays.
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::new(watch::channel(Some(server)).1)
    }

    /// Asks once there is a server; `None` if the connection broke, be it before or after the server did what was asked.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Option<Answer>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let server = *self.up.wait_for(Option::is_some).await.context("the server is given up")?;
                match Connection::open(server.context("the server is away")?).await {
                    Ok(connection) => connection,
                    Err(_) => return Ok(None),
                }
            }
        };
        // Whatever broke it: the server is killed all the time, and who is not killed and breaks connections makes the
        // soak last for ever, which its caller notices.
        let answer = connection.ask(request).await.ok();
        if answer.is_some() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Asks until there is an answer: only for what changes nothing.
    pub(crate) async fn ask_until_answered(&mut self, request: &[u8]) -> Result<Answer> {
        loop {
            if let Some(answer) = self.ask(request).await? {
                return Ok(answer);
            }
        }
    }
}
