//! The process that owns a home: the first one there. It answers its own command and those of every other process on the
//! home, which reach it through a socket in the home (mode 0600).

mod hub;
mod session;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use kez_chat_sdk::{Client, EventId, KeyStore};
use tokio::{
    io::DuplexStream,
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::hub::Hub;
pub(crate) use self::session::Report;
use crate::{
    api::{self, account},
    failure::Failure,
};

/// The socket's name in the home.
const SOCKET: &str = "socket";
/// How long an owner that ends waits for what others have asked of it. They ask the next owner then.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How long an owner that follows another one waits before it gives events, so that who listened before is there again: what
/// they all have handled is forgotten, and nobody asks who is missing.
const RETURN: Duration = Duration::from_secs(2);
/// How many events are brought at once.
const BATCH: usize = 64;
/// How long it rests after a fault before it is tried again.
const REST: Duration = Duration::from_secs(1);
/// A socket's address holds no longer paths; it is 104 on macOS.
const MAX_ADDRESS_BYTES: usize = 100;

/// A home that this process owns.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) client: Client,
    home: PathBuf,
    hub: Arc<Hub>,
    stays: AtomicBool,
    /// How many other processes are here.
    others: AtomicUsize,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Owner {
    /// Opens the account of a home, and answers whoever else comes to it.
    pub(crate) async fn open(home: &Path, key_store: Arc<dyn KeyStore>) -> Result<Arc<Self>, Failure> {
        let client = Client::open(home, key_store).await?;
        let owner = Arc::new(Self {
            client,
            home: home.to_owned(),
            hub: Arc::default(),
            stays: AtomicBool::new(false),
            others: AtomicUsize::new(0),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let (listener, follows_another) = match owner.bind() {
            Ok(bound) => bound,
            Err(error) => {
                owner.finish().await;
                return Err(error.into());
            }
        };
        owner.tasks.spawn(Arc::clone(&owner).accept(listener));
        owner.tasks.spawn(Arc::clone(&owner).bring_events(follows_another));
        Ok(owner)
    }

    /// Says that this process goes on until it is stopped.
    pub(crate) fn stay(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Says who answers.
    pub(crate) fn describe(&self) -> account::Owner {
        account::Owner {
            api_version: api::VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            stays: self.stays.load(Ordering::Relaxed),
            account: self.account(),
        }
    }

    /// Says whose home it is.
    pub(crate) fn account(&self) -> account::Account {
        account::Account {
            handle: self.client.handle().to_string(),
            primary: self.client.primary().to_string(),
            sigchain_url: self.client.sigchain_url().to_owned(),
            contact_uri: self.client.account().contact_uri().to_string(),
            home_dir: self.home.clone(),
        }
    }

    /// Answers this process's own command for as long as it stays.
    pub(crate) fn attach(self: &Arc<Self>, stream: DuplexStream) {
        self.tasks.spawn(session::run(Arc::clone(self), stream));
    }

    /// Closes the account. Whoever else is there makes one of them the next owner.
    pub(crate) async fn finish(self: Arc<Self>) {
        // Otherwise it stays, as after a crash: a sign for the next owner that others will come.
        if self.others.load(Ordering::Relaxed) == 0 {
            let _ = with_address(&self.home, fs::remove_file);
        }
        self.closing.cancel();
        self.tasks.close();
        // A session that does not come to an end is cut off with the client.
        let _ = timeout(LAST_ANSWERS, self.tasks.wait()).await;
        self.client.clone().shutdown().await;
    }

    /// Takes the socket's place; what is there belongs to an owner that has ended, since the home is ours. Tells whether there
    /// was one that others may have been with.
    fn bind(&self) -> io::Result<(UnixListener, bool)> {
        let follows_another = match with_address(&self.home, fs::remove_file) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let listener = with_address(&self.home, |address| {
            let listener = UnixListener::bind(&address)?;
            fs::set_permissions(&address, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })?;
        Ok((listener, follows_another))
    }

    async fn accept(self: Arc<Self>, listener: UnixListener) {
        loop {
            let stream = tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = listener.accept() => accepted.map(|(stream, _)| stream),
            };
            match stream {
                // The folder is not always ours alone; the account is.
                Ok(stream) if is_ours(&stream) => self.attach_other(stream),
                Ok(_) => tracing::warn!("another user came to the socket, and was turned away"),
                Err(error) => {
                    tracing::warn!(%error, "nobody can come to the socket");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Answers another process.
    fn attach_other(self: &Arc<Self>, stream: UnixStream) {
        let owner = Arc::clone(self);
        self.others.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(async move {
            session::run(Arc::clone(&owner), stream).await;
            owner.others.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Takes events from the client, and forgets those that are over.
    async fn bring_events(self: Arc<Self>, follows_another: bool) {
        if follows_another {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = tokio::time::sleep(RETURN) => {}
            }
        }
        loop {
            let over = self.hub.take_over();
            if !over.is_empty() && self.forget(&over).await.is_err() {
                // They come again with the next owner.
                tracing::warn!("events that were handled can't be forgotten");
            }
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.hub.changed() => {}
                events = self.client.next_events(BATCH), if self.hub.has_room() => match events {
                    Ok(events) => for pending in events {
                        match api::mirrored(&pending.event) {
                            Ok(event) => self.hub.add(pending.id.number(), event),
                            Err(failure) => tracing::warn!(%failure, "an event is kept for a later version"),
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%error, "no events can be had");
                        tokio::time::sleep(REST).await;
                    }
                },
            }
        }
    }

    /// Forgets events for good.
    async fn forget(&self, ids: &[i64]) -> Result<(), Failure> {
        let ids: Vec<EventId> = ids.iter().map(|&id| EventId::new(id)).collect();
        Ok(self.client.handled_all(&ids).await?)
    }
}

/// Reaches the owner of a home, if there is one who answers.
pub(crate) async fn reach(home: &Path) -> io::Result<UnixStream> {
    let stream = with_address(home, std::os::unix::net::UnixStream::connect)?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    if is_ours(&stream) { Ok(stream) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::getuid().as_raw())
}

/// Hands out an address for the socket of a home, however long the home's path is.
fn with_address<T>(home: &Path, work: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = home.join(SOCKET);
    if path.as_os_str().len() <= MAX_ADDRESS_BYTES || !cfg!(target_os = "linux") {
        return work(path);
    }
    use std::os::fd::AsRawFd as _;
    let folder = fs::File::open(home)?;
    work(PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())))
}
