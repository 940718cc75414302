//! A stretch of network between a client and a broker, which can be slow, stuck, or cut.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::people::PATIENCE;

/// How the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As if it were not there.
    Open,
    /// What is sent arrives so much later.
    Slow(Duration),
    /// Nothing arrives any more, and nobody is told: connections stay, and new ones are taken.
    Stuck,
    /// Connections end, and new ones end at once.
    Cut,
}

/// Hands on what is sent to its address. Dropping it closes that address.
pub(crate) struct Wire {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    carried: watch::Receiver<Carried>,
    task: JoinHandle<()>,
}

/// Counts connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// That there ever were.
    pub(crate) dialled: usize,
    /// That there are.
    pub(crate) open: usize,
}

impl Wire {
    /// Lays a wire to a broker by its `nats://` URL.
    pub(crate) async fn to(nats_url: &str) -> Self {
        Self::from(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), nats_url)
    }

    pub(crate) fn from(listener: TcpListener, nats_url: &str) -> Self {
        let target = nats_url.rsplit('/').next().unwrap().parse().unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Open);
        let (count, carried) = watch::channel(Carried::default());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                count.send_modify(|carried| (carried.dialled, carried.open) = (carried.dialled + 1, carried.open + 1));
                let (count, modes) = (count.clone(), modes.clone());
                connections.spawn(async move {
                    carry(client, target, modes).await;
                    count.send_modify(|carried| carried.open -= 1);
                });
            }
        });
        Self { address, mode, carried, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn carried(&self) -> Carried {
        *self.carried.borrow()
    }

    pub(crate) async fn until(&self, wanted: impl Fn(&Carried) -> bool) {
        let mut carried = self.carried.clone();
        tokio::time::timeout(PATIENCE, carried.wait_for(|carried| wanted(carried))).await.expect("in time").unwrap();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection until either side ends it, or the wire is cut.
async fn carry(client: TcpStream, target: SocketAddr, modes: watch::Receiver<Mode>) {
    let carried = async {
        let server = TcpStream::connect(target).await.ok()?;
        for end in [&client, &server] {
            end.set_nodelay(true).ok()?;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let there = one_way(from_client, to_server, modes.clone());
        let back = one_way(from_server, to_client, modes.clone());
        tokio::select! {
            _ = there => {}
            _ = back => {}
        }
        Some(())
    };
    let mut cut = modes.clone();
    tokio::select! {
        _ = carried => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>) -> Option<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut bytes).await.ok().filter(|length| *length > 0)?;
        let mode = *modes.wait_for(|mode| *mode != Mode::Stuck).await.ok()?;
        if let Mode::Slow(delay) = mode {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&bytes[..length]).await.ok()?;
    }
}
