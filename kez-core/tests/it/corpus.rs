//! The fuzz targets' seeds and finds, replayed. `cargo xtask fuzz --write-seeds` writes the seeds anew.

#[path = "../../../fuzz/src/targets/mod.rs"]
#[allow(unreachable_pub, reason = "the programs in fuzz/ call these from outside")]
pub(crate) mod targets;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use targets::TARGETS;

/// Set, the seeds are written instead of compared.
const WRITE: &str = "KEZ_SEEDS_WRITE";
/// A corpus is cloned with every checkout.
const MAX_CORPUS_BYTES: usize = 200_000;

fn fuzz_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)
}

/// Lists what lies in a folder, by name.
fn list(folder: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect()
}

/// Returns the inputs of each target by its name, each by its file's name.
fn corpus() -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let inputs = |folder: PathBuf| list(&folder).into_iter().map(|(name, path)| (name, fs::read(path).unwrap()));
    list(&fuzz_folder("corpus")).into_iter().map(|(target, folder)| (target, inputs(folder).collect())).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let programs = list(&fuzz_folder("fuzz_targets")).into_keys();
    assert_eq!(programs.map(|file| file.trim_end_matches(".rs").to_owned()).collect::<BTreeSet<_>>(), targets);
    assert_eq!(corpus().into_keys().collect::<BTreeSet<_>>(), targets);
}

#[test]
fn no_input_of_the_corpus_shows_a_fault() {
    let corpus = corpus();
    for target in TARGETS {
        for (name, input) in &corpus[target.name] {
            // Where one fails, this is the last line.
            println!("{}/{name}", target.name);
            (target.run)(input);
        }
    }
}

#[test]
fn every_seed_is_in_the_corpus_and_it_is_small() {
    let mut corpus = corpus();
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 5, "{} starts from too little", target.name);
        for (name, bytes) in seeds {
            if env::var_os(WRITE).is_some() {
                let folder = fuzz_folder("corpus").join(target.name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(name), &bytes).unwrap();
                corpus.entry(target.name.to_owned()).or_default().insert(name.to_owned(), bytes);
            } else {
                assert_eq!(corpus[target.name].get(name), Some(&bytes), "{}/{name} is not what is made", target.name);
            }
        }
    }
    let bytes: usize = corpus.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    assert!(bytes < MAX_CORPUS_BYTES, "{bytes} bytes");
}
