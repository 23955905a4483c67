//! No circles: within a crate, files that use each other in a circle are either the parts of one idea, listed below with what the idea
//! is, or a mistake; and so are directories. A directory counts as one, with all that is below it, among the files beside it.
//! A module's own file (`mod.rs`, `lib.rs`, `main.rs`, or a file beside the directory of its name) is made of the modules below it: that it uses them counts for
//! nothing, so that they may use what it defines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::dependencies::packages;
use crate::modules::{Uses, uses};
use crate::tree::root;

/// Files that are one idea: what it is, and the files.
const ONE_IDEA: &[(&str, &[&str])] = &[];

type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

#[test]
fn files_and_directories_use_each_other_in_no_circle() {
    let mut report = String::new();
    for root in crate_roots() {
        let uses = uses(&root);
        for circle in circles_of_files(&uses).into_iter().chain(circles_of_directories(&uses)) {
            if !ONE_IDEA.iter().any(|(_, row)| is_among(&circle, row)) {
                describe(&circle, &uses, &mut report);
            }
        }
    }
    assert!(report.is_empty(), "circles:\n{report}");
}

/// The root files of the workspace's libraries and programs.
fn crate_roots() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let is_code = ["lib", "bin"].iter().any(|kind| target["kind"][0] == *kind);
            let file = Path::new(target["src_path"].as_str().unwrap());
            if let Ok(file) = file.strip_prefix(root)
                && is_code
            {
                found.push(file.to_owned());
            }
        }
    }
    found.sort();
    found
}

fn circles_of_files(uses: &Uses) -> Vec<BTreeSet<PathBuf>> {
    circles(&graph(uses, Path::to_owned))
}

/// In each directory, the circles that pass through one of its subdirectories.
fn circles_of_directories(uses: &Uses) -> Vec<BTreeSet<PathBuf>> {
    let files: BTreeSet<&PathBuf> = uses.iter().flat_map(|(user, used)| used.keys().chain([user])).collect();
    let directories: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    let mut found = Vec::new();
    for directory in directories {
        let below: Uses = uses
            .iter()
            .filter(|(user, _)| home(user).starts_with(directory))
            .map(|(user, used)| {
                let used = used.iter().filter(|(file, _)| home(file).starts_with(directory));
                (
                    user.clone(),
                    used.map(|(file, names)| (file.clone(), names.clone())).collect(),
                )
            })
            .collect();
        let part = |file: &Path| {
            let inside = home(file).strip_prefix(directory).unwrap().components().count();
            let up = inside.saturating_sub(1);
            home(file).ancestors().nth(up).unwrap().to_owned()
        };
        let circles = circles(&graph(&below, part));
        found.extend(
            circles
                .into_iter()
                .filter(|circle| circle.iter().any(|part| root().join(part).is_dir())),
        );
    }
    found
}

/// Where a file is at home: beside a directory of its name it is a part of that.
fn home(file: &Path) -> PathBuf {
    let directory = file.with_extension("");
    if root().join(&directory).is_dir() {
        directory.join(file.file_name().unwrap())
    } else {
        file.to_owned()
    }
}

/// Whether a file is the one of a module that contains the other file.
fn is_made_of(user: &Path, file: &Path) -> bool {
    let home = home(user);
    let is_own_file = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| home.ends_with(name)) || home != user;
    is_own_file && file.starts_with(home.parent().unwrap())
}

fn graph(uses: &Uses, part: impl Fn(&Path) -> PathBuf) -> Graph {
    let mut graph = Graph::new();
    for (user, used) in uses {
        let from = part(user);
        for file in used.keys() {
            let to = part(file);
            if from != to && !is_made_of(user, file) {
                graph.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    graph
}

/// The strongly connected parts of a graph that have more than one node.
fn circles(graph: &Graph) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = graph.keys().map(|node| (node, reach(graph, node))).collect();
    let mut circles: BTreeSet<BTreeSet<PathBuf>> = BTreeSet::new();
    for (node, targets) in &reached {
        let back = targets
            .iter()
            .filter(|target| reached.get(*target).is_some_and(|back| back.contains(*node)));
        let circle: BTreeSet<PathBuf> = back.map(|node| (*node).clone()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reach<'a>(graph: &'a Graph, start: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![start];
    while let Some(node) = pending.pop() {
        for next in graph.get(node).into_iter().flatten() {
            if seen.insert(next) {
                pending.push(next);
            }
        }
    }
    seen
}

fn is_among(circle: &BTreeSet<PathBuf>, row: &[&str]) -> bool {
    circle
        .iter()
        .all(|part| row.iter().any(|listed| part == Path::new(listed)))
}

/// The circle with the names that make it.
fn describe(circle: &BTreeSet<PathBuf>, uses: &Uses, report: &mut String) {
    let names: Vec<String> = circle.iter().map(|part| part.display().to_string()).collect();
    writeln!(report, "\n{}", names.join(", ")).unwrap();
    let part = |file: &Path| {
        circle
            .iter()
            .find(|part| home(file).starts_with(part) || file == part.as_path())
    };
    for (user, used) in uses {
        for (file, names) in used {
            if let (Some(from), Some(to)) = (part(user), part(file))
                && from != to
                && !is_made_of(user, file)
            {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (user, file) = (user.display(), file.display());
                writeln!(report, "  {user} -> {file}: {}", names.join(", ")).unwrap();
            }
        }
    }
}
