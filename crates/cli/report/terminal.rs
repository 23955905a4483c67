//! A terminal: the same lines, and below them what happens right now: a line for each bake with its step, or for many bakes a line for
//! each step with how many are in it, and the failures. It takes at most half of the screen; what does not fit is counted.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bakelite_engine::event::Event;
use indicatif::{ProgressBar, ProgressStyle};
use unicode_width::UnicodeWidthStr as _;

use super::Reporter;
use super::duration::brief;
use super::lines::Lines;
use super::spans::{Bake, Spans, State, Step, Wait};

/// Draws on the terminal.
pub(super) struct Terminal {
    lines: Lines,
    bar: ProgressBar,
    /// The live lines, and when they were made.
    shown: Vec<String>,
    at: SystemTime,
}

/// Live lines are not made more often: a command may print thousands of lines a second.
const REDRAWN: Duration = Duration::from_millis(100);

impl Terminal {
    pub(super) fn new(color: bool, timestamp: bool) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self {
            lines: Lines::new(color, timestamp).with_failures_last(),
            bar,
            shown: Vec::new(),
            at: SystemTime::UNIX_EPOCH,
        }
    }

    fn show(&mut self, spans: &Spans, now: SystemTime) {
        if spans.is_over() {
            self.bar.finish_and_clear();
            return;
        }
        if spans.started.is_none() || now.duration_since(self.at).is_ok_and(|since| since < REDRAWN) {
            return;
        }
        self.at = now;
        let lines = live(spans, now, size());
        if lines != self.shown {
            self.bar.set_message(lines.join("\n"));
            self.bar.tick();
            self.shown = lines;
        }
    }
}

impl Reporter for Terminal {
    fn event(&mut self, event: &Event, spans: &Spans) {
        if let Some(text) = self.lines.text(event) {
            // A terminal that is gone must not end the run.
            let _ = self.bar.suspend(|| writeln!(std::io::stdout().lock(), "{text}"));
        }
        self.show(spans, event.at);
    }

    fn tick(&mut self, spans: &Spans, now: SystemTime) {
        self.show(spans, now);
    }
}

/// Lines and columns of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

/// What happens right now, in as many lines as half of the screen has, none longer than the screen is wide.
fn live(spans: &Spans, now: SystemTime, (rows, columns): (usize, usize)) -> Vec<String> {
    let room = (rows / 2).max(3);
    let running: Vec<&Bake> = spans.bakes.iter().filter(|bake| bake.state == State::Running).collect();
    let mut lines = Vec::new();
    if spans.bakes.len() > 1 {
        lines.push(totals(spans, now));
    }
    if running.len() + lines.len() <= room {
        lines.extend(running.iter().map(|bake| of_bake(bake, spans, now)));
    } else {
        let failures = failures(spans);
        let for_failures = failures.len().min(room / 3);
        lines.extend(fitting(
            by_step(&running, now),
            room - lines.len() - for_failures,
            "steps",
        ));
        lines.extend(fitting(failures, for_failures, "failures"));
    }
    lines.into_iter().map(|line| cut(&line, columns)).collect()
}

/// `17 of 20 done, 2 failed, 3 running [1m 12s]`
fn totals(spans: &Spans, now: SystemTime) -> String {
    let (failed, cancelled) = (spans.count(State::Failed), spans.count(State::Cancelled));
    let done = spans.count(State::Finished) + failed + cancelled;
    let parts = [
        (failed, "failed"),
        (cancelled, "cancelled"),
        (spans.count(State::Running), "running"),
        (spans.count(State::Waiting), "waiting for their turn"),
    ];
    let mut line = format!("{done} of {} done", spans.bakes.len());
    for (count, word) in parts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(line, ", {count} {word}");
    }
    format!("{line} [{}]", brief(spans.length(now)))
}

/// `amazon-ebs.web: launch [8s of about 12s], waiting for instance i-1 to become running`
pub(super) fn of_bake(bake: &Bake, spans: &Spans, now: SystemTime) -> String {
    let Some(step) = bake.current() else {
        return format!("{}: [{}]", bake.name, brief(bake.length(now)));
    };
    let wait = step
        .current()
        .map(|wait| format!(", waiting for {}", waited_for(wait)))
        .unwrap_or_default();
    format!("{}: {} [{}]{wait}", bake.name, step.name, progress(step, spans, now))
}

/// How long a step has taken, and how long it takes as a rule: as long as in other bakes of the run, else as what it waits for.
fn progress(step: &Step, spans: &Spans, now: SystemTime) -> String {
    let elapsed = brief(step.length(now));
    let waits = || step.current().and_then(|wait| wait.usual);
    match spans.usual(&step.name).or_else(waits) {
        Some(usual) if usual >= Duration::from_secs(1) => format!("{elapsed} of about {}", brief(usual)),
        _ => elapsed,
    }
}

/// What a wait waits for; of a transfer also how far it is.
pub(super) fn waited_for(wait: &Wait) -> String {
    let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
    match wait.bytes {
        Some((done, Some(total))) => format!("{} ({} of {})", wait.what, mib(done), mib(total)),
        Some((done, None)) => format!("{} ({})", wait.what, mib(done)),
        None => wait.what.clone(),
    }
}

/// A line for each step that a bake is in, with the bake that is longest in it.
pub(super) fn by_step(running: &[&Bake], now: SystemTime) -> Vec<String> {
    let mut steps: Vec<(&str, Vec<(&Bake, Duration)>)> = Vec::new();
    for &bake in running {
        let (name, length) = match bake.current() {
            Some(step) => (step.name.as_str(), step.length(now)),
            None => ("between steps", Duration::ZERO),
        };
        match steps.iter_mut().find(|(known, _)| *known == name) {
            Some((_, bakes)) => bakes.push((bake, length)),
            None => steps.push((name, vec![(bake, length)])),
        }
    }
    let lines = steps.into_iter().map(|(name, bakes)| {
        let mut line = format!("{} in {name}", bakes.len());
        // The first of those that are equally long in it.
        if let Some((bake, length)) = bakes.iter().rev().max_by_key(|(_, length)| *length) {
            let _ = write!(line, ", the longest {} [{}]", bake.name, brief(*length));
            if let Some(wait) = bake.current().and_then(Step::current) {
                let _ = write!(line, ", waiting for {}", waited_for(wait));
            }
        }
        line
    });
    lines.collect()
}

/// The failures, in the order of the template.
fn failures(spans: &Spans) -> Vec<String> {
    let failed = spans.bakes.iter().filter(|bake| bake.state == State::Failed);
    let lines = failed.map(|bake| format!("failed: {}: {}", bake.name, bake.error.as_deref().unwrap_or_default()));
    lines.collect()
}

/// As many lines as there is room for; the last one counts those that do not fit.
fn fitting(mut lines: Vec<String>, room: usize, what: &str) -> Vec<String> {
    if lines.len() > room {
        let fit = room.saturating_sub(1);
        let more = lines.len() - fit;
        lines.truncate(fit);
        lines.extend((room > 0).then(|| format!("+{more} more {what}")));
    }
    lines
}

/// As much of a line as the screen is wide.
fn cut(line: &str, columns: usize) -> String {
    // The last column stays free: some terminals begin a new line behind it.
    let room = columns.saturating_sub(1);
    if line.width() <= room {
        return line.to_owned();
    }
    let mut kept = String::new();
    for character in line.chars() {
        kept.push(character);
        if kept.width() >= room {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::spans::tests::{at, under_way};

    fn screen(bakes: usize, size: (usize, usize)) -> String {
        let lines = live(&under_way(bakes), at(25_000), size);
        assert!(lines.len() <= (size.0 / 2).max(3), "{lines:?}");
        assert!(lines.iter().all(|line| line.width() < size.1), "{lines:?}");
        lines.join("\n")
    }

    #[test]
    fn one_bake_has_one_line() {
        insta::assert_snapshot!(screen(1, (24, 100)), @r"
        amazon-ebs.svc-001: provision [12s]
        ");
    }

    #[test]
    fn a_few_bakes_have_a_line_each_in_the_order_of_the_template() {
        insta::assert_snapshot!(screen(9, (24, 100)), @r"
        4 of 9 done, 1 failed, 5 running [25s]
        amazon-ebs.svc-001: provision [12s of about 10s]
        amazon-ebs.svc-002: provision [12s of about 10s]
        amazon-ebs.svc-004: launch [24s of about 12s], waiting for instance i-004 to become running
        amazon-ebs.svc-005: provision [12s of about 10s]
        amazon-ebs.svc-008: launch [24s of about 12s], waiting for instance i-008 to become running
        ");
    }

    #[test]
    fn many_bakes_have_a_line_for_each_step_and_the_failures() {
        insta::assert_snapshot!(screen(30, (24, 100)), @r"
        9 of 30 done, 3 failed, 18 running, 3 waiting for their turn [25s]
        12 in provision, the longest amazon-ebs.svc-001 [12s]
        6 in launch, the longest amazon-ebs.svc-004 [24s], waiting for instance i-004 to become running
        failed: amazon-ebs.svc-007: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        failed: amazon-ebs.svc-014: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        failed: amazon-ebs.svc-021: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        ");
        insta::assert_snapshot!(screen(300, (40, 120)), @r"
        90 of 300 done, 30 failed, 180 running, 30 waiting for their turn [25s]
        120 in provision, the longest amazon-ebs.svc-001 [12s]
        60 in launch, the longest amazon-ebs.svc-004 [24s], waiting for instance i-004 to become running
        failed: amazon-ebs.svc-007: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        failed: amazon-ebs.svc-014: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        failed: amazon-ebs.svc-021: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        failed: amazon-ebs.svc-035: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        failed: amazon-ebs.svc-042: Script exited with non-zero exit status: 3. Allowed exit codes are: [0]
        +25 more failures
        ");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        insta::assert_snapshot!(screen(300, (16, 60)), @r"
        90 of 300 done, 30 failed, 180 running, 30 waiting for the…
        120 in provision, the longest amazon-ebs.svc-001 [12s]
        60 in launch, the longest amazon-ebs.svc-004 [24s], waitin…
        failed: amazon-ebs.svc-007: Script exited with non-zero ex…
        +29 more failures
        ");
        insta::assert_snapshot!(screen(300, (6, 40)), @r"
        90 of 300 done, 30 failed, 180 running…
        +2 more steps
        +30 more failures
        ");
    }
}
