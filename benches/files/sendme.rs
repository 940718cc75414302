//! `sendme`: iroh-blobs as a program, without relays and by addresses alone.

use std::{path::Path, process::Stdio, time::Instant};

use kez_testbed::guard::{Guarded, GuardedFolder};

use crate::{
    compare::Turn,
    programs::{end_well, hear},
};

pub(crate) async fn turn(program: &Path, file: &Path, to: &Path) -> Result<Turn, String> {
    // It keeps its store where it is started.
    let here = GuardedFolder::create("kez-sendme").await.unwrap();
    let begun = Instant::now();
    let mut sender = Guarded::spawn(program, |command| {
        command.args(["send", "--no-progress", "--relay", "disabled", "--ticket-type", "addresses"]).arg(file);
        command.current_dir(here.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    })
    .unwrap();
    let said = sender.take_stdout().unwrap();
    let ticket = hear(said, |line| line.strip_prefix("sendme receive ").map(str::to_owned)).await?;
    let share = begun.elapsed();
    let begun = Instant::now();
    let receiver = Guarded::spawn(program, |command| {
        command.args(["receive", "--no-progress", "--relay", "disabled", &ticket]).current_dir(to);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    end_well(receiver.unwrap()).await?;
    let fetch = begun.elapsed();
    sender.kill().await.unwrap();
    here.remove().await.unwrap();
    Ok(Turn { share, fetch })
}
