//! The stack: broker, sigchain server, home server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use kez_chat_server::secret::ServerSecret;
use kez_core::handle::{Home, Policy};
use kez_service::rate::Rate;

use crate::{
    broker::Broker,
    guard::GuardedFolder,
    nats_server::{self, NatsServerError},
};

/// Why the testbed did not start, or lost a part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestbedError {
    /// There is no nats-server.
    #[error(transparent)]
    NatsServer(#[from] NatsServerError),
    /// The temporary folder, or something in it, can't be used.
    #[error("{path} can't be used", path = path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The nats-server ended or did not answer; its log says why.
    #[error("the nats-server did not start; the end of its log:\n{log}")]
    Broker {
        /// The log's last lines.
        log: String,
    },
    /// The sigchain server did not start.
    #[error("the sigchain server did not start")]
    SigServer(#[source] kez_sig_server::StartError),
    /// A server that is a process of its own ended or did not say that it listens; its log says why.
    #[error("{program} did not start; the end of its log:\n{log}", program = program.display())]
    Process {
        /// The server's program.
        program: PathBuf,
        /// The log's last lines.
        log: String,
    },
    /// The home server did not start.
    #[error("the home server did not start")]
    ChatServer(#[source] kez_chat_server::StartError),
}

/// What can be chosen about a [`Testbed`].
#[derive(Debug, Clone)]
pub struct TestbedBuilder {
    nats_server: Option<PathBuf>,
    extra_nats_conf: String,
    chat_settings: ChatSettings,
    sig_settings: SigSettings,
}

/// Changes the home server's settings before each of its starts.
type ChatSettings = fn(&mut kez_chat_server::Settings);
/// Changes the sigchain server's settings before each of its starts.
type SigSettings = fn(&mut kez_sig_server::Settings);

impl Default for TestbedBuilder {
    fn default() -> Self {
        Self { nats_server: None, extra_nats_conf: String::new(), chat_settings: |_| {}, sig_settings: |_| {} }
    }
}

impl TestbedBuilder {
    /// Runs this nats-server instead of the one that [`nats_server::find`] returns.
    #[must_use]
    pub fn nats_server(mut self, program: impl Into<PathBuf>) -> Self {
        self.nats_server = Some(program.into());
        self
    }

    /// Appends lines to the generated `nats.conf`.
    #[must_use]
    pub fn extra_nats_conf(mut self, lines: impl Into<String>) -> Self {
        self.extra_nats_conf = lines.into();
        self
    }

    /// Has the home server's settings changed before each of its starts.
    #[must_use]
    pub fn chat_settings(mut self, change: fn(&mut kez_chat_server::Settings)) -> Self {
        self.chat_settings = change;
        self
    }

    /// Has the sigchain server's settings changed before each of its starts.
    #[must_use]
    pub fn sig_settings(mut self, change: fn(&mut kez_sig_server::Settings)) -> Self {
        self.sig_settings = change;
        self
    }

    /// Starts the stack.
    ///
    /// # Errors
    /// When a part does not start; the parts that did are gone again.
    pub async fn start(self) -> Result<Testbed, TestbedError> {
        let program = match self.nats_server {
            Some(program) => program,
            None => nats_server::find().await?,
        };
        let folder = GuardedFolder::create("kez-testbed")
            .await
            .map_err(|source| TestbedError::Folder { path: std::env::temp_dir(), source })?;
        let secret = ServerSecret::generate(&mut rand::rng());
        let keys = secret.public_keys();
        let broker = Broker::start(program, folder.path().join("nats"), keys, self.extra_nats_conf).await?;
        let sig = bind_sig(loopback(0), folder.path(), self.sig_settings).await?;
        let urls = Urls { nats: nats_url(&broker), sig: sig_url(sig.local_addr()) };
        let chat = bind_chat(loopback(0), urls, &secret, folder.path(), self.chat_settings).await?;
        Ok(Testbed {
            domain: chat.domain().clone(),
            sig_address: sig.local_addr(),
            chat_address: chat.local_addr(),
            chat: Some(chat),
            sig: Some(sig),
            broker,
            folder,
            secret,
            chat_settings: self.chat_settings,
            sig_settings: self.sig_settings,
        })
    }
}

/// A running nats-server, sigchain server and home server on free loopback ports, in a temporary folder.
///
/// The servers run in this process, with the development policy. Nothing outlives the testbed, however it or its
/// process ends; [`Testbed::shutdown`] ends it in order.
pub struct Testbed {
    // Dropped in this order: who uses something goes before it.
    chat: Option<kez_chat_server::Server>,
    sig: Option<kez_sig_server::Server>,
    broker: Broker,
    folder: GuardedFolder,
    secret: ServerSecret,
    domain: Home,
    sig_address: SocketAddr,
    chat_address: SocketAddr,
    chat_settings: ChatSettings,
    sig_settings: SigSettings,
}

impl Testbed {
    /// Starts the stack with nothing special about it.
    ///
    /// # Errors
    /// When there is no nats-server to be had, or a part does not start.
    pub async fn start() -> Result<Self, TestbedError> {
        Self::builder().start().await
    }

    /// Lets something be chosen before the start.
    pub fn builder() -> TestbedBuilder {
        TestbedBuilder::default()
    }

    /// Returns the home server's base URL, `http://localhost:<port>`.
    pub fn home_url(&self) -> String {
        format!("http://localhost:{}", self.chat_address.port())
    }

    /// Returns the home's name as handles carry it, `localhost:<port>`.
    pub fn domain(&self) -> &Home {
        &self.domain
    }

    /// Returns the sigchain server's base URL.
    pub fn sig_url(&self) -> String {
        sig_url(self.sig_address)
    }

    /// Returns the broker's URL for clients.
    pub fn nats_url(&self) -> String {
        nats_url(&self.broker)
    }

    /// Returns the temporary folder that holds everything, and goes with the testbed.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the home server's secret, which holds the keys that the broker trusts.
    pub fn secret(&self) -> &ServerSecret {
        &self.secret
    }

    /// Returns the home server while it runs.
    pub fn chat_server(&self) -> Option<&kez_chat_server::Server> {
        self.chat.as_ref()
    }

    /// Returns the ids of the processes that the testbed has started.
    pub fn process_ids(&self) -> Vec<u32> {
        self.broker.id().into_iter().chain(self.folder.guard_id()).collect()
    }

    /// Kills the broker as a crash would; its store stays.
    ///
    /// # Errors
    /// When the operating system does not tell that it has ended.
    pub async fn kill_nats(&mut self) -> Result<(), TestbedError> {
        self.broker.kill().await
    }

    /// Starts the broker again, on its port and store; does nothing if it runs.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start_nats(&mut self) -> Result<(), TestbedError> {
        self.broker.resume().await
    }

    /// Stops the sigchain server; its chains stay.
    pub async fn stop_sig_server(&mut self) {
        if let Some(server) = self.sig.take() {
            server.shutdown().await;
        }
    }

    /// Starts the sigchain server, on the port and chains that it had; does nothing if it runs.
    ///
    /// # Errors
    /// When it can't.
    pub async fn start_sig_server(&mut self) -> Result<(), TestbedError> {
        if self.sig.is_none() {
            self.sig = Some(bind_sig(self.sig_address, self.folder(), self.sig_settings).await?);
        }
        Ok(())
    }

    /// Stops the home server; its registry stays.
    pub async fn stop_chat_server(&mut self) {
        if let Some(server) = self.chat.take() {
            server.shutdown().await;
        }
    }

    /// Drops the home server where it stands: what it had begun is not finished. Its registry stays.
    pub fn drop_chat_server(&mut self) {
        self.chat = None;
    }

    /// Starts the home server, on the port and registry that it had; does nothing if it runs.
    ///
    /// # Errors
    /// When it can't.
    pub async fn start_chat_server(&mut self) -> Result<(), TestbedError> {
        if self.chat.is_none() {
            let urls = Urls { nats: self.nats_url(), sig: self.sig_url() };
            let chat = bind_chat(self.chat_address, urls, &self.secret, self.folder(), self.chat_settings).await?;
            self.chat = Some(chat);
        }
        Ok(())
    }

    /// Stops everything in order and removes the temporary folder.
    ///
    /// # Errors
    /// When something is left behind; the guards still do what they can.
    pub async fn shutdown(mut self) -> Result<(), TestbedError> {
        self.stop_chat_server().await;
        self.stop_sig_server().await;
        self.broker.stop().await?;
        let path = self.folder().to_owned();
        self.folder.remove().await.map_err(|source| TestbedError::Folder { path, source })
    }
}

struct Urls {
    nats: String,
    sig: String,
}

fn nats_url(broker: &Broker) -> String {
    format!("nats://{}", broker.address())
}

fn sig_url(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn bind_sig(
    address: SocketAddr,
    folder: &Path,
    change: SigSettings,
) -> Result<kez_sig_server::Server, TestbedError> {
    let mut settings = kez_sig_server::Settings::new(address, folder.join("sigchains.db"));
    settings.policy = Policy::Development;
    // Everybody in a test has one address.
    settings.append_rate = Rate::OFF;
    settings.read_rate = Rate::OFF;
    change(&mut settings);
    kez_sig_server::Server::bind(settings).await.map_err(TestbedError::SigServer)
}

async fn bind_chat(
    address: SocketAddr,
    urls: Urls,
    secret: &ServerSecret,
    folder: &Path,
    change: ChatSettings,
) -> Result<kez_chat_server::Server, TestbedError> {
    let registry = folder.join("registry.db");
    let mut settings = kez_chat_server::Settings::new(address, urls.nats, urls.sig, registry, secret.clone());
    settings.policy = Policy::Development;
    settings.register_rate = Rate::OFF;
    settings.lookup_rate = Rate::OFF;
    change(&mut settings);
    kez_chat_server::Server::bind(settings).await.map_err(TestbedError::ChatServer)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
