//! Byte strings as the files write them: hex, or an expression that takes one line for many bytes.

use data_encoding::HEXLOWER;
use kez_core::filecrypt::{FileKey, Sealer};
use serde_json::{Value, json};

use super::check::members;

/// Computes a *bytes* expression.
pub(super) fn bytes(value: &Value) -> Vec<u8> {
    let Value::Object(object) = value else { return hex(value) };
    match object.keys().next().map(String::as_str) {
        Some("repeat") | Some("len") => {
            let [pattern, len] = members(value, ["repeat", "len"]);
            hex(pattern).into_iter().cycle().take(length(len)).collect()
        }
        Some("concat") => {
            let [parts] = members(value, ["concat"]);
            parts.as_array().unwrap().iter().flat_map(bytes).collect()
        }
        Some("sealed") => {
            let [sealed] = members(value, ["sealed"]);
            let [key, plain] = members(sealed, ["key", "plain"]);
            sealed_blob(&hex(key).try_into().unwrap(), &bytes(plain))
        }
        _ => {
            let [whole, from, to] = members(value, ["of", "from", "to"]);
            bytes(whole)[length(from)..length(to)].to_vec()
        }
    }
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn length(value: &Value) -> usize {
    value.as_u64().unwrap().try_into().unwrap()
}

fn sealed_blob(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let mut sealer = Sealer::new(&FileKey::from_bytes(*key));
    let mut blob = Vec::new();
    sealer.update(plain, &mut blob).unwrap();
    sealer.finish(&mut blob).unwrap();
    blob
}

/// Writes bytes as hex.
pub(super) fn plain(bytes: impl AsRef<[u8]>) -> Value {
    HEXLOWER.encode(bytes.as_ref()).into()
}

/// Runs of one byte from this length on are written as such.
const RUN: usize = 40;

/// Writes bytes as hex in which long runs of one byte are shortened.
pub(super) fn short(bytes: impl AsRef<[u8]>) -> Value {
    let mut parts: Vec<Value> = Vec::new();
    let mut between = Vec::new();
    for run in bytes.as_ref().chunk_by(|one, other| one == other) {
        if run.len() < RUN {
            between.extend_from_slice(run);
        } else {
            if !between.is_empty() {
                parts.push(plain(std::mem::take(&mut between)));
            }
            parts.push(repeat(&run[..1], run.len()));
        }
    }
    if parts.is_empty() {
        return plain(between);
    }
    if !between.is_empty() {
        parts.push(plain(between));
    }
    concat(&parts)
}

pub(super) fn repeat(pattern: &[u8], len: usize) -> Value {
    json!({"repeat": plain(pattern), "len": len})
}

pub(super) fn concat(parts: &[Value]) -> Value {
    json!({"concat": parts})
}

pub(super) fn part(of: &Value, from: usize, to: usize) -> Value {
    json!({"of": of, "from": from, "to": to})
}

pub(super) fn sealed(key: &[u8; 32], content: &Value) -> Value {
    json!({"sealed": {"key": plain(key), "plain": content}})
}
