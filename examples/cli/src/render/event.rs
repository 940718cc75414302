//! What happened.

use super::{
    INDENT, files, name,
    paint::{ALARM, FAINT, NAME, paint},
    shown_handle,
};
use crate::{
    api::{
        Peer,
        event::{Event, Notice, Order, OwnChainNotice},
        talk::MessageState,
    },
    human::time,
    safe,
};

pub(super) fn text(event: &Event, own: &str) -> String {
    let who = |peer: &Peer| paint(NAME, &name(peer, own));
    match event {
        Event::Message { from, sent_at_ms, text, order, in_doubt, .. } => {
            let (gap, time, text) = (gap(*order), time(*sent_at_ms), safe::block(text, INDENT));
            format!("{gap}{}{time} {}: {text}", doubt(*in_doubt), who(from))
        }
        Event::FileShared { from, share_id, sent_at_ms, files, order, in_doubt, .. } => {
            let (gap, time, files) = (gap(*order), time(*sent_at_ms), files::listed(files));
            format!("{gap}{}{time} {} shared {files}: kez-chat fetch {share_id}", doubt(*in_doubt), who(from))
        }
        Event::Misaddressed { from, to, sent_at_ms, text, .. } => {
            let to = to.as_ref().map_or_else(|| "somebody else".to_owned(), |to| shown_handle(to, own));
            let text = text.as_ref().map_or_else(|| "no text".to_owned(), |text| safe::block(text, INDENT));
            format!("{} {} wrote, but to {to}: {text}", time(*sent_at_ms), who(from))
        }
        Event::Request { from, claimed_handle, sent_at_ms } => {
            let time = time(*sent_at_ms);
            match claimed_handle.as_ref().map(|handle| shown_handle(handle, own)) {
                Some(handle) => format!(
                    "{time} somebody who says to be {handle} wrote: kez-chat requests shows it, kez-chat add {handle} accepts it"
                ),
                None => {
                    format!("{time} somebody without a handle wrote ({}): kez-chat requests", safe::line(&from.primary))
                }
            }
        }
        Event::MessageState { to, state, .. } => match state {
            MessageState::Read => faint(&format!("read by {}", who(to))),
            MessageState::Delivered => faint(&format!("delivered to {}", who(to))),
            MessageState::Sent => faint(&format!("sent to {}", who(to))),
            MessageState::Queued => faint(&format!("kept for {}", who(to))),
            MessageState::InboxFull => format!("{INDENT}kept: the inbox of {} is full", who(to)),
            MessageState::Unconfirmed => format!("{INDENT}sent to {}, who has not confirmed it for days", who(to)),
            MessageState::Withdrawn => format!("{INDENT}not sent to {}", who(to)),
        },
        Event::Edited { from, sent_at_ms, text, .. } => {
            format!("{} {} changed a message: {}", time(*sent_at_ms), who(from), safe::block(text, INDENT))
        }
        Event::Deleted { from, .. } => format!("{INDENT}{} took a message back", who(from)),
        Event::Reaction { from, sent_at_ms, emoji, .. } => match emoji {
            Some(emoji) => format!("{} {} reacted: {}", time(*sent_at_ms), who(from), safe::line(emoji)),
            None => format!("{} {} took a reaction back", time(*sent_at_ms), who(from)),
        },
        Event::Unsupported { from, sent_at_ms, order, .. } => {
            let (gap, time) = (gap(*order), time(*sent_at_ms));
            format!("{gap}{time} {} sent something that this version can't show", who(from))
        }
        Event::Contact { who: whom, notice } => format!("{INDENT}{}", contact(whom, notice, own)),
        Event::OwnChain { notice } => format!("{INDENT}{}", own_chain(notice, own)),
        Event::Downloaded { from, paths, .. } => {
            let paths: Vec<_> = paths.iter().map(|path| files::from_here(path)).collect();
            format!("{INDENT}fetched from {}: {}", who(from), paths.join(", "))
        }
        Event::DownloadFailed { from, message, .. } => {
            format!("{INDENT}what was fetched from {} does not come: {}", who(from), safe::line(message))
        }
        Event::Unreadable => "something happened that this version can't show".to_owned(),
    }
}

fn contact(whom: &Peer, notice: &Notice, own: &str) -> String {
    let who = name(whom, own);
    match notice {
        Notice::Stopped { trouble, .. } => {
            let trouble = match &**trouble {
                "key_changed" => "their home gives another key for their handle than before".to_owned(),
                "forked" => "their key has signed two histories".to_owned(),
                "rolled_back" => "their sigchain server shows less than it did before".to_owned(),
                "needs_upgrade" => "their sigchain says something that this version does not know".to_owned(),
                other => format!("their sigchain is not sound ({})", safe::line(other)),
            };
            let stopped = paint(ALARM, "nothing is sent");
            format!("{stopped} to {who} any more: {trouble}; kez-chat contacts show {who} says what to do")
        }
        Notice::SoundAgain => format!("all is well with {who} again, and what waited is sent"),
        Notice::HandleChanged { to: Some(to), agreement, .. } if agreement == "agreed" => {
            format!("{} goes by {} now", safe::line(&whom.primary), shown_handle(to, own))
        }
        Notice::HandleChanged { to: Some(to), .. } => {
            format!("it is not sure any more that {} is {}", safe::line(&whom.primary), shown_handle(to, own))
        }
        Notice::HandleChanged { to: None, .. } => format!("{} has no handle any more", safe::line(&whom.primary)),
        Notice::HandleDiffers { says } => {
            format!("{who} wrote as {}, which is not known to be theirs", shown_handle(says, own))
        }
        Notice::Retired => format!("{who} has left for good"),
        Notice::HeadDisagreement { seq, .. } => format!(
            "{who} and their sigchain server say different things of event {seq} of their sigchain: ask {who} on another way"
        ),
    }
}

fn own_chain(notice: &OwnChainNotice, own: &str) -> String {
    match notice {
        OwnChainNotice::Forked { seq, .. } => format!(
            "two of your sigchain's events stand at place {seq}: somebody else has your key, or you recovered from an old history"
        ),
        OwnChainNotice::Overtaken { seq } => {
            format!("another installation of yours took place {seq} of your sigchain first")
        }
        OwnChainNotice::PublishedFilesLost { .. } => {
            "what another device of yours had published is not here, and is shown to nobody any more: publish it again"
                .to_owned()
        }
        OwnChainNotice::HeadDisagreement { said_by, seq, .. } => format!(
            "{0} sees another event at place {seq} of your sigchain than you do: compare heads with {0} on another way",
            name(said_by, own)
        ),
    }
}

/// Writes what is good to know about a message of ours.
fn faint(text: &str) -> String {
    format!("{INDENT}{}", paint(FAINT, text))
}

/// Says, on a line of its own, that what comes next may be by somebody else.
fn doubt(in_doubt: bool) -> String {
    if !in_doubt {
        return String::new();
    }
    format!("{INDENT}{}\n", paint(ALARM, "something is wrong with the sender's key or sigchain:"))
}

/// Says, on a line of its own, that something is missing before what comes next.
fn gap(order: Order) -> String {
    match order {
        Order::AfterGap { missing: 1 } => format!("{INDENT}one earlier message has not arrived\n"),
        Order::AfterGap { missing } => format!("{INDENT}{missing} earlier messages have not arrived\n"),
        Order::Late => format!("{INDENT}late:\n"),
        Order::InOrder => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::files::SharedFile;

    fn peer(handle: Option<&str>) -> Peer {
        Peer { primary: "ed25519:07".to_owned(), handle: handle.map(ToOwned::to_owned) }
    }

    fn shown(event: &Event) -> String {
        anstream::adapter::strip_str(&text(event, "kez.lat")).to_string()
    }

    fn message(from: Peer, text: &str) -> Event {
        let (id, text) = ("01".repeat(16), text.to_owned());
        let (reply_to, order) = (None, Order::InOrder);
        Event::Message { from, id, sent_at_ms: 0, text, reply_to, order, earlier: false, in_doubt: false }
    }

    #[test]
    fn handles_are_bare_at_home_and_keys_stand_for_people_without_one() {
        assert!(shown(&message(peer(Some("bob@kez.lat")), "hi")).ends_with(" @bob: hi"));
        assert!(shown(&message(peer(Some("bob@other.example")), "hi")).ends_with(" @bob@other.example: hi"));
        assert!(shown(&message(peer(None), "hi")).ends_with(" ed25519:07: hi"));
    }

    #[test]
    fn what_peers_write_stays_in_its_place() {
        let text = shown(&message(peer(Some("bob@kez.lat")), "one\n12:00 @eve: \x1b[2Jtwo"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "      12:00 @eve: ␛[2Jtwo");
        let file = |path: &&str| SharedFile { path: (*path).into(), media_type: String::new(), size_bytes: 600_000 };
        let files = |paths: &[&str]| Event::FileShared {
            from: peer(Some("bob@kez.lat")),
            share_id: 3,
            sent_at_ms: 0,
            files: paths.iter().map(file).collect(),
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
        let from = peer(Some("bob@kez.lat"));
        let paths = vec!["to/a\n\u{202e}b".into(), "to/c".into()];
        let done = shown(&Event::Downloaded { id: 1, from: from.clone(), paths });
        assert_eq!(done, "      fetched from @bob: to/a␊\u{fffd}b, to/c");
        let (code, message) = ("Gone".to_owned(), "they no longer have \"a\nb\"".to_owned());
        let failed = shown(&Event::DownloadFailed { id: 1, from, code, message });
        assert_eq!(failed, "      what was fetched from @bob does not come: they no longer have \"a␊b\"");
    }
}
