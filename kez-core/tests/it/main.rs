//! The protocol from outside, as a second implementation sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod callout;
mod corpus;
mod payloads;
mod sigchains;
mod vectors;
mod walks;
