//! A way for datagrams that takes its time, as one across an ocean does. It needs no privilege and no help of the kernel.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{self, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::UdpSocket,
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How many datagrams may be on their way in one direction. What comes when it is full is lost, as on a real way.
const ON_THE_WAY: usize = 1 << 16;
/// No datagram of QUIC's is longer.
const MAX_DATAGRAM_BYTES: usize = 2_048;
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

/// What is under way in one direction, with when it arrives.
type Line = mpsc::Sender<(Instant, Vec<u8>)>;

async fn carry(
    near: net::UdpSocket,
    from_far: Ipv4Addr,
    target: SocketAddr,
    one_way: Duration,
    carried: Arc<AtomicU64>,
) -> io::Result<()> {
    let near = Arc::new(UdpSocket::from_std(near)?);
    // Dropped with this task, and all of them with it.
    let mut lines = JoinSet::new();
    let mut ways: HashMap<SocketAddr, Line> = HashMap::new();
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    loop {
        // An error tells of an earlier datagram that was not taken; on UDP it is lost.
        let Ok((len, from)) = near.recv_from(&mut buffer).await else {
            continue;
        };
        carried.fetch_add(len as u64, Ordering::Relaxed);
        if let Entry::Vacant(way) = ways.entry(from) {
            // Each client has a socket of its own, so that answers find back.
            let far = UdpSocket::from_std(open(from_far)?)?;
            far.connect(target).await?;
            let far = Arc::new(far);
            let (there, going) = mpsc::channel(ON_THE_WAY);
            let (back, coming) = mpsc::channel(ON_THE_WAY);
            lines.spawn(deliver(going, Arc::clone(&far), None));
            lines.spawn(deliver(coming, Arc::clone(&near), Some(from)));
            lines.spawn(carry_back(far, back, one_way, Arc::clone(&carried)));
            way.insert(there);
        }
        if let Some(there) = ways.get(&from) {
            let _ = there.try_send((Instant::now() + one_way, buffer[..len].to_vec()));
        }
    }
}

async fn carry_back(far: Arc<UdpSocket>, back: Line, one_way: Duration, carried: Arc<AtomicU64>) {
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    loop {
        if let Ok(len) = far.recv(&mut buffer).await {
            carried.fetch_add(len as u64, Ordering::Relaxed);
            let _ = back.try_send((Instant::now() + one_way, buffer[..len].to_vec()));
        }
    }
}

/// Hands on what has been under way for long enough.
async fn deliver(mut line: mpsc::Receiver<(Instant, Vec<u8>)>, socket: Arc<UdpSocket>, to: Option<SocketAddr>) {
    while let Some((due, datagram)) = line.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let _ = match to {
            Some(to) => socket.send_to(&datagram, to).await,
            None => socket.send(&datagram).await,
        };
    }
}

fn open(address: Ipv4Addr) -> io::Result<net::UdpSocket> {
    let socket = net::UdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    // What comes in a burst waits there. The system gives as much of it as it may.
    let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES);
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
