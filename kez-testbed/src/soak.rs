//! `kez-testbed soak-servers`: both servers are killed again and again while people write, and have to keep every
//! promise that they made.
//!
//! Each server has writers that never pause, and one killer that sends `SIGKILL` at random moments and starts the server
//! again on its port and database. What was acknowledged has to stand after that. What was cut off has to stand wholly
//! or not at all; its writer looks, sends it again, and expects the answer that fits.

mod chains;
mod consumers;
mod line;
mod registrations;
mod work;

use std::{io, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use kez_service::rusqlite::Connection;
use kez_testbed::processes::{Processes, Programs, ServerProcess};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, time::sleep};

use self::{
    chains::Chains,
    consumers::Consumers,
    line::Line,
    registrations::Registrations,
    work::{Tally, Work},
};
use crate::{INTERRUPTED, print};

/// A life lasts at most this long after it is known to be a good one.
const LONGEST_LIFE: Duration = Duration::from_millis(200);

/// Runs until all kills are done or a promise is broken.
pub(crate) async fn run(
    programs: &Programs,
    kills: u32,
    seed: u64,
    stop: impl Future<Output = io::Result<()>>,
) -> Result<ExitCode> {
    print(&format!("soak servers: {kills} kills, --seed {seed}"));
    tokio::select! {
        soaked = soak(programs, kills, seed) => soaked,
        stopped = stop => stopped.map(|()| ExitCode::from(INTERRUPTED)).map_err(Into::into),
    }
}

async fn soak(programs: &Programs, kills: u32, seed: u64) -> Result<ExitCode> {
    let mut stack = Processes::start(programs).await?;
    let tally = Tally::new(kills);
    let registrations = Registrations::new(Consumers::connect(&stack).await?, &tally);
    let chains = Chains::new(&tally);

    let mut rng = StdRng::seed_from_u64(seed);
    let (for_chat, for_sig) = (StdRng::from_rng(&mut rng), StdRng::from_rng(&mut rng));
    tokio::try_join!(
        kill_again_and_again(&mut stack.chat, &registrations, for_chat, &tally),
        kill_again_and_again(&mut stack.sig, &chains, for_sig, &tally),
    )?;
    print(&tally.progress());
    if tally.broken().is_empty() {
        print("checking everything that was acknowledged …");
        registrations.check_copy(stack.chat.address(), registrations.everything()).await?;
        chains.check_copy(stack.sig.address(), chains.everything()).await?;
        registrations.check_inboxes().await?;
        check_database(&mut stack.chat, "SELECT count(*) FROM handles", tally.registrations(), &tally).await?;
        check_database(&mut stack.sig, "SELECT count(*) FROM events", tally.events(), &tally).await?;
    }
    stack.shutdown().await?;

    let broken = tally.broken();
    for promise in &broken {
        print(&format!("lost: {promise}"));
    }
    print(&tally.sum());
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets one server be written to, and kills it meanwhile until the kills are used up.
async fn kill_again_and_again<W: Work>(
    server: &mut ServerProcess,
    work: &W,
    mut rng: StdRng,
    tally: &Tally,
) -> Result<()> {
    let (up, line) = watch::channel(Some(server.address()));
    let (end, ended) = watch::channel(false);
    let writers =
        (0..W::WRITERS).map(|_| work.write(Line::new(line.clone()), StdRng::from_rng(&mut rng), ended.clone()));
    let writers = futures::future::try_join_all(writers.collect::<Vec<_>>());
    let killer = async {
        let mut line = Line::new(line.clone());
        while tally.one_more_kill() {
            sleep(LONGEST_LIFE.mul_f64(rng.random())).await;
            // Nobody knocks meanwhile: from a port that is no longer held, a knock may reach itself.
            up.send_replace(None);
            server.kill().await?;
            let promised = work.promised();
            server.start().await?;
            up.send_replace(Some(server.address()));
            work.check(&mut line, promised).await?;
        }
        if tally.broken().is_empty() {
            restore(server, work, tally).await?;
        }
        end.send_replace(true);
        Ok(())
    };
    tokio::try_join!(writers, killer)?;
    Ok(())
}

/// Copies a database that is being written to, and starts a server on the copy, which has to have what was acknowledged
/// before.
async fn restore<W: Work>(server: &ServerProcess, work: &W, tally: &Tally) -> Result<()> {
    let everything = work.everything();
    let mut copy = server.back_up().await?;
    copy.start().await?;
    work.check_copy(copy.address(), everything).await?;
    stop(&mut copy, tally).await?;
    print(&format!("restored from a backup that was taken under load: {}", copy.database().display()));
    Ok(())
}

/// Stops a server, and looks whether it leaves exactly what was acknowledged.
async fn check_database(server: &mut ServerProcess, count: &str, acknowledged: u64, tally: &Tally) -> Result<()> {
    let connection = stop(server, tally).await?;
    let rows: u64 = connection.query_row(count, [], |row| row.get(0))?;
    if rows != acknowledged {
        let database = server.database();
        tally.breaks(format!("{rows} rows for {acknowledged} acknowledgements in {}", database.display()));
    }
    Ok(())
}

/// Stops a server in good order, and opens what it leaves, which has to be one sound file.
async fn stop(server: &mut ServerProcess, tally: &Tally) -> Result<Connection> {
    let status = server.stop().await?.context("a server had ended by itself")?;
    ensure!(status.success(), "a server that was asked to stop ended with {status}");
    let database = server.database();
    let folder = database.parent().context("a database lies in no folder")?;
    let files = folder.read_dir()?.map(|file| file.map(|file| file.path())).collect::<io::Result<Vec<_>>>()?;
    if files != [database.clone()] {
        bail!("the server left more behind than its database: {files:?}");
    }
    let connection = Connection::open(&database)?;
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if found != "ok" {
        tally.breaks(format!("{} is damaged: {found}", database.display()));
    }
    let orphans: u64 = connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if orphans != 0 {
        tally.breaks(format!("{orphans} rows belong to nothing in {}", database.display()));
    }
    Ok(connection)
}
