//! Which units start with a unit, and in which order.

use std::collections::{BTreeMap, BTreeSet};

/// What a unit wants of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name; it may have been asked for by an alias.
    pub(super) name: String,
    /// Without these it does not start.
    pub(super) requires: Vec<String>,
    /// These are started, too.
    pub(super) wants: Vec<String>,
    /// It starts after these, if they start at all.
    pub(super) after: Vec<String>,
    pub(super) before: Vec<String>,
}

/// One unit to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) unit: String,
    /// Steps that come first, all of them earlier in the list.
    pub(super) after: Vec<usize>,
    /// Those of them whose failure is its failure.
    pub(super) requires: Vec<usize>,
}

/// The most units that start with one.
const MOST: usize = 2048;

/// The steps that start these units with all that they pull in. `load` answers nothing for what cannot be started, which is left out.
/// Circles are broken where they close.
pub(super) fn plan(roots: &[String], load: &mut dyn FnMut(&str) -> Option<Node>) -> Vec<Step> {
    let (nodes, names) = collect(roots, load);
    let canonical = |name: &String| names.get(name).cloned().flatten();
    let mut earlier: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in nodes.values() {
        earlier
            .entry(&node.name)
            .or_default()
            .extend(node.after.iter().filter_map(canonical));
        for later in node
            .before
            .iter()
            .filter_map(canonical)
            .filter_map(|name| nodes.get(&name))
        {
            earlier.entry(&later.name).or_default().insert(node.name.clone());
        }
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut done: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for root in nodes.keys() {
        // A stack instead of recursion: chains may be long.
        let mut stack = vec![(root.as_str(), false)];
        while let Some((name, is_second)) = stack.pop() {
            let before = earlier.get(name).into_iter().flatten();
            let before = before
                .filter_map(|other| nodes.get_key_value(other))
                .map(|(other, _)| other.as_str());
            if is_second {
                let requires: Vec<String> = nodes[name].requires.iter().filter_map(canonical).collect();
                let after: Vec<(&str, usize)> =
                    before.filter_map(|other| Some((other, (*done.get(other)?)?))).collect();
                steps.push(Step {
                    unit: name.to_owned(),
                    requires: after
                        .iter()
                        .filter(|(other, _)| requires.iter().any(|name| name == other))
                        .map(|(_, step)| *step)
                        .collect(),
                    after: after.into_iter().map(|(_, step)| step).collect(),
                });
                done.insert(name, Some(steps.len() - 1));
            } else if !done.contains_key(name) {
                done.insert(name, None);
                stack.push((name, true));
                stack.extend(
                    before
                        .filter(|other| !done.contains_key(other))
                        .map(|other| (other, false)),
                );
            }
        }
    }
    steps
}

/// All units that start, by name, and what each name that was asked for leads to.
fn collect(
    roots: &[String],
    load: &mut dyn FnMut(&str) -> Option<Node>,
) -> (BTreeMap<String, Node>, BTreeMap<String, Option<String>>) {
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut pending: Vec<String> = roots.to_vec();
    while let Some(name) = pending.pop() {
        if names.contains_key(&name) || nodes.len() >= MOST {
            continue;
        }
        let node = load(&name);
        names.insert(name, node.as_ref().map(|node| node.name.clone()));
        if let Some(node) = node
            && !nodes.contains_key(&node.name)
        {
            names.insert(node.name.clone(), Some(node.name.clone()));
            pending.extend(node.requires.iter().chain(&node.wants).cloned());
            nodes.insert(node.name.clone(), node);
        }
    }
    (nodes, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units as lines: `name requires:a,b wants:c after:d before:e`.
    fn load(lines: &'static str) -> impl FnMut(&str) -> Option<Node> {
        move |name| {
            let line = lines.lines().find(|line| line.split(' ').next() == Some(name))?;
            let list = |key: &str| {
                let words = line
                    .split(' ')
                    .filter_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
                words
                    .flat_map(|names| names.split(',').map(str::to_owned))
                    .collect::<Vec<_>>()
            };
            Some(Node {
                name: list("is").pop().unwrap_or(name.to_owned()),
                requires: list("requires"),
                wants: list("wants"),
                after: list("after"),
                before: list("before"),
            })
        }
    }

    fn order(root: &str, lines: &'static str) -> Vec<String> {
        let steps = plan(&[root.to_owned()], &mut load(lines));
        for (index, step) in steps.iter().enumerate() {
            assert!(step.after.iter().all(|earlier| *earlier < index));
        }
        steps.into_iter().map(|step| step.unit).collect()
    }

    #[test]
    fn what_is_wanted_starts_in_its_order() {
        assert_eq!(
            order("a", "a requires:b wants:c after:b,c,x\nb after:c\nc\nx"),
            ["c", "b", "a"]
        );
        assert_eq!(order("a", "a wants:b\nb before:a"), ["b", "a"]);
        assert_eq!(order("a", "a wants:gone"), ["a"]);
    }

    #[test]
    fn only_ordered_requirements_are_waited_for() {
        let steps = plan(
            &["a".to_owned()],
            &mut load("a requires:b,c wants:d after:b,d\nb\nc\nd"),
        );
        let a = steps.iter().find(|step| step.unit == "a").unwrap();
        let named = |indices: &[usize]| {
            indices
                .iter()
                .map(|index| steps[*index].unit.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!((named(&a.after), named(&a.requires)), (vec!["b", "d"], vec!["b"]));
    }

    #[test]
    fn circles_and_aliases_end() {
        let mut circle = order("a", "a requires:b after:b\nb requires:a after:a");
        circle.sort();
        assert_eq!(circle, ["a", "b"]);
        assert_eq!(order("a", "a wants:alias after:alias\nalias is:b\nb"), ["b", "a"]);
    }
}
