//! Standard output: lines for people, or one JSON object a line.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    api::{Line, files::Progress},
    failure::Failure,
    human, render, safe,
};

/// Where a command shows things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Shows one thing on standard output, at once. People see handles of their `own` home bare.
    pub(crate) fn show(self, line: impl Into<Line>, own: &str) -> Result<(), Failure> {
        let line = line.into();
        let line = if self.json { json_line(&line)? } else { render::text(&line, own) };
        let mut out = anstream::stdout().lock();
        out.write_all(format!("{line}\n").as_bytes())?;
        Ok(out.flush()?)
    }

    /// Says something by the way, on standard error, and only to people.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            // Nobody there to read it is no failure.
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Begins to show on a terminal how far something has come.
    pub(crate) fn meter(self) -> Meter {
        let bar = if self.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {msg}") {
            bar.set_style(style);
        }
        Meter(bar)
    }
}

/// A bar on a terminal, until this is dropped.
pub(crate) struct Meter(ProgressBar);

impl Meter {
    pub(crate) fn show(&self, at: &Progress) {
        self.0.set_length(at.total_bytes);
        self.0.set_position(at.done_bytes);
        self.0.set_prefix(safe::line(&at.path));
        self.0.set_message(human::progress(at));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Writes a thing as one line of JSON that is harmless on a terminal.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(io::Error::from)?;
    Ok(safe::json(&json))
}
