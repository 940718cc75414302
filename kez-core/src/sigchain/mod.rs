//! A person's sigchain: the signed, append-only history that ties their key to a place (`docs/PROTOCOL.md` §4).
//!
//! Servers and readers do the same work in the same order: [`Event::parse`] checks what an event says of
//! itself, [`Tip::check_next`] that it follows its predecessor, and [`Chain`] walks from event to event and
//! keeps the [`State`] that readers act on.

mod chain;
mod error;
mod event;
mod head;
mod json;
mod op;
mod state;
mod timestamp;

pub use chain::{Chain, Tip};
pub use error::ChainError;
pub use event::Event;
pub use head::Head;
pub use op::{Install, Op};
pub use state::{IrohEndpoint, ListedClaim, NatsEndpoint, SharedFiles, State};
pub use timestamp::Timestamp;

/// The longest event, in characters of compact JWS.
pub const MAX_EVENT_CHARS: usize = 16_384;
/// The longest chain, in events.
pub const MAX_CHAIN_EVENTS: u64 = 100_000;
/// The one protected header, `{"alg":"Ed25519","typ":"kez-event+jws"}`, as every event begins.
pub(crate) const JWS_HEADER: &str = "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoia2V6LWV2ZW50K2p3cyJ9";
