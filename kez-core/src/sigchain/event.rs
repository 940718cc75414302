//! One signed event: a compact JWS over canonical JSON.

use data_encoding::BASE64URL_NOPAD;

use super::{
    ChainError, Head, MAX_CHAIN_EVENTS, MAX_EVENT_CHARS, Op, Timestamp,
    json::{self, Object, Value},
};
use crate::{
    handle::Policy,
    identity::{PrimaryKey, SecretKey, Signature, SigningInput, Statement},
};

/// An event whose signature, form and top-level members were checked.
///
/// Whether its operation is sound is kept beside it and asked last, by [`Event::op`]: the order of checks is
/// part of the protocol (§13).
#[derive(Clone, Debug)]
pub struct Event {
    jws: String,
    head: Head,
    primary: PrimaryKey,
    seq: u64,
    prev: Option<Head>,
    ts: Timestamp,
    op: Result<Op, ChainError>,
}

impl Event {
    /// Checks everything that an event says of itself: length, JWS, signature, JSON, members and owner.
    ///
    /// # Errors
    /// [`ChainError`], the first failed check of §13's order.
    pub fn parse(jws: &str, primary: &PrimaryKey, policy: Policy) -> Result<Self, ChainError> {
        let parts = Parts::split(jws)?;
        primary.verify(&Statement::Event(&parts.input), &parts.signature)?;

        let Value::Object(members) = json::parse(&parts.bytes)? else {
            return Err(ChainError::BadEvent { member: "payload" });
        };
        Self::from_members(jws, &parts.input, &members, primary, policy)
    }

    fn from_members(
        jws: &str,
        input: &SigningInput<'_>,
        members: &Object<'_>,
        primary: &PrimaryKey,
        policy: Policy,
    ) -> Result<Self, ChainError> {
        const KNOWN: [&str; 6] = ["op", "prev", "primary", "seq", "ts", "v"];
        if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_ref())) {
            return Err(ChainError::UnknownMember(unknown.to_string()));
        }
        let op = match members.get("op") {
            Some(Value::Object(op)) if matches!(op.get("type"), Some(Value::Text(_))) => op,
            _ => return Err(ChainError::BadEvent { member: "op" }),
        };
        let prev = match members.get("prev") {
            Some(Value::Null) => None,
            Some(Value::Text(text)) => Some(text.parse()?),
            _ => return Err(ChainError::BadEvent { member: "prev" }),
        };
        let is_owned = match members.get("primary") {
            Some(Value::Text(text)) => names(text, primary)?,
            _ => return Err(ChainError::BadEvent { member: "primary" }),
        };
        let seq = match members.get("seq") {
            Some(Value::Integer(seq)) if *seq > MAX_CHAIN_EVENTS => return Err(ChainError::TooLong),
            Some(Value::Integer(seq)) if *seq > 0 => *seq,
            _ => return Err(ChainError::BadEvent { member: "seq" }),
        };
        if prev.is_none() != (seq == 1) {
            return Err(ChainError::BadEvent { member: "prev" });
        }
        let ts = match members.get("ts") {
            Some(Value::Text(text)) => text.parse()?,
            _ => return Err(ChainError::BadEvent { member: "ts" }),
        };
        let version = match members.get("v") {
            Some(Value::Integer(version)) => *version,
            _ => return Err(ChainError::BadEvent { member: "v" }),
        };
        if !is_owned {
            return Err(ChainError::WrongPrimary);
        }
        let op = if version == 1 { Op::parse(op, primary, policy) } else { Ok(Op::unknown(op)) };
        Ok(Self { jws: jws.to_owned(), head: Head::of(input), primary: *primary, seq, prev, ts, op })
    }

    /// Reads which key an event names as its owner, for a proof that stands on its own. Nothing is verified yet.
    pub(super) fn named_primary(jws: &str) -> Result<PrimaryKey, ChainError> {
        let parts = Parts::split(jws)?;
        let Value::Object(members) = json::parse(&parts.bytes)? else {
            return Err(ChainError::BadEvent { member: "payload" });
        };
        match members.get("primary") {
            Some(Value::Text(text)) => text.parse().map_err(|_| ChainError::BadEvent { member: "primary" }),
            _ => Err(ChainError::BadEvent { member: "primary" }),
        }
    }

    /// Signs the event that does `op` after `prev`, the chain's `seq − 1`th.
    pub(super) fn sign(key: &SecretKey, seq: u64, prev: Option<Head>, ts: &Timestamp, op: Op) -> Self {
        let primary = key.primary();
        let payload = Value::Object(Object::from([
            ("op".into(), Value::Object(op.to_object(&primary))),
            ("prev".into(), prev.map_or(Value::Null, |prev| prev.to_string().into())),
            ("primary".into(), primary.to_string().into()),
            ("seq".into(), Value::Integer(seq)),
            ("ts".into(), ts.as_str().into()),
            ("v".into(), Value::Integer(1)),
        ]));
        let input = SigningInput::new(&BASE64URL_NOPAD.encode(&json::to_canonical(&payload)));
        let signature = key.sign(&Statement::Event(&input));
        let jws = format!("{}.{}", input.as_str(), signature.to_base64());
        Self { jws, head: Head::of(&input), primary, seq, prev, ts: ts.clone(), op: Ok(op) }
    }

    /// Returns the compact JWS: the bytes that are signed, stored and sent on.
    #[must_use]
    pub fn jws(&self) -> &str {
        &self.jws
    }

    /// Returns the event's name. Two events with the same head are the same event (§4).
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Returns the chain's owner.
    #[must_use]
    pub fn primary(&self) -> &PrimaryKey {
        &self.primary
    }

    /// Returns the event's place, counted from 1.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the predecessor's name; the first event has none.
    #[must_use]
    pub fn prev(&self) -> Option<Head> {
        self.prev
    }

    /// Returns when its author says that it was signed.
    #[must_use]
    pub fn ts(&self) -> &Timestamp {
        &self.ts
    }

    /// Returns what the event does.
    ///
    /// # Errors
    /// [`ChainError::UnknownMember`] or [`ChainError::BadEvent`] if a known operation does not have its form.
    pub fn op(&self) -> Result<&Op, &ChainError> {
        self.op.as_ref()
    }
}

/// A compact JWS with the one header, decoded and not verified.
struct Parts<'a> {
    input: SigningInput<'a>,
    bytes: Vec<u8>,
    signature: Signature,
}

impl<'a> Parts<'a> {
    fn split(jws: &'a str) -> Result<Self, ChainError> {
        if jws.len() > MAX_EVENT_CHARS {
            return Err(ChainError::TooLong);
        }
        let (signed, signature) = jws.rsplit_once('.').ok_or(ChainError::BadJws)?;
        let (_, payload) = signed.split_once('.').ok_or(ChainError::BadJws)?;
        if payload.contains('.') {
            return Err(ChainError::BadJws);
        }
        let (input, payload) = SigningInput::parse(signed).ok_or(ChainError::BadJwsHeader)?;
        let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).map_err(|_| ChainError::BadBase64)?;
        Ok(Self { input, bytes, signature: Signature::from_base64(signature)? })
    }
}

/// Tells whether a text names this key; a text that names none is malformed. Soundness takes longer to tell than all
/// else about an event, so it is asked only of a key that is another.
fn names(text: &str, primary: &PrimaryKey) -> Result<bool, ChainError> {
    if primary.is_written(text) {
        return Ok(true);
    }
    match text.parse::<PrimaryKey>() {
        Ok(_) => Ok(false),
        Err(_) => Err(ChainError::BadEvent { member: "primary" }),
    }
}
