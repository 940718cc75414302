//! Networks of a test's own, in which it may give itself any address and cut any cable.
//!
//! A test starts itself again inside fresh network and mount namespaces. They end with its processes, so nothing of them
//! is left behind. It needs Linux, and the `unshare`, `nsenter` and `ip` that come with util-linux and iproute2.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::fd::AsFd,
    path::PathBuf,
    process::{self, Stdio},
    thread,
    time::Duration,
};

use kez_testbed::guard::Guarded;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::{Child, Command};

use crate::people::PATIENCE;

const INSIDE: &str = "KEZ_TEST_IS_IN_A_NAMESPACE";

/// Runs the test of this name inside, unless it is there already: then it returns `true`.
pub(crate) async fn enter(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return true;
    }
    let child = Guarded::spawn("unshare", |command| {
        command.args(["--map-root-user", "--net", "--mount"]).arg(env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    })
    .unwrap();
    let output = child.output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "this needs util-linux and iproute2, and leave to make namespaces:\n{said}");
    assert!(said.contains("1 passed"), "there is no test {test}:\n{said}");
    false
}

/// Gives a name an address of this machine's in the eyes of everything inside.
pub(crate) fn set_names(names: &[(&str, Ipv4Addr)]) {
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for (name, address) in names {
        hosts += &format!("{address} {name}\n");
        run("ip", &["address", "add", &format!("{address}/32"), "dev", "lo"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    fs::write(&file, hosts).unwrap();
    // What is mounted lives on without its name.
    run("mount", &["--bind", file.to_str().unwrap(), "/etc/hosts"]);
}

/// Comes into a local network on which everybody hears everybody.
#[cfg(feature = "files")]
pub(crate) fn join_lan() {
    run("ip", &["link", "add", "lan0", "type", "veth", "peer", "name", "lan1"]);
    run("ip", &["address", "add", "192.168.77.1/24", "dev", "lan0"]);
    for end in ["lan0", "lan1"] {
        run("ip", &["link", "set", end, "up"]);
    }
    run("ip", &["route", "add", "224.0.0.0/4", "dev", "lan0"]);
}

/// Another network, at the other end of a cable.
pub(crate) struct FarNetwork {
    /// Keeps it in being.
    _holder: Child,
    namespace: PathBuf,
}

impl FarNetwork {
    const NEAR: &str = "10.99.0.1/24";
    const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

    pub(crate) async fn connect() -> Self {
        // It ends when its input does, however we end.
        let holder = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).kill_on_drop(true).spawn();
        let holder = holder.unwrap();
        let id = holder.id().unwrap().to_string();
        let namespace = PathBuf::from(format!("/proc/{id}/ns/net"));
        let ours = fs::read_link(format!("/proc/{}/ns/net", process::id())).unwrap();
        let entered = async {
            while fs::read_link(&namespace).unwrap() == ours {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, entered).await.expect("unshare does nothing");
        run("ip", &["link", "add", "kez0", "type", "veth", "peer", "name", "kez1", "netns", &id]);
        run("ip", &["address", "add", Self::NEAR, "dev", "kez0"]);
        run("ip", &["link", "set", "kez0", "up"]);
        let far = Self { _holder: holder, namespace };
        far.run(&["ip", "address", "add", &format!("{}/24", Self::FAR), "dev", "kez1"]);
        far.plug_in();
        far
    }

    /// Listens over there.
    pub(crate) fn listen(&self) -> tokio::net::TcpListener {
        let namespace = File::open(&self.namespace).unwrap();
        // A socket stays where it was made; a thread that has moved is of no other use.
        let made = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind((Self::FAR, 0)).unwrap()
        });
        let listener = made.join().unwrap();
        listener.set_nonblocking(true).unwrap();
        tokio::net::TcpListener::from_std(listener).unwrap()
    }

    /// Pulls the cable at the far end: nobody is told.
    pub(crate) fn pull_out(&self) {
        self.run(&["ip", "link", "set", "kez1", "down"]);
    }

    pub(crate) fn plug_in(&self) {
        self.run(&["ip", "link", "set", "kez1", "up"]);
    }

    fn run(&self, command: &[&str]) {
        let inside = format!("--net={}", self.namespace.display());
        run("nsenter", &[&[inside.as_str()], command].concat());
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = process::Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed, of util-linux or iproute2: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
