//! The stack with both servers as processes of their own, to be killed or weighed.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use kez_chat_server::secret::ServerSecret;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{TestbedError, broker::Broker, guard::Guarded, guard::GuardedFolder, nats_server};

/// How long a server may take until it says that it listens, also on a machine that compiles at the same time.
const START_BOUND: Duration = Duration::from_secs(30);
/// How long a server may take to finish its requests and go.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(3);

/// Both servers' limits, which would all be this machine's.
const RATES: [&str; 4] = ["APPEND_RATE", "READ_RATE", "REGISTER_RATE", "LOOKUP_RATE"];

/// Where the servers' programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `kez-chat-server`.
    pub chat_server: PathBuf,
    /// `kez-sig-server`.
    pub sig_server: PathBuf,
}

/// A running nats-server, and both servers as processes on free loopback ports, in a temporary folder.
///
/// Like a [`Testbed`](crate::Testbed) nothing of it outlives it.
#[derive(Debug)]
pub struct Processes {
    // Dropped in this order: who uses something goes before it.
    /// The home server.
    pub chat: ServerProcess,
    /// The sigchain server.
    pub sig: ServerProcess,
    broker: Broker,
    folder: GuardedFolder,
    secret: ServerSecret,
}

impl Processes {
    /// The home's name, unless another is chosen.
    pub const HOME: &str = "kez.example";

    /// Starts the stack.
    ///
    /// # Errors
    /// When there is no nats-server to be had, or a part does not start.
    pub async fn start(programs: &Programs) -> Result<Self, TestbedError> {
        Self::start_with(programs, |chat| chat.set("KEZ_DOMAIN", Self::HOME)).await
    }

    /// Starts the stack with a home server whose environment was changed before its first start. Unless that names the
    /// home, it is `localhost:<port>`, where clients find it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        programs: &Programs,
        change_chat: impl FnOnce(&mut ServerProcess),
    ) -> Result<Self, TestbedError> {
        let nats_server = nats_server::find().await?;
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| TestbedError::Folder { path, source }
        };
        let folder = GuardedFolder::create("kez-testbed").await.map_err(unusable(&std::env::temp_dir()))?;
        let secret = ServerSecret::generate(&mut rand::rng());
        let secret_file = folder.path().join("secret");
        secret.create_file(&secret_file).map_err(|error| unusable(&secret_file)(io::Error::other(error)))?;
        let keys = secret.public_keys();
        let broker = Broker::start(nats_server, folder.path().join("nats"), keys, String::new()).await?;

        let part = |name| {
            let part = folder.path().join(name);
            fs::create_dir(&part).map_err(unusable(&part)).map(|()| part)
        };
        let mut sig = ServerProcess::new(&programs.sig_server, "listening", part("sig")?, "KEZ_DB");
        sig.start().await?;
        let mut chat = ServerProcess::new(&programs.chat_server, "the home server is up", part("chat")?, "DB_PATH");
        chat.arguments = &["serve"];
        chat.set("NATS_URL", format!("nats://{}", broker.address()));
        chat.set("SIG_SERVER_URL", format!("http://{}", sig.address()));
        chat.set("AUTH_CALLOUT_NKEY_PATH", &secret_file);
        chat.set("INTERNAL_BIND", "127.0.0.1:0");
        change_chat(&mut chat);
        chat.start().await?;
        Ok(Self { chat, sig, broker, folder, secret })
    }

    /// Returns the broker's URL.
    pub fn nats_url(&self) -> String {
        format!("nats://{}", self.broker.address())
    }

    /// Returns the broker's address.
    pub fn broker_address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// Returns the process id of the broker while it runs.
    pub fn broker_id(&self) -> Option<u32> {
        self.broker.id()
    }

    /// Returns the folder in which the broker keeps what it stores.
    pub fn broker_store(&self) -> PathBuf {
        self.broker.store()
    }

    /// Returns the home server's secret, which holds the keys that the broker trusts.
    pub fn secret(&self) -> &ServerSecret {
        &self.secret
    }

    /// Returns the temporary folder that holds everything, and goes with the stack.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the broker as a crash would; its store stays.
    ///
    /// # Errors
    /// When the operating system does not tell that it has ended.
    pub async fn kill_nats(&mut self) -> Result<(), TestbedError> {
        self.broker.kill().await
    }

    /// Kills the broker and deletes its store, as if its disk had been lost.
    ///
    /// # Errors
    /// When the operating system does not tell that it has ended, or the store can't be deleted.
    pub async fn wipe_nats(&mut self) -> Result<(), TestbedError> {
        self.broker.wipe().await
    }

    /// Starts the broker again, on its port and store; does nothing if it runs.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start_nats(&mut self) -> Result<(), TestbedError> {
        self.broker.resume().await
    }

    /// Stops everything in order and removes the temporary folder.
    ///
    /// # Errors
    /// When something is left behind; the guards still do what they can.
    pub async fn shutdown(mut self) -> Result<(), TestbedError> {
        self.stop().await?;
        let path = self.folder().to_owned();
        self.folder.remove().await.map_err(|source| TestbedError::Folder { path, source })
    }

    /// Stops everything in order and leaves what was in the temporary folder in `place`, which must not exist yet and lie
    /// on the same file system.
    ///
    /// # Errors
    /// When something does not stop, or the folder can't be moved.
    pub async fn shutdown_and_keep(mut self, place: &Path) -> Result<(), TestbedError> {
        self.stop().await?;
        self.folder.keep(place).await.map_err(|source| TestbedError::Folder { path: place.to_owned(), source })
    }

    async fn stop(&mut self) -> Result<(), TestbedError> {
        self.chat.stop().await?;
        self.sig.stop().await?;
        self.broker.stop().await
    }
}

/// One server as a process that can be killed and come back on its port and database.
#[derive(Debug)]
pub struct ServerProcess {
    program: PathBuf,
    arguments: &'static [&'static str],
    environment: Vec<(&'static str, OsString)>,
    /// The variable that names the database.
    database: &'static str,
    /// What its log says when it is there, beside its address.
    announces: &'static str,
    folder: PathBuf,
    /// The database.
    file: PathBuf,
    /// Port 0 until the first start has chosen one.
    address: SocketAddr,
    /// Where the running process listens for its operator, if it does.
    internal: Option<SocketAddr>,
    process: Option<Guarded>,
}

impl ServerProcess {
    fn new(program: &Path, announces: &'static str, folder: PathBuf, database: &'static str) -> Self {
        let (address, internal, process) = ((Ipv4Addr::LOCALHOST, 0).into(), None, None);
        let (program, arguments, environment) = (program.to_owned(), [].as_slice(), Vec::new());
        let file = database_in(&folder);
        let mut server =
            Self { program, arguments, environment, database, announces, folder, file, address, internal, process };
        server.set(database, server.database());
        let log = ("KEZ_LOG", "info,async_nats=off");
        for (name, value) in [("INTERNAL_BIND", "off"), ("KEZ_DEV", "1"), log, ("KEZ_LOG_FORMAT", "json")] {
            server.set(name, value);
        }
        for rate in RATES {
            server.set(rate, "off");
        }
        server
    }

    /// Sets a variable of the environment, from the next start on.
    pub fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.environment.push((name, value.into()));
    }

    /// Returns the address on which the server answers while it runs.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of the internal listener while the server runs, if it has one.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal
    }

    /// Returns the process id while the server runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// Returns the path of the server's database, which lies alone in its folder but for SQLite's own files.
    pub fn database(&self) -> PathBuf {
        self.file.clone()
    }

    /// Starts the process, if it does not run, on the port that it had before; returns when it listens.
    ///
    /// # Errors
    /// When it does not; the error shows the end of its log.
    pub async fn start(&mut self) -> Result<(), TestbedError> {
        if self.process.is_some() {
            return Ok(());
        }
        self.make_folders()?;
        let deadline = Instant::now() + START_BOUND;
        loop {
            match self.attempt(deadline).await {
                // Its own port may be held for a moment by whoever connects to somewhere else.
                Err(TestbedError::Process { log, .. })
                    if log.contains("Address already in use") && Instant::now() < deadline =>
                {
                    sleep(POLL).await;
                }
                other => return other,
            }
        }
    }

    /// Kills the process as a crash would, and waits for its end.
    ///
    /// # Errors
    /// When the operating system does not tell that it has ended.
    pub async fn kill(&mut self) -> Result<(), TestbedError> {
        self.internal = None;
        if let Some(process) = self.process.take() {
            process.kill().await.map_err(|source| self.unusable(source))?;
        }
        Ok(())
    }

    /// Asks the process to end, and tells how it did; `None` if it did not run.
    ///
    /// # Errors
    /// When the operating system does not tell how it has ended.
    pub async fn stop(&mut self) -> Result<Option<ExitStatus>, TestbedError> {
        self.internal = None;
        match self.process.take() {
            Some(process) => process.stop(STOP_PATIENCE).await.map(Some).map_err(|source| self.unusable(source)),
            None => Ok(None),
        }
    }

    /// Has the server's own command copy the database, and returns a server that is to run on the copy, on a port of its
    /// own and beside this one.
    ///
    /// # Errors
    /// When the command fails; the error shows what it said.
    pub async fn back_up(&self) -> Result<Self, TestbedError> {
        let mut copy = self.another("restored");
        let file = database_in(&copy.folder);
        copy.file.clone_from(&file);
        copy.make_folders()?;
        let command = Guarded::spawn(&self.program, |command| {
            command.arg("backup").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped());
            command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        });
        let ended = command.map_err(|source| self.unusable(source))?.output().await;
        let ended = ended.map_err(|source| self.unusable(source))?;
        if !ended.status.success() {
            let log = String::from_utf8_lossy(&ended.stderr).into_owned();
            return Err(TestbedError::Process { program: self.program.clone(), log });
        }
        copy.set(copy.database, file);
        Ok(copy)
    }

    /// Returns a server that is to run on this one's database, on a port of its own and beside this one.
    ///
    /// # Errors
    /// When its folder can't be made.
    pub fn beside(&self) -> Result<Self, TestbedError> {
        let other = self.another("beside");
        other.make_folders()?;
        Ok(other)
    }

    /// Makes a server like this one, which has yet to run for the first time.
    fn another(&self, folder: &str) -> Self {
        let (program, environment, file) = (self.program.clone(), self.environment.clone(), self.file.clone());
        let Self { arguments, database, announces, .. } = *self;
        let (folder, address) = (self.folder.join(folder), (Ipv4Addr::LOCALHOST, 0).into());
        let (internal, process) = (None, None);
        Self { program, arguments, environment, database, announces, folder, file, address, internal, process }
    }

    fn make_folders(&self) -> Result<(), TestbedError> {
        for folder in [Some(self.folder.as_path()), self.file.parent()].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(|source| self.unusable(source))?;
        }
        Ok(())
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<(), TestbedError> {
        let log_file = self.folder.join("log");
        let mut log =
            File::options().create(true).append(true).open(&log_file).map_err(|source| self.unusable(source))?;
        // What earlier processes said stays, for whoever looks for what went wrong.
        let begins = log.seek(SeekFrom::End(0)).map_err(|source| self.unusable(source))?;
        let mut process = Guarded::spawn(&self.program, |command| {
            command.args(self.arguments).env("BIND", self.address.to_string());
            command.envs(self.environment.iter().map(|(name, value)| (name, value)));
            command.stdout(Stdio::null()).stderr(log);
        })
        .map_err(|source| self.unusable(source))?;
        loop {
            // Looked at before the log is: nothing is written after the end.
            let ended = process.try_wait().map_err(|source| self.unusable(source))?.is_some();
            let log = read_from(&log_file, begins).map_err(|source| self.unusable(source))?;
            if let Some((address, internal)) = log.lines().find_map(|line| self.announced(line)) {
                (self.address, self.internal) = (address, internal);
                self.process = Some(process);
                return Ok(());
            }
            if ended || Instant::now() >= deadline {
                let program = self.program.clone();
                let lines: Vec<&str> = log.lines().collect();
                let log = lines[lines.len().saturating_sub(10)..].join("\n");
                return Err(TestbedError::Process { program, log });
            }
            sleep(POLL).await;
        }
    }

    /// Returns the public and the internal address in the line of the log that says that the server is there.
    fn announced(&self, line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        if fields["message"] != self.announces {
            return None;
        }
        let address = |name: &str| fields[name].as_str()?.parse().ok();
        Some((address("address")?, address("internal")))
    }

    fn unusable(&self, source: io::Error) -> TestbedError {
        TestbedError::Folder { path: self.folder.clone(), source }
    }
}

/// Reads a file from a place on.
fn read_from(file: &Path, begins: u64) -> io::Result<String> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(begins))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Tells where the database lies in a server's folder: alone, but for SQLite's own files.
fn database_in(folder: &Path) -> PathBuf {
    folder.join("database/kez.db")
}
