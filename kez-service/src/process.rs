//! What a `main` needs around a server: logging, signals, and a readable end.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// A setting whose value cannot be used. A `main` that ends with it exits with code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value:?}, but it has to be {expected}")]
pub struct WrongSetting {
    /// The setting, as the operator writes it: an environment variable or a flag.
    pub name: &'static str,
    /// The value that was given. Never a secret: for those, say what kind of thing it was.
    pub value: String,
    /// What would have been right.
    pub expected: String,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(UnknownLogFormat),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        })
    }
}

/// The name of a log format that there is none of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `pretty` or `json`")]
pub struct UnknownLogFormat;

/// An address to listen on, or `off` for none: what a flag of a listener that can be left out takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOrOff(pub Option<SocketAddr>);

/// A text that is neither an address nor `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address and a port such as 127.0.0.1:8081, or `off`")]
pub struct BadAddress;

impl FromStr for AddressOrOff {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text {
            "off" => Ok(Self(None)),
            text => text.parse().map(|address| Self(Some(address))).map_err(|_| BadAddress),
        }
    }
}

/// Sends this process's log to standard error, filtered by `filter` (such as `info,kez_service=debug`).
/// A process that has a subscriber already keeps it.
///
/// # Errors
/// When the filter cannot be read.
pub fn init_logging(format: LogFormat, filter: &str) -> Result<(), WrongSetting> {
    let filter = EnvFilter::try_new(filter).map_err(|error: ParseError| WrongSetting {
        name: "KEZ_LOG",
        value: filter.to_owned(),
        expected: format!("a log filter such as `info` or `info,kez_service=debug` ({error})"),
    })?;
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // Only a process that has a subscriber already refuses another one.
    let _ = match format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}

/// Waits until the process is asked to stop: Ctrl-C, or SIGTERM where there is one.
///
/// # Errors
/// When the operating system does not let signals be watched.
pub async fn stop_requested() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Lets this process open as many files and sockets as the operating system's hard limit has it (`ulimit -Hn`;
/// `LimitNOFILE=` under systemd), and returns how many those are. Where there is no such limit, that is [`usize::MAX`].
pub fn raise_open_files() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if limit.current != limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            // macOS has a ceiling below an unlimited hard limit.
            tracing::debug!(%error, "the limit of open files stays as it was");
        }
        let current = getrlimit(Resource::Nofile).current;
        current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    usize::MAX
}

/// Starts a server and waits until the process is asked to stop; returns it then, to be shut down. `None` if that was
/// asked while it started: signals are watched from the first moment.
///
/// # Errors
/// Those of the start, and when the operating system does not let signals be watched.
pub async fn run_until_stopped<S, E>(start: impl Future<Output = Result<S, E>>) -> Result<Option<S>, Box<dyn Error>>
where
    E: Error + 'static,
{
    let mut stop = pin!(stop_requested());
    let server = tokio::select! {
        biased;
        asked = &mut stop => return asked.map(|()| None).map_err(Into::into),
        server = start => server?,
    };
    stop.await?;
    Ok(Some(server))
}

/// Tells standard error why the process ends, causes included, and returns its exit code: 2 for a
/// [`WrongSetting`] (trying again without changing it is no use), else 1.
pub fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    // Standard error that is closed leaves nobody to tell; the exit code still does.
    let _ = writeln!(io::stderr(), "error: {}", chain_of(error));
    let wrong_setting = causes_of(error).any(|cause| cause.is::<WrongSetting>());
    ExitCode::from(if wrong_setting { 2 } else { 1 })
}

/// Returns an error's message with those of its causes, joined by colons.
pub fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn causes_of<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Outer(#[source] WrongSetting);

    fn wrong() -> WrongSetting {
        WrongSetting { name: "BIND", value: "here".into(), expected: "an address and a port".into() }
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        assert_eq!(chain_of(&Outer(wrong())), "cannot start: BIND is \"here\", but it has to be an address and a port");
    }

    #[test]
    fn a_wrong_setting_anywhere_in_the_chain_is_exit_code_2() {
        assert_eq!(failed(&Outer(wrong())), ExitCode::from(2));
        assert_eq!(failed(&io::Error::other("no")), ExitCode::from(1));
    }

    #[test]
    fn log_formats_read_and_write_the_same() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("xml".parse::<LogFormat>(), Err(UnknownLogFormat));
    }

    #[test]
    fn a_listener_can_be_off() {
        assert_eq!("off".parse(), Ok(AddressOrOff(None)));
        assert_eq!("127.0.0.1:1".parse(), Ok(AddressOrOff(Some(([127, 0, 0, 1], 1).into()))));
        assert_eq!("localhost:1".parse::<AddressOrOff>(), Err(BadAddress));
    }

    #[test]
    fn a_bad_log_filter_is_named() {
        let error = init_logging(LogFormat::Pretty, "kez_service=loudly").unwrap_err();
        assert_eq!(error.name, "KEZ_LOG");
        assert!(error.to_string().contains("kez_service=loudly"));
    }
}
