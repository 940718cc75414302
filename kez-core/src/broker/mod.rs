//! How people and the chat-server use a NATS broker (`docs/PROTOCOL.md` §5).

pub mod callout;
mod frame;
mod login;
pub mod nkey;
mod object;
mod permissions;
mod route;
pub mod subject;

pub use frame::{AckSubject, FrameError, check_inbox_frame, check_presence_frame};
pub use login::{LoginError, LoginNonce};
pub use permissions::{AckScope, Permissions};
pub use route::{Day, Route};
