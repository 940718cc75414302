//! The own account.

use std::path::Path;

use super::{
    files::from_here,
    names,
    paint::{ALARM, paint},
};
use crate::{
    api::{
        account::{Account, Backup, Export, Finding, MovePlan, Owner, Visibility},
        event::Connection,
    },
    human::size,
    safe,
};

pub(super) fn text(account: &Account) -> String {
    let Account { handle, primary, sigchain_url, contact_uri, home_dir } = account;
    format!(
        "@{}\n  key       {}\n  sigchain  {}\n  add me    {}\n  kept in   {}",
        safe::line(handle),
        safe::line(primary),
        safe::line(sigchain_url),
        safe::line(contact_uri),
        path(home_dir),
    )
}

pub(super) fn running(owner: &Owner) -> String {
    format!("Running as @{} (process {}); Ctrl-C ends it", safe::line(&owner.account.handle), owner.pid)
}

pub(super) fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Online => "Contacts see that you are there, while kez-chat runs",
        Visibility::Away => "Contacts see you as away, while kez-chat runs",
        Visibility::Invisible => "Contacts see nothing of you, until you make another choice",
    }
}

pub(super) fn plan(plan: &MovePlan, own: &str) -> String {
    let MovePlan { from, to, loses, gains, waiting } = plan;
    let mut lines =
        vec![format!("@{} becomes @{}; key, contacts and conversations stay", safe::line(from), safe::line(to))];
    if !loses.is_empty() {
        lines.push(format!("  can't be written to any more: {}", names(loses, own)));
    }
    if !gains.is_empty() {
        lines.push(format!("  can be written to then:       {}", names(gains, own)));
    }
    if *waiting > 0 {
        lines.push(format!("  {waiting} messages to those who are lost have not arrived, and stay here"));
    }
    lines.join("\n")
}

pub(super) fn backup(backup: &Backup) -> String {
    let (file, size) = (from_here(&backup.file), size(backup.bytes));
    format!("{} messages kept in {file} ({size}); with your 24 words it brings them back", backup.messages)
}

pub(super) fn export(export: &Export) -> String {
    let Export { file, contacts, conversations, messages } = export;
    let file = from_here(file);
    format!(
        "{messages} messages of {conversations} conversations and {contacts} contacts are in {file}, for anybody to read"
    )
}

pub(super) fn finding(finding: &Finding) -> String {
    let Finding { part, works, what, advice, .. } = finding;
    let mark = if *works { "ok  ".to_owned() } else { paint(ALARM, "FAIL") };
    let line = format!("{mark}  {:<9}  {}", safe::line(part), safe::line(what));
    match advice {
        Some(advice) => format!("{line}\n                 {}", safe::line(advice)),
        None => line,
    }
}

pub(super) fn connection(connection: &Connection) -> String {
    match (&*connection.state, &connection.why) {
        ("offline", Some(why)) => format!("Offline: {}; what others send waits for you", safe::line(why)),
        ("online", _) => "Online again".to_owned(),
        (state, _) => format!("The connection is {}", safe::line(state)),
    }
}

fn path(path: &Path) -> String {
    safe::line(&path.to_string_lossy())
}
