//! The person's own editor, for a message that is more than a line.

use std::{env, ffi::OsString, io::Write as _, path::Path};

use tempfile::Builder;
use tokio::process::Command;

use crate::failure::{Failure, Kind};

/// Opens the editor on a text, and returns what was made of it, without empty lines at its end.
pub(crate) async fn write(text: &str) -> Result<String, Failure> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| OsString::from("vi"));
    // The runtime folder is in memory, and goes when the person logs out.
    let folder = set("XDG_RUNTIME_DIR").filter(|folder| Path::new(folder).is_dir());
    let folder = folder.unwrap_or_else(|| env::temp_dir().into_os_string());
    let mut file = Builder::new().prefix("kez-chat-").suffix(".txt").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    // The variable holds a command line, as in `code --wait`.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{} \"$1\"", editor.to_string_lossy())).arg("sh").arg(file.path()).kill_on_drop(true);
    let failed =
        |what: String| Failure::new(Kind::Usage, "NoEditor", what, "set EDITOR, or give the text as an argument");
    let status = command.status().await.map_err(|error| failed(format!("the editor can't be started: {error}")))?;
    if !status.success() {
        return Err(failed(format!("the editor has ended with {status}, and nothing was sent")));
    }
    let text =
        tokio::fs::read_to_string(file.path()).await.map_err(|error| failed(format!("no text came back: {error}")))?;
    let text = text.trim_end();
    if text.is_empty() {
        return Err(Failure::new(
            Kind::Usage,
            "EmptyText",
            "the text is empty, and nothing was sent",
            "write one, and save it",
        ));
    }
    Ok(text.to_owned())
}
