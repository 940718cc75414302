//! The `kez-chat` command: parse, one call of the SDK, render.

mod api;
mod args;
mod bridge;
mod calls;
mod chat;
mod commands;
mod context;
mod editor;
mod errors;
mod failure;
mod human;
mod link;
mod output;
mod owner;
mod qr;
mod quiz;
mod render;
mod safe;
mod seed;
mod settings;
mod stop;
mod terminal;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::{
    args::Arguments,
    context::Context,
    failure::{Failure, Kind},
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output { json: arguments.common.json };
    match run(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, output);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    init_logging()?;
    let runtime = Runtime::new()?;
    let done = runtime.block_on(async {
        let context = Context::new(arguments.common.home, output)?;
        commands::run(&context, arguments.command).await
    });
    // A read of standard input or of a terminal can't be cancelled, and nobody waits for it any more.
    runtime.shutdown_background();
    done
}

/// Logs to standard error what `KEZ_LOG` asks for: without it nothing, since what libraries log is of no use to people
/// who chat.
fn init_logging() -> Result<(), Failure> {
    let filter = env::var("KEZ_LOG").unwrap_or_else(|_| "off".to_owned());
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let what = format!("KEZ_LOG can't be read: {error}");
        Failure::new(Kind::Usage, "BadLogFilter", what, "set it to something like info or kez_chat_sdk=debug")
    })?;
    let with_colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(with_colours).init();
    Ok(())
}

fn report(failure: &Failure, output: Output) {
    if failure.is_silent() {
        return;
    }
    if output.json {
        // Standard error gets its lines all the same, and the exit code says it too.
        let _ = output.show(failure, "");
    }
    let _ = writeln!(io::stderr(), "{failure}");
}
