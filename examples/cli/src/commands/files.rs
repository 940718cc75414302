//! Files.

use std::{
    future,
    path::{PathBuf, absolute},
};

use serde::de::DeserializeOwned;

use crate::{
    api::{
        CheckedFile, FetchedPath, Forgotten, Object, Serving, Unpublished, Unshared, account::Hello, files as calls,
    },
    args::{Browse, Fetch, Files, Publish, Share, Transfers, Unpublish, Unshare},
    context::Context,
    failure::{Failure, Kind},
    link::{Calling, Heard, Link},
    safe,
};

/// Waits for a call, and shows on a terminal how far it has come.
async fn follow<T: DeserializeOwned>(context: &Context, mut calling: Calling<T>) -> Result<T, Failure> {
    let meter = context.output.meter();
    loop {
        match calling.next().await {
            Heard::Progress(at) => meter.show(&at),
            Heard::Answer(answer) => return answer,
        }
    }
}

/// Offers a file or a folder to contacts, and serves it until Ctrl-C, unless another process does.
pub(super) async fn share(context: &Context, link: &mut Link, typed: Share) -> Result<(), Failure> {
    let Some((path, with)) = typed.who_and_path.split_last() else { return Ok(()) };
    let call = calls::ShareFiles { with: with.to_vec(), path: absolute(path)?, publish: typed.publish, name: None };
    let share = follow(context, link.begin(call)?).await?;
    let owner = link.call(Hello {}).await?;
    let is_elsewhere = owner.stays && !link.is_ours();
    let pid = if is_elsewhere { owner.pid } else { std::process::id() };
    context.output.show(Object::Serving(Serving { share, pid, is_here: !is_elsewhere }), link.own_home())?;
    if is_elsewhere {
        return Ok(());
    }
    // Until Ctrl-C, which drops this future; the link is closed in order then. If somebody else owns the home, and has
    // nothing left to do, this process becomes the owner.
    link.stay();
    future::pending().await
}

/// Ends a share.
pub(super) async fn unshare(context: &Context, link: &Link, typed: Unshare) -> Result<(), Failure> {
    let Unshare { share, who: with } = typed;
    link.call(calls::Unshare { share, with }).await?;
    context.output.show(Object::Unshared(Unshared { share }), link.own_home())
}

/// Fetches what somebody has shared or publishes.
pub(super) async fn fetch(context: &Context, link: &Link, typed: Fetch) -> Result<(), Failure> {
    let Fetch { what, entry, to, rename } = typed;
    let to = absolute(to)?;
    let fetched = match (what.parse(), entry) {
        (Ok(share_id), None) => follow(context, link.begin(calls::Fetch { share_id, to, rename, only: None })?).await?,
        (Err(_), Some(id)) => follow(context, link.begin(calls::FetchPublished { who: what, id, to, rename })?).await?,
        _ => {
            let what = "it is not said what to fetch";
            let advice =
                "name an offer by its number (kez-chat files), or who publishes and the entry (kez-chat browse)";
            return Err(Failure::new(Kind::Usage, "BadParams", what, advice));
        }
    };
    show_fetched(context, link, fetched.paths)
}

fn show_fetched(context: &Context, link: &Link, paths: Vec<PathBuf>) -> Result<(), Failure> {
    context.show_all(link, paths.into_iter().map(|path| Object::Fetched(FetchedPath { path })))
}

/// Lists downloads, or changes one.
pub(super) async fn transfers(context: &Context, link: &Link, typed: Transfers) -> Result<(), Failure> {
    if let Some(download) = typed.retry {
        let fetched = follow(context, link.begin(calls::RetryDownload { download })?).await?;
        return show_fetched(context, link, fetched.paths);
    }
    if let Some(download) = typed.cancel {
        link.call(calls::CancelDownload { download }).await?;
        return context.output.show(Object::Forgotten(Forgotten { download }), link.own_home());
    }
    let downloads = link.call(calls::ListDownloads {}).await?.downloads;
    if downloads.is_empty() {
        context.output.note("Nothing was fetched yet");
    }
    context.show_all(link, downloads.into_iter().map(Object::Download))
}

/// Lists offers, shares and what is published, or looks after what is shared.
pub(super) async fn list(context: &Context, link: &Link, typed: &Files) -> Result<(), Failure> {
    if typed.usage {
        return context.output.show(Object::Usage(link.call(calls::ReadUsage {}).await?), link.own_home());
    }
    if typed.check || typed.repair {
        return check(context, link, typed.repair).await;
    }
    let all = !(typed.offers || typed.shared || typed.published);
    let mut lines: Vec<(&str, Vec<Object>)> = Vec::new();
    if all || typed.offers {
        let offers = link.call(calls::ListOffers {}).await?.offers;
        lines.push(("Others offer you:", offers.into_iter().map(Object::Offer).collect()));
    }
    if all || typed.shared {
        let shares = link.call(calls::ListShares {}).await?.shares;
        lines.push(("You share:", shares.into_iter().map(Object::Share).collect()));
    }
    if all || typed.published {
        let published = link.call(calls::ListPublished {}).await?.entries;
        lines.push(("You publish:", published.into_iter().map(Object::Published).collect()));
    }
    if lines.iter().all(|(_, lines)| lines.is_empty()) {
        context.output.note("No files yet: kez-chat share offers some, kez-chat browse looks for some");
    }
    for (title, lines) in lines.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        if all {
            context.output.note(title);
        }
        context.show_all(link, lines)?;
    }
    Ok(())
}

async fn check(context: &Context, link: &Link, repair: bool) -> Result<(), Failure> {
    let checked = follow(context, link.begin(calls::CheckFiles { repair })?).await?;
    let calls::CheckedFiles { damaged, repaired, lost } = checked;
    let is_sound = damaged.is_empty() && lost.is_empty();
    if is_sound && repaired.is_empty() {
        context.output.note("All that you share is as it was");
    }
    for (outcome, files) in [("damaged", damaged), ("repaired", repaired), ("lost", lost)] {
        let line = |held| Object::CheckedFile(CheckedFile { held, outcome: outcome.to_owned() });
        context.show_all(link, files.into_iter().map(line))?;
    }
    if is_sound {
        return Ok(());
    }
    let advice = if repair { "share again what is lost" } else { "kez-chat files --repair seals it anew" };
    Err(Failure::new(Kind::Files, "Damaged", "some files that you share are not as they were", advice))
}

/// Publishes files.
pub(super) async fn publish(context: &Context, link: &Link, typed: Publish) -> Result<(), Failure> {
    let Publish { path, readers: with, public } = typed;
    let call = calls::Publish { path: absolute(path)?, with, public };
    let calls::PublishedList { entries, left_out } = follow(context, link.begin(call)?).await?;
    for path in left_out {
        context.output.note(&format!("left out {}", safe::line(&path.to_string_lossy())));
    }
    context.show_all(link, entries.into_iter().map(Object::Published))
}

/// Takes back what was published.
pub(super) async fn unpublish(context: &Context, link: &Link, typed: Unpublish) -> Result<(), Failure> {
    link.call(calls::Unpublish { id: typed.entry.clone() }).await?;
    context.output.show(Object::Unpublished(Unpublished { id: typed.entry }), link.own_home())
}

/// Looks at what somebody publishes.
pub(super) async fn browse(context: &Context, link: &Link, typed: Browse) -> Result<(), Failure> {
    let entries = link.call(calls::Browse { who: typed.who }).await?.entries;
    if entries.is_empty() {
        context.output.note("They publish nothing for you");
    }
    context.show_all(link, entries.into_iter().map(Object::Listed))
}
