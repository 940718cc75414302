//! What a person sets once: `kez-chat/config.toml` in the XDG config folder.

use std::{env, fs, io, path::PathBuf};

use serde::Deserialize;

use crate::failure::{Failure, Kind};

/// The file.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The home server to register at.
    server: Option<String>,
}

/// Returns the home server: what was typed, or what is set.
pub(crate) fn server(typed: Option<String>) -> Result<Option<String>, Failure> {
    match typed.filter(|server| !server.is_empty()) {
        Some(server) => Ok(Some(server)),
        None => Ok(read()?.server),
    }
}

fn read() -> Result<Settings, Failure> {
    let Some(file) = file() else { return Ok(Settings::default()) };
    let bad = |what: String| {
        let what = format!("{} can't be read: {what}", file.display());
        Failure::new(Kind::Usage, "BadSettings", what, "it may say: server = \"https://kez.lat\"")
    };
    match fs::read_to_string(&file) {
        Ok(text) => toml::from_str(&text).map_err(|error| bad(error.message().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// Returns the file's place (XDG Base Directory Specification 0.8): a relative folder counts as none.
fn file() -> Option<PathBuf> {
    let xdg = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = xdg.or_else(|| env::home_dir().map(|home| home.join(".config")))?;
    Some(folder.join("kez-chat/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_faults() {
        let read = |text| toml::from_str::<Settings>(text);
        assert_eq!(read("server = \"https://kez.lat\"").unwrap().server.as_deref(), Some("https://kez.lat"));
        assert_eq!(read("").unwrap(), Settings::default());
        assert!(read("sever = \"https://kez.lat\"").is_err() && read("server = 1").is_err());
    }
}
