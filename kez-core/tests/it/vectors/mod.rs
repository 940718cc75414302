//! The test vectors of `tests/vectors`, whose README describes them: made here, kept as files, and read back from the
//! files through the core's public API.
//!
//! A maker states by hand the code that refuses a case, and what comes out wherever that can be stated; what only
//! arithmetic gives is computed here, and computed again by the reader in `docs/interop`.

mod bytes;
mod case;
mod check;
mod forge;
mod make;
mod replay;

use std::{collections::BTreeSet, env, fs, io::Write, path::PathBuf, sync::OnceLock};

use kez_core::Code;

use case::File;

/// Set, the files are written instead of compared.
const WRITE: &str = "KEZ_VECTORS_WRITE";

/// A name, what makes the file, what checks a case of it, and how many cases it has at least.
type Family = (&'static str, fn() -> File, check::Check, usize);

const FAMILIES: [Family; 6] = [
    ("identity", make::identity, check::identity::run, 20),
    ("sigchain", make::sigchain, check::sigchain::run, 35),
    ("envelope", make::envelope, check::envelope::run, 30),
    ("files", make::files, check::files::run, 15),
    ("manifest", make::manifest, check::manifest::run, 15),
    ("broker", make::broker, check::broker::run, 15),
];

/// Codes that no case can show, each with the reason.
const UNSHOWN: [(Code, &str); 0] = [];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name).with_extension("json")
}

/// Makes all files once, and writes them if that is asked for, before any test reads one.
fn made() -> &'static [(&'static str, String)] {
    static MADE: OnceLock<Vec<(&'static str, String)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let made: Vec<_> = FAMILIES.iter().map(|(name, make, ..)| (*name, make().to_text())).collect();
        if env::var_os(WRITE).is_some() {
            for (name, text) in &made {
                fs::write(path(name), text).unwrap();
            }
        }
        made
    })
}

#[test]
fn are_current() {
    for (name, text) in made() {
        let kept = fs::read_to_string(path(name)).unwrap_or_default();
        let differs = kept.lines().zip(text.lines()).position(|(kept, made)| kept != made);
        let line = differs.unwrap_or_else(|| kept.lines().count().min(text.lines().count())) + 1;
        assert!(kept == *text, "{name}.json is not what is made today, from line {line} on: run `cargo xtask vectors`");
    }
}

#[test]
fn are_taken() {
    made();
    let (mut ok, mut refused) = (0, 0);
    let (mut shown, mut faults) = (BTreeSet::new(), Vec::new());
    for (name, _, check, least) in FAMILIES {
        let file = File::from_text(&fs::read_to_string(path(name)).unwrap());
        if file.cases.len() < least {
            faults.push(format!("{name}.json has {} cases, below {least}", file.cases.len()));
        }
        let mut names = BTreeSet::new();
        for case in &file.cases {
            if !names.insert(&case.name) {
                faults.push(format!("{name}.json has two cases {:?}", case.name));
            }
            let (expect, out) = check::outcome(check, &case.op, &case.input);
            if (expect, &out) != (case.expect.as_str(), &case.out) {
                faults.push(format!("{name}.json, {:?}: {expect} {out:?} instead of {}", case.name, case.expect));
            }
            if expect == "ok" {
                ok += 1;
            } else {
                refused += 1;
                shown.insert(expect);
            }
        }
    }
    for code in Code::ALL {
        let exempt = UNSHOWN.iter().any(|(unshown, _)| unshown == code);
        if shown.contains(code.as_str()) == exempt {
            faults.push(format!("{code} is either shown by a case or has a reason not to be"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // Past the test harness, which keeps what `println!` says for itself, and on a line of its own.
    writeln!(std::io::stdout(), "\nvectors: {ok} ok, {refused} refused as named").unwrap();
}
