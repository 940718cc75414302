//! The schema that others build on.

use std::fs;

use crate::support::schema;

#[test]
fn the_schema_in_the_documentation_is_the_programs_own() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api-schema.json");
    let documented = fs::read_to_string(file).unwrap();
    assert!(
        documented == schema::text(),
        "docs/api-schema.json is not what the types say; kez-chat api --schema > docs/api-schema.json renews it"
    );
}
