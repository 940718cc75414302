//! The schema that the program tells, and whether what it writes is as it says.

use std::{process::Command, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::KEZ_CHAT;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of(&serde_json::from_str(&text()).unwrap()));

struct Schema {
    call: Validator,
    answer: Validator,
    notification: Validator,
    error_data: Validator,
    line: Validator,
}

impl Schema {
    fn of(schema: &Value) -> Self {
        let part = |name: &str| {
            let part = json!({
                "$schema": schema["$schema"],
                "$defs": schema["$defs"],
                "allOf": [schema["properties"][name]],
            });
            assert!(schema["properties"][name].is_object(), "the schema does not say what a {name} is");
            jsonschema::validator_for(&part).unwrap()
        };
        Self {
            call: part("call"),
            answer: part("answer"),
            notification: part("notification"),
            error_data: part("error_data"),
            line: part("line"),
        }
    }
}

/// Returns the schema as the program writes it.
pub(crate) fn text() -> String {
    let output = Command::new(KEZ_CHAT).args(["api", "--schema"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Reads a line that a command has shown with `--json`.
#[track_caller]
pub(crate) fn line(text: &str) -> Value {
    let value = serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    check(&SCHEMA.line, &value);
    value
}

/// Tells whether the schema knows a call.
pub(crate) fn is_call(method: &str, params: &Value) -> bool {
    SCHEMA.call.is_valid(&json!({ "method": method, "params": params }))
}

/// Checks the answer to a call.
#[track_caller]
pub(crate) fn answer(method: &str, result: &Value) {
    check(&SCHEMA.answer, &json!({ "method": method, "result": result }));
}

/// Checks what tells why a call failed.
#[track_caller]
pub(crate) fn error(error: &Value) {
    assert!(error["code"].is_i64() && error["message"].is_string(), "{error}");
    check(&SCHEMA.error_data, &error["data"]);
}

/// Checks what comes by itself.
#[track_caller]
pub(crate) fn notification(method: &str, params: &Value) {
    check(&SCHEMA.notification, &json!({ "method": method, "params": params }));
}

#[track_caller]
fn check(validator: &Validator, value: &Value) {
    if let Err(error) = validator.validate(value) {
        panic!("it is not as the schema says: {error}\n{value:#}");
    }
}
