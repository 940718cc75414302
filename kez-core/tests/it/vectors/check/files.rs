//! Blobs, paths and folder lists.

use kez_core::{
    filecrypt::{FileKey, Opener, PartOpener, Sealer, blob_len},
    payload::{FolderList, SharePath},
};
use serde_json::{Value, json};

use super::{super::bytes::bytes, Outcome, array, entry, hex, members, number, text, unknown};

/// Above this length, a case holds only the hash of a blob.
const SHOWN_BLOB_BYTES: usize = 1_000;

pub(in super::super) fn run(op: &str, input: &Value) -> Outcome {
    match op {
        "file.seal" => seal(input),
        "file.open" => open(input),
        "file.open_at" => open_at(input),
        "blob.len" => {
            let [plain_len] = members(input, ["plain_len"]);
            Ok(json!({"blob_len": blob_len(number(plain_len))?}))
        }
        "path.parse" => {
            let [path] = members(input, ["path"]);
            SharePath::parse(text(path))?;
            Ok(json!({}))
        }
        "folder.decode" => {
            let [list] = members(input, ["bytes"]);
            let list = FolderList::decode(&bytes(list))?;
            Ok(json!({"entries": list.entries().iter().map(entry).collect::<Vec<_>>()}))
        }
        _ => unknown(op),
    }
}

fn seal(input: &Value) -> Outcome {
    let [key, plain] = members(input, ["key", "plain"]);
    let mut sealer = Sealer::new(&FileKey::from_bytes(array(key)));
    let mut blob = Vec::new();
    sealer.update(&bytes(plain), &mut blob)?;
    let sealed = sealer.finish(&mut blob)?;
    let mut out = json!({
        "blob_len": blob.len(),
        "blob_hash": hex(blake3::hash(&blob).as_bytes()),
        "plain_hash": hex(sealed.plain_hash),
    });
    if blob.len() <= SHOWN_BLOB_BYTES {
        out["blob"] = hex(blob);
    }
    Ok(out)
}

fn open(input: &Value) -> Outcome {
    let streamed = input.get("streamed").is_some();
    let [key, plain_len, plain_hash, blob] = if streamed {
        let [key, plain_len, plain_hash, blob, yes] =
            members(input, ["key", "plain_len", "plain_hash", "blob", "streamed"]);
        assert_eq!(yes, true);
        [key, plain_len, plain_hash, blob]
    } else {
        members(input, ["key", "plain_len", "plain_hash", "blob"])
    };
    let (plain_len, blob) = (number(plain_len), bytes(blob));
    let announced = if streamed { blob_len(plain_len)? } else { blob.len() as u64 };
    let mut opener = Opener::new(&FileKey::from_bytes(array(key)), plain_len, announced)?;
    opener.update(&blob, &mut Vec::new())?;
    opener.finish(&array(plain_hash))?;
    Ok(json!({}))
}

fn open_at(input: &Value) -> Outcome {
    let [key, plain_len, blob, offset, len] = members(input, ["key", "plain_len", "blob", "offset", "len"]);
    let (plain_len, blob) = (number(plain_len), bytes(blob));
    let mut opener = PartOpener::new(&FileKey::from_bytes(array(key)), plain_len, number(offset), number(len))?;
    let range = opener.blob_range();
    let at = |place: u64| usize::try_from(place).unwrap().min(blob.len());
    let mut part = Vec::new();
    opener.update(&blob[at(range.start)..at(range.end)], &mut part)?;
    opener.finish()?;
    Ok(json!({"plain_hash": hex(blake3::hash(&part).as_bytes())}))
}
