//! What every command has: a home, a place to show things, and an end when it is asked to stop.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    api::Object,
    failure::{Failure, Kind},
    link::Link,
    output::Output,
    stop::Stop,
};

/// What every command has.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) home: PathBuf,
    pub(crate) output: Output,
    pub(crate) stop: Stop,
}

impl Context {
    pub(crate) fn new(home: Option<PathBuf>, output: Output) -> Result<Self, Failure> {
        let given = home.filter(|path| !path.as_os_str().is_empty());
        let home = given.or_else(default_home).ok_or_else(|| {
            Failure::new(Kind::Usage, "NoHome", "there is no home folder to keep an account in", "say --home DIR")
        })?;
        Ok(Self { home: std::path::absolute(home)?, output, stop: Stop::watch()? })
    }

    /// Reaches the owner of the home or becomes it, does some work, and leaves in order, also when the work fails or Ctrl-C
    /// ends it.
    pub(crate) async fn with_link(
        &self,
        work: impl AsyncFnOnce(&mut Link) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut link = self.stop.or(Link::reach(self.home.clone())).await?;
        let done = self.stop.or(work(&mut link)).await;
        link.close().await;
        done
    }
}

impl Context {
    /// Shows some things in their order.
    pub(crate) fn show_all(&self, link: &Link, lines: impl IntoIterator<Item = Object>) -> Result<(), Failure> {
        lines.into_iter().try_for_each(|line| self.output.show(line, link.own_home()))
    }
}

/// Returns `kez-chat` in the XDG data folder.
fn default_home() -> Option<PathBuf> {
    data_folder(env::var_os("XDG_DATA_HOME").map(PathBuf::from), env::home_dir()).map(|folder| folder.join("kez-chat"))
}

/// Returns the XDG data folder (XDG Base Directory Specification 0.8): a relative one counts as none.
fn data_folder(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    xdg.filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(Path::new(".local/share"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_home_follows_xdg() {
        let home = Some(PathBuf::from("/home/al"));
        let usual = Some(PathBuf::from("/home/al/.local/share"));
        assert_eq!(data_folder(Some("/data".into()), home.clone()), Some("/data".into()));
        assert_eq!(data_folder(Some("data".into()), home.clone()), usual);
        assert_eq!(data_folder(Some("".into()), home.clone()), usual);
        assert_eq!(data_folder(None, home), usual);
        assert_eq!(data_folder(None, None), None);
    }
}
