//! `kez-testbed pictures`: what the README shows, drawn from terminals in which it happens.

mod svg;

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use kez_testbed::{Testbed, terminal::Terminal};
use tokio::task::spawn_blocking;

use crate::{demo::Person, print};

/// No step takes nearly as long, also on a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_secs(120);
const LINES: u16 = 16;
const COLUMNS: u16 = 84;
/// The demo prints more; its end is what is drawn.
const DEMO_LINES: u16 = 40;
const DEMO_COLUMNS: u16 = 96;

/// Draws `demo.svg` and `chat.svg` into a folder.
pub(crate) async fn draw(cli: &Path, folder: &Path) -> Result<()> {
    let cli = fs::canonicalize(cli).with_context(|| format!("{} is not there", cli.display()))?;
    fs::create_dir_all(folder)?;
    let demo = draw_demo(&cli).await?;
    fs::write(folder.join("demo.svg"), demo)?;
    let chat = draw_chat(&cli).await?;
    fs::write(folder.join("chat.svg"), chat)?;
    print(&format!("demo.svg and chat.svg are in {}", folder.display()));
    Ok(())
}

/// Runs the demo, and draws its end.
async fn draw_demo(cli: &Path) -> Result<String> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("demo").arg("--cli").arg(cli);
    let drawing = spawn_blocking(move || -> Result<String> {
        let mut terminal = Terminal::run(command, DEMO_LINES, DEMO_COLUMNS)?;
        until(&mut terminal, "demo: ")?;
        Ok(svg::draw(terminal.screen(), "cargo xtask demo"))
    });
    drawing.await?
}

/// Has two people talk in two terminals, and draws what one of them sees.
async fn draw_chat(cli: &Path) -> Result<String> {
    let testbed = Testbed::start().await?;
    let people = testbed.folder().join("people");
    fs::create_dir(&people)?;
    let alice = Person::new("alice", &people, cli, &testbed.home_url())?;
    let bob = Person::new("bob", &people, cli, &testbed.home_url())?;
    for person in [&alice, &bob] {
        person.run(&["register", person.name(), "--backup-file", "words"]).await?;
    }
    alice.run(&["add", "@bob"]).await?;
    bob.run(&["add", "@alice"]).await?;
    fs::write(bob.folder().join("harbour.jpg"), vec![7; 2_400_000])?;
    let (alices, bobs) = (alice.command(&["chat", "@bob"]), bob.command(&["chat", "@alice"]));
    let drawn = spawn_blocking(move || talk(alices, bobs)).await?;
    testbed.shutdown().await?;
    drawn
}

fn talk(alices: Command, bobs: Command) -> Result<String> {
    let mut alice = Terminal::run(alices, LINES, COLUMNS)?;
    let mut bob = Terminal::run(bobs, LINES, COLUMNS)?;
    until(&mut alice, "online")?;
    until(&mut bob, "online")?;
    alice.types("Did the ferry leave on time?\r")?;
    until(&mut bob, "ferry")?;
    bob.types("It did. We are past the lighthouse now, and the sea is as flat as a table.\r")?;
    until(&mut alice, "lighthouse")?;
    bob.types("/share harbour.jpg\r")?;
    until(&mut alice, "harbour.jpg")?;
    alice.types("/react 🌊\r")?;
    until(&mut bob, "🌊")?;
    alice.types("/fetch 1\r")?;
    until(&mut alice, "fetched")?;
    alice.types("What a view! See you on Sunday.\r")?;
    until(&mut bob, "Sunday")?;
    until(&mut alice, "Sunday. · read")?;
    alice.types("Shall I bring")?;
    until(&mut alice, "Shall I bring")?;
    Ok(svg::draw(alice.screen(), "kez-chat chat @bob"))
}

fn until(terminal: &mut Terminal, text: &str) -> Result<()> {
    Ok(terminal.wait(text, PATIENCE, |lines| lines.iter().any(|line| line.contains(text)))?)
}
