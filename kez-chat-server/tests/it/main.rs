//! The home server against a real broker.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod broker_access;
mod broker_loss;
mod command;
mod http_api;
mod inbox_keeping;
mod login;
mod race;
mod standing;
mod streams;
mod support;
