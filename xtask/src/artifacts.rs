//! Which test binaries `cargo test --no-run` has built.

use std::path::{Path, PathBuf};

/// One test binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The folder of its package.
    pub(crate) package: PathBuf,
    /// The program.
    pub(crate) program: PathBuf,
}

impl TestBinary {
    /// Reads one line of cargo's JSON messages; `None` if it is about something else.
    ///
    /// Cargo writes compact JSON, of which two texts and a flag are wanted here: not worth a parser to build.
    pub(crate) fn from_message(line: &str) -> Option<Self> {
        let profile = line.split_once(r#""profile":{"#)?.1.split_once('}')?.0;
        if !line.starts_with(r#"{"reason":"compiler-artifact""#) || !profile.contains(r#""test":true"#) {
            return None;
        }
        let program = PathBuf::from(text(line, "executable")?);
        let manifest = PathBuf::from(text(line, "manifest_path")?);
        Some(Self { package: manifest.parent().map(Path::to_path_buf)?, program })
    }
}

/// Returns the text of the member `name`; a path with `"` or `\` in it is not for us.
fn text<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = format!(r#""{name}":""#);
    let (text, _) = line.split_once(&start)?.1.split_once('"')?;
    (!text.contains('\\')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/kez-core#0.1.0","manifest_path":"/w/kez-core/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"it","src_path":"/w/kez-core/tests/it/main.rs","edition":"2024","doc":false,"doctest":false,"test":true},"profile":{"opt_level":"0","debuginfo":"line-tables-only","debug_assertions":true,"overflow_checks":true,"test":true},"features":[],"filenames":["/w/target/debug/deps/it-12"],"executable":"/w/target/debug/deps/it-12","fresh":true}"#;

    #[test]
    fn test_binaries_are_found() {
        let found = TestBinary::from_message(TEST).unwrap();
        assert_eq!(found.package, Path::new("/w/kez-core"));
        assert_eq!(found.program, Path::new("/w/target/debug/deps/it-12"));
    }

    #[test]
    fn other_messages_are_passed_over() {
        let ordinary_binary =
            TEST.replace(r#""overflow_checks":true,"test":true"#, r#""overflow_checks":true,"test":false"#);
        let library = TEST.replace(r#""executable":"/w/target/debug/deps/it-12""#, r#""executable":null"#);
        let other = TEST.replace("compiler-artifact", "compiler-message");
        for line in [&ordinary_binary, &library, &other, r#"{"reason":"build-finished","success":true}"#, ""] {
            assert_eq!(TestBinary::from_message(line), None, "{line}");
        }
    }
}
