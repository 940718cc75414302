//! What is shown, step by step.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use kez_testbed::Testbed;

use super::{Stage, person::Person, remark};

const FILE_NAME: &str = "holiday.raw";
const DOWNLOADS: &str = "downloads";
const FILE_BYTES: usize = 4 << 20;
/// What a person's folder may grow by when an offer arrives: far less than the file.
const OFFER_BYTES: u64 = 1 << 20;

/// Tells the whole story.
pub(super) async fn tell(stage: &mut Stage, testbed: &Testbed, cli: &Path) -> Result<()> {
    let people = testbed.folder().join("people");
    fs::create_dir(&people)?;
    let alice = Person::new("alice", &people, cli, &testbed.home_url())?;
    let bob = Person::new("bob", &people, cli, &testbed.home_url())?;

    stage.step("alice registers, and proves that she has written the words down", alice.register()).await?;
    stage.step("bob registers", bob.register()).await?;
    stage.step("alice looks bob up and walks his sigchain", alice.run(&["add", "@bob"])).await?;
    stage.step("bob looks alice up", bob.run(&["add", "@alice"])).await?;
    stage.step("alice writes to bob, who is listening", message(&alice, &bob, "hello bob")).await?;
    stage.step("bob writes back", message(&bob, &alice, "hello alice")).await?;
    stage.step("alice writes while bob is away", alice.run(&["send", "@bob", "read this later"])).await?;
    stage.step("bob comes back and finds it", arrives(&bob, "read this later")).await?;
    share(stage, &alice, &bob).await
}

/// Sends a text to somebody who is listening.
async fn message(from: &Person, to: &Person, text: &str) -> Result<()> {
    let mut listening = to.start(&["listen", "--count", "1", "--timeout", "30"])?;
    from.run(&["send", &format!("@{}", to.name()), text]).await?;
    listening.line(|line| line.contains(text)).await?;
    listening.finish().await.map(drop)
}

/// Waits for a text that was sent before.
async fn arrives(to: &Person, text: &str) -> Result<()> {
    let mut listening = to.start(&["listen", "--count", "1", "--timeout", "30"])?;
    listening.line(|line| line.contains(text)).await?;
    listening.finish().await.map(drop)
}

/// Shares a file, looks that nothing has moved, and fetches it.
async fn share(stage: &mut Stage, alice: &Person, bob: &Person) -> Result<()> {
    let content: Vec<u8> = rand::random_iter().take(FILE_BYTES).collect();
    fs::write(alice.folder().join(FILE_NAME), &content)?;

    let offered = format!("alice shares {FILE_NAME}, {} MiB made on the spot, and stays at hand", FILE_BYTES >> 20);
    let serving = stage.step(&offered, async {
        let mut sharing = alice.start(&["share", "@bob", FILE_NAME])?;
        sharing.line(|line| line.contains("serving")).await?;
        Ok(sharing)
    });
    let serving = serving.await?;

    let before = bytes_in(bob.folder())?;
    let id = stage.step("bob sees the offer, and nothing is downloaded", async {
        let mut listening = bob.start(&["listen", "--count", "1", "--timeout", "30"])?;
        let offer = listening.line(|line| line.contains(FILE_NAME)).await?;
        listening.finish().await?;
        let grown = bytes_in(bob.folder())?.saturating_sub(before);
        ensure!(grown < OFFER_BYTES, "bob's folder has grown by {grown} bytes");
        remark(&format!("bob's folder has grown by {grown} bytes; the file has {FILE_BYTES}"));
        share_id(&offer)
    });
    let id = id.await?;

    stage
        .step("bob fetches it, straight from alice, and it is the same file", async {
            bob.run(&["fetch", &id, "--to", DOWNLOADS]).await?;
            let fetched = fs::read(bob.folder().join(DOWNLOADS).join(FILE_NAME))?;
            let (sent, fetched) = (blake3::hash(&content), blake3::hash(&fetched));
            ensure!(sent == fetched, "the fetched file is another one: {fetched} instead of {sent}");
            remark(&format!("BLAKE3 of both: {sent}"));
            serving.interrupt().await
        })
        .await
}

/// Reads the share's id out of the line that shows the offer.
fn share_id(offer: &str) -> Result<String> {
    let (_, id) = offer.rsplit_once("fetch ").context("the offer does not say how to fetch it")?;
    Ok(id.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Adds up the sizes of the files below a folder.
fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
