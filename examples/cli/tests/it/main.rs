//! The command as people have it: the program itself, at a terminal and without one, against a real broker and servers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bots;
mod chat;
mod doctor;
mod recover;
mod register;
mod shown;
mod story;
mod support;
mod talk;
mod usage;
