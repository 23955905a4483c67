//! A local process with all that it has started: ended together when the work that needs them is dropped.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

/// Kills the process and its descendants when it is dropped, unless the process has ended by itself.
pub(crate) struct ProcessTree {
    root: Option<u32>,
}

impl ProcessTree {
    /// The tree below a process that runs.
    pub(crate) fn of(root: Option<u32>) -> Self {
        Self { root }
    }

    /// The process has ended and been waited for: its number may belong to another one now.
    pub(crate) fn ended(mut self) {
        self.root = None;
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        let Some(root) = self.root else { return };
        // Parents first, so that none of them can answer to the end of a child by starting another.
        for process in descendants(root, &parents()) {
            if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                // It may have ended in the meantime.
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}

/// The process and what it has started, parents before children.
fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents
            .iter()
            .filter(|(child, of)| **of == parent && !found.contains(child))
            .map(|(child, _)| *child);
        let children: Vec<u32> = children.collect();
        found.extend(children);
        next += 1;
    }
    found
}

/// Process → its parent, of all processes; empty where there is no `/proc`.
fn parents() -> BTreeMap<u32, u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|process| Some((process, parent(process)?)))
        .collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; after it come state and parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_over_generations_and_others_are_not() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 2), (5, 4), (6, 1), (7, 99)]);
        assert_eq!(descendants(2, &parents), [2, 3, 4, 5]);
    }

    #[test]
    fn this_process_has_a_parent() {
        assert!(parents().contains_key(&std::process::id()));
    }
}
