//! A person's sigchain: the signed, append-only history that ties their key to a place (`docs/PROTOCOL.md` §4).
//!
//! Servers and readers do the same work in the same order: [`Event::parse`] checks what an event says of
//! itself, [`Tip::check_next`] that it follows its predecessor, and [`Chain`] goes from event to event and
//! keeps the [`State`] that readers act on. A [`Walk`] takes a server's pages, a [`Pin`] remembers where it ended, and a
//! [`ForkProof`] shows anybody that a key signed two histories.

mod chain;
mod error;
mod event;
mod fork;
mod head;
mod json;
mod op;
mod pin;
mod state;
mod timestamp;
mod tip;
mod walk;

pub use chain::Chain;
pub use error::ChainError;
pub use event::Event;
pub use fork::ForkProof;
pub use head::Head;
pub use op::{Install, Op};
pub use pin::Pin;
pub use state::{IrohEndpoint, ListedClaim, NatsEndpoint, SharedFiles, State};
pub use timestamp::Timestamp;
pub use tip::Tip;
pub use walk::{Progress, Stopped, Walk};

/// The longest event, in characters of compact JWS.
pub const MAX_EVENT_CHARS: usize = 16_384;
/// The longest chain, in events.
pub const MAX_CHAIN_EVENTS: u64 = 100_000;
/// The most that one walk reads, in bytes of JWS; the next one goes on from the pin.
pub const MAX_WALK_BYTES: usize = 64 << 20;
/// The one protected header, `{"alg":"Ed25519","typ":"kez-event+jws"}`, as every event begins.
pub(crate) const JWS_HEADER: &str = "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoia2V6LWV2ZW50K2p3cyJ9";
