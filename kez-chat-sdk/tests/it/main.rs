//! The client against a real broker and both servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod account;
#[cfg(feature = "files")]
mod audit;
mod authority;
#[cfg(feature = "files")]
mod browsing;
mod by_uri;
mod callout;
mod chains;
mod connection;
mod contacts;
mod conversations;
mod database;
#[cfg(feature = "files")]
mod diagnosis;
mod dialling;
#[cfg(target_os = "linux")]
mod encrypted;
mod faults;
#[cfg(feature = "files")]
mod fetching;
#[cfg(feature = "files")]
mod files;
mod frames;
mod front;
mod gate;
mod gossip;
mod histories;
#[cfg(feature = "files")]
mod home_down;
mod keeping;
#[cfg(all(target_os = "linux", feature = "keyring"))]
mod keyring;
mod kills;
mod liar;
#[cfg(all(target_os = "linux", feature = "files"))]
mod local_network;
mod messages;
mod mobile;
mod moving;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(all(target_os = "linux", feature = "files"))]
mod networks;
#[cfg(target_os = "linux")]
mod open_network;
mod operator;
mod order;
mod outbox;
mod own_chain;
mod people;
mod poison;
mod presence;
mod privacy;
#[cfg(feature = "files")]
mod publishing;
mod raw;
mod recover;
#[cfg(feature = "files")]
mod relay;
mod requests;
mod retire;
mod routes;
#[cfg(feature = "files")]
mod sharing;
#[cfg(feature = "files")]
mod transfers;
mod trust;
mod two_faces;
mod wire;
