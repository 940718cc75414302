//! Both servers beside bare handlers, and the broker beside itself: what `cargo xtask bench servers` and `bench broker`
//! run.
//!
//! Each side is a process of its own and is asked by the same client over the same number of kept connections, in turns,
//! see [`load::Comparison`]. The peers are in [`peer`]. `ratio` lines are our rate by the peer's, `figure` lines what each
//! side did.

#![expect(clippy::unwrap_used, reason = "a benchmark whose subject fails has nothing to report")]
#![expect(clippy::print_stdout, reason = "the ratios are what this program is for")]

mod broker;
mod load;
mod peer;
mod requests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kez_testbed::{
    measure::resident_mb,
    processes::{Processes, Programs},
};
use tokio::runtime::Runtime;

use crate::{
    load::{Comparison, Side},
    peer::{Kind, PeerProcess},
    requests::{Appends, Handles, Registrations},
};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// What cargo says to every benchmark.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Measures the servers.
    Compare {
        #[command(flatten)]
        programs: ProgramPaths,
        /// What is measured; all of it if nothing is named.
        parts: Vec<Part>,
    },
    /// Measures the broker.
    Broker {
        #[command(flatten)]
        programs: ProgramPaths,
        #[command(flatten)]
        options: broker::Options,
    },
    /// Is one of the peers, until it is killed.
    Peer(peer::Options),
}

#[derive(Args)]
struct ProgramPaths {
    /// The `kez-chat-server` program.
    #[arg(long)]
    chat_server: PathBuf,
    /// The `kez-sig-server` program.
    #[arg(long)]
    sig_server: PathBuf,
}

impl From<ProgramPaths> for Programs {
    fn from(ProgramPaths { chat_server, sig_server }: ProgramPaths) -> Self {
        Self { chat_server, sig_server }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Lookups,
    Registrations,
    Appends,
}

fn main() {
    let work = async {
        match Arguments::parse().task {
            Task::Compare { programs, parts } => {
                let parts = if parts.is_empty() { Part::value_variants().to_vec() } else { parts };
                compare(&programs.into(), &parts).await;
            }
            Task::Broker { programs, options } => broker::measure(&programs.into(), &options).await,
            Task::Peer(options) => peer::serve(options).await,
        }
    };
    Runtime::new().unwrap().block_on(work);
}

async fn compare(programs: &Programs, parts: &[Part]) {
    let mut stack = Processes::start(programs).await.unwrap();
    let handles = Handles::new(100_000);
    // A hundred thousand registrations would measure nothing that a few thousand don't: the rows are put there.
    stack.chat.stop().await.unwrap();
    handles.put_into(&stack.chat.database());
    stack.chat.start().await.unwrap();

    let process = stack.chat.id().unwrap();
    show_weight("chat_server_rss_idle", process);
    let peers = Peers::start(&stack).await;
    if parts.contains(&Part::Lookups) {
        look_ups(&stack, &peers, &handles).await;
        show_weight("chat_server_rss_after_lookups", process);
    }
    if parts.contains(&Part::Registrations) {
        registrations(&stack, &peers).await;
        show_weight("chat_server_rss_after_registrations", process);
    }
    if parts.contains(&Part::Appends) {
        appends(&stack, &peers).await;
        show_weight("sig_server_rss_after_appends", stack.sig.id().unwrap());
    }
    drop(peers);
    stack.shutdown().await.unwrap();
}

/// One process for each thing that ours are held against.
struct Peers {
    constant: PeerProcess,
    lookup: PeerProcess,
    register: PeerProcess,
    register_with_inbox: PeerProcess,
    append: PeerProcess,
}

impl Peers {
    async fn start(stack: &Processes) -> Self {
        let start = async |kind| PeerProcess::start(kind, stack).await;
        Self {
            constant: start(Kind::Constant).await,
            lookup: start(Kind::Lookup).await,
            register: start(Kind::Register).await,
            register_with_inbox: start(Kind::RegisterWithInbox).await,
            append: start(Kind::Append).await,
        }
    }
}

async fn look_ups(stack: &Processes, peers: &Peers, handles: &Handles) {
    let mut ours = Side::connect("lookup_kez", stack.chat.address()).await;
    let mut bare = Side::connect("lookup_bare_axum", peers.lookup.address).await;
    let mut constant = Side::connect("lookup_constant", peers.constant.address).await;
    // Both read the same file: the peer's answers have to be ours, byte by byte.
    let sample = handles.look_ups(1, handles.count).remove(0);
    assert_eq!(ours.answers(&sample).await, bare.answers(&sample).await);
    Comparison { ours: &mut ours, peer: &mut bare, status: 200 }
        .show("lookups_vs_bare_axum", || handles.look_ups(400, handles.count))
        .await;
    // Few enough that the home keeps what it last fetched of their chains.
    Comparison { ours: &mut ours, peer: &mut bare, status: 200 }
        .show("lookups_of_5k_vs_bare_axum", || handles.look_ups(400, 5_000))
        .await;
    Comparison { ours: &mut ours, peer: &mut constant, status: 200 }
        .show("lookups_vs_constant", || handles.look_ups(400, handles.count))
        .await;
}

async fn registrations(stack: &Processes, peers: &Peers) {
    let mut registrations = Registrations::default();
    for (name, side, peer) in [
        ("registrations_vs_bare_axum", "register_bare_axum", &peers.register),
        ("registrations_vs_bare_axum_with_inbox", "register_bare_axum_with_inbox", &peers.register_with_inbox),
    ] {
        let mut ours = Side::connect("register_kez", stack.chat.address()).await;
        let mut bare = Side::connect(side, peer.address).await;
        Comparison { ours: &mut ours, peer: &mut bare, status: 201 }.show(name, || registrations.make(10)).await;
    }
}

async fn appends(stack: &Processes, peers: &Peers) {
    let mut ours = Side::connect("append_kez", stack.sig.address()).await;
    let mut bare = Side::connect("append_bare_axum", peers.append.address).await;
    Comparison { ours: &mut ours, peer: &mut bare, status: 201 }
        .show("appends_vs_bare_axum", || Appends.make(20))
        .await;
}

/// Prints how much memory a process holds, where the system tells.
fn show_weight(name: &str, process: u32) {
    match resident_mb(process) {
        Some(mb) => println!("figure {name}_mb {mb:.1}"),
        None => println!("figure {name}_mb unknown: this system has no /proc/PID/status"),
    }
}
