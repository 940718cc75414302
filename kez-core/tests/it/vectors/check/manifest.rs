//! Manifests.

use kez_core::{
    filecrypt::FileKey,
    identity::PrimaryKey,
    manifest::{Access, Details, Draft, EntryId, Manifest, Published, Thumbnail, build},
};
use serde_json::{Value, json};

use super::{
    super::{bytes::bytes, replay::Replay},
    Outcome, Refusal, array, entry, hex, key, list, members, number, optional, or_null, read_entry, seed, unknown,
};

pub(in super::super) fn run(op: &str, input: &Value) -> Outcome {
    match op {
        "manifest.build" => made(input),
        "manifest.read" => read(input),
        _ => unknown(op),
    }
}

fn made(input: &Value) -> Outcome {
    let [owner, version, salt, entries] = members(input, ["owner", "version", "salt", "entries"]);
    let mut random = array::<32>(salt).to_vec();
    let mut drafts = Vec::new();
    for draft in list(entries) {
        let [id, entry_key, readers, filler, details] =
            members(draft, ["id", "entry_key", "readers", "filler", "details"]);
        random.extend(array::<32>(entry_key));
        for pair in list(filler) {
            let [tag, wrapped] = members(pair, ["tag", "wrapped"]);
            random.extend(array::<16>(tag));
            random.extend(array::<48>(wrapped));
        }
        let readers = optional(readers, |readers| list(readers).iter().map(key).collect::<Result<Vec<_>, _>>());
        let access = readers.transpose()?.map_or(Access::Public, Access::Readers);
        drafts.push(Draft { id: EntryId(array(id)), access, details: read_details(details)? });
    }
    let mut random = Replay::new(random);
    let manifest = build(&seed(owner), number(version), &drafts, &mut random)?;
    assert!(random.is_spent(), "the case lists more randomness than the manifest takes");
    Ok(json!({"manifest": hex(&manifest), "hash": hex(blake3::hash(&manifest).as_bytes())}))
}

fn read(input: &Value) -> Outcome {
    let [manifest, owner, hash, version, reader, id] =
        members(input, ["manifest", "owner", "hash", "version", "reader", "id"]);
    let owner: PrimaryKey = key(owner)?;
    let (bytes, reader) = (bytes(manifest), seed(reader));
    let manifest = Manifest::parse(&bytes, &Published { owner, manifest: array(hash), version: number(version) })?;
    let mut opened = match optional(id, array) {
        Some(id) => vec![(EntryId(id), manifest.open(&EntryId(id), &reader)?)],
        None => manifest.open_all(&reader)?,
    };
    opened.sort_unstable_by_key(|(id, _)| *id);
    let shown = |(id, details): &(EntryId, Details)| json!({"id": id.to_string(), "details": shown_details(details)});
    Ok(json!({"entries": opened.iter().map(shown).collect::<Vec<_>>()}))
}

fn shown_details(details: &Details) -> Value {
    let thumbnail = |thumbnail: &Thumbnail| {
        let Thumbnail { blob_hash, plain_len, key } = thumbnail;
        json!({"blob_hash": hex(blob_hash), "plain_len": plain_len, "key": hex(key.expose_bytes())})
    };
    json!({
        "entry": entry(&details.file),
        "shared_at_ms": details.shared_at_ms,
        "thumbnail": or_null(details.thumbnail.as_ref(), thumbnail),
    })
}

fn read_details(value: &Value) -> Result<Details, Refusal> {
    let [entry, shared_at_ms, thumbnail] = members(value, ["entry", "shared_at_ms", "thumbnail"]);
    let thumbnail = optional(thumbnail, |value| {
        let [blob_hash, plain_len, key] = members(value, ["blob_hash", "plain_len", "key"]);
        Thumbnail { blob_hash: array(blob_hash), plain_len: number(plain_len), key: FileKey::from_bytes(array(key)) }
    });
    Ok(Details { file: read_entry(entry)?, shared_at_ms: number(shared_at_ms), thumbnail })
}
