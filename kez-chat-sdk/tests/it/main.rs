//! The client against a real broker and both servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod account;
#[cfg(feature = "files")]
mod audit;
mod callout;
mod connection;
mod contacts;
mod database;
mod dialling;
#[cfg(feature = "files")]
mod files;
mod frames;
mod front;
mod messages;
mod operator;
mod people;
mod poison;
mod privacy;
mod raw;
mod routes;
