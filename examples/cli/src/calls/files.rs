//! Calls about files.

use std::time::{Duration, Instant};

use kez_chat_sdk::{
    BadFile, Client, DownloadId, FetchOptions, HeldFor, IfExists, OwnShareId, ShareId, Transfer,
    manifest::{Access, EntryId},
    new_message_id,
};

use super::{find, keys};
use crate::{
    api::{
        Done, Peer,
        files::{
            Browse, CancelDownload, CheckFiles, CheckedFiles, Download, DownloadState, Downloads, Fetch,
            FetchPublished, Fetched, HeldFile, ListedEntry, Listing, Offer, Offers, Publish, PublishedEntry,
            PublishedList, RetryDownload, Share, ShareFiles, SharedFile, Shares, Unpublish, Unshare, Usage,
        },
    },
    failure::{Failure, Kind},
    owner::Report,
};

/// How often it is told how far a transfer has come.
const EVERY: Duration = Duration::from_millis(100);

/// Waits for a transfer, and tells how far it has come.
async fn follow<T>(mut transfer: Transfer<T>, report: &Report) -> Result<T, Failure> {
    let mut told: Option<Instant> = None;
    while let Some(at) = transfer.progress().await {
        let is_whole = at.done_bytes == at.total_bytes;
        if is_whole || told.is_none_or(|told| told.elapsed() >= EVERY) {
            told = Some(Instant::now());
            report.progress(at.into()).await;
        }
    }
    Ok(transfer.await?)
}

pub(super) async fn share(client: Client, call: ShareFiles, report: Report) -> Result<Share, Failure> {
    let readers = keys(&client, &call.with).await?;
    let files = client.files();
    let name = call.name.as_deref().map(super::name_of).transpose()?.unwrap_or_else(new_message_id);
    let shared = follow(files.share_as(name, &call.path, &readers), &report).await?;
    if call.publish {
        files.publish_shared(&shared, Access::Readers(readers)).await?;
    }
    let held = files.shares().await?.into_iter().find(|held| held.id == shared.id);
    let held = held.ok_or_else(|| {
        Failure::new(Kind::Other, "NoSuchShare", "the share was ended while it was begun", "share it again")
    })?;
    let left_out = shared.left_out.into_iter().map(|left| left.path).collect();
    Ok(Share { left_out, ..shown_share(held) })
}

fn shown_share(held: kez_chat_sdk::OwnShare) -> Share {
    Share {
        share: held.id.number(),
        readers: held.readers.into_iter().map(Peer::from).collect(),
        files: held.files.into_iter().map(SharedFile::from).collect(),
        file_count: held.file_count,
        total_bytes: held.total_bytes,
        shared_at_ms: held.shared_at_ms,
        left_out: Vec::new(),
    }
}

pub(super) async fn shares(client: Client) -> Result<Shares, Failure> {
    Ok(Shares { shares: client.files().shares().await?.into_iter().map(shown_share).collect() })
}

pub(super) async fn unshare(client: Client, call: Unshare) -> Result<Done, Failure> {
    let reader = match &call.with {
        Some(with) => Some(find(&client, with).await?.primary),
        None => None,
    };
    client.files().unshare(OwnShareId::new(call.share), reader).await?;
    Ok(Done {})
}

pub(super) async fn offers(client: Client) -> Result<Offers, Failure> {
    let offers = client.files().offers().await?.into_iter().map(|offer| Offer {
        share_id: offer.share_id.number(),
        from: offer.from.into(),
        sent_at_ms: offer.sent_at_ms,
        files: offer.files.into_iter().map(SharedFile::from).collect(),
        fetched: offer.fetched,
    });
    Ok(Offers { offers: offers.collect() })
}

fn options(to: std::path::PathBuf, rename: bool, only: Option<Vec<usize>>) -> FetchOptions {
    let options = FetchOptions::to(to).if_exists(if rename { IfExists::Rename } else { IfExists::Refuse });
    match only {
        Some(only) => options.only(only),
        None => options,
    }
}

pub(super) async fn fetch(client: Client, call: Fetch, report: Report) -> Result<Fetched, Failure> {
    let options = options(call.to, call.rename, call.only);
    Ok(Fetched { paths: follow(client.files().fetch(ShareId::new(call.share_id), options), &report).await? })
}

pub(super) async fn downloads(client: Client) -> Result<Downloads, Failure> {
    use kez_chat_sdk::DownloadState as State;
    let downloads = client.files().downloads().await?.into_iter().map(|download| Download {
        download: download.id.number(),
        from: download.from.into(),
        files: download.files.into_iter().map(SharedFile::from).collect(),
        state: match download.state {
            State::Waiting { message, .. } => DownloadState::Waiting { why: message },
            State::Done { paths } => DownloadState::Done { paths },
            State::Failed { code, message } => DownloadState::Failed { code, message },
            _ => DownloadState::Running,
        },
        progress: download.progress.into(),
    });
    Ok(Downloads { downloads: downloads.collect() })
}

pub(super) async fn retry_download(client: Client, call: RetryDownload, report: Report) -> Result<Fetched, Failure> {
    let transfer = client.files().retry_download(DownloadId::new(call.download));
    Ok(Fetched { paths: follow(transfer, &report).await? })
}

pub(super) async fn cancel_download(client: Client, call: CancelDownload) -> Result<Done, Failure> {
    client.files().cancel_download(DownloadId::new(call.download)).await?;
    Ok(Done {})
}

pub(super) async fn publish(client: Client, call: Publish, report: Report) -> Result<PublishedList, Failure> {
    let access = match (call.with.is_empty(), call.public) {
        (true, true) => Access::Public,
        (false, false) => Access::Readers(keys(&client, &call.with).await?),
        _ => {
            let what = "files are published for some contacts, or for anybody";
            return Err(Failure::new(Kind::Usage, "BadParams", what, "name contacts, or say that it is public"));
        }
    };
    let published = follow(client.files().publish(&call.path, access), &report).await?;
    let left_out = published.left_out.into_iter().map(|left| left.path).collect();
    Ok(PublishedList { entries: published.entries.into_iter().map(shown_entry).collect(), left_out })
}

fn shown_entry(entry: kez_chat_sdk::PublishedEntry) -> PublishedEntry {
    PublishedEntry {
        id: entry.id.to_string(),
        file: entry.file.into(),
        shared_at_ms: entry.shared_at_ms,
        readers: match entry.access {
            Access::Public => None,
            Access::Readers(readers) => Some(readers.iter().map(ToString::to_string).collect()),
        },
        has_thumbnail: entry.has_thumbnail,
    }
}

pub(super) async fn published(client: Client) -> Result<PublishedList, Failure> {
    let entries = client.files().published().await?.into_iter().map(shown_entry);
    Ok(PublishedList { entries: entries.collect(), left_out: Vec::new() })
}

pub(super) async fn unpublish(client: Client, call: Unpublish) -> Result<Done, Failure> {
    let published = client.files().published().await?;
    let id = named(published.iter().map(|entry| entry.id), &call.id)?;
    client.files().unpublish(id).await?;
    Ok(Done {})
}

pub(super) async fn browse(client: Client, call: Browse) -> Result<Listing, Failure> {
    let listing = look(&client, &call.who).await?;
    let entries = listing.entries.into_iter().map(|entry| ListedEntry {
        id: entry.id.to_string(),
        file: entry.file.into(),
        shared_at_ms: entry.shared_at_ms,
        has_thumbnail: entry.has_thumbnail,
    });
    Ok(Listing { owner: listing.owner.into(), version: listing.version, entries: entries.collect() })
}

async fn look(client: &Client, who: &str) -> Result<kez_chat_sdk::Listing, Failure> {
    let files = client.files();
    Ok(match client.contacts().find(who).await {
        Ok(contact) => files.browse(contact.primary).await?,
        Err(_) => files.browse_handle(who).await?,
    })
}

pub(super) async fn fetch_published(client: Client, call: FetchPublished, report: Report) -> Result<Fetched, Failure> {
    let listing = look(&client, &call.who).await?;
    let id = named(listing.entries.iter().map(|entry| entry.id), &call.id)?;
    let options = options(call.to, call.rename, None);
    let transfer = client.files().fetch_entry(listing.owner.primary, id, options);
    Ok(Fetched { paths: follow(transfer, &report).await? })
}

/// Finds the one entry whose name begins with what was typed.
fn named(ids: impl Iterator<Item = EntryId>, typed: &str) -> Result<EntryId, Failure> {
    let mut found = ids.filter(|id| !typed.is_empty() && id.to_string().starts_with(typed));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => {
            let what = format!("there is no entry {typed}");
            Err(Failure::new(Kind::Files, "NoSuchEntry", what, "kez-chat browse, or files for your own, lists them"))
        }
        (Some(_), Some(_)) => {
            let what = format!("several entries begin with {typed}");
            Err(Failure::new(Kind::Usage, "SeveralEntries", what, "type more of the name"))
        }
    }
}

pub(super) async fn usage(client: Client) -> Result<Usage, Failure> {
    let usage = client.files().usage().await?;
    let kez_chat_sdk::FileUsage { shared_bytes, fetching_bytes, quota_bytes } = usage;
    Ok(Usage { shared_bytes, fetching_bytes, quota_bytes })
}

pub(super) async fn check(client: Client, call: CheckFiles, report: Report) -> Result<CheckedFiles, Failure> {
    let files = client.files();
    let held = |bad: BadFile| match bad.held_for {
        HeldFor::Share(share) => HeldFile { file: bad.file.into(), share: Some(share.number()), entry: None },
        HeldFor::Published(entry) => HeldFile { file: bad.file.into(), share: None, entry: Some(entry.to_string()) },
    };
    let list = |bad: Vec<BadFile>| bad.into_iter().map(held).collect();
    if call.repair {
        let kez_chat_sdk::Repaired { repaired, lost } = follow(files.repair(), &report).await?;
        return Ok(CheckedFiles { damaged: Vec::new(), repaired: list(repaired), lost: list(lost) });
    }
    let damaged = list(follow(files.verify(), &report).await?);
    Ok(CheckedFiles { damaged, repaired: Vec::new(), lost: Vec::new() })
}
