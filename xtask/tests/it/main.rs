//! What holds for the workspace as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod arrows;
mod documents;
