//! Carries a plan out: starts everything, kills, brings back, waits until all has settled, and has it judged.

use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use kez_chat_sdk::Clock;
use kez_service::process;
use kez_testbed::{
    guard::Guarded,
    processes::{Processes, Programs},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    client::Place,
    home::AHEAD_MS,
    judge::Verdict,
    ledger::{self, Record},
    plan::{Blow, Plan, Strike, Victim},
    print,
};

/// How a shell reports a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;
/// How often the ledgers are looked at in the end; nothing tells when a file of another process has grown.
const LOOK: Duration = Duration::from_millis(500);
const PROGRESS: Duration = Duration::from_secs(5);
/// How long nothing may happen in the end before it is given up: more than a client's longest pause before it connects
/// again and the broker's before it delivers again.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long a client may take to close.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Messages are sent during this part of the run, and kills go on to its end.
const SENDING: f64 = 0.9;
/// How many of the messages that something is wrong with are named.
const NAMED: usize = 20;

const NAMES: [&str; 2] = ["alice", "bob"];

#[derive(Args)]
pub(crate) struct Options {
    /// How many messages both clients send together.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    messages: u64,
    /// How long they are sent and everything is killed, in seconds; what is under way then may still arrive.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: u64,
    /// Draws the same kills and clocks as the run that printed it; otherwise others.
    #[arg(long)]
    seed: Option<u64>,
    /// The `kez-sig-server` program; by default the one beside this.
    #[arg(long)]
    sig_server: Option<PathBuf>,
}

/// Runs a torture, and prints what came of it as the last line.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(rand::random);
    print(&format!("torture: {} messages, {} s, --seed {seed}", options.messages, options.seconds));
    tokio::select! {
        tortured = torture(options, seed) => tortured,
        stopped = process::stop_requested() => stopped.map(|()| ExitCode::from(INTERRUPTED)).map_err(Into::into),
    }
}

async fn torture(options: &Options, seed: u64) -> Result<ExitCode> {
    let length = Duration::from_secs(options.seconds);
    let mut plan = Plan::draw(seed, length);
    let mut scene = Scene::set(options, &plan).await?;
    let outcome = scene.play(&mut plan, length).await;
    let verdict = scene.verdict()?;
    let good = outcome.is_ok() && verdict.is_good() && verdict.sent == options.messages;
    let (kills, wipes) = (scene.kills, scene.wipes);
    if good {
        scene.stack.shutdown().await?;
    } else {
        if let Err(error) = &outcome {
            print(&format!("torture: {}", process::chain_of(error.as_ref())));
        }
        tell(&verdict);
        let place = env::temp_dir().join(format!("kez-torture-{seed}-{}", std::process::id()));
        scene.stop_clients().await?;
        scene.stack.shutdown_and_keep(&place).await?;
        print(&format!("torture: logs, ledgers and stores are in {}; try again with --seed {seed}", place.display()));
    }
    print(&format!("torture: {verdict} kills {kills} wipes {wipes}"));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names what is wrong.
fn tell(verdict: &Verdict) {
    let Verdict { lost, doubled, reordered, unconfirmed, .. } = verdict;
    for (what, marks) in [("lost", lost), ("doubled", doubled), ("reordered", reordered)] {
        if !marks.is_empty() {
            let named: Vec<_> =
                marks.iter().take(NAMED).map(|(from, mark)| format!("{} {mark}", NAMES[*from])).collect();
            let rest = if marks.len() > NAMED { " …" } else { "" };
            print(&format!("{what}: {}{rest}", named.join(", ")));
        }
    }
    if *unconfirmed > 0 {
        print(&format!("{unconfirmed} messages are not known to their senders to have arrived"));
    }
}

/// All processes, and what has been done to them.
struct Scene {
    stack: Processes,
    clients: [ClientProcess; 2],
    /// What was done when, for whoever looks for what went wrong.
    strikes: File,
    messages: u64,
    begun: Instant,
    kills: u64,
    wipes: u64,
}

impl Scene {
    /// Starts the servers, and registers both clients.
    async fn set(options: &Options, plan: &Plan) -> Result<Self> {
        let own = env::current_exe().context("this program's own place can't be told")?;
        let sig_server = options.sig_server.clone().unwrap_or_else(|| own.with_file_name("kez-sig-server"));
        ensure!(sig_server.is_file(), "{} is not there; build it or name it with --sig-server", sig_server.display());
        let programs = Programs { chat_server: own.clone(), sig_server };
        let ahead_ms = plan.home_ahead_ms(Clock::system().now_ms());
        let stack = Processes::start_with(&programs, |home| home.set(AHEAD_MS, ahead_ms.to_string())).await?;

        let home = format!("http://localhost:{}", stack.chat.address().port());
        let shares = [options.messages - options.messages / 2, options.messages / 2];
        let client = |index: usize| ClientProcess {
            program: own.clone(),
            place: Place {
                folder: stack.folder().join(NAMES[index]),
                name: NAMES[index].to_owned(),
                home: home.clone(),
            },
            peer: NAMES[1 - index],
            messages: shares[index],
            time_ms: (0, 0),
            starts_before: 0,
            process: None,
        };
        let clients = [client(0), client(1)];
        tokio::try_join!(clients[0].prepare(), clients[1].prepare())?;
        let strikes = File::create(stack.folder().join("strikes"))?;
        let (messages, begun) = (options.messages, Instant::now());
        Ok(Self { stack, clients, strikes, messages, begun, kills: 0, wipes: 0 })
    }

    /// Lets both write to each other while the plan is carried out, and waits until all has settled.
    async fn play(&mut self, plan: &mut Plan, length: Duration) -> Result<()> {
        self.begun = Instant::now();
        let now_ms = Clock::system().now_ms();
        let sending = u64::try_from(length.mul_f64(SENDING).as_millis())?;
        for (client, clock_ms) in self.clients.iter_mut().zip(plan.clocks_ms) {
            client.time_ms = (now_ms, now_ms + sending);
            client.start(clock_ms)?;
        }
        let mut shown = Instant::now();
        loop {
            let strike = plan.next(self.begun.elapsed());
            let due = Instant::now() + strike.pause;
            // What was away for long before may have left no time, but the disk has to be lost once.
            if due >= self.begun + length && !strike.wipes {
                break;
            }
            sleep_until(due).await;
            self.check_alive()?;
            self.carry_out(&strike).await?;
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                self.progress(&self.verdict()?);
            }
        }
        sleep_until(self.begun + length).await;
        self.settle().await?;
        self.stop_clients().await
    }

    /// Kills some at the same moment, and brings each back in its time.
    async fn carry_out(&mut self, strike: &Strike) -> Result<()> {
        writeln!(self.strikes, "{:?}: {strike}", self.begun.elapsed())?;
        let struck = Instant::now();
        for blow in &strike.blows {
            self.kill(blow.victim, strike.wipes).await?;
            self.kills += 1;
        }
        self.wipes += u64::from(strike.wipes);
        for blow in &strike.blows {
            sleep_until(struck + blow.away).await;
            self.bring_back(blow).await?;
        }
        Ok(())
    }

    async fn kill(&mut self, victim: Victim, wipes: bool) -> Result<()> {
        match victim {
            Victim::Alice => self.clients[0].kill().await?,
            Victim::Bob => self.clients[1].kill().await?,
            Victim::Home => self.stack.chat.kill().await?,
            Victim::Sigchains => self.stack.sig.kill().await?,
            Victim::Broker if wipes => self.stack.wipe_nats().await?,
            Victim::Broker => self.stack.kill_nats().await?,
        }
        Ok(())
    }

    async fn bring_back(&mut self, blow: &Blow) -> Result<()> {
        match blow.victim {
            Victim::Alice => self.clients[0].start(blow.clock_ms)?,
            Victim::Bob => self.clients[1].start(blow.clock_ms)?,
            Victim::Home => self.stack.chat.start().await?,
            Victim::Sigchains => self.stack.sig.start().await?,
            Victim::Broker => self.stack.start_nats().await?,
        }
        Ok(())
    }

    /// Waits until everything is sent and has arrived, as long as anything happens.
    async fn settle(&mut self) -> Result<()> {
        let (mut last, mut moved, mut shown) = (Verdict::default(), Instant::now(), Instant::now());
        loop {
            self.check_alive()?;
            let verdict = self.verdict()?;
            if verdict.is_settled() && verdict.sent == self.messages {
                return Ok(());
            }
            if verdict != last {
                moved = Instant::now();
            }
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                self.progress(&verdict);
            }
            ensure!(
                moved.elapsed() < PATIENCE,
                "nothing has happened for {PATIENCE:?}, and not everything has arrived"
            );
            last = verdict;
            sleep(LOOK).await;
        }
    }

    /// Checks that no client has ended by itself.
    fn check_alive(&mut self) -> Result<()> {
        self.clients.iter_mut().try_for_each(ClientProcess::check_alive)
    }

    async fn stop_clients(&mut self) -> Result<()> {
        for client in &mut self.clients {
            client.stop().await?;
        }
        Ok(())
    }

    fn verdict(&self) -> Result<Verdict> {
        let [alice, bob] = [0, 1].map(|index| ledger::read(&self.clients[index].place.ledger()));
        Ok(Verdict::of([&alice?, &bob?]))
    }

    fn progress(&self, verdict: &Verdict) {
        let Verdict { sent, delivered, unconfirmed, .. } = verdict;
        let (seconds, kills) = (self.begun.elapsed().as_secs(), self.kills);
        // Whoever closed standard error does not want to know.
        let _ = writeln!(
            io::stderr(),
            "{seconds} s: sent {sent} delivered {delivered} unconfirmed {unconfirmed} kills {kills}"
        );
    }
}

/// One of the two clients, which can be killed and come back.
struct ClientProcess {
    program: PathBuf,
    place: Place,
    peer: &'static str,
    messages: u64,
    /// When the first and the last message are due.
    time_ms: (u64, u64),
    /// How often it had said that it started when it was started last.
    starts_before: usize,
    process: Option<Guarded>,
}

impl ClientProcess {
    /// Registers.
    async fn prepare(&self) -> Result<()> {
        fs::create_dir(&self.place.folder)?;
        let status = self.spawn("prepare", Vec::new())?.wait().await?;
        ensure!(status.success(), "{} could not register; {}", self.place.name, self.see_log());
        Ok(())
    }

    fn start(&mut self, clock_ms: i64) -> Result<()> {
        let (begin_ms, end_ms) = self.time_ms;
        let more = vec![
            format!("--peer={}", self.peer),
            format!("--messages={}", self.messages),
            format!("--clock-ms={clock_ms}"),
            format!("--begin-ms={begin_ms}"),
            format!("--end-ms={end_ms}"),
        ];
        self.starts_before = self.starts()?;
        self.process = Some(self.spawn("client", more)?);
        Ok(())
    }

    /// Counts how often it has said that it started.
    fn starts(&self) -> Result<usize> {
        let records = ledger::read(&self.place.ledger())?;
        Ok(records.iter().filter(|record| matches!(record, Record::Started)).count())
    }

    /// Kills the process, which has to be running.
    async fn kill(&mut self) -> Result<()> {
        let process = self.process.take().context("a client is killed that does not run")?;
        let status = process.kill().await?;
        ensure!(
            status.signal() == Some(9),
            "{} had ended by itself with {status}; {}",
            self.place.name,
            self.see_log()
        );
        Ok(())
    }

    fn check_alive(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.try_wait()?
        {
            bail!("{} has ended by itself with {status}; {}", self.place.name, self.see_log());
        }
        Ok(())
    }

    /// Has the client closed in good order, if it runs. Before it has started it could not know what is asked of it.
    async fn stop(&mut self) -> Result<()> {
        while self.process.is_some() && self.starts()? <= self.starts_before {
            self.check_alive()?;
            sleep(LOOK).await;
        }
        if let Some(process) = self.process.take() {
            let status = process.stop(STOP_PATIENCE).await?;
            ensure!(status.success(), "{} did not close well: {status}; {}", self.place.name, self.see_log());
        }
        Ok(())
    }

    fn spawn(&self, task: &str, more: Vec<String>) -> Result<Guarded> {
        let log = File::options().create(true).append(true).open(self.place.folder.join("log"))?;
        let Place { folder, name, home } = &self.place;
        let process = Guarded::spawn(&self.program, |command| {
            command.arg(task).arg("--folder").arg(folder).arg(format!("--name={name}")).arg(format!("--home={home}"));
            command.args(more).stdout(Stdio::null()).stderr(log);
        })?;
        Ok(process)
    }

    fn see_log(&self) -> String {
        format!("its log is {}/log", self.place.name)
    }
}
