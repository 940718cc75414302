//! The JSON Schema of calls, answers, notifications and lines, from the types.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{Answer, Line, Request, VERSION, event::Notification, wire::RpcErrorData};

/// Returns the schema (JSON Schema 2020-12).
pub(crate) fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let call = generator.subschema_for::<Request>();
    let answer = generator.subschema_for::<Answer>();
    let notification = generator.subschema_for::<Notification>();
    let line = generator.subschema_for::<Line>();
    let error = generator.subschema_for::<RpcErrorData>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kez-chat api",
        "version": VERSION,
        "description": "Calls, their answers, what comes by itself, the data of errors, and the lines of --json",
        "properties": {
            "call": call,
            "answer": answer,
            "notification": notification,
            "error_data": error,
            "line": line,
        },
        "$defs": generator.take_definitions(true),
    })
}
