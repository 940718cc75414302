//! What is typed after a slash, and how it is completed.

use std::{env, fs, path::PathBuf};

use crate::safe;

/// The commands as they are typed, and what each does.
const COMMANDS: [(&str, &str); 9] = [
    ("/share PATH", "offers a file or folder to them"),
    ("/fetch N [FOLDER]", "fetches what they offered, here or into a folder"),
    ("/reply N [TEXT]", "answers a message; while it is typed, numbers stand beside them"),
    ("/react [EMOJI]", "puts an emoji on their last message, or takes it back"),
    ("/edit [TEXT]", "changes your last message, as Up does on an empty line"),
    ("/delete", "takes your last message back"),
    ("/verify", "shows the safety number to compare with theirs"),
    ("/help", "shows this"),
    ("/quit", "ends; what is being written is kept"),
];
const KEYS: &str = "\
Enter sends; Alt-Enter or Ctrl-J begins a new line; Esc leaves a change or an answer.
PageUp and PageDown scroll, Home and End too while nothing is being written; Ctrl-L draws anew.
Ctrl-C ends, Ctrl-D too while nothing is being written. A text that begins with a slash needs a blank before it.";

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Share(PathBuf),
    Fetch { share_id: i64, folder: PathBuf },
    Reply { number: u64, text: Option<String> },
    React(Option<String>),
    Edit(Option<String>),
    Delete,
    Verify,
    Help,
    Quit,
}

/// Tells whether a text is meant as a command.
pub(crate) fn is_command(text: &str) -> bool {
    text.starts_with('/') && !text.starts_with("//")
}

/// Reads a command, or says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Command, String> {
    let (name, rest) = cut(text.trim_end());
    let rest_if_any = (!rest.is_empty()).then_some(rest);
    let nothing = |command: Command| match rest_if_any {
        None => Ok(command),
        Some(_) => Err(format!("{name} takes nothing more")),
    };
    match name {
        "/share" if rest.is_empty() => usage(name),
        "/share" => Ok(Command::Share(path(rest))),
        "/fetch" => {
            let (number, folder) = cut(rest);
            let Some(number) = number.parse().ok().filter(|number| *number > 0) else { return usage(name) };
            let folder = path(if folder.is_empty() { "." } else { folder });
            Ok(Command::Fetch { share_id: number, folder })
        }
        "/reply" => {
            let (number, text) = cut(rest);
            let Some(number) = number.parse().ok().filter(|number| *number > 0) else { return usage(name) };
            Ok(Command::Reply { number, text: (!text.is_empty()).then(|| text.to_owned()) })
        }
        "/react" => Ok(Command::React(rest_if_any.map(str::to_owned))),
        "/edit" => Ok(Command::Edit(rest_if_any.map(str::to_owned))),
        "/delete" => nothing(Command::Delete),
        "/verify" => nothing(Command::Verify),
        "/help" => nothing(Command::Help),
        "/quit" => nothing(Command::Quit),
        _ => {
            Err(format!("{name} is no command, and was not sent: /help lists them; a blank before it makes it a text"))
        }
    }
}

/// Returns what `/help` shows.
pub(crate) fn help() -> String {
    let commands = COMMANDS.iter().map(|(usage, what)| format!("{usage:<18} {what}\n"));
    commands.collect::<String>() + KEYS
}

fn usage(name: &str) -> Result<Command, String> {
    let found = COMMANDS.iter().find(|(usage, _)| cut(usage).0 == name);
    let (usage, what) = found.copied().unwrap_or_default();
    Err(format!("{usage}: {what}"))
}

/// Cuts the first word off.
fn cut(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Reads a path; `~/` is the home folder, as in a shell.
fn path(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

/// Completes a command or a path at the end of a line as far as that is certain. Returns the line, and what it could become
/// where that is several things.
pub(crate) fn complete(line: &str) -> (String, Vec<String>) {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (before, found) = match (name, line.contains(' ')) {
        (_, false) => {
            let names = COMMANDS.iter().map(|(usage, _)| format!("{} ", cut(usage).0));
            (String::new(), names.filter(|command| command.starts_with(line)).collect())
        }
        ("/share", true) => (format!("{name} "), paths(rest, false)),
        ("/fetch", true) => match rest.split_once(' ') {
            Some((number, folder)) => (format!("{name} {number} "), paths(folder, true)),
            None => return (line.to_owned(), Vec::new()),
        },
        _ => return (line.to_owned(), Vec::new()),
    };
    let Some(common) = found.iter().cloned().reduce(|one, other| common_start(&one, &other)) else {
        return (line.to_owned(), Vec::new());
    };
    (format!("{before}{common}"), if found.len() > 1 { found } else { Vec::new() })
}

/// Lists the paths that begin as one does. A name that can't be shown as it is can't be completed: it would be another.
fn paths(begun: &str, only_folders: bool) -> Vec<String> {
    let (folder, start) = begun.rfind('/').map_or(("", begun), |at| begun.split_at(at + 1));
    let Ok(entries) = fs::read_dir(path(if folder.is_empty() { "." } else { folder })) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = entry.path().is_dir();
            let fits = name.starts_with(start)
                && (start.starts_with('.') || !name.starts_with('.'))
                && safe::line(&name) == name
                && (is_folder || !only_folders);
            fits.then(|| format!("{folder}{name}{}", if is_folder { "/" } else { "" }))
        })
        .collect();
    found.sort();
    found
}

fn common_start(one: &str, other: &str) -> String {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).map(|(c, _)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let fetch = |folder: &str| Command::Fetch { share_id: 3, folder: folder.into() };
        let reply = |text: Option<&str>| Command::Reply { number: 2, text: text.map(str::to_owned) };
        for (text, command) in [
            ("/share my report.pdf ", Command::Share("my report.pdf".into())),
            ("/fetch 3", fetch(".")),
            ("/fetch 3  my files/new", fetch("my files/new")),
            ("/reply 2", reply(None)),
            ("/reply 2 two\nlines", reply(Some("two\nlines"))),
            ("/react 👍", Command::React(Some("👍".into()))),
            ("/react", Command::React(None)),
            ("/edit", Command::Edit(None)),
            ("/edit Better so", Command::Edit(Some("Better so".into()))),
            ("/delete", Command::Delete),
            ("/verify", Command::Verify),
            ("/help", Command::Help),
            ("/quit", Command::Quit),
        ] {
            assert!(is_command(text));
            assert_eq!(parse(text), Ok(command), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_says_so() {
        for (text, says) in [
            ("/", "/ is no command"),
            ("/etc/hosts", "/etc/hosts is no command"),
            ("/Quit", "/Quit is no command"),
            ("/share", "/share PATH: offers"),
            ("/fetch", "/fetch N [FOLDER]: fetches"),
            ("/fetch 0", "/fetch N [FOLDER]: fetches"),
            ("/fetch -1", "/fetch N [FOLDER]: fetches"),
            ("/fetch all", "/fetch N [FOLDER]: fetches"),
            ("/fetch 99999999999999999999", "/fetch N [FOLDER]: fetches"),
            ("/reply Yes", "/reply N [TEXT]: answers"),
            ("/delete 3", "/delete takes nothing more"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(says), "{text}: {error}");
        }
        assert!(!is_command("// a comment") && !is_command(" /quit") && !is_command("a/b"));
    }

    #[test]
    fn commands_and_paths_are_completed() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        fs::create_dir(folder.path().join("reports")).unwrap();
        fs::write(folder.path().join("report one.pdf"), "").unwrap();
        fs::write(folder.path().join("\x1b[2Jx"), "").unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();

        assert_eq!(complete("/sh"), ("/share ".into(), vec![]));
        assert_eq!(complete("/re"), ("/re".into(), vec!["/reply ".into(), "/react ".into()]));
        assert_eq!(complete("/no"), ("/no".into(), vec![]));
        assert_eq!(complete("/edit so"), ("/edit so".into(), vec![]));
        let (line, several) = complete(&format!("/share {at}/rep"));
        assert_eq!(line, format!("/share {at}/report"));
        assert_eq!(several, [format!("{at}/report one.pdf"), format!("{at}/reports/")]);
        assert_eq!(complete(&format!("/share {at}/report ")).0, format!("/share {at}/report one.pdf"));
        assert_eq!(complete(&format!("/fetch 3 {at}/r")).0, format!("/fetch 3 {at}/reports/"));
        assert_eq!(complete(&format!("/share {at}/.h")).0, format!("/share {at}/.hidden"));
        assert_eq!(complete(&format!("/share {at}/")).1.len(), 2, "neither hidden nor hostile names");
    }

    #[test]
    fn the_home_folder_has_a_short_name() {
        let home = env::home_dir().unwrap();
        assert_eq!(parse("/share ~/a b"), Ok(Command::Share(home.join("a b"))));
    }
}
