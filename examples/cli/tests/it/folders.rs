//! Where the account and the settings are.

use std::{fs, process::Command};

use crate::support::{KEZ_CHAT, Person, stage};

/// Runs a command with some variables and without `--home`, and returns what it says on both outputs.
fn say(person: &Person, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = Command::new(KEZ_CHAT);
    person.dress(&mut command);
    command.envs(variables.iter().copied()).args(arguments);
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn the_account_is_where_it_is_said_and_else_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let al = Person::new(folder.path(), "al", "http://localhost:1").without_passphrase_file();
    let place = |variables: &[(&str, &str)], arguments: &[&str]| {
        let said = say(&al, variables, &[arguments, &["whoami"]].concat());
        let line = said.lines().next().unwrap().to_owned();
        line.strip_prefix("kez-chat: there is no account in ").unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    let here = al.folder.display();
    let usual = format!("{here}/.local/share/kez-chat");
    assert_eq!(place(&[], &[]), usual);
    assert_eq!(place(&[("XDG_DATA_HOME", "relative")], &[]), usual);
    assert_eq!(place(&[("KEZ_HOME", "")], &[]), usual);
    assert_eq!(place(&[("XDG_DATA_HOME", "/nonexistent/data")], &[]), "/nonexistent/data/kez-chat");
    let both = [("XDG_DATA_HOME", "/nonexistent/data"), ("KEZ_HOME", "/nonexistent/kez")];
    assert_eq!(place(&both, &[]), "/nonexistent/kez");
    assert_eq!(place(&both, &["--home", "relative"]), format!("{here}/relative"));
    assert_eq!(fs::read_dir(&al.folder).unwrap().count(), 1, "looking for an account makes nothing but a passphrase");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_the_one_that_is_said_and_else_the_one_that_is_set() {
    let al = stage::newcomer("al");
    let server = "server = \"http://localhost:1\"\n";
    let is_nowhere = |said: &str, port: u16| said.contains(&format!("localhost:{port}/"));
    for folder in [".config/kez-chat", "settings/kez-chat"] {
        fs::create_dir_all(al.folder.join(folder)).unwrap();
        fs::write(al.folder.join(folder).join("config.toml"), server).unwrap();
    }
    let name = al.name.clone();
    let register = ["register", &name, "--backup-file", "words"];
    let variable = [("KEZ_SERVER", "http://localhost:2")];
    for (said, port) in [
        (say(&al, &variable, &[&register[..], &["--server", "http://localhost:3"]].concat()), 3),
        (say(&al, &variable, &register), 2),
        (say(&al, &[("KEZ_SERVER", "")], &register), 1),
    ] {
        assert!(is_nowhere(&said, port), "{port}: {said}");
    }
    let al = al.without("KEZ_SERVER");
    let settings = al.folder.join("settings").display().to_string();
    fs::write(al.folder.join("settings/kez-chat/config.toml"), format!("server = {:?}\n", stage::home_url())).unwrap();
    let said = say(&al, &[("XDG_CONFIG_HOME", "settings")], &register);
    assert!(is_nowhere(&said, 1), "a relative folder counts as none: {said}");
    let said = say(&al, &[("XDG_CONFIG_HOME", &settings)], &register);
    assert!(said.contains(&format!("You are {}@{}", al.at(), stage::domain())), "{said}");
    let said = say(&al, &[], &["whoami"]);
    assert!(said.contains(&format!("{}/.local/share/kez-chat", al.folder.display())), "{said}");
}
