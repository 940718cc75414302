//! `croc`: through a relay of its own on this machine.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Stdio,
    time::Instant,
};

use kez_testbed::guard::{Guarded, GuardedFolder};
use tokio::process::Command;

use crate::{
    compare::Turn,
    programs::{end_well, hear},
};

/// One to meet at, and one for each of the streams that it uses by default.
const PORTS: usize = 5;
/// The relay says so of each port.
const LISTENS: &str = "starting TCP server on";
const CODE: &str = "1234-bench-bench-bench";

pub(crate) async fn turn(program: &Path, file: &Path, to: &Path) -> Result<Turn, String> {
    let home = GuardedFolder::create("kez-croc").await.unwrap();
    let (relay, port) = start_relay(program, home.path()).await?;
    let address = format!("127.0.0.1:{port}");
    let common = |command: &mut Command| {
        command.args(["--yes", "--ignore-stdin", "--disable-clipboard", "--relay", &address]);
        command.env("CROC_SECRET", CODE).env("CROC_CONFIG_DIR", home.path()).current_dir(to);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    };
    let begun = Instant::now();
    let mut sender = Guarded::spawn(program, |command| {
        common(command);
        command.args(["send", "--no-local"]).arg(file);
    })
    .unwrap();
    hear(sender.take_stderr().unwrap(), |line| line.contains("Code is").then_some(())).await?;
    let share = begun.elapsed();
    let begun = Instant::now();
    let receiver = Guarded::spawn(program, |command| {
        common(command);
        command.arg("--overwrite");
    });
    end_well(receiver.unwrap()).await?;
    let fetch = begun.elapsed();
    sender.kill().await.unwrap();
    relay.kill().await.unwrap();
    home.remove().await.unwrap();
    Ok(Turn { share, fetch })
}

async fn start_relay(program: &Path, home: &Path) -> Result<(Guarded, u16), String> {
    // Held until all are chosen, so that none is chosen twice.
    let held: Vec<_> = (0..PORTS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let ports: Vec<_> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    drop(held);
    let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut relay = Guarded::spawn(program, |command| {
        command.args(["--debug", "relay", "--host", "127.0.0.1", "--ports", &list]).env("CROC_CONFIG_DIR", home);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
    })
    .unwrap();
    // It names another address than the one that it is given.
    let last = format!(":{}", ports[PORTS - 1]);
    hear(relay.take_stderr().unwrap(), |line| (line.contains(LISTENS) && line.ends_with(&last)).then_some(())).await?;
    Ok((relay, ports[0]))
}
