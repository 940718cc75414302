//! A real nats-server and both kez servers on free loopback ports, for tests, the demo and benches.
//!
//! ```no_run
//! # async fn example() -> Result<(), kez_testbed::TestbedError> {
//! let testbed = kez_testbed::Testbed::start().await?;
//! // Clients register at `testbed.home_url()` …
//! testbed.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing outlives whoever started it: see [`guard`].

mod broker;
mod cache;
pub mod guard;
pub mod hostile;
pub mod http;
pub mod measure;
pub mod nats_server;
mod packages;
pub mod packet_filter;
pub mod processes;
pub mod secret_service;
pub mod slow_udp;
pub mod terminal;
mod testbed;

pub use testbed::{Testbed, TestbedBuilder, TestbedError};
