//! `-timing`: for each bake its steps, when they began, how long they took and what they waited for; before the closing lines, so that
//! failures stay last.

use std::time::SystemTime;

use bakelite_engine::event::{Event, RunEvent, What};

use super::Reporter;
use super::duration::precise;
use super::machine;
use super::spans::{Bake, Spans, State, Step, between};

/// Prints the table of a run at its end.
pub(super) struct Timing {
    pub(super) machine_readable: bool,
}

impl Reporter for Timing {
    fn event(&mut self, event: &Event, spans: &Spans) {
        if let What::Run(RunEvent::Finished { .. }) = &event.what {
            let text = if self.machine_readable {
                records(spans, event.at)
            } else {
                table(spans, event.at)
            };
            crate::print::write(&text);
        }
    }
}

/// The table for people.
fn table(spans: &Spans, now: SystemTime) -> String {
    let run = spans.started.unwrap_or(now);
    let bakes = spans.bakes.iter().map(|bake| {
        let mut lines = vec![headline(bake, now)];
        if !bake.steps.is_empty() {
            lines.push(format!("  {:>9} {:>9}  {:<28}waited for", "start", "length", "step"));
        }
        lines.extend(bake.steps.iter().flat_map(|step| rows(step, run, now)));
        lines.join("\n") + "\n"
    });
    let bakes: Vec<String> = bakes.collect();
    format!("\n==> Timing:\n{}", bakes.concat())
}

fn headline(bake: &Bake, now: SystemTime) -> String {
    let name = &bake.name;
    match bake.state {
        State::Finished => format!("{name}: {}", precise(bake.length(now))),
        State::Waiting => format!("{name}: not started"),
        state => format!("{name}: {}, {}", precise(bake.length(now)), state.word()),
    }
}

/// A step, with a line for each wait after the first.
fn rows(step: &Step, run: SystemTime, now: SystemTime) -> Vec<String> {
    let mut waits = step
        .waits
        .iter()
        .map(|wait| format!("{} {}", wait.what, precise(wait.length(now))));
    let failed = if step.is_failed { " (failed)" } else { "" };
    let first = format!(
        "  {:>9} {:>9}  {:<28}{}",
        precise(between(run, step.started)),
        precise(step.length(now)),
        format!("{}{failed}", step.name),
        waits.next().unwrap_or_default(),
    );
    let further = waits.map(|wait| format!("{:51}{wait}", ""));
    [first.trim_end().to_owned()].into_iter().chain(further).collect()
}

/// A record for each step: `step,NAME,START,LENGTH,OK,WAIT,LENGTH…`, in milliseconds.
fn records(spans: &Spans, now: SystemTime) -> String {
    let run = spans.started.unwrap_or(now);
    let steps = spans
        .bakes
        .iter()
        .flat_map(|bake| bake.steps.iter().map(move |step| (bake, step)));
    let records = steps.map(|(bake, step)| {
        let milliseconds = |from, to| between(from, to).as_millis().to_string();
        let mut data = vec![
            step.name.clone(),
            milliseconds(run, step.started),
            step.length(now).as_millis().to_string(),
            (!step.is_failed).to_string(),
        ];
        for wait in &step.waits {
            data.extend([wait.what.clone(), wait.length(now).as_millis().to_string()]);
        }
        machine::record_of(&bake.name, "step", data.iter().map(String::as_str), now)
    });
    records.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::spans::tests::{at, under_way};

    #[test]
    fn each_step_has_its_start_its_length_and_what_it_waited_for() {
        insta::assert_snapshot!(table(&under_way(10), at(25_000)), @r"
        ==> Timing:
        amazon-ebs.svc-001: 25.0s, running
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-001 to become running 12.0s
              12.6s     12.4s  provision
        amazon-ebs.svc-002: 25.0s, running
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-002 to become running 12.0s
              12.6s     12.4s  provision
        amazon-ebs.svc-003: 23.0s
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-003 to become running 12.0s
              12.6s     10.0s  provision
        amazon-ebs.svc-004: 25.0s, running
              start    length  step                        waited for
               0.1s     24.9s  launch                      instance i-004 to become running 24.5s
        amazon-ebs.svc-005: 25.0s, running
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-005 to become running 12.0s
              12.6s     12.4s  provision
        amazon-ebs.svc-006: 23.0s
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-006 to become running 12.0s
              12.6s     10.0s  provision
        amazon-ebs.svc-007: 21.0s, failed
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-007 to become running 12.0s
              12.6s      7.4s  provision (failed)
        amazon-ebs.svc-008: 25.0s, running
              start    length  step                        waited for
               0.1s     24.9s  launch                      instance i-008 to become running 24.5s
        amazon-ebs.svc-009: 23.0s
              start    length  step                        waited for
               0.1s     12.5s  launch                      instance i-009 to become running 12.0s
              12.6s     10.0s  provision
        amazon-ebs.svc-010: not started
        ");
    }

    #[test]
    fn programs_read_milliseconds() {
        insta::assert_snapshot!(records(&under_way(1), at(25_000)), @r"
        1700000025,amazon-ebs.svc-001,step,launch,100,12500,true,instance i-001 to become running,12000
        1700000025,amazon-ebs.svc-001,step,provision,12600,12400,true
        ");
    }
}
