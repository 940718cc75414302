//! The documents name tests and files; both exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/SECURITY.md",
    "docs/PROTOCOL.md",
    "docs/EXPORT.md",
    "docs/interop/README.md",
    "benches/RESULTS.md",
    "kez-core/tests/vectors/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the folder of a crate by its name.
fn folder_of(krate: &str) -> PathBuf {
    root().join(match krate {
        "kez-chat-cli" => "examples/cli",
        "kez-torture" => "torture",
        krate => krate,
    })
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// Finds `crate: test` between backticks; a line's end may stand between the two.
fn named_tests(text: &str) -> Vec<(String, String)> {
    let spans = text.split('`').skip(1).step_by(2);
    let pairs = spans.filter_map(|span| span.split_once(':')).filter(|(krate, _)| folder_of(krate).is_dir());
    pairs.map(|(krate, test)| (krate.to_owned(), test.trim().to_owned())).collect()
}

#[test]
fn every_named_test_exists() {
    let mut count = 0;
    for document in ["docs/SECURITY.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for (krate, test) in named_tests(&text) {
            count += 1;
            let mut files = Vec::new();
            rust_files(&folder_of(&krate), &mut files);
            let name = test.rsplit("::").next().unwrap();
            let found = if test.contains('/') || !test.contains("::") && files.iter().any(|file| file.ends_with(name)) {
                folder_of(&krate).join(&test).exists()
            } else {
                let (function, module) = (format!("fn {name}("), format!("mod {name};"));
                files
                    .iter()
                    .map(|file| fs::read_to_string(file).unwrap())
                    .any(|code| code.contains(&function) || code.contains(&module))
            };
            assert!(found, "{document} names {krate}: {test}, which does not exist");
        }
    }
    assert!(count > 30, "the documents name their tests as `crate: test`, but only {count} were found");
}

#[test]
fn every_linked_file_exists() {
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            let outside = target.contains("://") || target.is_empty();
            assert!(outside || path.parent().unwrap().join(target).exists(), "{document} links to {link}");
        }
    }
}
