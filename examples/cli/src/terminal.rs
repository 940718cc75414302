//! The terminal that the person sits at, apart from standard input and output.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

/// No answer is nearly as long.
const LONGEST_ANSWER: usize = 4096;
const ALTERNATE_SCREEN: &str = "\x1b[?1049h\x1b[2J\x1b[H";
const ORDINARY_SCREEN: &str = "\x1b[2J\x1b[?1049l";

/// The terminal that this process belongs to.
#[derive(Debug)]
pub(crate) struct Terminal(File);

impl Terminal {
    /// Finds the terminal if a person sees what is asked: standard input may be a pipe, standard error may not.
    pub(crate) fn for_questions() -> Option<Self> {
        if io::stderr().is_terminal() { Self::open() } else { None }
    }

    /// Finds the terminal if the whole command runs at one.
    pub(crate) fn for_dialogue() -> Option<Self> {
        if io::stdin().is_terminal() && io::stdout().is_terminal() { Self::open() } else { None }
    }

    fn open() -> Option<Self> {
        File::options().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Writes a text to the terminal.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut terminal = &self.0;
        terminal.write_all(text.as_bytes())?;
        terminal.flush()
    }

    /// Asks for a line.
    pub(crate) async fn ask(&self, prompt: &str) -> io::Result<Zeroizing<String>> {
        self.write(prompt)?;
        let terminal = self.0.try_clone()?;
        spawn_blocking(move || read_line(&terminal)).await?
    }

    /// Asks for a line that must not be seen.
    pub(crate) async fn ask_secret(&self, prompt: &str) -> io::Result<Zeroizing<String>> {
        // It belongs to this future and not to the thread that reads: Ctrl-C drops the future, and what was switched
        // off is on again. It is switched off before the prompt shows, for those who answer at once.
        let silence = Silence::begin(&self.0)?;
        let answer = self.ask(prompt).await;
        drop(silence);
        self.write("\n")?;
        answer
    }

    /// Shows what follows on a screen of its own, which is gone afterwards, out of the scrollback too; on the ordinary
    /// one where the terminal has but that.
    pub(crate) fn private_screen(&self) -> io::Result<PrivateScreen<'_>> {
        let able = env::var_os("TERM").is_some_and(|name| name != "dumb" && !name.is_empty());
        if able {
            self.write(ALTERNATE_SCREEN)?;
        }
        Ok(PrivateScreen { terminal: self, able })
    }
}

/// A screen that is left when this is dropped.
pub(crate) struct PrivateScreen<'a> {
    terminal: &'a Terminal,
    able: bool,
}

impl PrivateScreen<'_> {
    /// Tells whether what was shown goes when the screen does.
    pub(crate) fn vanishes(&self) -> bool {
        self.able
    }

    /// Clears it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        if self.able { self.terminal.write("\x1b[2J\x1b[H") } else { Ok(()) }
    }
}

impl Drop for PrivateScreen<'_> {
    fn drop(&mut self) {
        if self.able {
            // A terminal that is gone has nothing to hide.
            let _ = self.terminal.write(ORDINARY_SCREEN);
        }
    }
}

/// Typed characters don't show while this lives.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // `Now`, since the other actions would throw away what was typed ahead.
        tcsetattr(terminal, OptionalActions::Now, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Reads one line; a terminal hands out one at a time.
fn read_line(mut terminal: &File) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(vec![0; LONGEST_ANSWER]);
    let count = loop {
        match terminal.read(&mut line) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    match line[..count].strip_suffix(b"\n") {
        Some(text) => {
            let text = std::str::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
