//! Colours, for those who want them. Nothing is told by a colour alone.

use std::env;

use ratatui::style::{Color, Modifier, Style};

/// How something looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Own,
    Peer,
    Faint,
    Mark,
    Alarm,
    Bar,
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    is_coloured: bool,
}

impl Palette {
    /// Has colours unless the person wants none (<https://no-color.org>).
    pub(crate) fn of_environment() -> Self {
        Self { is_coloured: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Has none.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { is_coloured: false }
    }

    /// Has them.
    #[cfg(test)]
    pub(crate) fn coloured() -> Self {
        Self { is_coloured: true }
    }

    pub(crate) fn style(self, look: Look) -> Style {
        let (colour, modifier) = match look {
            Look::Plain => (None, Modifier::empty()),
            Look::Own => (Some(Color::Cyan), Modifier::BOLD),
            Look::Peer => (Some(Color::Green), Modifier::BOLD),
            Look::Faint => (None, Modifier::DIM),
            Look::Mark => (Some(Color::Yellow), Modifier::BOLD),
            Look::Alarm => (Some(Color::Red), Modifier::BOLD),
            Look::Bar => (None, Modifier::REVERSED),
        };
        let style = Style::new().add_modifier(modifier);
        match colour {
            Some(colour) if self.is_coloured => style.fg(colour),
            _ => style,
        }
    }
}
