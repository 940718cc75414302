//! From a payload to bytes.

use zeroize::Zeroizing;

use super::{
    Addresses, Content, FileEntry, FileShare, MAX_RECEIPT_IDS, MAX_SHARED_FILES, MessageRef, Payload, PayloadError,
    Presence, PresenceState, ReceiptStatus, SeenHead, VERSION,
    content::{MAX_PRESENCE_TTL_S, MAX_REACTION_BYTES},
    decode::check_text,
    file_entry::check_paths,
};
use crate::{
    codec::{MAX_INTEGER, put_blob, put_str, put_varint},
    handle::Handle,
};

/// More than all fields but the content take, two handles of 286 bytes among them.
const ROOM_AROUND_CONTENT_BYTES: usize = 1024;

impl Payload {
    /// Writes the payload, refusing whatever a reader would refuse.
    ///
    /// # Errors
    /// [`PayloadError`] for a text, list or number that is out of its range, and for [`Content::Unsupported`],
    /// which only a later version can write.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        let counted = !matches!(self.content, Content::Receipt { .. } | Content::Presence(_));
        if self.seq > MAX_INTEGER || counted != (self.seq > 0) {
            return Err(PayloadError::BadField { field: "seq" });
        }
        if self.sent_at_ms > MAX_INTEGER {
            return Err(PayloadError::BadField { field: "sent_at" });
        }
        if [self.own_head, self.peer_head].iter().flatten().any(|seen| seen.seq > MAX_INTEGER) {
            return Err(PayloadError::BadField { field: "head" });
        }
        let content = write_content(&self.content)?;
        let mut out = Zeroizing::new(Vec::with_capacity(ROOM_AROUND_CONTENT_BYTES + content.len()));
        out.push(VERSION);
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.install.to_bytes());
        put_varint(&mut out, self.seq);
        put_varint(&mut out, self.sent_at_ms);
        for handle in [&self.from, &self.to] {
            put_str(&mut out, &handle.as_ref().map(Handle::to_string).unwrap_or_default());
        }
        put_varint(&mut out, self.content.kind());
        put_blob(&mut out, &content);

        let extensions = [
            (2, self.own_head.map(head_bytes)),
            (4, self.peer_head.map(head_bytes)),
            (6, self.reply_to.map(|target| ref_bytes(&target))),
        ];
        let present = extensions.iter().filter_map(|(number, value)| Some((*number, value.as_ref()?)));
        put_varint(&mut out, present.clone().count() as u64);
        for (number, value) in present {
            put_varint(&mut out, number);
            put_blob(&mut out, value);
        }
        Ok(out)
    }
}

fn write_content(content: &Content) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
    let mut out = Zeroizing::new(Vec::with_capacity(room_for(content)));
    match content {
        Content::Text(text) => {
            check_text(text)?;
            put_str(&mut out, text);
        }
        Content::FileShare(share) => write_file_share(&mut out, share)?,
        Content::Receipt { status, ids } => {
            if !(1..=MAX_RECEIPT_IDS).contains(&ids.len()) {
                return Err(PayloadError::BadField { field: "ids" });
            }
            out.push(match status {
                ReceiptStatus::Delivered => 1,
                ReceiptStatus::Read => 2,
            });
            put_varint(&mut out, ids.len() as u64);
            ids.iter().for_each(|id| out.extend_from_slice(&id.0));
        }
        Content::Edit { id, text } => {
            check_text(text)?;
            out.extend_from_slice(&id.0);
            put_str(&mut out, text);
        }
        Content::Delete { id } => out.extend_from_slice(&id.0),
        Content::Reaction { target, emoji } => {
            if emoji.len() > MAX_REACTION_BYTES {
                return Err(PayloadError::BadField { field: "reaction" });
            }
            out.extend_from_slice(&ref_bytes(target));
            put_str(&mut out, emoji);
        }
        Content::Presence(presence) => write_presence(&mut out, presence)?,
        Content::Unsupported(_) => return Err(PayloadError::BadField { field: "kind" }),
    }
    Ok(out)
}

/// Returns at least as many bytes as the content takes: growing would leave copies of texts and keys behind.
fn room_for(content: &Content) -> usize {
    let variable = match content {
        Content::Text(text) | Content::Edit { text, .. } => text.len(),
        Content::FileShare(share) => room_for_share(share),
        Content::Receipt { ids, .. } => 16 * ids.len(),
        Content::Reaction { emoji, .. } => emoji.len(),
        Content::Presence(presence) => room_for_addresses(&presence.addresses),
        Content::Delete { .. } | Content::Unsupported(_) => 0,
    };
    64 + variable
}

fn room_for_share(share: &FileShare) -> usize {
    share.entries.iter().map(FileEntry::room_bytes).sum::<usize>() + room_for_addresses(&share.addresses)
}

fn room_for_addresses(addresses: &Addresses) -> usize {
    addresses.0.iter().map(|text| 2 + text.len()).sum()
}

impl FileShare {
    /// Writes the body of kind 2, as it is kept outside of a message.
    ///
    /// # Errors
    /// [`PayloadError`] for what no reader would take.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        let mut out = Zeroizing::new(Vec::with_capacity(64 + room_for_share(self)));
        write_file_share(&mut out, self)?;
        Ok(out)
    }
}

fn write_file_share(out: &mut Vec<u8>, share: &FileShare) -> Result<(), PayloadError> {
    if !(1..=MAX_SHARED_FILES).contains(&share.entries.len()) {
        return Err(PayloadError::BadField { field: "entries" });
    }
    check_paths(&share.entries)?;
    put_varint(out, share.entries.len() as u64);
    for entry in &share.entries {
        entry.write(out)?;
    }
    write_addresses(out, &share.addresses);
    Ok(())
}

fn write_presence(out: &mut Vec<u8>, presence: &Presence) -> Result<(), PayloadError> {
    if presence.ttl_s > MAX_PRESENCE_TTL_S {
        return Err(PayloadError::BadField { field: "ttl" });
    }
    out.push(match presence.state {
        PresenceState::Off => 0,
        PresenceState::Online => 1,
        PresenceState::Away => 2,
    });
    put_varint(out, presence.ttl_s);
    out.push(u8::from(presence.is_answer));
    write_addresses(out, &presence.addresses);
    Ok(())
}

fn write_addresses(out: &mut Vec<u8>, addresses: &Addresses) {
    put_varint(out, addresses.0.len() as u64);
    addresses.0.iter().for_each(|text| put_str(out, text));
}

fn head_bytes(seen: SeenHead) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, seen.seq);
    out.extend_from_slice(seen.head.as_bytes());
    out
}

fn ref_bytes(target: &MessageRef) -> Vec<u8> {
    [target.author.as_slice(), &target.id.0].concat()
}
