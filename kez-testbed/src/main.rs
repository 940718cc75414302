//! The command `kez-testbed`: the stack for people who want to see it or try it.

mod demo;
mod pictures;
mod soak;
mod up;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use kez_service::process::{self, LogFormat};
use kez_testbed::{nats_server, packet_filter::PacketFilter, processes::Programs};
use tokio::{runtime::Runtime, sync::oneshot};

/// How a shell reports a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Runs a real nats-server and both kez servers on free loopback ports.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Also ends at the end of standard input, for a parent that holds its other end.
    #[arg(long, global = true)]
    until_stdin_closes: bool,
    /// What the servers log, such as `info` or `info,kez_chat_server=debug`.
    #[arg(long, global = true, env = "KEZ_LOG", default_value = "warn")]
    log: String,
}

#[derive(Subcommand)]
enum Task {
    /// Keeps the stack running until Ctrl-C.
    Up {
        /// The `kez-chat` program that the printed lines name.
        #[arg(long, default_value = "kez-chat")]
        cli: PathBuf,
        /// Prints the addresses as one line of JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Shows two people who chat and share a file, through the `kez-chat` program.
    Demo {
        /// The `kez-chat` program.
        #[arg(long)]
        cli: PathBuf,
    },
    /// Kills both servers again and again while people write, and checks that no acknowledged write is lost.
    SoakServers {
        /// How often.
        #[arg(long, default_value_t = 1000)]
        kills: u32,
        /// Draws the same moments and keys again; otherwise random ones, which are printed.
        #[arg(long)]
        seed: Option<u64>,
        /// The `kez-chat-server` program.
        #[arg(long)]
        chat_server: PathBuf,
        /// The `kez-sig-server` program.
        #[arg(long)]
        sig_server: PathBuf,
    },
    /// Draws what the README shows, from a demo and a conversation that take place.
    Pictures {
        /// The `kez-chat` program.
        #[arg(long)]
        cli: PathBuf,
        /// The folder for the pictures.
        #[arg(long, default_value = "docs/pictures")]
        to: PathBuf,
    },
    /// Makes sure that there is a nats-server, one of the oldest supported release, and on Linux an nft, and prints where.
    Fetch,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(code) => code,
        Err(error) => process::failed(error.as_ref()),
    }
}

fn start(arguments: Arguments) -> Result<ExitCode> {
    process::init_logging(LogFormat::Pretty, &arguments.log)?;
    let runtime = Runtime::new().context("no threads could be started")?;
    let ended = runtime.block_on(run(arguments));
    // A read from a pseudo-terminal can't be cancelled, and nobody waits for it any more.
    runtime.shutdown_background();
    ended
}

async fn run(Arguments { task, until_stdin_closes, .. }: Arguments) -> Result<ExitCode> {
    let stop = stop_requested(until_stdin_closes);
    match task {
        Task::Up { cli, json } => up::run(&cli, json, stop).await,
        Task::Demo { cli } => demo::run(&cli, stop).await,
        Task::Pictures { cli, to } => tokio::select! {
            drawn = pictures::draw(&cli, &to) => drawn.map(|()| ExitCode::SUCCESS),
            stopped = stop => stopped.map(|()| ExitCode::from(INTERRUPTED)).map_err(Into::into),
        },
        Task::SoakServers { kills, seed, chat_server, sig_server } => {
            let programs = Programs { chat_server, sig_server };
            soak::run(&programs, kills, seed.unwrap_or_else(rand::random), stop).await
        }
        Task::Fetch => {
            print(&nats_server::find().await?.display().to_string());
            print(&nats_server::find_oldest().await?.display().to_string());
            if cfg!(target_os = "linux") {
                print(&PacketFilter::find().await?.program().display().to_string());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or, if wanted, the end of standard input.
async fn stop_requested(until_stdin_closes: bool) -> io::Result<()> {
    if !until_stdin_closes {
        return process::stop_requested().await;
    }
    let (sender, closed) = oneshot::channel();
    // A thread that nobody waits for: the read can't be cancelled.
    thread::spawn(move || {
        // An input that can't be read is as good as closed.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        // Who no longer listens is stopping already.
        let _ = sender.send(());
    });
    tokio::select! {
        stopped = process::stop_requested() => stopped,
        _ = closed => Ok(()),
    }
}

/// Prints a line; a reader that went away does not matter to what runs here.
fn print(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
