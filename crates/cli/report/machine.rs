//! Lines for machines: `UNIXTIME,TARGET,TYPE,DATA…`. What people would read comes as `ui` lines, one for each text; artifacts and errors
//! have lines of their own beside them.

use std::time::{SystemTime, UNIX_EPOCH};

use bakelite_engine::error::Report;
use bakelite_engine::event::{ArtifactSummary, BuildEvent, BuildSummary, Event, Level, Message, RunEvent, What};
use bakelite_hcl::diagnostic::{Diagnostics, Severity};
use bakelite_hcl::source::SourceMap;
use bakelite_template::plan::Location;
use bakelite_template::secrets::Secrets;

use super::Reporter;
use super::lines::Lines;
use super::spans::Spans;

/// Writes machine-readable lines.
pub(super) struct Machine<W> {
    lines: Lines,
    output: W,
}

impl<W> Machine<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            lines: Lines::unexplained(),
            output,
        }
    }
}

impl<W: std::io::Write + Send> Reporter for Machine<W> {
    fn event(&mut self, event: &Event, _: &Spans) {
        let target = event.build.as_deref().unwrap_or_default();
        let mut lines = Vec::new();
        let outcomes: &[BuildSummary] = match &event.what {
            What::Run(RunEvent::Finished { outcomes, .. }) => outcomes,
            _ => &[],
        };
        let mut failed: Vec<&BuildSummary> = outcomes.iter().filter(|outcome| outcome.error.is_some()).collect();
        let mut count = (!failed.is_empty()).then(|| Line::new("", "error-count", [failed.len().to_string().as_str()]));
        for said in self.lines.said(event) {
            if said.is_error {
                lines.extend(count.take());
            }
            if let Some(outcome) = said.failed {
                failed.retain(|other| !std::ptr::eq(*other, outcome));
                lines.extend(error(outcome));
            }
            if let Some((outcome, number, artifact)) = said.artifact {
                if number == 0 {
                    let count = outcome.artifacts.len().to_string();
                    lines.push(Line::new(&outcome.name, "artifact-count", [count.as_str()]));
                }
                lines.extend(artifact_lines(&outcome.name, &number.to_string(), artifact));
            }
            let voice = if said.is_error { "error" } else { "say" };
            lines.push(Line::new("", "ui", [voice, said.text.as_str()]));
        }
        lines.extend(count);
        lines.extend(failed.into_iter().filter_map(error));
        let without = outcomes
            .iter()
            .filter(|outcome| outcome.error.is_none() && outcome.artifacts.is_empty());
        lines.extend(without.map(|outcome| Line::new(&outcome.name, "artifact-count", ["0"])));
        lines.extend(diagnostic(target, &event.what));
        if let What::Record(record) = &event.what {
            lines.push(Line::new(target, &record.kind, record.data.iter().map(String::as_str)));
        }
        for line in lines {
            // A closed pipe must not end the run: the bake goes on and cleans up.
            let _ = writeln!(self.output, "{}", line.text(event.at));
        }
        let _ = self.output.flush();
    }
}

/// What a command that is no run prints, as one line: `say` or `error`.
pub(crate) fn said(voice: &str, text: &str) -> String {
    record("ui", [voice, text])
}

/// One line about the whole run.
pub(crate) fn record<'a>(kind: &str, data: impl IntoIterator<Item = &'a str>) -> String {
    Line::new("", kind, data).text(SystemTime::now()) + "\n"
}

/// One line about a build.
pub(super) fn record_of<'a>(
    build: &str,
    kind: &str,
    data: impl IntoIterator<Item = &'a str>,
    at: SystemTime,
) -> String {
    Line::new(build, kind, data).text(at) + "\n"
}

/// What is wrong with a template: all of it as people would read it, in one line, then a line for each.
pub(crate) fn diagnostics(text: &str, diagnostics: &Diagnostics, sources: &SourceMap, secrets: &Secrets) -> String {
    if text.is_empty() {
        return String::new();
    }
    let voice = if diagnostics.has_errors() { "error" } else { "say" };
    let each = diagnostics.iter().map(|diagnostic| {
        let level = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = diagnostic.place.and_then(|place| Location::of(place, sources));
        let place = place.as_ref().map(Location::to_string).unwrap_or_default();
        let data = [
            level,
            &secrets.mask(&diagnostic.summary),
            &secrets.mask(diagnostic.help.as_deref().unwrap_or_default()),
            &place,
        ];
        record("diagnostic", data)
    });
    [said(voice, text.trim_end())].into_iter().chain(each).collect()
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

/// `diagnostic,LEVEL,TEXT,HELP,FILE:LINE:COLUMN` for an error or a warning; the last two may be empty.
fn diagnostic(target: &str, what: &What) -> Option<Line> {
    let line = |level, text: &str, help: Option<&str>, location: Option<&Location>| {
        let location = location.map(Location::to_string).unwrap_or_default();
        Line::new(target, "diagnostic", [level, text, help.unwrap_or_default(), &location])
    };
    match what {
        What::Message(Message {
            level: level @ (Level::Warning | Level::Error),
            text,
            help,
            location,
            ..
        }) => {
            let level = if *level == Level::Warning { "warning" } else { "error" };
            Some(line(level, text, help.as_deref(), location.as_ref()))
        }
        What::Build(BuildEvent::Errored {
            error: Report {
                text, help, location, ..
            },
            ..
        }) => Some(line("error", text, help.as_deref(), location.as_ref())),
        _ => None,
    }
}

/// With what a build failed.
fn error(outcome: &BuildSummary) -> Option<Line> {
    let error = outcome.error.as_ref()?;
    Some(Line::new(&outcome.name, "error", [error.text.as_str()]))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bakelite_engine::error::Kind;

    use super::*;

    fn lines(build: Option<&str>, what: What) -> String {
        let mut machine = Machine::new(Vec::new());
        let event = Event {
            at: UNIX_EPOCH,
            build: build.map(str::to_owned),
            what,
        };
        machine.event(&event, &Spans::default());
        String::from_utf8(machine.output).unwrap()
    }

    fn failure() -> Report {
        Report {
            kind: Kind::Failed,
            text: "Script exited with non-zero exit status: 2".into(),
            help: Some("look, then try again".into()),
            location: Some(Location {
                file: "t.pkr.hcl".into(),
                line: 6,
                column: 3,
                source_line: "  provisioner \"shell\" {".into(),
            }),
        }
    }

    #[test]
    fn a_run_is_closed_as_tools_around_packer_read_it() {
        let artifact = ArtifactSummary {
            builder_id: "packer.file".into(),
            id: "File".into(),
            description: "Stored file: out.txt".into(),
            files: vec!["out.txt".into()],
        };
        let good = BuildSummary {
            name: "file.good".into(),
            error: None,
            artifacts: vec![artifact],
            leftovers: Vec::new(),
        };
        let bad = BuildSummary {
            name: "null.bad".into(),
            error: Some(failure()),
            artifacts: Vec::new(),
            leftovers: Vec::new(),
        };
        let finished = RunEvent::Finished {
            took: Duration::from_secs(1),
            outcomes: vec![bad, good],
            cancelled: false,
        };
        insta::assert_snapshot!(lines(None, What::Run(finished)), @r"
        0,,ui,say,\n==> Wait completed after 1 second
        0,,error-count,1
        0,,ui,error,\n==> Some builds didn't complete successfully and had errors:
        0,null.bad,error,Script exited with non-zero exit status: 2
        0,,ui,error,--> null.bad: Script exited with non-zero exit status: 2
        0,,ui,say,\n==> Builds finished. The artifacts of successful builds are:
        0,file.good,artifact-count,1
        0,file.good,artifact,0,builder-id,packer.file
        0,file.good,artifact,0,id,File
        0,file.good,artifact,0,string,Stored file: out.txt
        0,file.good,artifact,0,files-count,1
        0,file.good,artifact,0,file,0,out.txt
        0,file.good,artifact,0,end
        0,,ui,say,--> file.good: Stored file: out.txt
        ");
    }

    #[test]
    fn an_error_has_level_help_and_place() {
        let took = Duration::from_secs(1);
        let text = lines(
            Some("null.bad"),
            What::Build(BuildEvent::Errored { took, error: failure() }),
        );
        insta::assert_snapshot!(text, @r"
        0,,ui,error,Build 'null.bad' errored after 1 second: Script exited with non-zero exit status: 2
        0,null.bad,diagnostic,error,Script exited with non-zero exit status: 2,look%!(PACKER_COMMA) then try again,t.pkr.hcl:6:3
        ");
    }

    #[test]
    fn output_of_scripts_is_said_and_their_errors_are_errors() {
        for (level, voice) in [(Level::Output, "say"), (Level::ErrorOutput, "error")] {
            let message = Message {
                post_processor: None,
                level,
                text: "one".into(),
                goes_on: false,
                help: None,
                location: None,
            };
            assert_eq!(
                lines(Some("null.a"), What::Message(message)),
                format!("0,,ui,{voice},==> null.a: one\n")
            );
        }
    }
}
