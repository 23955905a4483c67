//! What `systemctl` and `journalctl` print about units, as systemd's do, and the exit codes.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::sandbox::wire::End;

use super::activation::{Activation, Outcome, State, describe};
use super::command_line::Specifiers;
use super::enabling::Enabling;
use super::journal;
use super::manager::{Ended, JobEnd, Loaded, Manager, Verb};
use super::request::{LogRequest, Request};
use super::unit::{Found, Unit, full_name};

/// What is printed, and the exit code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) output: String,
    pub(super) error: String,
    pub(super) status: u8,
}

impl Answer {
    pub(super) fn failed(status: u8, error: &str) -> Answer {
        Answer {
            output: String::new(),
            error: format!("{error}\n"),
            status,
        }
    }
}

/// How a moment is shown.
const TIME: &str = "%a %Y-%m-%d %H:%M:%S UTC";
/// The lines of a service's log that its status shows.
const STATUS_LINES: usize = 10;
/// Those that are shown with a failed job.
const FAILURE_LINES: usize = 5;

/// `is-active`, `is-failed`.
pub(super) fn is_in_state(manager: &Manager, request: &Request) -> Answer {
    let wanted: &[&str] = if request.verb == "is-failed" {
        &["failed"]
    } else {
        &["active", "reloading"]
    };
    let mut answer = Answer::default();
    let (mut is_any, mut is_missing) = (false, false);
    for name in &request.units {
        let (state, is_known) = match manager.files.find(name) {
            Found::Unit(unit) => (manager.state(&unit.name).0, true),
            Found::Masked(name, _) => (manager.state(&name).0, true),
            Found::Missing(name) => (manager.state(&name).0, manager.is_active(&name)),
        };
        is_any |= wanted.contains(&state);
        is_missing |= !is_known;
        if !request.is_quiet {
            let _ = writeln!(answer.output, "{state}");
        }
    }
    answer.status = match (is_any, request.verb == "is-failed", is_missing) {
        (true, _, _) => 0,
        (false, true, _) => 1,
        (false, false, true) => 4,
        (false, false, false) => 3,
    };
    answer
}

/// `is-enabled`.
pub(super) fn is_enabled(enabling: &Enabling<'_>, request: &Request) -> Answer {
    let mut answer = Answer {
        status: 1,
        ..Answer::default()
    };
    for name in &request.units {
        let Some(state) = enabling.state(name) else {
            let _ = writeln!(
                answer.error,
                "Failed to get unit file state for {}: No such file or directory",
                full_name(name)
            );
            continue;
        };
        if !request.is_quiet {
            let _ = writeln!(answer.output, "{state}");
        }
        if matches!(
            state,
            "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated"
        ) {
            answer.status = 0;
        }
    }
    answer
}

/// `is-system-running`.
pub(super) fn is_system_running(manager: &Manager, request: &Request) -> Answer {
    let has_failed = manager
        .loaded
        .values()
        .any(|loaded| loaded.activation.state() == State::Failed);
    let (state, status) = match (manager.is_stopping, manager.is_busy(), has_failed) {
        (true, _, _) => ("stopping", 1),
        (_, true, _) => ("starting", 1),
        (_, _, true) => ("degraded", 1),
        _ => ("running", 0),
    };
    Answer {
        output: if request.is_quiet {
            String::new()
        } else {
            format!("{state}\n")
        },
        status,
        ..Answer::default()
    }
}

/// `status` of units.
pub(super) fn status(manager: &Manager, enabling: &Enabling<'_>, request: &Request) -> Answer {
    let mut answer = Answer::default();
    for name in &request.units {
        if !answer.output.is_empty() {
            answer.output.push('\n');
        }
        let status = match manager.files.find(name) {
            Found::Unit(unit) => status_of(manager, enabling, request, &unit, &mut answer.output),
            Found::Masked(name, _) => {
                let _ = writeln!(
                    answer.output,
                    "○ {name}\n     Loaded: masked (Reason: Unit {name} is masked.)\n     Active: inactive (dead)"
                );
                3
            }
            Found::Missing(name) if manager.is_active(&name) => {
                let _ = writeln!(answer.output, "● {name}\n     Loaded: loaded\n     Active: active");
                0
            }
            Found::Missing(name) => {
                let _ = writeln!(answer.error, "Unit {name} could not be found.");
                4
            }
        };
        answer.status = answer.status.max(status);
    }
    answer
}

fn status_of(manager: &Manager, enabling: &Enabling<'_>, request: &Request, unit: &Unit, output: &mut String) -> u8 {
    let (active, sub) = manager.state(&unit.name);
    let dot = match active {
        "active" | "reloading" => '●',
        "failed" => '×',
        _ => '○',
    };
    let enabled = enabling.state(&unit.name).unwrap_or("static");
    let loaded = manager.loaded.get(&unit.name);
    let _ = writeln!(
        output,
        "{dot} {} - {}",
        unit.name,
        unit.description(&manager.specifiers(&unit.name))
    );
    let _ = writeln!(output, "     Loaded: loaded ({}; {enabled})", unit.file.display());
    for drop_in in &unit.drop_ins {
        let _ = writeln!(output, "    Drop-In: {}", drop_in.display());
    }
    let since = loaded
        .map(|loaded| format!(" since {}", loaded.since.strftime(TIME)))
        .unwrap_or_default();
    let result = loaded
        .map(|loaded| loaded.activation.result())
        .filter(|result| *result != Outcome::Success);
    let result = result.map(|result| format!("Result: {}", result.name()));
    let sub = if active == "failed" {
        result.unwrap_or_default()
    } else {
        sub.to_owned()
    };
    let _ = writeln!(output, "     Active: {active} ({sub}){since}");
    if let Some(loaded) = loaded {
        processes_of(loaded, output);
        let options = &loaded.activation.service.passed_over;
        if !options.is_empty() {
            let _ = writeln!(
                output,
                "    Ignored: {} (without effect in the local cloud)",
                options.join(", ")
            );
        }
    }
    let lines = journal::tail(&unit.name, Some(request.lines.unwrap_or(STATUS_LINES)));
    if !lines.is_empty() {
        let _ = write!(output, "\n{lines}");
    }
    if matches!(active, "active" | "reloading") { 0 } else { 3 }
}

fn processes_of(loaded: &Loaded, output: &mut String) {
    let it = &loaded.activation;
    if let Some(main) = it.main() {
        let name = std::fs::read_to_string(format!("/proc/{main}/comm")).unwrap_or_default();
        let _ = writeln!(output, "   Main PID: {main} ({})", name.trim());
    } else if let Some(end) = it.main_end() {
        let _ = writeln!(output, "    Process: ({})", describe(end));
    }
    if !loaded.status.is_empty() {
        let _ = writeln!(output, "     Status: {:?}", loaded.status);
    }
    let count = loaded.keeper.as_ref().map_or(0, |keeper| keeper.processes().len());
    if count > 0 {
        let _ = writeln!(output, "      Tasks: {count}");
    }
}

/// `show`: properties of units, or some of the manager's own.
pub(super) fn show(manager: &Manager, enabling: &Enabling<'_>, request: &Request) -> Answer {
    let mut answer = Answer::default();
    let mut print = |properties: Vec<(&'static str, String)>| {
        let wanted: Vec<&(&str, String)> = if request.properties.is_empty() {
            properties.iter().collect()
        } else {
            let named = request.properties.iter();
            named
                .filter_map(|name| properties.iter().find(|(other, _)| other == name))
                .collect()
        };
        if !answer.output.is_empty() {
            answer.output.push('\n');
        }
        for (name, value) in wanted {
            let _ = if request.only_values {
                writeln!(answer.output, "{value}")
            } else {
                writeln!(answer.output, "{name}={value}")
            };
        }
    };
    if request.units.is_empty() {
        let state = is_system_running(manager, &Request::default()).output;
        print(vec![
            ("Version", "bakelite".into()),
            ("SystemState", state.trim().to_owned()),
            ("DefaultTarget", "multi-user.target".into()),
        ]);
    }
    for name in &request.units {
        print(properties(manager, enabling, name));
    }
    answer
}

/// A property's name and value.
type Property = (&'static str, String);

fn properties(manager: &Manager, enabling: &Enabling<'_>, name: &str) -> Vec<Property> {
    let (load_state, unit) = match manager.files.find(name) {
        Found::Unit(unit) => ("loaded", *unit),
        Found::Masked(name, _) => ("masked", named(name)),
        Found::Missing(name) => ("not-found", named(name)),
    };
    let mut properties = vec![
        ("Id", unit.name.clone()),
        ("Names", unit.name.clone()),
        ("LoadState", load_state.to_owned()),
        (
            "UnitFileState",
            enabling.state(&unit.name).unwrap_or_default().to_owned(),
        ),
    ];
    properties.extend(properties_of_state(manager, &unit.name));
    properties.extend(properties_of_files(&unit, &manager.specifiers(&unit.name)));
    properties
}

/// A unit of which there is no more than the name.
fn named(name: String) -> Unit {
    Unit {
        name,
        ..Unit::default()
    }
}

fn properties_of_state(manager: &Manager, name: &str) -> Vec<Property> {
    let (active, sub) = manager.state(name);
    let loaded = manager.loaded.get(name);
    let it = loaded.map(|loaded| &loaded.activation);
    let (code, status) = match it.and_then(Activation::main_end) {
        Some(End::Status(status)) => (1, status),
        Some(End::Signal(number)) => (2, number),
        None => (0, 0),
    };
    let main = it.and_then(Activation::main).unwrap_or(0).to_string();
    let since = loaded
        .map(|loaded| loaded.since.strftime(TIME).to_string())
        .unwrap_or_default();
    let entered = if active == "active" {
        since.clone()
    } else {
        String::new()
    };
    vec![
        ("ActiveState", active.to_owned()),
        ("SubState", sub.to_owned()),
        ("MainPID", main.clone()),
        ("ExecMainPID", main),
        ("ExecMainCode", code.to_string()),
        ("ExecMainStatus", status.to_string()),
        ("Result", it.map_or("success", |it| it.result().name()).to_owned()),
        ("NRestarts", it.map_or(0, Activation::restarts).to_string()),
        (
            "StatusText",
            loaded.map(|loaded| loaded.status.clone()).unwrap_or_default(),
        ),
        ("StateChangeTimestamp", since),
        ("ActiveEnterTimestamp", entered),
        ("NeedDaemonReload", "no".to_owned()),
    ]
}

fn properties_of_files(unit: &Unit, specifiers: &Specifiers) -> Vec<Property> {
    let names = |key| unit.related(key, specifiers).join(" ");
    let value = |key| unit.content.value("Service", key).unwrap_or_default().to_owned();
    let or = |key, default: &str| unit.content.value("Service", key).unwrap_or(default).to_owned();
    let answer = |is_so| if is_so { "yes" } else { "no" }.to_owned();
    let drop_ins: Vec<String> = unit.drop_ins.iter().map(|path| path.display().to_string()).collect();
    vec![
        ("Description", unit.description(specifiers)),
        ("FragmentPath", unit.file.display().to_string()),
        ("DropInPaths", drop_ins.join(" ")),
        ("Type", or("Type", "simple")),
        ("Restart", or("Restart", "no")),
        ("User", value("User")),
        ("ExecStart", value("ExecStart")),
        ("Environment", value("Environment")),
        ("WorkingDirectory", value("WorkingDirectory")),
        ("Requires", names("Requires")),
        ("Wants", names("Wants")),
        ("After", names("After")),
        ("Before", names("Before")),
        ("CanStart", answer(unit.content.has("Service"))),
        ("CanReload", answer(!value("ExecReload").is_empty())),
    ]
}

/// `cat`.
pub(super) fn cat(manager: &Manager, request: &Request) -> Answer {
    let mut answer = Answer::default();
    for name in &request.units {
        match manager.files.find(name) {
            Found::Unit(unit) => {
                for path in std::iter::once(&unit.file).chain(&unit.drop_ins) {
                    let text = manager.files.read(&path.display().to_string()).unwrap_or_default();
                    let _ = writeln!(
                        answer.output,
                        "{}# {}\n{}",
                        if answer.output.is_empty() { "" } else { "\n" },
                        path.display(),
                        text.trim_end()
                    );
                }
            }
            Found::Masked(_, path) => {
                let _ = writeln!(answer.output, "# {}", path.display());
            }
            Found::Missing(name) => {
                let _ = writeln!(answer.error, "No files found for {name}.");
                answer.status = 1;
            }
        }
    }
    answer
}

/// `list-units`.
pub(super) fn list_units(manager: &Manager, request: &Request) -> Answer {
    let mut rows = vec![["UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"].map(str::to_owned)];
    for (name, loaded) in &manager.loaded {
        let (active, sub) = loaded.activation.state().names();
        let has_state = request.states.is_empty() || request.states.iter().any(|state| state == active || state == sub);
        let has_type = request.types.is_empty() || request.types.iter().any(|kind| kind == "service");
        let is_shown = !request.only_failed || active == "failed";
        if has_state && has_type && is_shown && is_among(name, &request.units) {
            let description = loaded.unit.description(&manager.specifiers(name));
            rows.push([name.as_str(), "loaded", active, sub, &description].map(str::to_owned));
        }
    }
    let count = rows.len() - 1;
    let mut output = table(&rows, request.has_no_legend);
    if !request.has_no_legend {
        let _ = writeln!(output, "\n{count} loaded units listed.");
    }
    Answer {
        output,
        ..Answer::default()
    }
}

/// `list-unit-files`.
pub(super) fn list_unit_files(manager: &Manager, enabling: &Enabling<'_>, request: &Request) -> Answer {
    let mut rows = vec![["UNIT FILE", "STATE"].map(str::to_owned)];
    for name in manager.files.all().into_keys() {
        let has_type = request.types.is_empty() || request.types.iter().any(|kind| name.ends_with(&format!(".{kind}")));
        let state = enabling.state(&name).unwrap_or("static");
        if has_type
            && is_among(&name, &request.units)
            && (request.states.is_empty() || request.states.iter().any(|other| other == state))
        {
            rows.push([name, state.to_owned()]);
        }
    }
    let count = rows.len() - 1;
    let mut output = table(&rows, request.has_no_legend);
    if !request.has_no_legend {
        let _ = writeln!(output, "\n{count} unit files listed.");
    }
    Answer {
        output,
        status: u8::from(count == 0 && !request.units.is_empty()),
        ..Answer::default()
    }
}

/// Whether a name is one of these, or like one with `*`; all are among none.
fn is_among(name: &str, patterns: &[String]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| is_like(name, pattern))
}

/// Whether a name is that of a unit that was asked for, maybe with `*` for any letters.
pub(super) fn is_like(name: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return name == full_name(pattern);
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('*').collect();
    let (last, middle) = parts.split_last().unwrap_or((&"", &[]));
    for part in middle {
        let Some((_, after)) = left.split_once(part) else {
            return false;
        };
        left = after;
    }
    left.ends_with(last) || left.strip_suffix(".service").is_some_and(|left| left.ends_with(last))
}

fn table<const N: usize>(rows: &[[String; N]], has_no_legend: bool) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows.iter().skip(usize::from(has_no_legend)) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join(" ").trim_end());
    }
    text
}

/// What is printed about a job that has failed.
pub(super) fn failure(manager: &Manager, ended: &Ended) -> Option<String> {
    let unit = &ended.unit;
    Some(match &ended.end {
        JobEnd::Done => return None,
        JobEnd::Canceled => format!("Job for {unit} canceled."),
        JobEnd::Dependency => format!("A dependency job for {unit} failed. See 'journalctl -xe' for details."),
        JobEnd::Refused(reason) => {
            let verb = if ended.verb == Verb::Reload { "reload" } else { "start" };
            format!("Failed to {verb} {unit}: {reason}")
        }
        JobEnd::Failed => {
            let result = manager
                .loaded
                .get(unit)
                .map_or(Outcome::Resources, |loaded| loaded.activation.result());
            let reason = match result {
                Outcome::Timeout => "a timeout was exceeded",
                Outcome::Signal => "a fatal signal was delivered to the control process",
                Outcome::Protocol => "the service did not take the steps required by its unit configuration",
                Outcome::StartLimitHit => "start of the service was attempted too often",
                Outcome::Resources => "of unavailable resources or another system error",
                Outcome::ExitCode | Outcome::Success => "the control process exited with error code",
            };
            let lines = journal::tail(unit, Some(FAILURE_LINES));
            let lines: String = lines.lines().flat_map(|line| ["\n  ", line]).collect();
            format!(
                "Job for {unit} failed because {reason}.\n\
                 See \"systemctl status {unit}\" and \"journalctl -xeu {unit}\" for details. The end of its log:{lines}"
            )
        }
    })
}

/// `journalctl`.
pub(super) fn logs(request: &LogRequest) -> Answer {
    if request.is_upkeep {
        if request.is_removal {
            journal::clear();
        }
        return Answer::default();
    }
    if request.follows {
        return Answer::failed(
            1,
            "journalctl: the init of the local cloud shows the logs as they are; --follow is not supported",
        );
    }
    let all = journal::units();
    let wanted: Vec<&String> = all.iter().filter(|unit| is_among(unit, &request.units)).collect();
    let mut output = String::new();
    for unit in wanted {
        output += &journal::tail(unit, request.lines);
    }
    if output.is_empty() {
        "-- No entries --\n".clone_into(&mut output);
    }
    Answer {
        output,
        ..Answer::default()
    }
}

/// The state of the machine, for `status` without a unit.
pub(super) fn overview(manager: &Manager) -> Answer {
    let state = is_system_running(manager, &Request::default()).output;
    let failed = manager
        .loaded
        .values()
        .filter(|loaded| loaded.activation.state() == State::Failed)
        .count();
    Answer {
        output: format!(
            "● {}\n    State: {state}   Failed: {failed} units\n     Time: {}\n\
             The init of this instance is the local cloud's own: it runs services, and no systemd.\n",
            manager.specifiers("").hostname,
            Timestamp::now().strftime(TIME),
        ),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched() {
        for (name, pattern, expected) in [
            ("web.service", "web", true),
            ("web.service", "web.service", true),
            ("web.service", "w*b", true),
            ("web.service", "*", true),
            ("web.service", "d*", false),
            ("php8.2-fpm.service", "php*-fpm*", true),
            ("web.socket", "web", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, false), "A    B\nlong x\n");
        assert_eq!(table(&rows, true), "long x\n");
    }
}
