//! The whole terminal, for as long as it is needed.

use std::{
    io::{self, Stdout, stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossterm::{
    event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange},
    execute,
    style::Print,
    terminal::{
        DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    layout::{Position, Rect},
};

use super::{draw, screen::Screen};

/// Keeps a wheel from being turned into arrow keys, as many terminals do on an alternate screen: an arrow means something
/// else here. What was set before is set again afterwards.
const WHEEL_IS_NO_KEY: &str = "\x1b[?1007s\x1b[?1007l";
const WHEEL_AS_BEFORE: &str = "\x1b[?1007r";

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The whole terminal, which is as it was before when this is dropped.
pub(crate) struct FullScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _taken: Taken,
}

impl FullScreen {
    /// Takes the terminal.
    pub(crate) fn begin() -> io::Result<Self> {
        give_back_on_panic();
        let taken = Taken::take()?;
        // A letter that the terminal takes for wider than it is counted would go on in the next line without this.
        execute!(stdout(), EnterAlternateScreen, DisableLineWrap, EnableBracketedPaste, EnableFocusChange)?;
        execute!(stdout(), Print(WHEEL_IS_NO_KEY))?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(stdout()))?, _taken: taken })
    }

    /// Draws what has changed.
    pub(crate) fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        screen.resize(self.terminal.size()?);
        self.terminal.draw(|frame| draw::draw(screen, frame))?;
        Ok(())
    }

    /// Has everything drawn anew: something else has written on the terminal.
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }
}

struct Taken;

impl Taken {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        Ok(Self)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = execute!(
            stdout(),
            Print(WHEEL_AS_BEFORE),
            DisableFocusChange,
            DisableBracketedPaste,
            EnableLineWrap,
            LeaveAlternateScreen,
            crossterm::cursor::Show,
        );
        let _ = disable_raw_mode();
    }
}

/// Has a panic of this thread, which ends the process, told on the terminal as it was before.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let here = thread::current().id();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == here {
                give_back();
            }
            before(info);
        }));
    });
}
