//! `-report`: the timeline of a run as one HTML page that needs nothing else: no network, its style and its script are in it, and
//! everything that it shows is there without the script. Failures come first; each bake is a row that opens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::duration::precise;
use super::spans::{Bake, Spans, State, Step, between};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// As many colours the style has for steps.
const COLORS: usize = 10;

/// The whole page.
pub(super) fn render(spans: &Spans, run: &str, now: SystemTime) -> String {
    let page = Page::of(spans, now);
    let mut order: Vec<&Bake> = spans.bakes.iter().collect();
    order.sort_by_key(|bake| bake.state);
    let rows: String = order.iter().map(|bake| page.row(bake)).collect();
    let states = [
        State::Failed,
        State::Cancelled,
        State::Running,
        State::Waiting,
        State::Finished,
    ];
    let states = states.map(|state| (state.word(), spans.count(state)));
    let states = states.into_iter().filter(|(_, count)| *count > 0);
    let choices: Vec<String> = states
        .map(|(word, count)| {
            format!("<button type=\"button\" data-state=\"{word}\" class=\"{word}\">{count} {word}</button>\n")
        })
        .collect();
    let choices = choices.concat();
    let begun = jiff::Timestamp::try_from(page.run)
        .map(|at| format!("{at:.0}"))
        .unwrap_or_default();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
        <meta name=\"color-scheme\" content=\"light dark\">\n\
        <title>bakelite: {count} builds in {took}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
        <header><h1>{count} builds in {took}</h1>\n<p>Run {run}, started {begun}</p></header>\n\
        <nav><input type=\"search\" id=\"filter\" placeholder=\"Filter by name, step or error\" aria-label=\"Filter\">\n\
        <button type=\"button\" data-state=\"\" aria-pressed=\"true\">all</button>\n{choices}\
        <output id=\"shown\"></output></nav>\n\
        {steps}<div class=\"row axis\"><span></span><span></span><span class=\"track\">{axis}</span></div>\n\
        <main>\n{rows}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        count = spans.bakes.len(),
        took = precise(spans.length(now)),
        run = escape(run),
        steps = page.steps(),
        axis = page.axis(),
    )
}

/// A run on its way to a page.
struct Page<'a> {
    spans: &'a Spans,
    run: SystemTime,
    now: SystemTime,
    /// Of the run, in seconds; never zero.
    length: f64,
    /// The steps in the order in which they first begin, each with its colour.
    colors: BTreeMap<&'a str, usize>,
    names: Vec<&'a str>,
}

impl<'a> Page<'a> {
    fn of(spans: &'a Spans, now: SystemTime) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for step in spans.bakes.iter().flat_map(|bake| &bake.steps) {
            if !names.contains(&step.name.as_str()) {
                names.push(&step.name);
            }
        }
        Self {
            spans,
            run: spans.started.unwrap_or(now),
            now,
            length: spans.length(now).as_secs_f64().max(0.001),
            colors: names
                .iter()
                .enumerate()
                .map(|(number, name)| (*name, number % COLORS))
                .collect(),
            names,
        }
    }

    fn percent(&self, span: Duration) -> f64 {
        span.as_secs_f64() / self.length * 100.0
    }

    fn color(&self, step: &Step) -> usize {
        self.colors.get(step.name.as_str()).copied().unwrap_or_default()
    }

    /// Where the minutes go: each step over all bakes.
    fn steps(&self) -> String {
        let mut table = "<details class=\"steps\" open><summary>Steps</summary>\n<table><thead><tr><th>step</th><th>bakes</th><th>median</th>\
            <th>longest</th><th>in</th></tr></thead><tbody>\n"
            .to_owned();
        for name in &self.names {
            let all = self
                .spans
                .bakes
                .iter()
                .flat_map(|bake| bake.steps.iter().map(move |step| (bake, step)));
            let same = all.filter(|(_, step)| step.name == *name);
            let mut lengths: Vec<(Duration, &str)> = same
                .map(|(bake, step)| (step.length(self.now), bake.name.as_str()))
                .collect();
            lengths.sort();
            let median = lengths
                .get(lengths.len() / 2)
                .map(|(length, _)| precise(*length))
                .unwrap_or_default();
            let (longest, bake) = lengths.last().copied().unwrap_or_default();
            let color = self.colors.get(name).copied().unwrap_or_default();
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                table,
                "<tr><td><i class=\"s{color}\"></i>{}</td><td>{}</td><td>{median}</td><td>{}</td><td>{}</td></tr>",
                escape(name),
                lengths.len(),
                precise(longest),
                escape(bake),
            );
        }
        table + "</tbody></table></details>\n"
    }

    /// Five moments from the start to the end.
    fn axis(&self) -> String {
        let moments = (0..5_u32).map(|number| {
            let moment = Duration::from_secs_f64(self.length * f64::from(number) / 4.0);
            format!("<b style=\"left:{}%\">{}</b>", number * 25, precise(moment))
        });
        moments.collect()
    }

    /// A bake: a bar for each step, and behind the row all that is known of them.
    fn row(&self, bake: &Bake) -> String {
        let bars: String = bake.steps.iter().map(|step| self.bar(step)).collect();
        let steps: String = bake.steps.iter().map(|step| self.step(step)).collect();
        let error = bake
            .error
            .as_deref()
            .map(|error| format!("<p class=\"error\">{}</p>\n", escape(error)));
        let took = match bake.state {
            State::Waiting => "not started".to_owned(),
            _ => precise(bake.length(self.now)),
        };
        let name = escape(&bake.name);
        format!(
            "<details class=\"bake {state}\" data-state=\"{state}\"><summary class=\"row\"><span class=\"name\" title=\"{name}\">{name}</span>\
            <span class=\"took\">{took}</span><span class=\"track\">{bars}</span></summary>\n{error}\
            <table><thead><tr><th>step</th><th>start</th><th>length</th><th>waited for</th></tr></thead><tbody>\n{steps}</tbody></table>\
            </details>\n",
            state = bake.state.word(),
            error = error.unwrap_or_default(),
        )
    }

    fn bar(&self, step: &Step) -> String {
        let failed = if step.is_failed { " failed" } else { "" };
        format!(
            "<i class=\"s{}{failed}\" style=\"left:{:.3}%;width:{:.3}%\" title=\"{} {}\"></i>",
            self.color(step),
            self.percent(between(self.run, step.started)),
            self.percent(step.length(self.now)),
            escape(&step.name),
            precise(step.length(self.now)),
        )
    }

    fn step(&self, step: &Step) -> String {
        let waits = step
            .waits
            .iter()
            .map(|wait| format!("{} {}", escape(&wait.what), precise(wait.length(self.now))));
        let waits: Vec<String> = waits.collect();
        let failed = if step.is_failed { " class=\"failed\"" } else { "" };
        format!(
            "<tr{failed}><td><i class=\"s{}\"></i>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            self.color(step),
            escape(&step.name),
            precise(between(self.run, step.started)),
            precise(step.length(self.now)),
            waits.join("<br>"),
        )
    }
}

/// Text as HTML, also within a quoted attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use bakelite_engine::event::{BuildEvent, RunEvent, What};

    use super::*;
    use crate::report::spans::tests::{at, event, failed, step_started, under_way};

    #[test]
    fn failures_come_first_and_every_bake_has_a_row() {
        let page = render(&under_way(300), "run-1", at(25_000));
        let states: Vec<&str> = page
            .split("<details class=\"bake ")
            .skip(1)
            .filter_map(|row| row.split_once('"').map(|(state, _)| state))
            .collect();
        assert_eq!(states.len(), 300);
        let mut sorted = states.clone();
        sorted.sort_by_key(|state| {
            ["failed", "cancelled", "running", "waiting", "finished"]
                .iter()
                .position(|one| one == state)
        });
        assert_eq!(states, sorted);
        assert_eq!(states[0], "failed");
        assert!(page.contains("<td>instance i-001 to become running 12.0s</td>"));
    }

    #[test]
    fn no_text_becomes_markup_and_nothing_is_loaded() {
        let mut spans = Spans::default();
        let name = "null.a</script><script>alert(1)</script>\"'";
        let builds = vec![name.to_owned()];
        spans.add(&event(0, None, What::Run(RunEvent::Started { builds })));
        spans.add(&event(0, Some(name), What::Build(BuildEvent::Started)));
        spans.add(&event(1, Some(name), step_started("<img src=x onerror=alert(1)>")));
        spans.add(&event(9, Some(name), failed("<b>no</b> & \"never\"")));
        let page = render(&spans, "<run>", at(9));
        assert_eq!(page.matches("<script>").count(), 1, "{page}");
        assert!(
            !page.contains("<img") && !page.contains("<b>no") && !page.contains("<run>"),
            "{page}"
        );
        assert!(page.contains("&lt;b&gt;no&lt;/b&gt; &amp; &quot;never&quot;"), "{page}");
        for address in ["http:", "https:", "src=\"", "url(", "@import", "href="] {
            assert!(!page.contains(address), "{address}");
        }
    }
}
