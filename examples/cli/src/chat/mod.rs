//! `chat`: a live conversation in one terminal.

mod command;
mod composer;
mod draw;
mod entry;
mod keys;
mod palette;
mod rows;
mod screen;
mod scrollback;
#[cfg(test)]
mod tests;
mod wrap;
