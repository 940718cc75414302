//! Rounds in which everybody shares and fetches once, each beginning with another one.

use std::{
    fs::{self, File},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use kez_testbed::{Testbed, measure::median};
use rand::Rng as _;
use tokio::time::timeout;

use crate::{
    Options,
    agent::{Agent, Kind, Order},
    croc, sendme,
};

/// How long anybody may take for a small file.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it took to hold a file ready, and then to have it elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) share: Duration,
    pub(crate) fetch: Duration,
}

/// Somebody who is measured, and what came of it.
struct Side {
    name: &'static str,
    who: Who,
    turns: Vec<Turn>,
    /// What a process of theirs held at most: who shares, and who fetches.
    most_mb: [f64; 2],
}

enum Who {
    Kez(Box<[Agent; 2]>),
    Raw,
    Sendme(PathBuf),
    Croc(PathBuf),
}

/// Measures everybody who is there.
pub(crate) async fn measure(options: &Options) {
    let testbed = Testbed::start().await.unwrap();
    let mut sides = vec![("kez", Who::Kez(Box::new(friends(&testbed).await))), ("iroh_blobs", Who::Raw)];
    sides.extend(options.sendme.clone().map(|program| ("sendme", Who::Sendme(program))));
    sides.extend(options.croc.clone().map(|program| ("croc", Who::Croc(program))));
    let side = |(name, who)| Side { name, who, turns: Vec::new(), most_mb: [0.0; 2] };
    let sides = sides.into_iter().map(side);
    let file = testbed.folder().join("film.bin");
    let to = testbed.folder().join("fetched");
    // Whoever has something to do only once does it now, and who can't do it on this machine is left out.
    let (mut missing, mut able) = (options.missing.clone(), Vec::new());
    for mut side in sides {
        write(&file, 1 << 20);
        match timeout(PATIENCE, side.turn(&testbed, &file, &to)).await {
            Ok(Ok(())) => {
                side.turns.clear();
                able.push(side);
            }
            Ok(Err(why)) => missing.push(format!("{}: {why}", side.name)),
            Err(_) => missing.push(format!("{}: it comes to nothing within {PATIENCE:?}", side.name)),
        }
        let _ = fs::remove_dir_all(&to);
    }
    let mut sides = able;
    assert!(
        sides.first().is_some_and(|side| matches!(side.who, Who::Kez(_))),
        "ours is measured or nobody: {missing:?}"
    );
    write(&file, options.mib << 20);
    for round in 0..options.rounds as usize {
        for turn in 0..sides.len() {
            let at = (round + turn) % sides.len();
            let Some(side) = sides.get_mut(at) else { break };
            eprintln!("round {} of {}: {}", round + 1, options.rounds, side.name);
            side.turn(&testbed, &file, &to).await.unwrap_or_else(|why| panic!("{}: {why}", side.name));
        }
    }
    report(&sides, options.mib);
    for missing in missing {
        println!("figure not measured: {missing}");
    }
    for side in sides {
        if let Who::Kez(agents) = side.who {
            for agent in *agents {
                agent.end().await;
            }
        }
    }
    testbed.shutdown().await.unwrap();
}

/// Starts one who shares and one who fetches, and has them know each other.
async fn friends(testbed: &Testbed) -> [Agent; 2] {
    for name in ["alice", "bob"] {
        // Registering takes memory that sharing and fetching do not.
        Agent::start(testbed, Kind::Kez, name).await.end().await;
    }
    let mut alice = Agent::start(testbed, Kind::Kez, "alice").await;
    let mut bob = Agent::start(testbed, Kind::Kez, "bob").await;
    alice.order(Order::Meet { who: bob.who.clone() }).await;
    bob.order(Order::Meet { who: alice.who.clone() }).await;
    [alice, bob]
}

/// Writes a file that nothing can be compressed or left out of.
fn write(path: &Path, len: u64) {
    let mut file = File::create(path).unwrap();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..len >> 20 {
        rand::rng().fill_bytes(&mut piece);
        file.write_all(&piece).unwrap();
    }
}

impl Side {
    async fn turn(&mut self, testbed: &Testbed, file: &Path, to: &Path) -> Result<(), String> {
        fs::create_dir(to).unwrap();
        // Not the same file twice: ours would not be sealed again. And nobody writes what somebody before has left to write.
        let mut changed = File::options().write(true).open(file).unwrap();
        changed.rewind().unwrap();
        changed.write_all(&rand::random::<[u8; 16]>()).unwrap();
        assert!(Command::new("sync").status().unwrap().success());
        let turn = match &mut self.who {
            Who::Kez(agents) => {
                let [alice, bob] = &mut **agents;
                let (turn, most_mb) = share_and_fetch(alice, bob, file, to).await;
                self.most_mb = most_mb;
                turn
            }
            Who::Raw => {
                let mut alice = Agent::start(testbed, Kind::Raw, "raw-alice").await;
                let mut bob = Agent::start(testbed, Kind::Raw, "raw-bob").await;
                let (turn, most_mb) = share_and_fetch(&mut alice, &mut bob, file, to).await;
                self.most_mb = [self.most_mb[0].max(most_mb[0]), self.most_mb[1].max(most_mb[1])];
                alice.end().await;
                bob.end().await;
                for name in ["raw-alice", "raw-bob"] {
                    fs::remove_dir_all(testbed.folder().join(name)).unwrap();
                }
                turn
            }
            Who::Sendme(program) => sendme::turn(program, file, to).await?,
            Who::Croc(program) => croc::turn(program, file, to).await?,
        };
        if !is_there(file, to) {
            return Err("it brought another file".to_owned());
        }
        fs::remove_dir_all(to).unwrap();
        eprintln!("{}: share {:.2} s, fetch {:.2} s", self.name, turn.share.as_secs_f64(), turn.fetch.as_secs_f64());
        self.turns.push(turn);
        Ok(())
    }

    /// Returns the middle of the turns, of what is looked at.
    fn median_s(&self, of: impl Fn(&Turn) -> Duration) -> f64 {
        median(self.turns.iter().map(|turn| of(turn).as_secs_f64()).collect()).unwrap()
    }
}

async fn share_and_fetch(alice: &mut Agent, bob: &mut Agent, file: &Path, to: &Path) -> (Turn, [f64; 2]) {
    let (share, ticket) = alice.order(Order::Share { path: file.to_owned() }).await;
    let (fetch, _) = bob.order(Order::Fetch { ticket, folder: to.to_owned() }).await;
    let most_mb = [alice.most_resident_mb(), bob.most_resident_mb()];
    alice.order(Order::Clear).await;
    bob.order(Order::Clear).await;
    (Turn { share, fetch }, most_mb)
}

/// Tells whether a folder holds the file and nothing else.
fn is_there(file: &Path, folder: &Path) -> bool {
    let found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [found] = &found[..] else { return false };
    Command::new("cmp").arg(file).arg(found).status().unwrap().success()
}

fn report(sides: &[Side], mib: u64) {
    let all = |turn: &Turn| turn.share + turn.fetch;
    let Some((ours, others)) = sides.split_first() else { return };
    for other in others {
        let ratio = |of: fn(&Turn) -> Duration| {
            let rounds = ours.turns.iter().zip(&other.turns);
            median(rounds.map(|(ours, other)| of(other).as_secs_f64() / of(ours).as_secs_f64()).collect()).unwrap()
        };
        println!("ratio files_share_fetch_vs_{} {:.2}", other.name, ratio(all));
        println!("ratio files_share_vs_{} {:.2}", other.name, ratio(|turn| turn.share));
        println!("ratio files_fetch_vs_{} {:.2}", other.name, ratio(|turn| turn.fetch));
    }
    for side in sides {
        let [share, fetch] = [side.median_s(|turn| turn.share), side.median_s(|turn| turn.fetch)];
        let (name, both) = (side.name, side.median_s(all));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let rate = mib as f64 * 1.048_576 / both;
        println!("figure {name} share {share:.2} s, fetch {fetch:.2} s, both {both:.2} s ({rate:.0} MB/s)");
        if let Who::Kez(_) | Who::Raw = side.who {
            let [alice, bob] = side.most_mb;
            println!("figure {name} at most {alice:.0} MB to share, {bob:.0} MB to fetch");
        }
    }
}
