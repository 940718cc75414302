//! Runs a case through the core's public API.

pub(super) mod broker;
pub(super) mod envelope;
pub(super) mod files;
pub(super) mod identity;
pub(super) mod manifest;
pub(super) mod sigchain;

use data_encoding::HEXLOWER;
use kez_core::{
    Code,
    broker::{FrameError, LoginError, callout::CalloutError},
    claim::ClaimError,
    contact_uri::UriError,
    envelope::EnvelopeError,
    filecrypt::{FileError, FileKey},
    handle::{Handle, HandleError, Home, Policy},
    identity::{KeyError, PrimaryKey, SecretKey, SignatureError},
    manifest::ManifestError,
    mnemonic::MnemonicError,
    payload::{FileEntry, PayloadError, SharePath},
    sigchain::ChainError,
};
use serde_json::{Value, json};

/// Runs one operation.
pub(super) type Check = fn(op: &str, input: &Value) -> Outcome;
type Outcome = Result<Value, Refusal>;

/// A code, and the outputs that some operations have all the same.
pub(super) struct Refusal {
    code: Code,
    out: Option<Value>,
}

impl Refusal {
    fn with(code: Code, out: Value) -> Self {
        Self { code, out: Some(out) }
    }
}

macro_rules! refusals {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self { code: error.code(), out: None }
            }
        })+
    };
}

refusals! {
    CalloutError, ChainError, ClaimError, EnvelopeError, FileError, FrameError, HandleError, KeyError, LoginError, ManifestError,
    MnemonicError, PayloadError, SignatureError, UriError,
}

/// Returns what a case is to expect, and its `out`.
pub(super) fn outcome(check: Check, op: &str, input: &Value) -> (&'static str, Option<Value>) {
    match check(op, input) {
        Ok(out) => ("ok", Some(out)),
        Err(Refusal { code, out }) => (code.as_str(), out),
    }
}

/// Takes an object's members, which are to be exactly these.
pub(super) fn members<'a, const N: usize>(object: &'a Value, names: [&str; N]) -> [&'a Value; N] {
    let (mut found, mut wanted): (Vec<&str>, _) =
        (object.as_object().unwrap().keys().map(String::as_str).collect(), names.to_vec());
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "members of {object}");
    names.map(|name| &object[name])
}

fn unknown(op: &str) -> ! {
    panic!("there is no operation {op:?} in this file")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Takes what may be absent, written as `null`.
fn optional<'a, T>(value: &'a Value, take: impl FnOnce(&'a Value) -> T) -> Option<T> {
    if value.is_null() { None } else { Some(take(value)) }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no integer from 0"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no array"))
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    let bytes = HEXLOWER.decode(text(value).as_bytes()).unwrap();
    bytes.try_into().unwrap_or_else(|_| panic!("{value} is not {N} bytes"))
}

fn seed(value: &Value) -> SecretKey {
    SecretKey::from_seed(array(value))
}

fn key(value: &Value) -> Result<PrimaryKey, KeyError> {
    text(value).parse()
}

fn policy(value: &Value) -> Policy {
    match text(value) {
        "production" => Policy::Production,
        "development" => Policy::Development,
        other => panic!("there is no policy {other:?}"),
    }
}

fn production_home(value: &Value) -> Result<Home, HandleError> {
    Home::parse(text(value), Policy::Production)
}

fn shown(handle: &Handle) -> Value {
    handle.to_string().into()
}

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    HEXLOWER.encode(bytes.as_ref()).into()
}

/// Writes an absent thing as `null`.
fn or_null<T>(value: Option<T>, write: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, write)
}

fn entry(entry: &FileEntry) -> Value {
    json!({
        "path": entry.path.as_str(),
        "media": entry.media_type,
        "blob_hash": hex(entry.blob_hash),
        "key": hex(entry.key.expose_bytes()),
        "plain_hash": hex(entry.plain_hash),
        "plain_len": entry.plain_len,
    })
}

fn read_entry(value: &Value) -> Result<FileEntry, PayloadError> {
    let [path, media, blob_hash, key, plain_hash, plain_len] =
        members(value, ["path", "media", "blob_hash", "key", "plain_hash", "plain_len"]);
    Ok(FileEntry {
        path: SharePath::parse(text(path))?,
        media_type: text(media).to_owned(),
        blob_hash: array(blob_hash),
        key: FileKey::from_bytes(array(key)),
        plain_hash: array(plain_hash),
        plain_len: number(plain_len),
    })
}
