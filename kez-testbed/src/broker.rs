//! One nats-server process that can be killed and come back on its port.

use std::{
    fs,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kez_chat_server::{nats_conf::NatsConf, secret::PublicKeys};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{TestbedError, guard::Guarded};

/// How long a nats-server may take until it answers, also on a machine that compiles at the same time.
const START_BOUND: Duration = Duration::from_secs(30);
/// How long a nats-server may take to write its store and go.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// Far more than a test sends; the default would promise more than a small disk has.
const FILE_STORE_BYTES: u64 = 2_000_000_000;

/// A broker whose store outlives its process.
#[derive(Debug)]
pub(crate) struct Broker {
    program: PathBuf,
    folder: PathBuf,
    keys: PublicKeys,
    extra_conf: String,
    /// Port 0 until the first start has chosen one.
    address: SocketAddr,
    process: Option<Guarded>,
}

impl Broker {
    /// Starts a broker that keeps everything in the new folder, on a free loopback port.
    pub(crate) async fn start(
        program: PathBuf,
        folder: PathBuf,
        keys: PublicKeys,
        extra_conf: String,
    ) -> Result<Self, TestbedError> {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut broker = Self { program, folder, keys, extra_conf, address, process: None };
        fs::create_dir(&broker.folder).map_err(|source| broker.unusable(source))?;
        broker.resume().await?;
        Ok(broker)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the process id while the broker runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// Returns the folder in which the broker keeps what it stores.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Starts the process, if it does not run, on the port that it had before.
    pub(crate) async fn resume(&mut self) -> Result<(), TestbedError> {
        if self.process.is_some() {
            return Ok(());
        }
        let conf_file = self.folder.join("nats.conf");
        let mut conf = NatsConf::new(self.address, self.store(), self.keys.clone());
        conf.max_file_store_bytes = FILE_STORE_BYTES;
        let text = format!("{}\n{}\n", conf.render(), self.extra_conf);
        fs::write(&conf_file, text).map_err(|source| self.unusable(source))?;

        let deadline = Instant::now() + START_BOUND;
        loop {
            match self.attempt(deadline).await {
                // Its own port may be held for a moment, be it by a client that tries to get back to it.
                Err(TestbedError::Broker { log })
                    if log.contains("address already in use") && Instant::now() < deadline =>
                {
                    sleep(POLL).await;
                }
                other => return other,
            }
        }
    }

    /// Kills the process as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<(), TestbedError> {
        if let Some(process) = self.process.take() {
            process.kill().await.map_err(|source| self.unusable(source))?;
        }
        Ok(())
    }

    /// Kills the process and deletes its store.
    pub(crate) async fn wipe(&mut self) -> Result<(), TestbedError> {
        self.kill().await?;
        fs::remove_dir_all(self.store()).map_err(|source| self.unusable(source))
    }

    /// Stops the process in order, with its store written.
    pub(crate) async fn stop(&mut self) -> Result<(), TestbedError> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_PATIENCE).await.map_err(|source| self.unusable(source))?;
        }
        Ok(())
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<(), TestbedError> {
        let log_file = self.folder.join("nats.log");
        let log = File::options().create(true).append(true).open(&log_file).map_err(|source| self.unusable(source))?;
        let mut process = Guarded::spawn(&self.program, |command| {
            command.arg("--config").arg(self.folder.join("nats.conf"));
            // The broker writes the port that it was given into this folder.
            command.arg("--ports_file_dir").arg(&self.folder);
            command.stdout(Stdio::null()).stderr(log);
        })
        .map_err(|source| self.unusable(source))?;
        let ports_file = self.folder.join(format!("nats-server_{}.ports", process.id().unwrap_or_default()));
        loop {
            if let Some(address) = read_ports(&ports_file)
                && answers(address).await
            {
                self.address = address;
                self.process = Some(process);
                return Ok(());
            }
            let ended = process.try_wait().map_err(|source| self.unusable(source))?.is_some();
            if ended || Instant::now() >= deadline {
                return Err(TestbedError::Broker { log: last_lines(&log_file) });
            }
            sleep(POLL).await;
        }
    }

    fn unusable(&self, source: io::Error) -> TestbedError {
        TestbedError::Folder { path: self.folder.clone(), source }
    }
}

/// Reads the client address from the ports file; `None` while it is not there or half written.
fn read_ports(ports_file: &Path) -> Option<SocketAddr> {
    let ports: Value = serde_json::from_str(&fs::read_to_string(ports_file).ok()?).ok()?;
    ports["nats"][0].as_str()?.strip_prefix("nats://")?.parse().ok()
}

/// Tells whether a broker greets who connects.
async fn answers(address: SocketAddr) -> bool {
    let mut greeting = [0; 5];
    match TcpStream::connect(address).await {
        Ok(mut stream) => stream.read_exact(&mut greeting).await.is_ok() && &greeting == b"INFO ",
        Err(_) => false,
    }
}

/// Returns the end of the log, for an error message.
fn last_lines(log_file: &Path) -> String {
    let log = fs::read_to_string(log_file).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
