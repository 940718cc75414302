//! A way for datagrams that takes its time, as one across an ocean does. It needs no privilege and no help of the kernel.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::{self, IoSliceMut},
    net::{self, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use noq_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::UdpSocket,
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How many bursts may be on their way in one direction. What comes when it is full is lost, as on a real way.
const ON_THE_WAY: usize = 1 << 16;
/// No burst of datagrams is longer.
const MAX_BURST_BYTES: usize = 1 << 16;
const BUFFER_BYTES: usize = 4 << 20;

/// An address on this machine that stands for another one, farther away. It is gone when it is dropped.
///
/// An Iroh endpoint tells peers its other addresses, and leaves this one for a shorter way as soon as there is one.
#[derive(Debug)]
pub struct SlowUdp {
    address: SocketAddr,
    carried: Arc<AtomicU64>,
    /// Ends the thread when it is dropped.
    _alive: oneshot::Sender<()>,
}

impl SlowUdp {
    /// Begins to carry what comes, to `target` and back. Each datagram takes `one_way`: half of the round trip.
    pub fn start(target: SocketAddr, one_way: Duration) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, target, one_way)
    }

    /// Begins so between two addresses of this machine's: where it is entered, and from where it goes on to `target`. They
    /// may be in two networks that have nothing else in common.
    pub fn start_at(near: Ipv4Addr, far: Ipv4Addr, target: SocketAddr, one_way: Duration) -> io::Result<Self> {
        // Beside those who work hard at the ends of the way it would be late, and they would take that for a full one.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let socket = open(near)?;
        let (address, carried) = (socket.local_addr()?, Arc::new(AtomicU64::new(0)));
        let (alive, ended) = oneshot::channel::<()>();
        let carrying = carry(socket, far, target, one_way, Arc::clone(&carried));
        thread::Builder::new().name("slow-udp".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    _ = carrying => {}
                }
            });
        })?;
        Ok(Self { address, carried, _alive: alive })
    }

    /// Where it is entered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes it has carried, in both directions.
    pub fn carried_bytes(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

/// Datagrams of one length, but for the last, that came together and go on together: handled one by one, they would take the
/// processor from those whose way this is.
struct Burst {
    /// When it arrives.
    due: Instant,
    datagrams: Vec<u8>,
    datagram_bytes: usize,
    ecn: Option<EcnCodepoint>,
}

/// What is under way in one direction.
type Line = mpsc::Sender<Burst>;

async fn carry(
    near: net::UdpSocket,
    from_far: Ipv4Addr,
    target: SocketAddr,
    one_way: Duration,
    carried: Arc<AtomicU64>,
) -> io::Result<()> {
    let near = Arc::new(Socket::new(near)?);
    // Dropped with this task, and all of them with it.
    let mut lines = JoinSet::new();
    let mut ways: HashMap<SocketAddr, Line> = HashMap::new();
    let mut buffer = vec![0; MAX_BURST_BYTES];
    loop {
        // An error tells of an earlier datagram that was not taken; on UDP it is lost.
        let Ok((burst, from)) = near.receive(&mut buffer, one_way).await else {
            continue;
        };
        carried.fetch_add(burst.datagrams.len() as u64, Ordering::Relaxed);
        if let Entry::Vacant(way) = ways.entry(from) {
            // Each client has a socket of its own, so that answers find back.
            let far = open(from_far)?;
            far.connect(target)?;
            let far = Arc::new(Socket::new(far)?);
            let (there, going) = mpsc::channel(ON_THE_WAY);
            let (back, coming) = mpsc::channel(ON_THE_WAY);
            lines.spawn(deliver(going, Arc::clone(&far), target));
            lines.spawn(deliver(coming, Arc::clone(&near), from));
            lines.spawn(carry_back(far, back, one_way, Arc::clone(&carried)));
            way.insert(there);
        }
        if let Some(there) = ways.get(&from) {
            let _ = there.try_send(burst);
        }
    }
}

async fn carry_back(far: Arc<Socket>, back: Line, one_way: Duration, carried: Arc<AtomicU64>) {
    let mut buffer = vec![0; MAX_BURST_BYTES];
    loop {
        if let Ok((burst, _)) = far.receive(&mut buffer, one_way).await {
            carried.fetch_add(burst.datagrams.len() as u64, Ordering::Relaxed);
            let _ = back.try_send(burst);
        }
    }
}

/// Hands on what has been under way for long enough.
async fn deliver(mut line: mpsc::Receiver<Burst>, socket: Arc<Socket>, to: SocketAddr) {
    while let Some(burst) = line.recv().await {
        if burst.due > Instant::now() {
            sleep_until(burst.due).await;
        }
        let _ = socket.send(&burst, to).await;
    }
}

/// A socket that takes and gives bursts where the system can.
struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    fn new(socket: net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, state })
    }

    async fn receive(&self, buffer: &mut [u8], one_way: Duration) -> io::Result<(Burst, SocketAddr)> {
        let mut meta = [RecvMeta::default()];
        let receive = || self.state.recv((&self.socket).into(), &mut [IoSliceMut::new(buffer)], &mut meta);
        self.socket.async_io(Interest::READABLE, receive).await?;
        let [RecvMeta { addr, len, stride, ecn, .. }] = meta;
        let datagrams = buffer.get(..len).unwrap_or_default().to_vec();
        Ok((Burst { due: Instant::now() + one_way, datagrams, datagram_bytes: stride.max(1), ecn }, addr))
    }

    async fn send(&self, burst: &Burst, destination: SocketAddr) -> io::Result<()> {
        let at_once = self.state.max_gso_segments().get() * burst.datagram_bytes;
        for contents in burst.datagrams.chunks(at_once) {
            let segment_size = Some(burst.datagram_bytes);
            let transmit = Transmit { destination, ecn: burst.ecn, contents, segment_size, src_ip: None };
            let send = || self.state.try_send((&self.socket).into(), &transmit);
            self.socket.async_io(Interest::WRITABLE, send).await?;
        }
        Ok(())
    }
}

fn open(address: Ipv4Addr) -> io::Result<net::UdpSocket> {
    let socket = net::UdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    // What comes in a burst waits there. The system gives as much of it as it may.
    let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES);
    let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER_BYTES);
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_datagram_takes_its_time_both_ways() {
        let target = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let slow = SlowUdp::start(target.local_addr().unwrap(), Duration::from_millis(20)).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let begun = Instant::now();
        client.send_to(b"there", slow.address()).await.unwrap();
        let mut buffer = [0; 16];
        let (len, from) = target.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"there");
        target.send_to(b"back", from).await.unwrap();
        let (len, from) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..len], from), (&b"back"[..], slow.address()));
        assert!(begun.elapsed() >= Duration::from_millis(40));
        assert_eq!(slow.carried_bytes(), 9);
    }
}
