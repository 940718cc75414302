//! The client against a real broker and both servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod account;
mod authority;
mod callout;
mod connection;
mod contacts;
mod dialling;
#[cfg(target_os = "linux")]
mod encrypted;
mod faults;
#[cfg(feature = "files")]
mod files;
mod frames;
mod front;
mod messages;
mod mobile;
#[cfg(target_os = "linux")]
mod namespace;
mod people;
mod privacy;
mod raw;
mod routes;
mod wire;
