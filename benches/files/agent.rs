//! One of those who are measured, as a process: it does what it is told, and says how it went.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use clap::{Args, ValueEnum};
use kez_testbed::{Testbed, guard::Guarded, measure::most_resident_mb};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{kez::Kez, line::Line, raw::Raw};

/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(1_800);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Our client.
    Kez,
    /// iroh-blobs on its own endpoint, without encryption.
    Raw,
}

#[derive(Args)]
pub(crate) struct Options {
    kind: Kind,
    /// What it keeps is kept there.
    folder: PathBuf,
    /// The name to register.
    name: String,
    home_url: String,
    /// Where orders come from.
    control: SocketAddr,
}

/// What an agent is to do next; it answers when it is done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Gets to know somebody.
    Meet { who: String },
    /// Holds a file ready for whom it has met.
    Share { path: PathBuf },
    /// Fetches what somebody holds ready, which is known by `ticket`, into a folder.
    Fetch { ticket: String, folder: PathBuf },
    /// Forgets what it has shared or fetched.
    Clear,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The agent can be reached, as `who`.
    Online { who: String },
    /// The order took that long. What was shared is known by `ticket`.
    Done { took: Duration, ticket: String },
}

enum Client {
    Kez(Box<Kez>),
    Raw(Raw),
}

/// Does as it is told, until nobody is there any more.
pub(crate) async fn serve(options: Options) {
    let mut control = Line::connect(options.control).await;
    let mut client = match options.kind {
        Kind::Kez => Client::Kez(Box::new(Kez::open(&options.folder, &options.name, &options.home_url).await)),
        Kind::Raw => Client::Raw(Raw::open(&options.folder).await),
    };
    let who = if let Client::Kez(kez) = &client { kez.handle() } else { String::new() };
    control.say(&Report::Online { who }).await;
    while let Some(order) = control.hear().await {
        let (took, ticket) = match &mut client {
            Client::Kez(kez) => kez.obey(order).await,
            Client::Raw(raw) => raw.obey(order).await,
        };
        control.say(&Report::Done { took, ticket }).await;
    }
    match client {
        Client::Kez(kez) => kez.close().await,
        Client::Raw(raw) => raw.close().await,
    }
}

/// An agent's process, seen from outside.
pub(crate) struct Agent {
    process: Guarded,
    control: Line,
    pub(crate) who: String,
}

impl Agent {
    /// Starts an agent that keeps things in a folder of the testbed's.
    pub(crate) async fn start(testbed: &Testbed, kind: Kind, name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let process = Guarded::spawn(std::env::current_exe().unwrap(), |command| {
            command.arg("agent").arg(kind.to_possible_value().unwrap().get_name());
            command.arg(testbed.folder().join(name)).arg(name).arg(testbed.home_url());
            command.arg(listener.local_addr().unwrap().to_string()).stdout(Stdio::null());
        })
        .unwrap();
        let mut control = Line::new(listener.accept().await.unwrap().0);
        match control.hear().await {
            Some(Report::Online { who }) => Self { process, control, who },
            other => panic!("{name} did not come online: {other:?}"),
        }
    }

    pub(crate) async fn order(&mut self, order: Order) -> (Duration, String) {
        self.control.say(&order).await;
        match tokio::time::timeout(PATIENCE, self.control.hear()).await.unwrap() {
            Some(Report::Done { took, ticket }) => (took, ticket),
            other => panic!("an order was not followed: {other:?}"),
        }
    }

    pub(crate) fn most_resident_mb(&self) -> f64 {
        most_resident_mb(self.process.id().unwrap()).unwrap_or(f64::NAN)
    }

    /// Has the agent close everything and go.
    pub(crate) async fn end(self) {
        let Self { mut process, control, .. } = self;
        drop(control);
        tokio::time::timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    }
}
