//! The command as people have it: the program itself, at a terminal and without one, against a real broker and servers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod api;
mod api_events;
mod bots;
mod chat;
mod disks;
mod doctor;
mod first_use;
mod folders;
mod hostile;
mod json;
mod processes;
mod recover;
mod register;
mod schema;
mod shown;
mod snapshots;
mod sockets;
mod story;
mod support;
mod talk;
mod terminal;
mod usage;
