//! The tables of `docs/API.md`, from the schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::schema;

/// Where the tables begin; they go on to the end of the file.
const BEGIN: &str = "<!-- What follows is what `kez-chat api --markdown` writes; a test compares the two. Renew it with
     sed -i '/^<!-- What follows/,$d' docs/API.md && target/debug/kez-chat api --markdown >> docs/API.md -->";

/// Writes all calls, and all types that they and the notifications are made of.
pub(crate) fn markdown() -> String {
    let types = Types(schema()["$defs"].take());
    let mut text = format!("{BEGIN}\n\n## Calls\n\n| call | parameters | answer |\n|---|---|---|\n");
    for (call, answer) in types.variants("Request").zip(types.variants("Answer")) {
        let params = types.named(&call["properties"]["params"]);
        let method = quoted(&call["properties"]["method"]["const"]);
        let does = said(params);
        let takes = types.members(params, None);
        let gives = types.kind(&answer["properties"]["result"]);
        let _ = writeln!(text, "| `{method}` {does} | {takes} | {gives} |");
    }
    text.push_str("\n## Notifications\n\n| method | parameters | |\n|---|---|---|\n");
    for told in types.variants("Notification") {
        let (method, params) = (quoted(&told["properties"]["method"]["const"]), &told["properties"]["params"]);
        let _ = writeln!(text, "| `{method}` | {} | {} |", types.kind(params), said(told));
    }
    text.push_str("\n## Types\n\nA member with `?` may be missing, or `null`.\n\n");
    let mut parameters: Vec<_> =
        types.variants("Request").map(|call| reference(&call["properties"]["params"])).collect();
    parameters.extend(["Request", "Answer", "Notification", "Line", "Object", "Done"].map(Some));
    let all = types.0.as_object().into_iter().flatten();
    for (name, schema) in all.filter(|(name, _)| !parameters.contains(&Some(name))) {
        types.write(&mut text, &format!("**{name}**"), schema);
    }
    text.push_str("\n## Lines of `--json`\n\nEvents, and these:\n\n");
    types.write(&mut text, "**line**", &types.0["Object"]);
    text
}

/// The definitions by name.
struct Types(Value);

impl Types {
    fn variants(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0[name]["oneOf"].as_array().into_iter().flatten()
    }

    /// Returns what a reference stands for, or the schema itself.
    fn named<'a>(&'a self, schema: &'a Value) -> &'a Value {
        reference(schema).map_or(schema, |name| &self.0[name])
    }

    /// Writes a type, and each of its variants.
    fn write(&self, text: &mut String, name: &str, schema: &Value) {
        let variants: Vec<&Value> =
            ["oneOf", "anyOf"].iter().filter_map(|of| schema[of].as_array()).flatten().collect();
        if variants.is_empty() {
            let _ = writeln!(text, "- {name}: {}", self.members(schema, None));
            return;
        }
        if variants.iter().all(|variant| variant["properties"].is_null()) {
            let kinds: Vec<String> = variants.iter().map(|variant| self.kind(variant)).collect();
            let _ = writeln!(text, "- {name}: {}", kinds.join(" or "));
            return;
        }
        let tag = variants.iter().find_map(|variant| tag(variant));
        let by = tag.map_or_else(String::new, |tag| format!(", by `{tag}`"));
        let _ = writeln!(text, "- {name}{by}:");
        for variant in variants {
            let label = match tag {
                Some(tag) => format!("`{}`", quoted(&variant["properties"][tag]["const"])),
                None if variant["properties"].is_null() => self.kind(variant),
                None => format!("`{{…}}` {}", self.members(variant, None)),
            };
            let rest = match (reference(variant), tag) {
                (Some(name), _) => format!(": {name}"),
                (None, Some(_)) if count(variant) > 1 => format!(": {}", self.members(variant, tag)),
                _ => String::new(),
            };
            let _ = writeln!(text, "  - {label}{rest}");
        }
    }

    /// Lists an object's members: first those that are always there, in their order.
    fn members(&self, schema: &Value, without: Option<&str>) -> String {
        let Some(properties) = schema["properties"].as_object() else {
            return if schema["type"] == "object" { String::new() } else { self.kind(schema) };
        };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut optional: Vec<&str> =
            properties.keys().map(String::as_str).filter(|name| !required.contains(name)).collect();
        optional.sort_unstable();
        let list = required.iter().map(|name| (*name, "")).chain(optional.into_iter().map(|name| (name, "?")));
        let list = list.filter(|(name, _)| Some(*name) != without);
        let list: Vec<String> =
            list.map(|(name, mark)| format!("`{name}{mark}` {}", self.kind(&properties[name]))).collect();
        list.join(", ")
    }

    /// Names what a value is.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            return if count(&self.0[name]) == 0 && self.0[name]["type"] == "object" {
                "`{}`".to_owned()
            } else {
                name.to_owned()
            };
        }
        if let Some(text) = schema["const"].as_str() {
            return format!("`\"{text}\"`");
        }
        if let Some(kinds) = schema["anyOf"].as_array() {
            let kinds = kinds.iter().filter(|kind| kind["type"] != "null");
            return kinds.map(|kind| self.kind(kind)).collect::<Vec<_>>().join(" or ");
        }
        let named = schema["type"].as_array().into_iter().flatten().chain([&schema["type"]]);
        match named.filter_map(Value::as_str).find(|name| *name != "null") {
            Some("array") => format!("list of {}", self.kind(&schema["items"])),
            Some("string") => "text".to_owned(),
            Some("integer") => "number".to_owned(),
            Some("boolean") => "bool".to_owned(),
            Some("object") => format!("{{{}}}", self.members(schema, None)),
            _ => "number or text".to_owned(),
        }
    }
}

/// Returns the name of the type that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// Returns the member that tells a variant from the others.
fn tag(variant: &Value) -> Option<&str> {
    let properties = variant["properties"].as_object()?;
    properties.iter().find(|(_, member)| member["const"].is_string()).map(|(name, _)| name.as_str())
}

fn count(schema: &Value) -> usize {
    schema["properties"].as_object().map_or(0, Map::len)
}

fn quoted(text: &Value) -> &str {
    text.as_str().unwrap_or_default()
}

/// Returns what a schema says of itself, on one line.
fn said(schema: &Value) -> String {
    quoted(&schema["description"]).replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::METHODS;

    fn read(path: &str) -> String {
        std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_documentation_has_every_call_as_it_is() {
        let documented = read("docs/API.md");
        let (_, tables) = documented.split_at(documented.find(BEGIN).expect("the tables have their place"));
        assert!(tables == markdown(), "renew docs/API.md, as it says itself, with\n{}", markdown());
        for method in METHODS {
            assert!(tables.contains(&format!("\n| `{method}` ")), "{method}");
        }
    }

    #[test]
    fn the_bot_of_the_documentation_is_the_one_that_is_tested() {
        let (documented, bot) = (read("docs/API.md"), read("examples/api-bot/bot.py"));
        let (_, code) = bot.rsplit_once("\"\"\"\n").expect("it says what it is first");
        assert!(documented.contains(&format!("```python\n{code}```")), "copy examples/api-bot/bot.py");
    }
}
