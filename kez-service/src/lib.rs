//! What both kez servers would otherwise write twice, and nothing else.
//!
//! From the wire inward: [`serve`] accepts connections, holds them to limits and ends them in good order, [`layers`] puts
//! the same limits, request ids, counts and traces around every router, [`client`] tells who asks and [`rate`] how often
//! they may, [`internal`] keeps web pages from what is for programs alone, [`problem`] and [`extract`] give every refusal
//! the same RFC 9457 shape, [`openapi`] and [`metrics`] tell others about it, [`database`] opens SQLite and keeps slow
//! calls off the async threads, and [`process`] is what a `main` needs around all of it.
#![forbid(unsafe_code)]

pub mod client;
pub mod database;
pub mod extract;
pub mod internal;
pub mod layers;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod process;
pub mod rate;
pub mod serve;

pub use axum;
pub use rusqlite;
