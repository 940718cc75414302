//! Standard output: lines for people, or one JSON object a line.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use kez_chat_sdk::{FilesError, Transfer};
use serde::Serialize;

use crate::{failure::Failure, safe};

/// Something that a command shows.
pub(crate) trait View: Serialize {
    /// Writes it for people, without a line break at its end. Whatever came from others is made [`safe`] here.
    fn text(&self) -> String;
}

/// Where a command shows things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Shows one thing on standard output, at once.
    pub(crate) fn show(self, view: &impl View) -> Result<(), Failure> {
        let line = if self.json { json_line(view)? } else { view.text() };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
        Ok(())
    }

    /// Says something by the way, on standard error, and only to people.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            // Nobody there to read it is no failure.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Waits for a transfer, and shows on a terminal how far it has come.
    pub(crate) async fn follow<T>(self, mut transfer: Transfer<T>) -> Result<T, FilesError> {
        let bar = if self.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {decimal_bytes}/{decimal_total_bytes} {eta}") {
            bar.set_style(style);
        }
        while let Some(at) = transfer.progress().await {
            bar.set_length(at.total_bytes);
            bar.set_position(at.done_bytes);
            bar.set_message(safe::line(&at.path));
        }
        bar.finish_and_clear();
        transfer.await
    }
}

/// Writes a thing as one line of JSON that is harmless on a terminal.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(io::Error::from)?;
    Ok(safe::json(&json))
}
