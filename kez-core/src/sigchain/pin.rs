//! Where an earlier walk ended.

use super::{
    ChainError, Event, Op, State,
    json::{self, Object, Value},
};
use crate::{handle::Policy, identity::PrimaryKey};

/// Rises when this crate learns operations that it stepped over before.
const VERSION: u64 = 1;

/// The last event of a walk and what the chain said there: all that is needed to go on without walking again (§4).
///
/// It is a reader's own memory and worth as much as the place where it is kept: only the event's signature is checked
/// when it is read back, the state beside it is believed. As bytes it is a JSON object of the event, its owner, the
/// operations that make the state, and the version of what is known of operations: a later one, which knows operations
/// that this one steps over, has to walk from the start.
#[derive(Clone, Debug)]
pub struct Pin {
    pub(super) event: Event,
    pub(super) state: State,
    pub(super) policy: Policy,
}

impl Pin {
    /// Returns the pinned event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns what the chain said at the pinned event.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Writes the pin for a reader's own store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let primary = self.event.primary();
        let ops = self.state.to_ops();
        let ops = ops.iter().map(|op| Value::Object(op.to_object(primary))).collect();
        json::to_canonical(&Value::Object(Object::from([
            ("event".into(), self.event.jws().into()),
            ("ops".into(), Value::Array(ops)),
            ("primary".into(), primary.to_string().into()),
            ("v".into(), Value::Integer(VERSION)),
        ])))
    }

    /// Reads what [`Pin::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ChainError`] if the bytes are damaged or of another version, or the event is not its owner's: walk from the start
    /// again.
    pub fn from_bytes(bytes: &[u8], policy: Policy) -> Result<Self, ChainError> {
        let bad = |member| ChainError::BadEvent { member };
        let Value::Object(members) = json::parse(bytes)? else { return Err(bad("pin")) };
        if members.get("v") != Some(&Value::Integer(VERSION)) {
            return Err(bad("v"));
        }
        if let Some(unknown) = members.keys().find(|name| !["event", "ops", "primary", "v"].contains(&name.as_ref())) {
            return Err(ChainError::UnknownMember(unknown.to_string()));
        }
        let text = |member| match members.get(member) {
            Some(Value::Text(text)) => Ok(text.as_ref()),
            _ => Err(bad(member)),
        };
        let primary: PrimaryKey = text("primary")?.parse().map_err(|_| bad("primary"))?;
        let event = Event::parse(text("event")?, &primary, policy)?;
        let Some(Value::Array(ops)) = members.get("ops") else { return Err(bad("ops")) };
        let mut state = State::default();
        for op in ops {
            let Value::Object(op) = op else { return Err(bad("ops")) };
            match Op::parse(op, &primary, policy)? {
                Op::Unknown { .. } => return Err(bad("ops")),
                op => state.apply(&op),
            }
        }
        Ok(Self { event, state, policy })
    }
}
