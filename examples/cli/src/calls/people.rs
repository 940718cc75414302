//! Calls about contacts, strangers, and who is there.

use kez_chat_sdk::{Agreement, Client, Request, Resolution, identity::PrimaryKey, sigchain::Head};

use super::find as find_contact;
use crate::{
    api::{
        self, Peer,
        people::{
            Accept, Add, Block, Blocked, BlockedList, Contact, Contacts, Decline, FindContact, Nickname, Presence,
            Presences, ReadRequest, Remove, RequestMessage, RequestMessages, Requests, StrangerRequest, Trust, Unblock,
            Verify,
        },
    },
    failure::{Failure, Kind},
};

/// How a contact URI begins.
const URI: &str = "kez:";

pub(super) async fn add(client: Client, call: Add) -> Result<Contact, Failure> {
    let contacts = client.contacts();
    let contact =
        if call.who.starts_with(URI) { contacts.add_uri(&call.who).await } else { contacts.add(&call.who).await };
    Ok(shown(&client, &contact?))
}

pub(super) async fn list(client: Client) -> Result<Contacts, Failure> {
    let contacts = client.contacts().list().await?;
    Ok(Contacts { contacts: contacts.iter().map(|contact| shown(&client, contact)).collect() })
}

pub(super) async fn find(client: Client, call: FindContact) -> Result<Contact, Failure> {
    let mut contact = find_contact(&client, &call.who).await?;
    if call.refresh {
        contact = client.contacts().refresh(contact.primary).await?;
    }
    Ok(shown(&client, &contact))
}

pub(super) async fn remove(client: Client, call: Remove) -> Result<Contact, Failure> {
    let contact = find_contact(&client, &call.who).await?;
    Ok(shown(&client, &client.contacts().remove(contact.primary).await?))
}

pub(super) async fn verify(client: Client, call: Verify) -> Result<Contact, Failure> {
    let contact = find_contact(&client, &call.who).await?;
    Ok(shown(&client, &client.contacts().set_verified(contact.primary, call.verified).await?))
}

pub(super) async fn trust(client: Client, call: Trust) -> Result<Contact, Failure> {
    let contacts = client.contacts();
    let contact = match (&call.new_key, &call.head, call.one_sided) {
        (Some(key), None, false) => contacts.accept_new_key(&call.who, &read_key(key)?).await?,
        (None, Some(head), false) => {
            let head: Head = head.parse().map_err(|_| {
                let what = format!("{head} is no head of a sigchain");
                Failure::new(Kind::Usage, "BadHead", what, "it has 64 hexadecimal digits, as contacts show prints them")
            })?;
            contacts.accept_history(find_contact(&client, &call.who).await?.primary, &head).await?
        }
        (None, None, true) => contacts.accept_one_sided(find_contact(&client, &call.who).await?.primary).await?,
        _ => {
            let what = "there is one thing to be said at a time: a new key, a head, or that the handle is theirs";
            return Err(Failure::new(Kind::Usage, "BadParams", what, "see kez-chat trust --help"));
        }
    };
    Ok(shown(&client, &contact))
}

pub(super) async fn nickname(client: Client, call: Nickname) -> Result<Contact, Failure> {
    let contact = find_contact(&client, &call.who).await?;
    Ok(shown(&client, &client.contacts().set_nickname(contact.primary, call.nickname.as_deref()).await?))
}

pub(super) async fn block(client: Client, call: Block) -> Result<Peer, Failure> {
    let peer = somebody(&client, &call.who).await?;
    client.contacts().block(super::key_of(&peer)?).await?;
    Ok(peer)
}

pub(super) async fn unblock(client: Client, call: Unblock) -> Result<Peer, Failure> {
    let blocked = client.contacts().blocked().await?.into_iter().map(|blocked| Peer::from(blocked.who));
    let known = blocked.into_iter().find(|peer| names(peer, &call.who));
    let peer = match known {
        Some(peer) => peer,
        None => somebody(&client, &call.who).await?,
    };
    client.contacts().unblock(super::key_of(&peer)?).await?;
    Ok(peer)
}

pub(super) async fn blocked(client: Client) -> Result<BlockedList, Failure> {
    let blocked = client.contacts().blocked().await?.into_iter();
    Ok(BlockedList { blocked: blocked.map(|who| Blocked { who: who.who.into(), since_ms: who.since_ms }).collect() })
}

pub(super) async fn requests(client: Client) -> Result<Requests, Failure> {
    let requests = client.requests().list().await?.into_iter();
    Ok(Requests { requests: requests.map(shown_request).collect() })
}

pub(super) async fn request(client: Client, call: ReadRequest) -> Result<RequestMessages, Failure> {
    let from = stranger(&client, &call.who).await?;
    let mut messages = Vec::new();
    for message in client.requests().messages(from).await? {
        messages.push(RequestMessage {
            from: from.to_string(),
            id: message.id.to_string(),
            sent_at_ms: message.sent_at_ms,
            content: api::mirrored(&message.content)?,
        });
    }
    Ok(RequestMessages { messages })
}

pub(super) async fn accept(client: Client, call: Accept) -> Result<Contact, Failure> {
    let from = stranger(&client, &call.who).await?;
    Ok(shown(&client, &client.requests().accept(from).await?))
}

pub(super) async fn decline(client: Client, call: Decline) -> Result<Peer, Failure> {
    let from = stranger(&client, &call.who).await?;
    client.requests().decline(from).await?;
    Ok(Peer { primary: from.to_string(), handle: None })
}

pub(super) async fn presences(client: Client) -> Result<Presences, Failure> {
    let contacts = client.contacts().list().await?;
    let presences = contacts.iter().map(|contact| presence(&client, contact.primary, contact.into()));
    Ok(Presences { presences: presences.collect() })
}

/// Says whether somebody is there.
pub(crate) fn presence(client: &Client, key: PrimaryKey, who: Peer) -> Presence {
    let presence = client.presence();
    Presence { who, availability: presence.of(key).into(), last_seen_ms: presence.last_seen_ms(key) }
}

fn shown(client: &Client, contact: &kez_chat_sdk::Contact) -> Contact {
    let Presence { availability, last_seen_ms, .. } = presence(client, contact.primary, contact.into());
    Contact {
        primary: contact.primary.to_string(),
        handle: contact.handle.as_ref().map(ToString::to_string),
        agreement: match contact.agreement {
            Agreement::Agreed => "agreed",
            Agreement::OneSided => "one_sided",
        }
        .to_owned(),
        nickname: contact.nickname.clone(),
        verified: contact.verified,
        safety_number: contact.safety_number.to_string(),
        claims: contact.claims.iter().map(|listed| listed.claim.to_string()).collect(),
        events_walked: contact.events_walked,
        head: contact.head.to_string(),
        broker_url: contact.broker_url.clone(),
        contact_uri: contact.contact_uri().to_string(),
        added_at_ms: contact.added_at_ms,
        retired: contact.retired,
        blocked: contact.blocked,
        trouble: contact.trouble.as_ref().map(ToString::to_string),
        availability,
        last_seen_ms,
    }
}

fn shown_request(request: Request) -> StrangerRequest {
    let (resolution, handle) = match request.resolution {
        Resolution::Agreed { handle } => ("agreed", Some(handle)),
        Resolution::Differs { handle } => ("differs", handle),
        Resolution::Unknown => ("unknown", None),
        _ => ("unresolved", None),
    };
    StrangerRequest {
        primary: request.from.to_string(),
        claimed_handle: request.claimed_handle.map(|handle| handle.to_string()),
        resolution: resolution.to_owned(),
        resolved_handle: handle.map(|handle| handle.to_string()),
        last_at_ms: request.last_at_ms,
        messages: request.messages,
    }
}

/// Finds a contact, or a stranger who wrote, or takes a key as it is.
async fn somebody(client: &Client, who: &str) -> Result<Peer, Failure> {
    match client.contacts().find(who).await {
        Ok(contact) => Ok((&contact).into()),
        Err(error) => match stranger(client, who).await {
            Ok(key) => Ok(Peer { primary: key.to_string(), handle: None }),
            Err(_) => Err(error.into()),
        },
    }
}

/// Finds the key of a stranger, by it or by the handle that they claim.
async fn stranger(client: &Client, who: &str) -> Result<PrimaryKey, Failure> {
    if let Ok(key) = who.parse() {
        return Ok(key);
    }
    let own = client.handle().home().to_string();
    let wanted = who.strip_prefix('@').unwrap_or(who);
    let wanted = if wanted.contains('@') { wanted.to_owned() } else { format!("{wanted}@{own}") };
    let requests = client.requests().list().await?;
    let mut claim = requests
        .iter()
        .filter(|request| request.claimed_handle.as_ref().is_some_and(|handle| handle.to_string() == wanted));
    match (claim.next(), claim.next()) {
        (Some(request), None) => Ok(request.from),
        (None, _) => {
            let what = format!("nothing waits from {who}");
            Err(Failure::new(Kind::Peer, "NoSuchRequest", what, "kez-chat requests lists who wrote"))
        }
        (Some(_), Some(_)) => {
            let what = format!("several keys say that they are {who}");
            Err(Failure::new(Kind::Peer, "SeveralRequests", what, "name the key; kez-chat requests shows it"))
        }
    }
}

fn read_key(text: &str) -> Result<PrimaryKey, Failure> {
    super::key_of(&Peer { primary: text.to_owned(), handle: None })
}

fn names(peer: &Peer, who: &str) -> bool {
    let bare = who.strip_prefix('@').unwrap_or(who);
    peer.primary == who || peer.handle.as_deref() == Some(bare)
}
