//! Contacts, strangers, and who is there.

use super::{
    INDENT, name,
    paint::{ALARM, paint},
    shown_handle, talk,
};
use crate::{
    api::{
        Peer,
        people::{Availability, Blocked, Contact, Presence, RequestMessage, StrangerRequest},
    },
    human::time,
    safe,
};

/// How many numbers of a safety number stand in a row.
const NUMBERS_IN_A_ROW: usize = 6;

fn peer(contact: &Contact) -> Peer {
    Peer { primary: contact.primary.clone(), handle: contact.handle.clone() }
}

pub(super) fn contact(contact: &Contact, own: &str) -> String {
    let mut lines = vec![name(&peer(contact), own)];
    let mut add = |title: &str, text: &str| {
        let padded = format!("{title:<8}");
        let is_alarm = title.chars().all(char::is_uppercase);
        let title = if is_alarm { paint(ALARM, &padded) } else { padded };
        lines.push(format!("  {title}  {}", safe::line(text)));
    };
    if let Some(nickname) = &contact.nickname {
        add("called", nickname);
    }
    add("key", &contact.primary);
    add("sigchain", &format!("{} events walked, up to {}", contact.events_walked, contact.head));
    if let Some(url) = &contact.broker_url {
        add("broker", url);
    }
    add(
        "handle",
        match &*contact.agreement {
            "agreed" => "agreed: their home names the key, and their sigchain the handle",
            _ => "one-sided: their home and their sigchain do not both say so",
        },
    );
    add("verified", if contact.verified { "yes: you have compared safety numbers" } else { "no: kez-chat verify" });
    for claim in &contact.claims {
        add("claims", &format!("{claim} (not checked)"));
    }
    add("presence", &there(contact.availability, contact.last_seen_ms));
    add("add them", &contact.contact_uri);
    if contact.retired {
        add("LEFT", "they have left for good");
    }
    if contact.blocked {
        add("BLOCKED", "nothing of theirs reaches you: kez-chat unblock ends it");
    }
    if let Some(trouble) = &contact.trouble {
        add("STOPPED", trouble);
    }
    lines.join("\n")
}

pub(super) fn listed(contact: &Contact, own: &str) -> String {
    let remark = match (&contact.trouble, &*contact.agreement) {
        _ if contact.blocked => "  blocked".to_owned(),
        _ if contact.retired => "  has left for good".to_owned(),
        (Some(trouble), _) => format!("  {} {}", paint(ALARM, "STOPPED:"), safe::line(trouble)),
        (None, "agreed") => String::new(),
        (None, _) => "  their handle is one-sided".to_owned(),
    };
    let nickname = contact.nickname.as_ref().map(|name| format!(" ({})", safe::line(name))).unwrap_or_default();
    let name = format!("{}{nickname}", name(&peer(contact), own));
    format!("{name:<20}  {:<7}  {}{remark}", availability(contact.availability), safe::line(&contact.primary))
}

pub(super) fn removed(contact: &Contact, own: &str) -> String {
    let (who, key) = (name(&peer(contact), own), safe::line(&contact.primary));
    format!("{who} is forgotten, with the key {key}; the conversation stays")
}

pub(super) fn safety_number(contact: &Contact, own: &str) -> String {
    let who = name(&peer(contact), own);
    let numbers: Vec<&str> = contact.safety_number.split_whitespace().collect();
    let rows = numbers.chunks(NUMBERS_IN_A_ROW).map(|row| format!("  {}", safe::line(&row.join(" "))));
    let verdict = if contact.verified {
        format!("You have said that {who} sees the same.")
    } else {
        format!(
            "Compare it with what {who} sees, by voice or side by side; if it is the same: kez-chat verify {who} --same"
        )
    };
    format!("Your safety number with {who}:\n{}\n{verdict}", rows.collect::<Vec<_>>().join("\n"))
}

pub(super) fn blocked(blocked: &Blocked, own: &str) -> String {
    format!("{:<20}  since {}", name(&blocked.who, own), time(blocked.since_ms))
}

pub(super) fn request(request: &StrangerRequest, own: &str) -> String {
    let claimed = request.claimed_handle.as_ref().map(|handle| shown_handle(handle, own));
    let who = match (&*request.resolution, claimed) {
        ("agreed", Some(claimed)) => format!("{claimed}, as their home says too"),
        ("agreed", None) => {
            request.resolved_handle.as_ref().map_or_else(String::new, |handle| shown_handle(handle, own))
        }
        ("differs", Some(claimed)) => format!("somebody who says to be {claimed}, and IS NOT by that home's word"),
        ("unknown", Some(claimed)) => format!("somebody who says to be {claimed}, whom that home does not know"),
        (_, Some(claimed)) => format!("somebody who says to be {claimed}, which nobody has checked"),
        (_, None) => "somebody without a handle".to_owned(),
    };
    let messages =
        if request.messages == 1 { "1 message".to_owned() } else { format!("{} messages", request.messages) };
    format!("{}  {who}: {messages}\n{INDENT} {}", time(request.last_at_ms), safe::line(&request.primary))
}

pub(super) fn request_message(message: &RequestMessage) -> String {
    format!("{}  {}", time(message.sent_at_ms), talk::content(&message.content))
}

pub(super) fn presence(presence: &Presence, own: &str) -> String {
    format!("{:<20}  {}", name(&presence.who, own), there(presence.availability, presence.last_seen_ms))
}

fn there(state: Availability, last_seen_ms: Option<u64>) -> String {
    match (state, last_seen_ms) {
        (Availability::Offline, Some(last_seen_ms)) => format!("offline, last seen {}", time(last_seen_ms)),
        (state, _) => availability(state).to_owned(),
    }
}

fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Online => "online",
        Availability::Away => "away",
        Availability::Offline => "offline",
    }
}
