//! The protocol from outside, as a second implementation sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod callout;
mod payloads;
mod sigchains;
mod walks;
