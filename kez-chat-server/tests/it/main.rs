//! The home server against a real broker.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attacker;
mod broker_access;
mod broker_loss;
mod check;
mod cluster;
mod command;
mod consumers;
mod dev_mode;
mod endpoints;
mod flood;
mod hostile;
mod http_api;
mod inbox_keeping;
mod login;
mod logs;
mod nats;
mod operation;
mod operator;
mod program;
mod race;
mod retiring;
mod rotation;
mod shutdown;
mod standing;
mod streams;
mod support;
mod sweep;
