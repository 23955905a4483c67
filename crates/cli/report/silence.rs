//! Silence of more than ten seconds, where there are no live lines: what is waited for is printed then, in the form of a build's lines.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bakelite_engine::event::Event;

use super::Reporter;
use super::lines::has_lines;
use super::spans::{Bake, Spans, State};
use super::terminal::{by_step, of_bake};

/// How long nothing is printed before what is waited for is; then the same again, until something else is printed.
const SILENCES: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(20), Duration::from_mins(1)];

/// As many bakes have a line each.
const FEW: usize = 3;

/// Breaks the silence.
pub(super) struct Silence {
    since: SystemTime,
    broken: usize,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self {
            since: SystemTime::UNIX_EPOCH,
            broken: 0,
        }
    }

    /// What is waited for, if it is time to print it.
    fn due(&mut self, spans: &Spans, now: SystemTime) -> Vec<String> {
        let limit = SILENCES
            .get(self.broken)
            .or(SILENCES.last())
            .copied()
            .unwrap_or_default();
        let is_due = now.duration_since(self.since).is_ok_and(|since| since >= limit);
        if spans.started.is_none() || spans.is_over() || !is_due {
            return Vec::new();
        }
        self.since = now;
        self.broken += 1;
        let running: Vec<&Bake> = spans.bakes.iter().filter(|bake| bake.state == State::Running).collect();
        let lines = if running.len() <= FEW {
            running.iter().map(|bake| of_bake(bake, spans, now)).collect()
        } else {
            by_step(&running, now)
        };
        lines.into_iter().map(|line| format!("==> {line}")).collect()
    }
}

impl Reporter for Silence {
    fn event(&mut self, event: &Event, _: &Spans) {
        if has_lines(event) {
            self.since = event.at;
            self.broken = 0;
        }
    }

    fn tick(&mut self, spans: &Spans, now: SystemTime) {
        for line in self.due(spans, now) {
            // Nobody reads any more: there is nobody to tell.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use bakelite_engine::event::{RunEvent, What};

    use super::*;
    use crate::report::spans::tests::{at, event, under_way};

    #[test]
    fn after_ten_seconds_it_says_what_is_waited_for_and_then_less_often() {
        let spans = under_way(4);
        let mut silence = Silence::new();
        let builds = Vec::new();
        silence.event(&event(23_000, None, What::Run(RunEvent::Started { builds })), &spans);
        let mut due = |milliseconds| silence.due(&spans, at(milliseconds)).join("\n");
        assert_eq!(due(32_999), "");
        insta::assert_snapshot!(due(33_000), @r"
        ==> amazon-ebs.svc-001: provision [20s of about 10s]
        ==> amazon-ebs.svc-002: provision [20s of about 10s]
        ==> amazon-ebs.svc-004: launch [32s of about 12s], waiting for instance i-004 to become running
        ");
        assert_eq!(due(52_999), "");
        assert_ne!(due(53_000), "");
        assert_eq!(due(112_999), "");
        assert_ne!(due(113_000), "");
    }

    #[test]
    fn many_bakes_are_counted() {
        let mut silence = Silence::new();
        insta::assert_snapshot!(silence.due(&under_way(300), at(60_000)).join("\n"), @r"
        ==> 120 in provision, the longest amazon-ebs.svc-001 [47s]
        ==> 60 in launch, the longest amazon-ebs.svc-004 [59s], waiting for instance i-004 to become running
        ");
    }
}
