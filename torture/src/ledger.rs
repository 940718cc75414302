//! What one client's application did and saw, line by line, in a file that survives `kill -9`.
//!
//! A line that was written is in the operating system's hands, and stays when the process is killed; only a power cut
//! would take more. A line that was cut off in the middle was not written.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use kez_chat_sdk::payload::MessageId;

/// A message as its text says it: the number, and how often the number had been tried.
///
/// A call that was killed before it returned may have been accepted. So the number is sent again, told apart by the
/// attempt. Both increase in the order in which the messages were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark {
    pub(crate) number: u64,
    pub(crate) attempt: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.attempt)
    }
}

/// What is written in no ledger.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not what a torture writes")]
pub(crate) struct Foreign(String);

impl FromStr for Mark {
    type Err = Foreign;

    fn from_str(text: &str) -> Result<Self, Foreign> {
        let read = || {
            let (number, attempt) = text.split_once('.')?;
            Some(Self { number: number.parse().ok()?, attempt: attempt.parse().ok()? })
        };
        read().ok_or_else(|| Foreign(text.to_owned()))
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A process of this client began.
    Started,
    /// The message is about to be handed to the SDK.
    Sending(Mark),
    /// The SDK has accepted it.
    Sent(Mark, MessageId),
    /// The SDK says that it arrived.
    Arrived(MessageId),
    /// What it is given next comes with a word that the order is broken.
    Marked(Mark),
    /// The application was given the other one's message.
    Shown(Mark),
    /// The SDK has taken the application's word that it is done with it.
    Handled(Mark),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Sending(mark) => write!(f, "sending {mark}"),
            Self::Sent(mark, id) => write!(f, "sent {mark} {id}"),
            Self::Arrived(id) => write!(f, "arrived {id}"),
            Self::Marked(mark) => write!(f, "marked {mark}"),
            Self::Shown(mark) => write!(f, "shown {mark}"),
            Self::Handled(mark) => write!(f, "handled {mark}"),
        }
    }
}

impl FromStr for Record {
    type Err = Foreign;

    fn from_str(line: &str) -> Result<Self, Foreign> {
        let words: Vec<&str> = line.split(' ').collect();
        let id = |text: &str| text.parse().map_err(|_| Foreign(line.to_owned()));
        Ok(match words[..] {
            ["started"] => Self::Started,
            ["sending", mark] => Self::Sending(mark.parse()?),
            ["sent", mark, name] => Self::Sent(mark.parse()?, id(name)?),
            ["arrived", name] => Self::Arrived(id(name)?),
            ["marked", mark] => Self::Marked(mark.parse()?),
            ["shown", mark] => Self::Shown(mark.parse()?),
            ["handled", mark] => Self::Handled(mark.parse()?),
            _ => return Err(Foreign(line.to_owned())),
        })
    }
}

/// The ledger as its client writes it.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<File>);

impl Ledger {
    /// Opens the ledger, making it where there is none; returns what is in it, too.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Record>)> {
        let context = || format!("the ledger {} can't be used", path.display());
        let file = File::options().create(true).append(true).open(path).with_context(context)?;
        let text = fs::read_to_string(path).with_context(context)?;
        file.set_len(whole_lines(&text).len() as u64).with_context(context)?;
        Ok((Self(Mutex::new(file)), parse(&text)?))
    }

    /// Writes a line.
    pub(crate) fn write(&self, record: Record) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{record}\n").as_bytes())
    }
}

/// Reads a ledger that its client may be writing; one that is not there yet is empty.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("the ledger {} can't be read", path.display())),
    }
}

fn parse(text: &str) -> Result<Vec<Record>> {
    Ok(whole_lines(text).lines().map(str::parse).collect::<Result<_, _>>()?)
}

fn whole_lines(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_as_it_was_written_and_what_was_cut_off_is_not_in_it() {
        let (mark, id) = (Mark { number: 7, attempt: 2 }, MessageId([0xab; 16]));
        let records = [
            Record::Started,
            Record::Sending(mark),
            Record::Sent(mark, id),
            Record::Arrived(id),
            Record::Marked(mark),
            Record::Shown(mark),
            Record::Handled(mark),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        assert_eq!(read(&path).unwrap(), []);
        let (ledger, before) = Ledger::open(&path).unwrap();
        assert_eq!(before, []);
        records.iter().for_each(|record| ledger.write(*record).unwrap());
        assert_eq!(read(&path).unwrap(), records);

        File::options().append(true).open(&path).unwrap().write_all(b"handled 7").unwrap();
        assert_eq!(read(&path).unwrap(), records);
        let (ledger, before) = Ledger::open(&path).unwrap();
        assert_eq!(before, records);
        ledger.write(Record::Started).unwrap();
        assert_eq!(read(&path).unwrap(), [records.as_slice(), &[Record::Started]].concat());
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "started now", "sent 1.1", "shown 1", "shown 1.x", "arrived zz", "lost 1.1"] {
            assert!(line.parse::<Record>().is_err(), "{line}");
        }
    }
}
