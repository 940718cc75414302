//! Taking messages off the broker: every frame is disposed of durably, then acknowledged (`docs/PROTOCOL.md` §8).

use async_nats::Message;
use bytes::Bytes;
use kez_core::{
    Code,
    broker::check_inbox_frame,
    envelope,
    payload::{Channel, Payload},
};

use crate::{
    connection::{Session, SessionError},
    shared::Shared,
    store::{Incoming, Stored},
};

/// Disposes of one frame. Whatever is wrong with it, it does not come again: an un-acked frame would be redelivered
/// for ever, and enough of them stop an inbox.
///
/// # Errors
/// Only if the disposition could not be stored; then the frame stays with the broker.
pub(crate) async fn take(shared: &Shared, session: &Session, frame: Message) -> Result<(), SessionError> {
    let reply = frame.reply.as_ref().map(|reply| reply.as_str());
    let ack = match check_inbox_frame(&frame.subject, reply, &shared.primary(), session.streams()) {
        Ok(ack) => ack,
        Err(error) => {
            // Not a delivery of ours: somebody aimed another answer at our subject. There is nothing to acknowledge, and
            // they can do it as often as they like.
            tracing::debug!(%error, "ignored a frame");
            return Ok(());
        }
    };
    match open(shared, &frame.payload) {
        Ok(incoming) => match shared.store.receive(incoming).await? {
            Stored::Kept => {}
            Stored::Dropped => tracing::info!("dropped a message that is not ours to keep"),
        },
        Err(code) if needs_later_version(code) => {
            tracing::warn!(%code, "kept a message that this version can't read");
            shared.store.quarantine(frame.payload.to_vec(), code.to_string(), shared.now_ms()).await?;
        }
        Err(code) => tracing::warn!(%code, "dropped a frame that is no message to us"),
    }
    // A lost acknowledgement brings the frame again, as a duplicate.
    let _ = session.nats.publish(ack.as_str().to_owned(), Bytes::from_static(b"+ACK")).await;
    Ok(())
}

fn open(shared: &Shared, wire: &[u8]) -> Result<Incoming, Code> {
    let opened = envelope::open(&shared.key, wire, |_| None).map_err(|error| error.code())?;
    let payload = Payload::decode(&opened.payload, Channel::Inbox, shared.policy).map_err(|error| error.code())?;
    payload.check_addressee(|to| *to == shared.handle).map_err(|error| error.code())?;
    Ok(Incoming {
        own: shared.primary(),
        author: *opened.sender.key(),
        payload,
        bytes: opened.payload,
        now_ms: shared.now_ms(),
    })
}

/// Tells whether a later version may read what this one can't. A message to a handle that is not ours is kept as well:
/// it may have been ours once.
fn needs_later_version(code: Code) -> bool {
    matches!(code, Code::BadVersion | Code::UnknownSuite | Code::UnknownKeyId | Code::Misaddressed)
}
