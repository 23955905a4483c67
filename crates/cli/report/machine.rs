//! Lines for machines: `UNIXTIME,TARGET,TYPE,DATA…` (language.md §15).

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use bakelite_engine::event::{ArtifactSummary, BuildSummary, Event, Level, RunEvent, What};

use super::Reporter;
use super::lines::Lines;

/// Writes machine-readable lines to standard output.
pub(super) struct Machine {
    lines: Lines,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            lines: Lines::new(false, false),
        }
    }
}

impl Reporter for Machine {
    fn event(&mut self, event: &Event) {
        let target = event.build.as_deref().unwrap_or_default();
        let mut lines = Vec::new();
        if let What::Run(RunEvent::Finished { outcomes, .. }) = &event.what {
            lines.extend(outcomes.iter().flat_map(results));
        }
        if let Some(text) = self.lines.text(event) {
            lines.extend(text.split('\n').map(|line| Line::new("", "ui", [voice(event), line])));
        }
        if let What::Record(record) = &event.what {
            lines.push(Line::new(target, &record.kind, record.data.iter().map(String::as_str)));
        }
        let mut output = std::io::stdout().lock();
        for line in lines {
            // A closed pipe must not end the run: the bake goes on and cleans up.
            let _ = writeln!(output, "{}", line.text(event.at));
        }
    }
}

/// What a command that is no run has to say, as one line.
pub(crate) fn said(text: &str) -> String {
    Line::new("", "ui", ["say", text]).text(SystemTime::now()) + "\n"
}

/// One line without its time.
struct Line {
    target: String,
    kind: String,
    data: Vec<String>,
}

impl Line {
    fn new<'a>(target: &str, kind: &str, data: impl IntoIterator<Item = &'a str>) -> Line {
        Line {
            target: target.into(),
            kind: kind.into(),
            data: data.into_iter().map(str::to_owned).collect(),
        }
    }

    fn text(&self, at: SystemTime) -> String {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let escape = |text: &String| {
            text.replace(',', "%!(PACKER_COMMA)")
                .replace('\r', "\\r")
                .replace('\n', "\\n")
        };
        let fields: Vec<String> = [&self.target, &self.kind]
            .into_iter()
            .chain(&self.data)
            .map(escape)
            .collect();
        format!("{seconds},{}", fields.join(","))
    }
}

fn voice(event: &Event) -> &'static str {
    match &event.what {
        What::Message(message) if message.level == Level::Error => "error",
        What::Message(message) if message.level != Level::Say => "message",
        _ => "say",
    }
}

/// What a build made, or its error.
fn results(outcome: &BuildSummary) -> Vec<Line> {
    let name = &outcome.name;
    if let Some(error) = &outcome.error {
        return vec![
            Line::new("", "error-count", ["1"]),
            Line::new(name, "error", [error.as_str()]),
        ];
    }
    let count = outcome.artifacts.len().to_string();
    let mut lines = vec![Line::new(name, "artifact-count", [count.as_str()])];
    for (index, artifact) in outcome.artifacts.iter().enumerate() {
        lines.extend(artifact_lines(name, &index.to_string(), artifact));
    }
    lines
}

fn artifact_lines(name: &str, index: &str, artifact: &ArtifactSummary) -> Vec<Line> {
    let count = artifact.files.len().to_string();
    let mut lines = vec![
        Line::new(name, "artifact", [index, "builder-id", &artifact.builder_id]),
        Line::new(name, "artifact", [index, "id", &artifact.id]),
        Line::new(name, "artifact", [index, "string", &artifact.description]),
        Line::new(name, "artifact", [index, "files-count", &count]),
    ];
    for (position, file) in artifact.files.iter().enumerate() {
        lines.push(Line::new(
            name,
            "artifact",
            [index, "file", &position.to_string(), file],
        ));
    }
    lines.push(Line::new(name, "artifact", [index, "end"]));
    lines
}
