//! The home server of kez-chat: it gives out handles, tells who has which, and lets their owners in to the broker.
//!
//! Three parts, each of which can be read alone: the registry (who has which handle), the broker side (logins by auth
//! callout, the streams, the inboxes) and HTTP. [`Server::bind`] starts all of them. Of a message the server sees
//! neither the text nor, on the wire, who sent it; `docs/SECURITY.md` says what it does see.

#![forbid(unsafe_code)]

mod broker;
mod callout;
pub mod check;
mod clock;
mod endpoints;
mod http;
mod metrics;
pub mod nats_conf;
pub mod operator;
mod registry;
mod routes;
pub mod secret;
mod server;
mod settings;

pub use clock::Clock;
pub use endpoints::SigchainClientError;
pub use secret::ServerSecret;
pub use server::{Server, StartError};
pub use settings::Settings;
