//! What the commands show: a line or two for people, an object with a `kind` for programs.
//!
//! Objects carry handles qualified; lines carry them bare where the home is the reader's own.

use std::path::Path;

use kez_chat_sdk::{
    Agreement, Event, LeftOut, MessageState, Notice, Order, OwnChainNotice, Peer, ShareId, SharedFile,
    handle::{Handle, Home},
    identity::PrimaryKey,
    payload::MessageId,
};
use serde::{Serialize, Serializer};

use crate::{
    failure::Failure,
    human::{size, time},
    output::View,
    safe,
};

/// Further lines of a message are set in, so that none of them looks like a line of ours.
const INDENT: &str = "      ";

/// The own account.
#[derive(Serialize)]
pub(crate) struct Account<'a> {
    pub(crate) kind: AccountKind,
    #[serde(serialize_with = "text")]
    pub(crate) handle: &'a Handle,
    pub(crate) primary: PrimaryKey,
    pub(crate) sigchain_url: &'a str,
    pub(crate) home_dir: &'a Path,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountKind {
    Registered,
    Account,
}

impl View for Account<'_> {
    fn text(&self) -> String {
        let Self { kind, handle, primary, sigchain_url, home_dir } = self;
        let welcome = if *kind == AccountKind::Registered { "You are " } else { "" };
        format!(
            "{welcome}@{handle}\n  key       {primary}\n  sigchain  {}\n  kept in   {}",
            safe::line(sigchain_url),
            safe::line(&home_dir.to_string_lossy()),
        )
    }
}

/// A backup that was written.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "backup")]
pub(crate) struct Backup<'a> {
    file: &'a Path,
    made_at_ms: u64,
    messages: u64,
    bytes: u64,
}

impl<'a> Backup<'a> {
    pub(crate) fn new(backup: &kez_chat_sdk::Backup, file: &'a Path) -> Self {
        Self { file, made_at_ms: backup.made_at_ms, messages: backup.messages, bytes: backup.bytes }
    }
}

impl View for Backup<'_> {
    fn text(&self) -> String {
        let file = safe::line(&self.file.to_string_lossy());
        format!(
            "{} messages kept in {file} ({}); with your 24 words it brings them back",
            self.messages,
            size(self.bytes)
        )
    }
}

/// Somebody that was added, or is in the list.
#[derive(Serialize)]
pub(crate) struct Contact<'a> {
    kind: &'static str,
    #[serde(serialize_with = "option_text")]
    handle: Option<&'a Handle>,
    primary: PrimaryKey,
    agreement: Agreement,
    events_walked: u64,
    head: String,
    broker_url: Option<&'a str>,
    added_at_ms: u64,
    trouble: Option<String>,
    #[serde(skip)]
    own: &'a Home,
    /// Whether people get one line or everything; programs always get everything.
    #[serde(skip)]
    in_a_list: bool,
}

impl<'a> Contact<'a> {
    pub(crate) fn new(contact: &'a kez_chat_sdk::Contact, own: &'a Home) -> Self {
        Self {
            in_a_list: false,
            kind: "contact",
            handle: contact.handle.as_ref(),
            primary: contact.primary,
            agreement: contact.agreement,
            events_walked: contact.events_walked,
            head: contact.head.to_string(),
            broker_url: contact.broker_url.as_deref(),
            added_at_ms: contact.added_at_ms,
            trouble: contact.trouble.as_ref().map(ToString::to_string),
            own,
        }
    }

    pub(crate) fn listed(contact: &'a kez_chat_sdk::Contact, own: &'a Home) -> Self {
        Self { in_a_list: true, ..Self::new(contact, own) }
    }

    fn one_line(&self) -> String {
        let doubt = match (&self.trouble, self.agreement) {
            (Some(trouble), _) => format!("  STOPPED: {}", safe::line(trouble)),
            (None, Agreement::OneSided) => "  their handle is one-sided".to_owned(),
            (None, Agreement::Agreed) => String::new(),
        };
        format!("{:<20}  {}{doubt}", name(self.handle, &self.primary, self.own), self.primary)
    }
}

impl View for Contact<'_> {
    fn text(&self) -> String {
        if self.in_a_list {
            return self.one_line();
        }
        let mut lines = vec![name(self.handle, &self.primary, self.own), format!("  key       {}", self.primary)];
        lines.push(format!("  sigchain  {} events walked, up to {}", self.events_walked, self.head));
        if let Some(url) = self.broker_url {
            lines.push(format!("  broker    {}", safe::line(url)));
        }
        lines.push(match self.agreement {
            Agreement::Agreed => {
                "  handle    agreed: their home names the key, and their sigchain the handle".to_owned()
            }
            Agreement::OneSided => "  handle    one-sided: their home and their sigchain do not both say so".to_owned(),
        });
        if let Some(trouble) = &self.trouble {
            lines.push(format!("  STOPPED   {}", safe::line(trouble)));
        }
        lines.join("\n")
    }
}

/// Somebody that was a contact.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "removed")]
pub(crate) struct Removed<'a> {
    #[serde(serialize_with = "option_text")]
    pub(crate) handle: Option<&'a Handle>,
    pub(crate) primary: PrimaryKey,
    #[serde(skip)]
    pub(crate) own: &'a Home,
}

impl View for Removed<'_> {
    fn text(&self) -> String {
        let who = name(self.handle, &self.primary, self.own);
        format!("{who} is forgotten, with the key {}; the conversation stays", self.primary)
    }
}

/// A message that was accepted for sending.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "sent")]
pub(crate) struct Sent<'a> {
    #[serde(serialize_with = "option_text")]
    pub(crate) to: Option<&'a Handle>,
    pub(crate) primary: PrimaryKey,
    pub(crate) id: MessageId,
    pub(crate) state: MessageState,
    #[serde(skip)]
    pub(crate) own: &'a Home,
}

impl View for Sent<'_> {
    fn text(&self) -> String {
        let to = name(self.to, &self.primary, self.own);
        match self.state {
            MessageState::Queued => {
                format!("kept for {to}, not sent yet: it goes out when kez-chat next runs and the broker is in reach")
            }
            MessageState::Sent => format!("sent to {to}"),
            MessageState::Delivered | MessageState::Read => format!("delivered to {to}"),
            MessageState::InboxFull => format!("kept: the inbox of {to} is full; it is sent when there is room"),
            MessageState::Unconfirmed => format!("sent to {to}, but never confirmed"),
            MessageState::Withdrawn => format!("not sent: {to} is no contact any more"),
            _ => format!("something became of the message to {to}"),
        }
    }
}

/// Something that happened.
#[derive(Serialize)]
pub(crate) struct Happened<'a> {
    #[serde(flatten)]
    pub(crate) event: &'a Event,
    #[serde(skip)]
    pub(crate) own: &'a Home,
}

impl View for Happened<'_> {
    fn text(&self) -> String {
        let who = |peer: &Peer| name(peer.handle.as_ref(), &peer.primary, self.own);
        match self.event {
            Event::Message { from, sent_at_ms, text, order, in_doubt, .. } => {
                let (gap, time, text) = (gap(*order), time(*sent_at_ms), safe::block(text, INDENT));
                format!("{gap}{}{time} {}: {text}", doubt(*in_doubt), who(from))
            }
            Event::FileShared { from, share_id, sent_at_ms, files, order, in_doubt, .. } => {
                let (gap, time, files) = (gap(*order), time(*sent_at_ms), listed(files));
                format!("{gap}{}{time} {} shared {files}: kez-chat fetch {share_id}", doubt(*in_doubt), who(from))
            }
            Event::Misaddressed { from, to, sent_at_ms, text, .. } => {
                let to =
                    to.as_ref().map_or_else(|| "somebody else".to_owned(), |to| to.display_for(self.own).to_string());
                let text = text.as_ref().map_or_else(|| "no text".to_owned(), |text| safe::block(text, INDENT));
                format!("{} {} wrote, but to {to}: {text}", time(*sent_at_ms), who(from))
            }
            Event::Request { from, claimed_handle, sent_at_ms } => {
                let time = time(*sent_at_ms);
                match claimed_handle {
                    Some(handle) => {
                        let handle = handle.display_for(self.own);
                        format!("{time} somebody who says to be {handle} wrote: to read it, kez-chat add {handle}")
                    }
                    None => format!("{time} somebody without a handle wrote ({})", from.primary),
                }
            }
            Event::MessageState { to, state, .. } => match state {
                MessageState::Read => format!("      read by {}", who(to)),
                MessageState::Delivered => format!("      delivered to {}", who(to)),
                MessageState::Sent => format!("      sent to {}", who(to)),
                MessageState::Queued => format!("      kept for {}", who(to)),
                MessageState::InboxFull => format!("      kept: the inbox of {} is full", who(to)),
                MessageState::Unconfirmed => format!("      sent to {}, who has not confirmed it for days", who(to)),
                MessageState::Withdrawn => format!("      not sent to {}", who(to)),
                _ => format!("      something became of a message to {}", who(to)),
            },
            Event::Edited { from, sent_at_ms, text, .. } => {
                format!("{} {} changed a message: {}", time(*sent_at_ms), who(from), safe::block(text, INDENT))
            }
            Event::Deleted { from, .. } => format!("      {} took a message back", who(from)),
            Event::Reaction { from, sent_at_ms, emoji, .. } => match emoji {
                Some(emoji) => format!("{} {} reacted: {}", time(*sent_at_ms), who(from), safe::line(emoji)),
                None => format!("{} {} took a reaction back", time(*sent_at_ms), who(from)),
            },
            Event::Unsupported { from, sent_at_ms, order, .. } => {
                let (gap, time) = (gap(*order), time(*sent_at_ms));
                format!("{gap}{time} {} sent something that this version can't show", who(from))
            }
            Event::Contact { who: whom, notice: Notice::HeadDisagreement { seq, .. } } => format!(
                "      {0} and their sigchain server say different things of event {seq} of their sigchain: ask {0} on another way",
                who(whom)
            ),
            Event::Contact { who: whom, notice } => match notice {
                Notice::Stopped { trouble } => format!("      nothing is sent to {} any more: {trouble}", who(whom)),
                Notice::SoundAgain => format!("      all is well with {} again, and what waited is sent", who(whom)),
                Notice::HandleChanged { to: Some(to), agreement: Agreement::Agreed, .. } => {
                    format!("      {} goes by {} now", whom.primary, to.display_for(self.own))
                }
                Notice::HandleChanged { to: Some(to), .. } => {
                    format!("      it is not sure any more that {} is {}", whom.primary, to.display_for(self.own))
                }
                Notice::HandleChanged { to: None, .. } => format!("      {} has no handle any more", whom.primary),
                Notice::HandleDiffers { says } => {
                    format!(
                        "      {} wrote as {}, which is not known to be theirs",
                        who(whom),
                        says.display_for(self.own)
                    )
                }
                Notice::Retired => format!("      {} has left for good", who(whom)),
                _ => format!("      something changed about {}", who(whom)),
            },
            Event::OwnChain { notice: OwnChainNotice::Forked { seq, .. } } => format!(
                "      two of your sigchain's events stand at place {seq}: somebody else has your key, or you recovered from an old history"
            ),
            Event::OwnChain { notice: OwnChainNotice::Overtaken { seq } } => {
                format!("      another installation of yours took place {seq} of your sigchain first")
            }
            Event::OwnChain { notice: OwnChainNotice::PublishedFilesLost { .. } } => {
                "      what another device of yours had published is not here, and is shown to nobody any more: publish it again"
                    .to_owned()
            }
            Event::OwnChain { notice: OwnChainNotice::HeadDisagreement { said_by, seq, .. } } => format!(
                "      {0} sees another event at place {seq} of your sigchain than you do: compare heads with {0} on another way",
                who(said_by)
            ),
            Event::Downloaded { from, paths, .. } => {
                let paths: Vec<_> = paths.iter().map(|path| safe::line(&path.to_string_lossy())).collect();
                format!("      fetched from {}: {}", who(from), paths.join(", "))
            }
            Event::DownloadFailed { from, message, .. } => {
                format!("      what was fetched from {} does not come: {}", who(from), safe::line(message))
            }
            _ => "something happened that this version can't show".to_owned(),
        }
    }
}

/// Says, on a line of its own, that what comes next may be by somebody else.
fn doubt(in_doubt: bool) -> &'static str {
    if in_doubt { "      something is wrong with the sender's key or sigchain:\n" } else { "" }
}

/// Says, on a line of its own, that something is missing before what comes next.
fn gap(order: Order) -> String {
    match order {
        Order::AfterGap { missing: 1 } => "      one earlier message has not arrived\n".to_owned(),
        Order::AfterGap { missing } => format!("      {missing} earlier messages have not arrived\n"),
        Order::Late => "      late:\n".to_owned(),
        _ => String::new(),
    }
}

/// Files that are held ready for somebody.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "serving")]
pub(crate) struct Serving<'a> {
    #[serde(serialize_with = "option_text")]
    pub(crate) to: Option<&'a Handle>,
    pub(crate) primary: PrimaryKey,
    pub(crate) files: &'a [SharedFile],
    /// What of a folder is not.
    #[serde(serialize_with = "paths")]
    pub(crate) left_out: &'a [LeftOut],
    #[serde(skip)]
    pub(crate) own: &'a Home,
}

impl View for Serving<'_> {
    fn text(&self) -> String {
        let left_out =
            self.left_out.iter().map(|left| format!("left out {}\n", safe::line(&left.path.to_string_lossy())));
        let (files, to) = (listed(self.files), name(self.to, &self.primary, self.own));
        format!("{}serving {files} to {to} until Ctrl-C", left_out.collect::<String>())
    }
}

fn paths<S: Serializer>(left_out: &&[LeftOut], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(left_out.iter().map(|left| left.path.to_string_lossy()))
}

/// What somebody holds ready for us.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "offer")]
pub(crate) struct Offer<'a> {
    share_id: ShareId,
    from: &'a Peer,
    sent_at_ms: u64,
    files: &'a [SharedFile],
    fetched: bool,
    #[serde(skip)]
    own: &'a Home,
}

impl<'a> Offer<'a> {
    pub(crate) fn new(offer: &'a kez_chat_sdk::Offer, own: &'a Home) -> Self {
        let kez_chat_sdk::Offer { share_id, from, sent_at_ms, files, fetched, .. } = offer;
        Self { share_id: *share_id, from, sent_at_ms: *sent_at_ms, files, fetched: *fetched, own }
    }
}

impl View for Offer<'_> {
    fn text(&self) -> String {
        let from = name(self.from.handle.as_ref(), &self.from.primary, self.own);
        let fetched = if self.fetched { ", fetched" } else { "" };
        let (share_id, time, files) = (self.share_id, time(self.sent_at_ms), listed(self.files));
        format!("{share_id:>4}  {time}  {from}  {files}{fetched}")
    }
}

/// A file that was fetched.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "fetched")]
pub(crate) struct Fetched<'a> {
    pub(crate) path: &'a Path,
}

impl View for Fetched<'_> {
    fn text(&self) -> String {
        // As the person named the folder, where they are above it.
        let here = std::env::current_dir().ok();
        let path = here.and_then(|here| self.path.strip_prefix(here).ok()).unwrap_or(self.path);
        format!("fetched {}", safe::line(&path.to_string_lossy()))
    }
}

/// Why a command failed.
#[derive(Serialize)]
#[serde(tag = "kind", rename = "error")]
pub(crate) struct Failed<'a> {
    code: &'a str,
    message: &'a str,
    advice: &'a str,
    exit_code: u8,
}

impl<'a> Failed<'a> {
    pub(crate) fn of(failure: &'a Failure) -> Self {
        Self {
            code: &failure.code,
            message: &failure.what,
            advice: &failure.advice,
            exit_code: failure.kind.exit_code(),
        }
    }
}

impl View for Failed<'_> {
    fn text(&self) -> String {
        format!("{}: {}", self.code, safe::line(self.message))
    }
}

/// Writes somebody's handle, bare if it is of the own home, or their key.
fn name(handle: Option<&Handle>, primary: &PrimaryKey, own: &Home) -> String {
    handle.map_or_else(|| primary.to_string(), |handle| handle.display_for(own))
}

/// Writes what was shared: `report.pdf (1.2 MB)`, `3 files (4.5 MB)`.
fn listed(files: &[SharedFile]) -> String {
    let total = size(files.iter().fold(0, |sum, file| file.size_bytes.saturating_add(sum)));
    match files {
        [file] => format!("{} ({total})", safe::line(&file.path)),
        files => {
            let paths: Vec<String> = files.iter().map(|file| safe::line(&file.path)).collect();
            format!("{} files ({total}; {})", files.len(), paths.join(", "))
        }
    }
}

fn text<S: Serializer>(handle: &Handle, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(handle)
}

#[allow(clippy::ref_option, reason = "the shape that serde asks for")]
fn option_text<S: Serializer>(handle: &Option<&Handle>, serializer: S) -> Result<S::Ok, S::Error> {
    handle.map(ToString::to_string).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use kez_chat_sdk::{DownloadId, DownloadOrigin, handle::Policy, identity::SecretKey};

    use super::*;

    fn peer(handle: Option<&str>) -> Peer {
        let handle = handle.map(|text| Handle::from_qualified(text, Policy::Production).unwrap());
        Peer { primary: SecretKey::from_seed([7; 32]).primary(), handle }
    }

    fn shown(event: &Event) -> String {
        let own = Home::parse("kez.lat", Policy::Production).unwrap();
        Happened { event, own: &own }.text()
    }

    fn message(from: Peer, text: &str) -> Event {
        let (id, order) = (MessageId([1; 16]), Order::InOrder);
        Event::Message {
            from,
            id,
            sent_at_ms: 0,
            text: text.to_owned(),
            reply_to: None,
            order,
            earlier: false,
            in_doubt: false,
        }
    }

    #[test]
    fn handles_are_bare_at_home_and_keys_stand_for_people_without_one() {
        assert!(shown(&message(peer(Some("bob@kez.lat")), "hi")).ends_with(" @bob: hi"));
        assert!(shown(&message(peer(Some("bob@other.example")), "hi")).ends_with(" @bob@other.example: hi"));
        let nameless = peer(None);
        assert!(shown(&message(nameless.clone(), "hi")).ends_with(&format!(" {}: hi", nameless.primary)));
    }

    #[test]
    fn what_peers_write_stays_in_its_place() {
        let text = shown(&message(peer(Some("bob@kez.lat")), "one\n12:00 @eve: \x1b[2Jtwo"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "      12:00 @eve: ␛[2Jtwo");
        let files = |paths: &[&str]| Event::FileShared {
            from: peer(Some("bob@kez.lat")),
            share_id: ShareId::new(3),
            sent_at_ms: 0,
            files: paths
                .iter()
                .map(|path| SharedFile { path: (*path).into(), media_type: String::new(), size_bytes: 600_000 })
                .collect(),
            order: Order::AfterGap { missing: 2 },
            earlier: false,
            in_doubt: false,
        };
        let hostile = shown(&files(&["a\n\u{202e}gpj.exe"]));
        assert!(hostile.ends_with(" @bob shared a␊\u{fffd}gpj.exe (600.0 kB): kez-chat fetch 3"), "{hostile}");
        let several = shown(&files(&["a", "b/c"]));
        assert!(several.starts_with("      2 earlier messages have not arrived\n"), "{several}");
        assert!(several.ends_with(" @bob shared 2 files (1.2 MB; a, b/c): kez-chat fetch 3"), "{several}");
    }

    #[test]
    fn downloads_are_told_of_in_a_line_each() {
        let (id, origin, from) =
            (DownloadId::new(1), DownloadOrigin::Offer(ShareId::new(3)), peer(Some("bob@kez.lat")));
        let paths = vec!["to/a\n\u{202e}b".into(), "to/c".into()];
        let done = shown(&Event::Downloaded { id, origin, from: from.clone(), paths });
        assert_eq!(done, "      fetched from @bob: to/a␊\u{fffd}b, to/c");
        let (code, message) = ("Gone".to_owned(), "they no longer have \"a\nb\"".to_owned());
        let failed = shown(&Event::DownloadFailed { id, origin, from, code, message });
        assert_eq!(failed, "      what was fetched from @bob does not come: they no longer have \"a␊b\"");
    }

    #[test]
    fn objects_carry_a_kind_and_qualified_handles() {
        let own = Home::parse("kez.lat", Policy::Production).unwrap();
        let event = message(peer(Some("bob@kez.lat")), "hi");
        let object = serde_json::to_value(Happened { event: &event, own: &own }).unwrap();
        assert_eq!((&object["kind"], &object["from"]["handle"]), (&"message".into(), &"bob@kez.lat".into()));
    }
}
