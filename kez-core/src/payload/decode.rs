//! From bytes to a payload.

use super::{
    Addresses, Channel, Content, FileEntry, FileShare, MAX_RECEIPT_IDS, MAX_SHARED_FILES, MAX_TEXT_BYTES, MessageId,
    MessageRef, Payload, PayloadError, Presence, PresenceState, ReceiptStatus, SeenHead, UnsupportedReason, VERSION,
    content::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_PRESENCE_TTL_S, MAX_REACTION_BYTES},
    file_entry::{MIN_ENTRY_BYTES, check_paths},
};
use crate::{
    codec::Reader,
    handle::{Handle, Policy},
    sigchain::{Head, Install},
};

/// Kinds from here on belong to presence.
const FIRST_PRESENCE_KIND: u64 = 64;
const MAX_EXTENSIONS: usize = 32;

impl Payload {
    /// Reads a payload that came by `channel`.
    ///
    /// Unknown kinds and unknown critical extensions are no errors: they become [`Content::Unsupported`].
    ///
    /// # Errors
    /// [`PayloadError`], in §7's order: structure, channel, extensions, kind.
    pub fn decode(bytes: &[u8], channel: Channel, policy: Policy) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(PayloadError::BadVersion(version));
        }
        let id = MessageId(reader.array()?);
        let install = Install::from_bytes(reader.array()?);
        let seq = reader.varint()?;
        let sent_at_ms = reader.varint()?;
        let from = read_handle(&mut reader, policy)?;
        let to = read_handle(&mut reader, policy)?;
        let kind = reader.varint()?;
        let body = reader.blob()?;
        let extensions = read_extensions(&mut reader)?;
        reader.finish()?;

        let by_presence = channel == Channel::Presence;
        if by_presence != (kind >= FIRST_PRESENCE_KIND) {
            return Err(PayloadError::WrongChannel { kind });
        }
        let mut payload = Self {
            id,
            install,
            seq,
            sent_at_ms,
            from,
            to,
            content: Content::Unsupported(UnsupportedReason::Kind(kind)),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let unknown = payload.take_extensions(&extensions)?;
        if let Some(ext) = unknown {
            payload.content = Content::Unsupported(UnsupportedReason::Extension { kind, ext });
            return Ok(payload);
        }
        if let Some(content) = read_content(kind, body)? {
            let counted = !matches!(content, Content::Receipt { .. } | Content::Presence(_));
            if counted != (seq > 0) {
                return Err(PayloadError::BadField { field: "seq" });
            }
            payload.content = content;
        }
        Ok(payload)
    }

    /// Takes the known extensions; returns the first unknown critical one.
    fn take_extensions(&mut self, extensions: &[(u64, &[u8])]) -> Result<Option<u64>, PayloadError> {
        let mut unknown = None;
        for &(number, value) in extensions {
            let mut reader = Reader::new(value);
            match number {
                2 => self.own_head = Some(read_head(&mut reader)?),
                4 => self.peer_head = Some(read_head(&mut reader)?),
                6 => self.reply_to = Some(read_ref(&mut reader)?),
                _ => {
                    if number % 2 == 1 {
                        unknown = unknown.or(Some(number));
                    }
                    continue;
                }
            }
            reader.finish()?;
        }
        Ok(unknown)
    }
}

fn read_extensions<'a>(reader: &mut Reader<'a>) -> Result<Vec<(u64, &'a [u8])>, PayloadError> {
    let count = reader.count(2)?;
    if count > MAX_EXTENSIONS {
        return Err(PayloadError::BadField { field: "ext" });
    }
    let mut extensions: Vec<(u64, &[u8])> = Vec::with_capacity(count);
    for _ in 0..count {
        let number = reader.varint()?;
        if extensions.last().is_some_and(|&(before, _)| before >= number) {
            return Err(PayloadError::BadField { field: "ext" });
        }
        extensions.push((number, reader.blob()?));
    }
    Ok(extensions)
}

/// Reads the body of a known kind to its end; `None` for an unknown kind.
fn read_content(kind: u64, body: &[u8]) -> Result<Option<Content>, PayloadError> {
    let mut reader = Reader::new(body);
    let content = match kind {
        1 => Content::Text(read_text(&mut reader)?),
        2 => Content::FileShare(read_file_share(&mut reader)?),
        3 => read_receipt(&mut reader)?,
        4 => Content::Edit { id: MessageId(reader.array()?), text: read_text(&mut reader)? },
        5 => Content::Delete { id: MessageId(reader.array()?) },
        6 => {
            let target = read_ref(&mut reader)?;
            let emoji = reader.str()?.to_owned();
            if emoji.len() > MAX_REACTION_BYTES {
                return Err(PayloadError::BadField { field: "reaction" });
            }
            Content::Reaction { target, emoji }
        }
        64 => Content::Presence(read_presence(&mut reader)?),
        _ => return Ok(None),
    };
    reader.finish()?;
    Ok(Some(content))
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, PayloadError> {
    let text = reader.str()?;
    check_text(text)?;
    Ok(text.to_owned())
}

pub(super) fn check_text(text: &str) -> Result<(), PayloadError> {
    match text.len() {
        0 => Err(PayloadError::BadField { field: "text" }),
        len if len > MAX_TEXT_BYTES => Err(PayloadError::TooLarge { field: "text" }),
        _ => Ok(()),
    }
}

impl FileShare {
    /// Reads the body of kind 2.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        let share = read_file_share(&mut reader)?;
        reader.finish()?;
        Ok(share)
    }
}

fn read_file_share(reader: &mut Reader<'_>) -> Result<FileShare, PayloadError> {
    let count = reader.count(MIN_ENTRY_BYTES)?;
    if !(1..=MAX_SHARED_FILES).contains(&count) {
        return Err(PayloadError::BadField { field: "entries" });
    }
    let entries = (0..count).map(|_| FileEntry::read(reader)).collect::<Result<Vec<_>, _>>()?;
    check_paths(&entries)?;
    Ok(FileShare { entries, addresses: read_addresses(reader)? })
}

fn read_receipt(reader: &mut Reader<'_>) -> Result<Content, PayloadError> {
    let status = match reader.byte()? {
        1 => ReceiptStatus::Delivered,
        2 => ReceiptStatus::Read,
        _ => return Err(PayloadError::BadField { field: "status" }),
    };
    let count = reader.count(16)?;
    if !(1..=MAX_RECEIPT_IDS).contains(&count) {
        return Err(PayloadError::BadField { field: "ids" });
    }
    let ids = (0..count).map(|_| reader.array().map(MessageId)).collect::<Result<Vec<_>, _>>()?;
    Ok(Content::Receipt { status, ids })
}

fn read_presence(reader: &mut Reader<'_>) -> Result<Presence, PayloadError> {
    let state = match reader.byte()? {
        0 => PresenceState::Off,
        1 => PresenceState::Online,
        2 => PresenceState::Away,
        _ => return Err(PayloadError::BadField { field: "state" }),
    };
    let ttl_s = reader.varint()?;
    if ttl_s > MAX_PRESENCE_TTL_S {
        return Err(PayloadError::BadField { field: "ttl" });
    }
    let flags = reader.byte()?;
    if flags > 1 {
        return Err(PayloadError::BadField { field: "flags" });
    }
    Ok(Presence { state, ttl_s, is_answer: flags == 1, addresses: read_addresses(reader)? })
}

fn read_addresses(reader: &mut Reader<'_>) -> Result<Addresses, PayloadError> {
    let count = reader.count(1)?;
    if count > MAX_ADDRESSES {
        return Err(PayloadError::BadField { field: "addresses" });
    }
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let text = reader.str()?;
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(PayloadError::BadField { field: "addresses" });
        }
        addresses.push(text.to_owned());
    }
    Ok(Addresses(addresses))
}

fn read_handle(reader: &mut Reader<'_>, policy: Policy) -> Result<Option<Handle>, PayloadError> {
    match reader.str()? {
        "" => Ok(None),
        text => Ok(Some(Handle::from_qualified(text, policy)?)),
    }
}

fn read_head(reader: &mut Reader<'_>) -> Result<SeenHead, PayloadError> {
    Ok(SeenHead { seq: reader.varint()?, head: Head::from_bytes(reader.array()?) })
}

fn read_ref(reader: &mut Reader<'_>) -> Result<MessageRef, PayloadError> {
    Ok(MessageRef { author: reader.array()?, id: MessageId(reader.array()?) })
}
