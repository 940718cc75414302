//! Calls about the own account.

use std::path::PathBuf;

use kez_chat_sdk::contact_uri::ContactUri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Peer;
use crate::failure::{Failure, Kind};

/// Asks who answers. It is the first call on every connection.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {}

/// The process that owns the home.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Owner {
    /// The version of calls and answers.
    pub(crate) api_version: u32,
    /// The version of the program.
    pub(crate) program_version: String,
    /// The process.
    pub(crate) pid: u32,
    /// Whether it goes on until it is stopped, rather than until its own command is done.
    pub(crate) stays: bool,
    /// Whose home it is.
    pub(crate) account: Account,
}

/// Asks whose home this is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whoami {}

/// The own account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Account {
    /// The handle with its home.
    pub(crate) handle: String,
    /// The key.
    pub(crate) primary: String,
    /// Where the sigchain is.
    pub(crate) sigchain_url: String,
    /// What others add this account by, also while its home is down; a QR code shows it too.
    pub(crate) contact_uri: String,
    /// Where the account is kept.
    pub(crate) home_dir: PathBuf,
}

impl Account {
    /// Shows an account that was just registered, got back or moved.
    pub(crate) fn of(registered: &kez_chat_sdk::Registered, home_dir: PathBuf) -> Self {
        let kez_chat_sdk::Registered { primary, handle, sigchain_url, .. } = registered;
        let sigchain_base = sigchain_url.split("/v1/").next().unwrap_or_default().to_owned();
        let contact_uri = ContactUri { primary: *primary, handle: Some(handle.clone()), sigchain_base };
        Self {
            handle: handle.to_string(),
            primary: primary.to_string(),
            sigchain_url: sigchain_url.clone(),
            contact_uri: contact_uri.to_string(),
            home_dir,
        }
    }
}

/// Writes contacts, conversations and choices to a new file that only the account's key opens.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteBackup {
    /// The new file, by its absolute path.
    pub(crate) file: PathBuf,
}

/// A backup that was written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Backup {
    /// The file.
    pub(crate) file: PathBuf,
    /// When, in milliseconds since 1970.
    pub(crate) made_at_ms: u64,
    /// How many messages it holds.
    pub(crate) messages: u64,
    /// Its length in bytes.
    pub(crate) bytes: u64,
}

/// Writes all that conversations show to a new file that anybody can read (`docs/EXPORT.md`).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteExport {
    /// The new file, by its absolute path.
    pub(crate) file: PathBuf,
}

/// An export that was written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Export {
    /// The file.
    pub(crate) file: PathBuf,
    /// How many contacts it lists.
    pub(crate) contacts: u64,
    /// How many conversations it holds.
    pub(crate) conversations: u64,
    /// How many messages they show.
    pub(crate) messages: u64,
}

/// Asks another home whether it takes the account, and what follows. Nothing changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanMove {
    /// The handle there, with its home.
    pub(crate) to: String,
}

/// What a move will bring.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MovePlan {
    /// The handle until now.
    pub(crate) from: String,
    /// The handle afterwards.
    pub(crate) to: String,
    /// The contacts who can't be written to afterwards.
    pub(crate) loses: Vec<Peer>,
    /// The contacts who can be written to then, and not now.
    pub(crate) gains: Vec<Peer>,
    /// How many messages to those who are lost have not arrived.
    pub(crate) waiting: u64,
}

/// Moves to another home. The process that owns the home ends with it, and the next one is at the new home.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    /// The handle there, with its home.
    pub(crate) to: String,
    /// Whether the old handle is given up, and for good, rather than kept for coming back.
    #[serde(default)]
    pub(crate) give_up_old: bool,
    /// Moves also if the old home is out of reach; what waits there is lost.
    #[serde(default)]
    pub(crate) without_old_home: bool,
}

/// Leaves for good. There is no way back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retire {
    /// The own handle with its home, as a sign that it is meant.
    pub(crate) handle: String,
}

/// Looks at what works and what does not.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Doctor {
    /// A contact, to whom the path is looked at too.
    #[serde(default)]
    pub(crate) who: Option<String>,
}

/// What works and what does not.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Diagnosis {
    /// In the order in which one needs the other.
    pub(crate) findings: Vec<Finding>,
}

/// What was found of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Finding {
    /// The part: "account", "home", "clock", "sigchain", "broker", "relay", "contact", or "path" for the way to the contact's
    /// device.
    pub(crate) part: String,
    /// Whether it works.
    pub(crate) works: bool,
    /// The fault's stable name, if it does not work.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// What was seen.
    pub(crate) what: String,
    /// What to do, if it does not work.
    pub(crate) advice: Option<String>,
}

impl Finding {
    /// Says that a part does not work.
    pub(crate) fn fault(part: &str, failure: Failure) -> Self {
        let Failure { code, what, advice, .. } = failure;
        Self { part: part.to_owned(), works: false, code: Some(code), what, advice: Some(advice) }
    }
}

impl From<kez_chat_sdk::Finding> for Finding {
    fn from(finding: kez_chat_sdk::Finding) -> Self {
        let part = finding.part.name();
        match finding.outcome {
            Ok(seen) => Self { part: part.to_owned(), works: true, code: None, what: seen.to_string(), advice: None },
            Err(fault) => Self::fault(part, Failure::from_error(Kind::Other, fault.code(), &fault)),
        }
    }
}

impl From<kez_chat_sdk::Diagnosis> for Diagnosis {
    fn from(diagnosis: kez_chat_sdk::Diagnosis) -> Self {
        Self { findings: diagnosis.findings.into_iter().map(Into::into).collect() }
    }
}

/// Chooses how contacts see us.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetVisibility {
    /// How.
    pub(crate) visibility: Visibility,
}

/// How contacts see us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Visibility {
    /// As being there
    Online,
    /// As being there, but not at the keyboard
    Away,
    /// Not at all
    Invisible,
}

impl From<Visibility> for kez_chat_sdk::Visibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Online => Self::Online,
            Visibility::Away => Self::Away,
            Visibility::Invisible => Self::Invisible,
        }
    }
}
