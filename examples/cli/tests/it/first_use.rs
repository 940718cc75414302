//! What a newcomer does who has read `--help`, as a script.

use std::{path::Path, process::Stdio};

use kez_testbed::guard::Guarded;
use tokio::time::timeout;

use crate::support::{KEZ_CHAT, PATIENCE, stage};

#[tokio::test(flavor = "multi_thread")]
async fn from_two_empty_homes_to_a_conversation_and_a_fetched_file() {
    let newcomer = stage::newcomer("newcomer").without("KEZ_SERVER");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/first-use.sh");
    let programs = Path::new(KEZ_CHAT).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    // Whatever ends this test ends all that the script has started.
    let script = Guarded::spawn(script, |command| {
        newcomer.dress(command.as_std_mut());
        command.env("PATH", format!("{programs}:{path}")).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
        command.args([&stage::home_url(), "alice-first", "bob-first"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let output = timeout(PATIENCE, script.unwrap().output()).await.expect("it does not end").unwrap();
    let [said, faults] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{said}{faults}");
    let ends = [
        ": Hello Bob\n",
        ": Hello Alice, what is the recipe?\n",
        "fetched downloads/recipe.txt\n",
        "flour, water, salt\n",
    ];
    let mut rest = said.as_str();
    for end in ends {
        rest = rest.split_once(end).unwrap_or_else(|| panic!("{end:?} is missing: {said}{faults}")).1;
    }
    assert_eq!(rest, "");
}
