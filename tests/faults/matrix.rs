//! The cells of a bake: each of its calls with each fault. They run in many places at the same time, since most of them wait.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use bakelite_test_support::faults::{Call, Fault};

use crate::bakes::Bake;
use crate::place::{Collect, End, Place};

/// How many bakes run at the same time.
const PLACES: usize = 12;

/// One bake with one fault.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    bake: Bake,
    call: Call,
    fault: Fault,
    collect: Collect,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} at {}", self.bake.name, self.fault, self.call)?;
        match self.collect {
            Collect::Sweep => write!(f, ", journal lost"),
            Collect::Journal => Ok(()),
        }
    }
}

/// Which cells are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All.
    Whole,
    /// For each action the first call of it, with the faults of [`is_usual`], and a refusal of the last one that only asks: what was made
    /// goes without being seen.
    Usual,
}

const FAULTS: [Fault; 8] = [
    Fault::Hang,
    Fault::FailForGood,
    Fault::Refuse,
    Fault::Throttle,
    Fault::Internal,
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::Kill,
];

/// The cells for the calls of a bake, those first that wait longest.
fn cells(bake: Bake, calls: &[Call], part: Part) -> Vec<Cell> {
    let mut seen = BTreeSet::new();
    let mut cells = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let is_last = calls[at + 1..].iter().all(|later| later.action != call.action);
        let is_first = seen.insert(call.action.clone());
        for fault in FAULTS {
            let collects = match (part, fault) {
                (Part::Usual, Fault::Refuse) if call.only_reads() && is_last => &[Collect::Journal][..],
                (Part::Usual, _) if !is_first || !is_usual(call, fault, seen.len()) => &[],
                (Part::Whole, Fault::Kill) => &[Collect::Journal, Collect::Sweep],
                (Part::Usual, Fault::Kill) if seen.len() % 2 == 0 => &[Collect::Sweep],
                _ => &[Collect::Journal],
            };
            cells.extend(collects.iter().map(|collect| Cell {
                bake,
                call: call.clone(),
                fault,
                collect: *collect,
            }));
        }
    }
    cells.sort_by_key(|cell| FAULTS.iter().position(|fault| *fault == cell.fault));
    cells
}

/// Whether the usual part has a fault at the first call of an action: of those that differ in the answer alone, the actions have one each
/// by turns. What only asks is the same whether its answer is lost or its question, and a kill leaves what it found.
fn is_usual(call: &Call, fault: Fault, number: usize) -> bool {
    match fault {
        Fault::FailForGood | Fault::Refuse => true,
        Fault::Throttle => number.is_multiple_of(3),
        Fault::Internal => number % 3 == 1,
        Fault::DropBefore => number % 3 == 2,
        Fault::DropAfter | Fault::Kill => !call.only_reads(),
        // It takes a minute, and is repeated as a lost connection is.
        Fault::Hang => false,
    }
}

/// What became of the cells.
#[derive(Debug, Default)]
struct Tally {
    baked: usize,
    failed: usize,
    killed: usize,
    /// Bakes whose calls were others than those of the first: how often a state is asked for depends on time.
    missed: usize,
    problems: Vec<String>,
    longest: Option<(String, std::time::Duration)>,
}

/// Runs the cells of these bakes, one bake after the other; fails with the cells that went wrong.
pub(crate) fn run(bakes: &[Bake], part: Part) {
    let run_all = || -> Vec<String> { bakes.iter().flat_map(|bake| run_one(*bake, part)).collect() };
    let problems = match part {
        Part::Usual => run_all(),
        // In a thread that no test has, since it takes longer than any test may. Each of its bakes has a limit.
        Part::Whole => std::thread::scope(|scope| scope.spawn(run_all).join().unwrap()),
    };
    assert!(
        problems.is_empty(),
        "{} cells: {}",
        problems.len(),
        problems.join("\n\n")
    );
}

/// Bakes once without a fault, then once for each cell; answers with the cells that went wrong.
fn run_one(bake: Bake, part: Part) -> Vec<String> {
    let first = Place::new(&[]).bake(&bake, "", None, Collect::Journal);
    assert!(
        first.problems.is_empty() && first.ran.code == Some(0),
        "without a fault: {first:#?}"
    );
    let wanted = only();
    let cells: Vec<Cell> = cells(bake, &first.calls, part)
        .into_iter()
        .filter(|cell| {
            wanted
                .as_ref()
                .is_none_or(|wanted| cell.to_string().contains(wanted.as_str()))
        })
        .collect();
    let (calls, count) = (first.calls.len(), cells.len());
    let (queue, tally) = (Mutex::new(cells.into_iter()), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..PLACES {
            scope.spawn(|| work(part, &queue, &tally));
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "{}: {calls} calls, {count} cells: {} baked, {} failed, {} killed, {} not reached; the longest: {:?}",
        bake.name, tally.baked, tally.failed, tally.killed, tally.missed, tally.longest
    );
    tally.problems
}

/// Bakes on a cloud on which everything is unknown for three seconds after it was made; then once more, and what comes last is refused.
pub(crate) fn run_late(bakes: &[Bake]) {
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for bake in bakes {
            for is_refused in [false, true] {
                let problems = &problems;
                scope.spawn(move || {
                    let bake = Bake {
                        replaces: false,
                        ..*bake
                    };
                    let last = Call {
                        action: "DeleteTags".to_owned(),
                        region: bake.images.1.last().copied().unwrap_or("us-east-1").to_owned(),
                        number: 1,
                    };
                    let fault = is_refused.then_some((last, Fault::Refuse));
                    let end = Place::new(&["-latency", "visible=3"]).bake_late(&bake, fault);
                    if !end.problems.is_empty() || end.ran.code != Some(i32::from(is_refused)) {
                        problems.lock().unwrap().push(format!("{}: {end:#?}", bake.name));
                    }
                });
            }
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn work(part: Part, queue: &Mutex<std::vec::IntoIter<Cell>>, tally: &Mutex<Tally>) {
    let mut place = None;
    loop {
        let Some(cell) = queue.lock().unwrap().next() else {
            return;
        };
        let here = place.take().unwrap_or_else(|| Place::new(&[]));
        let more = match (part, cell.fault) {
            // What the SDK repeats is repeated as often as the template has it.
            (Part::Usual, Fault::FailForGood) => "\n  max_retries = 3\n",
            _ => "",
        };
        let mut end = here.bake(&cell.bake, more, Some((cell.call.clone(), cell.fault)), cell.collect);
        judge(&cell, &mut end);
        // What went wrong here must not go on for others.
        if end.problems.is_empty() {
            place = Some(here);
        }
        note(&mut tally.lock().unwrap(), &cell, &end);
    }
}

/// What depends on the cell: how the bake had to end.
fn judge(cell: &Cell, end: &mut End) {
    if end.struck == 0 || cell.fault == Fault::Kill {
        return;
    }
    let output = format!("{}{}", end.ran.stdout, end.ran.stderr);
    if end.ran.code != Some(0) && !output.contains(cell.call.operation()) {
        end.problems.push("the error does not name the action".to_owned());
    }
    if !cell.fault.is_for_good() && end.ran.code != Some(0) {
        end.problems.push("one fault ended the bake".to_owned());
    }
}

fn note(tally: &mut Tally, cell: &Cell, end: &End) {
    let (took, count) = (end.took, end.problems.len());
    println!(
        "{cell}: {:?} after {took:.1?}, {} calls struck, {count} problems",
        end.ran.code, end.struck
    );
    if count > 0 {
        println!("{}\n{}{}", end.problems.join("\n"), end.ran.stdout, end.ran.stderr);
    }
    match (end.struck, cell.fault, end.ran.code) {
        (0, ..) => tally.missed += 1,
        (_, Fault::Kill, _) => tally.killed += 1,
        (_, _, Some(0)) => tally.baked += 1,
        _ => tally.failed += 1,
    }
    if tally.longest.as_ref().is_none_or(|(_, took)| *took < end.took) {
        tally.longest = Some((cell.to_string(), end.took));
    }
    if !end.problems.is_empty() {
        let (problems, ran) = (end.problems.join("; "), &end.ran);
        tally
            .problems
            .push(format!("{cell} ({took:.1?}): {problems}\n{}{}", ran.stdout, ran.stderr));
    }
}

/// The cells whose name contains this, for somebody who looks for the cause of one.
#[expect(clippy::disallowed_methods, reason = "a choice of whoever runs the tests")]
fn only() -> Option<String> {
    std::env::var("BAKELITE_FAULTS").ok()
}
