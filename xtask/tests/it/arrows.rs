//! The arrows of ARCHITECTURE.md, on normal dependencies: who may know whom.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

/// Which crates of the workspace each one may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kez-core", &[]),
    ("kez-service", &["kez-core"]),
    ("kez-sig-server", &["kez-core", "kez-service"]),
    ("kez-chat-server", &["kez-core", "kez-service"]),
    ("kez-testbed", &["kez-core", "kez-service", "kez-sig-server", "kez-chat-server"]),
    ("kez-chat-sdk", &["kez-core"]),
    ("kez-chat-cli", &["kez-chat-sdk"]),
    ("kez-echo-bot", &["kez-chat-sdk"]),
    ("kez-embed", &["kez-chat-sdk"]),
    ("kez-benches", &["kez-core"]),
    ("kez-cli-benches", &["kez-testbed"]),
    ("kez-files-benches", &["kez-chat-sdk", "kez-testbed"]),
    ("kez-messaging-benches", &["kez-chat-sdk", "kez-core", "kez-testbed"]),
    ("kez-server-benches", &["kez-core", "kez-testbed"]),
    ("kez-torture", &["kez-service", "kez-chat-server", "kez-testbed", "kez-chat-sdk"]),
    ("xtask", &[]),
];

/// What may nowhere be in a crate's tree.
///
/// Nobody here asks for kez-core's feature `aws-lc-rs`: whether C and assembly take part is the application's choice.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("kez-core", &["tokio", "async-nats", "iroh", "rusqlite", "reqwest", "axum", "getrandom", "rand", "aws-lc-rs"]),
    ("kez-service", &["iroh", "iroh-blobs", "kez-chat-sdk"]),
    ("kez-sig-server", &["iroh", "iroh-blobs", "kez-chat-sdk", "async-nats"]),
    ("kez-chat-server", &["iroh", "iroh-blobs", "kez-chat-sdk"]),
    ("kez-testbed", &["iroh", "iroh-blobs", "kez-chat-sdk"]),
    ("xtask", &["tokio", "kez-core"]),
];

/// A package's name, and the packages that it depends on other than for tests and builds.
type Node = (String, Vec<PackageId>);

/// The workspace's crates by name, and every package of the graph.
fn normal_dependencies() -> (BTreeMap<String, PackageId>, BTreeMap<PackageId, Node>) {
    let metadata = MetadataCommand::new().exec().unwrap();
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let graph = metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| {
        let normal = node
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        (node.id.clone(), (names[&node.id].clone(), normal.map(|dependency| dependency.pkg.clone()).collect()))
    });
    let members = metadata.workspace_members.iter().map(|id| (names[id].clone(), id.clone())).collect();
    (members, graph.collect())
}

#[test]
fn arrows_run_one_way() {
    let (members, graph) = normal_dependencies();
    let listed: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(members.keys().cloned().collect::<BTreeSet<_>>(), listed, "a new crate needs its arrows in the list");
    for (name, allowed) in ALLOWED {
        for dependency in &graph[&members[*name]].1 {
            let dependency = &graph[dependency].0;
            let inside = members.contains_key(dependency);
            assert!(!inside || allowed.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
    }
}

#[test]
fn heavy_parts_stay_where_they_belong() {
    let (members, graph) = normal_dependencies();
    for (name, forbidden) in FORBIDDEN {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![members[*name].clone()];
        while let Some(id) = waiting.pop() {
            let (package, dependencies) = &graph[&id];
            assert!(!forbidden.contains(&package.as_str()), "{name} must not bring in {package}");
            waiting.extend(dependencies.iter().filter(|dependency| seen.insert((*dependency).clone())).cloned());
        }
    }
}
