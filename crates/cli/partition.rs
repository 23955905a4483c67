//! `-partition`: the part of the builds that this machine bakes. Which part a build belongs to depends on its name and on how many parts
//! there are, on nothing else: a build that is added moves no other one, and another part takes few from each.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::exit::Failure;
use crate::process::Process;

/// What is typed: `2/5`, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartitionArg {
    /// This part.
    Part(Part),
    /// The part of the job that this process runs in.
    Auto,
}

/// One of several parts, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    number: u32,
    count: u32,
}

/// Why a part is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartError {
    #[error("neither `I/N`, such as `1/4`, nor `auto`")]
    Form,
    #[error("there is no part {number} of {count}: parts are counted from 1")]
    Range { number: u32, count: u32 },
}

/// Where a system that distributes a job tells each of its processes which one it is.
struct Source {
    system: &'static str,
    index: &'static str,
    count: &'static str,
    /// What the first index is.
    first: u32,
}

/// What `auto` looks at, in this order: a job in a cluster may have been started by a CI that has variables of its own.
const SOURCES: [Source; 3] = [
    Source {
        system: "a Kubernetes indexed job",
        index: "JOB_COMPLETION_INDEX",
        count: "JOB_COMPLETIONS",
        first: 0,
    },
    Source {
        system: "an AWS Batch array job",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        count: "AWS_BATCH_JOB_ARRAY_SIZE",
        first: 0,
    },
    Source {
        system: "a CI job",
        index: "CI_NODE_INDEX",
        count: "CI_NODE_TOTAL",
        first: 1,
    },
];

impl FromStr for PartitionArg {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (number, count) = text.split_once('/').ok_or(PartError::Form)?;
        let number = number.parse().map_err(|_| PartError::Form)?;
        let count = count.parse().map_err(|_| PartError::Form)?;
        Part::new(number, count).map(Self::Part)
    }
}

impl PartitionArg {
    /// The part that is meant.
    pub(crate) fn part(self, process: &Process) -> Result<Part, Failure> {
        match self {
            PartitionArg::Part(part) => Ok(part),
            PartitionArg::Auto => auto(|name| process.variable(name)),
        }
    }
}

fn auto<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Result<Part, Failure> {
    for source in SOURCES {
        let Some(index) = variable(source.index) else { continue };
        let Some(count) = variable(source.count) else {
            let failure = Failure::new(format!("{} is set, but {} is not", source.index, source.count));
            return Err(failure.help(format!("set {} to the number of parts", source.count)));
        };
        let (index, count) = (index.parse::<u32>(), count.parse::<u32>());
        let part = match (index, count) {
            (Ok(index), Ok(count)) => index
                .checked_add(1)
                .and_then(|number| number.checked_sub(source.first))
                .map(|number| Part::new(number, count)),
            _ => None,
        };
        let wrong = || {
            format!(
                "{} and {} do not name a part of {}",
                source.index, source.count, source.system
            )
        };
        return match part {
            Some(Ok(part)) => Ok(part),
            Some(Err(error)) => Err(Failure::new(wrong()).because(&error)),
            None => Err(Failure::new(wrong())),
        };
    }
    let names = SOURCES.map(|source| source.index).join(", ");
    let failure = Failure::new(format!("-partition=auto found no job: none of {names} is set"));
    Err(failure.help("name the part, as in -partition=1/4"))
}

impl Part {
    fn new(number: u32, count: u32) -> Result<Self, PartError> {
        if (1..=count).contains(&number) {
            Ok(Self { number, count })
        } else {
            Err(PartError::Range { number, count })
        }
    }

    /// Does it contain the build of this name? Rendezvous hashing: a build is in the part whose number makes the greatest SHA-256 with
    /// its name.
    pub(crate) fn contains(self, name: &str) -> bool {
        let weight = |number: &u32| Sha256::digest(format!("{name}\n{number}"));
        (1..=self.count).max_by_key(weight) == Some(self.number)
    }

    /// What of all builds is in it, for people.
    pub(crate) fn describe(self, builds: usize, all: usize) -> String {
        format!("Part {} of {}: {builds} of {all} builds", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn part_of(name: &str, count: u32) -> u32 {
        let parts: Vec<u32> = (1..=count)
            .filter(|&number| Part { number, count }.contains(name))
            .collect();
        assert_eq!(parts.len(), 1, "{name} is in one part of {count}: {parts:?}");
        parts[0]
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("amazon-ebs.svc-{number:03}")).collect()
    }

    #[test]
    fn every_build_is_in_one_part_and_the_parts_are_alike() {
        let mut sizes = BTreeMap::new();
        for name in names(300) {
            *sizes.entry(part_of(&name, 4)).or_insert(0) += 1;
        }
        assert_eq!(sizes.len(), 4);
        assert!(sizes.values().all(|size| (50..=100).contains(size)), "{sizes:?}");
    }

    #[test]
    fn another_part_moves_builds_to_itself_alone() {
        let moved: Vec<u32> = names(300)
            .iter()
            .map(|name| (part_of(name, 4), part_of(name, 5)))
            .filter(|(before, after)| before != after)
            .map(|(_, after)| after)
            .collect();
        assert!(moved.iter().all(|part| *part == 5), "{moved:?}");
        assert!((30..=90).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn the_part_of_a_build_never_changes() {
        let parts = ["amazon-ebs.web", "null.a", "base.amazon-ebs.web"].map(|name| part_of(name, 5));
        assert_eq!(parts, [2, 5, 2]);
    }

    #[test]
    fn a_part_is_typed_from_one() {
        let part = |number, count| Ok(PartitionArg::Part(Part { number, count }));
        assert_eq!("1/4".parse(), part(1, 4));
        assert_eq!("4/4".parse(), part(4, 4));
        assert_eq!("auto".parse(), Ok(PartitionArg::Auto));
        for wrong in ["0/4", "5/4", "1/0"] {
            assert!(
                matches!(wrong.parse::<PartitionArg>(), Err(PartError::Range { .. })),
                "{wrong}"
            );
        }
        for wrong in ["", "1", "a/b", "-1/4", "1/4/2", "/"] {
            assert_eq!(wrong.parse::<PartitionArg>(), Err(PartError::Form), "{wrong}");
        }
    }

    fn automatic(variables: &[(&str, &'static str)]) -> Result<Part, String> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        auto(|name| variables.get(name).copied()).map_err(|failure| failure.words())
    }

    #[test]
    fn each_system_counts_in_its_own_way() {
        let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "3")];
        assert_eq!(automatic(&kubernetes), Ok(Part { number: 1, count: 3 }));
        let batch = [("AWS_BATCH_JOB_ARRAY_INDEX", "2"), ("AWS_BATCH_JOB_ARRAY_SIZE", "3")];
        assert_eq!(automatic(&batch), Ok(Part { number: 3, count: 3 }));
        let ci = [("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")];
        assert_eq!(automatic(&ci), Ok(Part { number: 1, count: 3 }));
        assert_eq!(automatic(&[kubernetes, ci].concat()), Ok(Part { number: 1, count: 3 }));
    }

    #[test]
    fn a_part_that_is_not_known_is_an_error() {
        let none = automatic(&[]).unwrap_err();
        assert!(
            none.contains("JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, CI_NODE_INDEX"),
            "{none}"
        );
        let half = automatic(&[("JOB_COMPLETION_INDEX", "0")]).unwrap_err();
        assert!(half.contains("set JOB_COMPLETIONS to the number of parts"), "{half}");
        for (index, total) in [("3", "2"), ("0", "2"), ("x", "2"), ("1", "")] {
            assert!(
                automatic(&[("CI_NODE_INDEX", index), ("CI_NODE_TOTAL", total)]).is_err(),
                "{index}/{total}"
            );
        }
    }
}
