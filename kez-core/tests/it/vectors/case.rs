//! The files' form.

use kez_core::Code;
use serde::Deserialize;
use serde_json::{Value, json};

use super::check::{self, Check};

/// One file: what it is about, and its cases in the order in which they were made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    about: String,
    pub(super) cases: Vec<Case>,
    /// What computes the outputs of cases that are only said to succeed.
    #[serde(skip)]
    check: Option<Check>,
}

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) op: String,
    #[serde(rename = "in")]
    pub(super) input: Value,
    pub(super) expect: String,
    #[serde(default)]
    pub(super) out: Option<Value>,
}

impl Case {
    fn to_text(&self) -> String {
        let Self { name, op, input, expect, out } = self;
        let members = [
            ("name", Some(json!(name))),
            ("op", Some(json!(op))),
            ("in", Some(input.clone())),
            ("expect", Some(json!(expect))),
            ("out", out.clone()),
        ];
        let members = members.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\": {}", value?)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
    }
}

impl File {
    pub(super) fn new(about: &str, check: Check) -> Self {
        Self { about: about.to_owned(), cases: Vec::new(), check: Some(check) }
    }

    pub(super) fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    /// Writes the file, a line for each case. What is not ASCII is escaped, so that nothing invisible hides.
    pub(super) fn to_text(&self) -> String {
        let cases: Vec<String> = self.cases.iter().map(Case::to_text).collect();
        let about = json!(self.about);
        let text = format!("{{\n\"about\": {about},\n\"cases\": [\n{}\n]\n}}\n", cases.join(",\n"));
        let mut out = String::new();
        for character in text.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                out.push(character);
            } else {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
        out
    }

    /// Adds a case that gives `out`.
    pub(super) fn gives(&mut self, name: &str, op: &str, input: Value, out: Value) {
        self.add(name, op, input, "ok", Some(out));
    }

    /// Adds a case that succeeds; its outputs are the core's.
    pub(super) fn ok(&mut self, name: &str, op: &str, input: Value) {
        let out = self.outputs(name, op, &input);
        self.gives(name, op, input, out);
    }

    /// Adds a case that succeeds and has nothing to give.
    pub(super) fn passes(&mut self, name: &str, op: &str, input: Value) {
        self.gives(name, op, input, json!({}));
    }

    /// Adds a case that is refused.
    pub(super) fn refused(&mut self, name: &str, op: &str, input: Value, code: Code) {
        self.add(name, op, input, code.as_str(), None);
    }

    /// Adds a case that ends with a code and has outputs all the same.
    pub(super) fn marked(&mut self, name: &str, op: &str, input: Value, code: Code, out: Value) {
        self.add(name, op, input, code.as_str(), Some(out));
    }

    /// Returns the core's outputs for something that succeeds.
    pub(super) fn outputs(&self, name: &str, op: &str, input: &Value) -> Value {
        match check::outcome(self.check.unwrap(), op, input) {
            ("ok", Some(out)) => out,
            (code, _) => panic!("{name:?} was meant to succeed: {code}"),
        }
    }

    fn add(&mut self, name: &str, op: &str, input: Value, expect: &str, out: Option<Value>) {
        self.cases.push(Case { name: name.to_owned(), op: op.to_owned(), input, expect: expect.to_owned(), out });
    }
}
