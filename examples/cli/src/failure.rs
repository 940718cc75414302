//! Why a command failed: two lines for people, an exit code for scripts.

use std::{error::Error, fmt, io};

use crate::safe;

/// What kind of failure it was; the number is the process's exit code, listed in `kez-chat --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Other = 1,
    Usage = 2,
    Account = 3,
    Network = 4,
    Peer = 5,
    Files = 6,
    NotNow = 7,
    Interrupted = 130,
    BrokenPipe = 141,
    Terminated = 143,
}

impl Kind {
    pub(crate) fn exit_code(self) -> u8 {
        self as u8
    }

    /// Reads what another process answered.
    pub(crate) fn from_exit_code(code: i64) -> Self {
        const ALL: [Kind; 6] = [Kind::Usage, Kind::Account, Kind::Network, Kind::Peer, Kind::Files, Kind::NotNow];
        ALL.into_iter().find(|kind| code == i64::from(kind.exit_code())).unwrap_or(Self::Other)
    }

    /// Says what to do where an error does not say it itself.
    fn advice(self) -> &'static str {
        match self {
            Self::Usage => "see kez-chat --help",
            Self::Account => "see kez-chat register --help",
            Self::Network => "check the network, and try again",
            Self::Peer => "ask them over another channel before you go on",
            Self::Files => "check the path and the space on the disk",
            Self::NotNow => "try again later",
            Self::Interrupted | Self::Terminated | Self::BrokenPipe => "",
            Self::Other => "try again; KEZ_LOG=debug shows what went on",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// A stable name, for `--json`.
    pub(crate) code: String,
    /// What happened.
    pub(crate) what: String,
    /// What to do.
    pub(crate) advice: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, code: &str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), what: what.into(), advice: advice.into() }
    }

    /// Takes an error of the SDK, whose message says what happened and then, mostly, what to do; and its causes.
    pub(crate) fn from_error(kind: Kind, code: &str, error: &(dyn Error + 'static)) -> Self {
        let message = error.to_string();
        let split = message.rsplit_once("; ").or_else(|| {
            // In what others are quoted with, a colon parts nothing.
            if matches!(kind, Kind::Network | Kind::Peer) { None } else { message.rsplit_once(": ") }
        });
        let (what, advice) = split.unwrap_or((&message, kind.advice()));
        let advice = command_for(code).unwrap_or(advice);
        let mut what = what.to_owned();
        for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
            let cause = cause.to_string();
            // Some messages have their cause in them already.
            if !message.contains(&cause) {
                what.push_str(": ");
                what.push_str(&cause);
            }
        }
        Self::new(kind, code, what, advice)
    }

    /// Tells whether anything has to be said: the ends that were asked for need no words.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.kind, Kind::Interrupted | Kind::Terminated | Kind::BrokenPipe)
    }
}

/// Names the command that helps, where the SDK can't know it.
fn command_for(code: &str) -> Option<&'static str> {
    match code {
        "NotRegistered" => Some("make an account with kez-chat register, or name its folder with --home"),
        "NotAContact" => Some("add them with kez-chat add"),
        "NoSuchOffer" | "NoSuchShare" | "NoSuchEntry" => Some("kez-chat files lists what there is"),
        "NoSuchDownload" => Some("kez-chat transfers lists them"),
        "NoSuchRequest" => Some("kez-chat requests lists who wrote"),
        _ => None,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parts of a message may come from a server or a peer.
        write!(f, "kez-chat: {}\n  {}", safe::line(&self.what), safe::line(&self.advice))
    }
}

/// Standard input and output, and the terminal.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::BrokenPipe, "BrokenPipe", "", ""),
            io::ErrorKind::UnexpectedEof => {
                Self::new(Kind::Usage, "NoAnswer", "the terminal gave no answer", "run the command again")
            }
            _ => Self::new(Kind::Other, "Io", error.to_string(), Kind::Other.advice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] io::Error);

    #[test]
    fn a_message_becomes_two_lines() {
        let error = Told("the key is gone; it has; recover it", io::Error::other("no disk"));
        let failure = Failure::from_error(Kind::Account, "Gone", &error);
        assert_eq!(failure.to_string(), "kez-chat: the key is gone; it has: no disk\n  recover it");
    }

    #[test]
    fn a_cause_is_not_said_twice_and_advice_is_never_missing() {
        let error = Told("no answer (no disk)", io::Error::other("no disk"));
        let failure = Failure::from_error(Kind::Network, "Out", &error);
        assert_eq!(failure.to_string(), "kez-chat: no answer (no disk)\n  check the network, and try again");
    }

    #[test]
    fn a_failure_cannot_write_to_the_terminal_what_it_likes() {
        let failure = Failure::new(Kind::Network, "Bad", "it said \x1b[2J\nkez-chat: all is well", "go\non");
        assert_eq!(failure.to_string(), "kez-chat: it said ␛[2J␊kez-chat: all is well\n  go␊on");
    }
}
