//! Networks of a test's own, in which it may give itself any address and cut any cable.
//!
//! A test starts itself again inside fresh network and mount namespaces. None has a name: they end with their processes,
//! which end with the test, so nothing of them is left behind however it ends. It needs Linux, and the `unshare`,
//! `nsenter` and `ip` that come with util-linux and iproute2.

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
const NEEDED: &str = "if it is not the test's own fault: this needs the packages util-linux and iproute2, and leave to make \
    namespaces, which root has, and others where kernel.unprivileged_userns_clone and \
    kernel.apparmor_restrict_unprivileged_userns don't say no";

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
    assert!(output.status.success(), "{NEEDED}:\n{said}");
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
    replace("/etc/hosts", &hosts);
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

/// Has names that are not among those looked up at this address, by everything inside.
#[cfg(feature = "files")]
pub(crate) fn set_resolver(address: std::net::IpAddr) {
    replace("/etc/resolv.conf", &format!("nameserver {address}\n"));
}

fn replace(file: &str, content: &str) {
    let folder = tempfile::tempdir().unwrap();
    let replacement = folder.path().join("replacement");
    fs::write(&replacement, content).unwrap();
    // What is mounted lives on without its name.
    run("mount", &["--bind", replacement.to_str().unwrap(), file]);
}

/// A network with nothing in it but what a test puts there, for as long as this value lives.
pub(crate) struct Network {
    /// Keeps it in being.
    _holder: Child,
    id: u32,
}

impl Network {
    pub(crate) async fn new() -> Self {
        // It ends when its input does, however we end.
        let holder = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).kill_on_drop(true).spawn();
        let holder = holder.unwrap();
        let network = Self { id: holder.id().unwrap(), _holder: holder };
        let ours = fs::read_link(format!("/proc/{}/ns/net", process::id())).unwrap();
        let entered = async {
            while fs::read_link(network.namespace()).unwrap() == ours {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, entered).await.expect("unshare does nothing");
        network.run("ip", &["link", "set", "lo", "up"]);
        network
    }

    /// Lays a cable from there to another network, under the name that it has in each of them. Both ends are plugged in.
    #[cfg(feature = "files")]
    pub(crate) fn lay_cable(&self, here: &str, other: &Self, there: &str) {
        self.run("ip", &cable(here, there, &other.id.to_string()));
        self.run("ip", &["link", "set", here, "up"]);
        other.run("ip", &["link", "set", there, "up"]);
    }

    /// Lays a cable from our own network to this one.
    pub(crate) fn lay_cable_from_ours(&self, ours: &str, there: &str) {
        run("ip", &cable(ours, there, &self.id.to_string()));
        run("ip", &["link", "set", ours, "up"]);
        self.run("ip", &["link", "set", there, "up"]);
    }

    /// Runs a program over there to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        run("nsenter", &[&[self.entrance().as_str(), program], arguments].concat());
    }

    /// Returns the argument that has `nsenter` run a program over there.
    pub(crate) fn entrance(&self) -> String {
        format!("--net={}", self.namespace().display())
    }

    /// Listens over there.
    fn listen(&self, address: Ipv4Addr) -> tokio::net::TcpListener {
        let namespace = File::open(self.namespace()).unwrap();
        // A socket stays where it was made; a thread that has moved is of no other use.
        let made = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind((address, 0)).unwrap()
        });
        let listener = made.join().unwrap();
        listener.set_nonblocking(true).unwrap();
        tokio::net::TcpListener::from_std(listener).unwrap()
    }

    fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.id).into()
    }
}

fn cable<'a>(near: &'a str, far: &'a str, far_process: &'a str) -> [&'a str; 10] {
    ["link", "add", near, "type", "veth", "peer", "name", far, "netns", far_process]
}

/// Another network, at the other end of a cable.
pub(crate) struct FarNetwork(Network);

impl FarNetwork {
    const NEAR: &str = "10.99.0.1/24";
    const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

    pub(crate) async fn connect() -> Self {
        let far = Network::new().await;
        far.lay_cable_from_ours("kez0", "kez1");
        run("ip", &["address", "add", Self::NEAR, "dev", "kez0"]);
        far.run("ip", &["address", "add", &format!("{}/24", Self::FAR), "dev", "kez1"]);
        Self(far)
    }

    /// Listens over there.
    pub(crate) fn listen(&self) -> tokio::net::TcpListener {
        self.0.listen(Self::FAR)
    }

    /// Pulls the cable at the far end: nobody is told.
    pub(crate) fn pull_out(&self) {
        self.0.run("ip", &["link", "set", "kez1", "down"]);
    }

    pub(crate) fn plug_in(&self) {
        self.0.run("ip", &["link", "set", "kez1", "up"]);
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = process::Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed, of util-linux or iproute2: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
