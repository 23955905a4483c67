//! `gc`: removes what killed runs left behind, wherever they left it: what their journals name, or (`-sweep`) what carries our tags.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::cancel::{Cancel, Urgency, cancellation};
use bakelite_engine::error::Error;
use bakelite_engine::gc::{self, Collected};
use bakelite_engine::journal::Unsure;
use bakelite_engine::undo::{BUILD, CREATED, LOCAL, Resource, Undo, UndoError, UndoMode};
use bakelite_engine::untrusted::one_line;

use super::{print, print_error};
use crate::args::GcArgs;
use crate::cloud::{self, Cloud};
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::registry::registry;
use crate::signals::Signals;

pub(super) async fn run(args: &GcArgs, process: &Process) -> Result<Status, Failure> {
    let mut signals = Signals::listen()?;
    let (canceller, cancel) = cancellation();
    let collecting = async {
        if args.sweep {
            sweep(args, process, &cancel).await
        } else {
            collect(args, process, &cancel).await
        }
    };
    tokio::pin!(collecting);
    loop {
        tokio::select! {
            status = &mut collecting => return status,
            // What is being removed right now is left at its next await; the journal keeps it.
            _ = signals.next() => canceller.cancel(Urgency::CleanUp),
        }
    }
}

/// What journals of dead runs name.
async fn collect(args: &GcArgs, process: &Process, cancel: &Cancel) -> Result<Status, Failure> {
    let journals = process.journals(args.journal.as_deref())?;
    let journals = journals.silent_for(Duration::from(args.older_than));
    let failure = |error| Failure::new("failed to read the journals").because(&error);
    let listed = gc::list(&journals).map_err(failure)?;
    for refused in &listed.refused {
        let path = refused.path.display().to_string();
        print_error(&format!(
            "Journal `{}` is not obeyed: {}. If it is none of yours, remove it.\n",
            one_line(&path),
            refused.reason
        ));
    }
    let status = if listed.refused.is_empty() {
        Status::Ok
    } else {
        Status::Failed
    };
    for unsure in &listed.unsure {
        print(&left_alone(unsure));
    }
    if listed.collected.is_empty() && listed.unsure.is_empty() {
        print("Nothing was left behind.\n");
    }
    let listed = listed.collected;
    if args.dry_run {
        for one in &listed {
            print(&format!("{}\n", named(&one.resource, Some(&one.run))));
        }
        return Ok(status);
    }
    let mut clouds = BTreeMap::new();
    let of_this_machine = listed.iter().filter(|one| one.elsewhere.is_none());
    for directory in of_this_machine.filter_map(|one| one.resource.details.get(LOCAL)) {
        if !clouds.contains_key(directory) {
            clouds.insert(
                directory.clone(),
                cloud::reopen(PathBuf::from(directory), process).await?,
            );
        }
    }
    let mut all_gone = true;
    // Also where nothing is left: a run that died after its last removal leaves an empty journal.
    let shown = |one: Collected| all_gone &= report(&one.resource, Some(&one.run), one.error.as_ref());
    let collected = gc::collect(&journals, &owners(&clouds, process), cancel, shown).await;
    for cloud in clouds.into_values() {
        cloud.shutdown().await;
    }
    collected.map_err(failure)?;
    Ok(if all_gone { status } else { Status::Failed })
}

/// A journal of another machine whose run may be alive.
fn left_alone(unsure: &Unsure) -> String {
    let host = unsure.host.as_deref().unwrap_or("another machine");
    let line = format!(
        "Left alone: run {} of {host}, which may be alive; its journal was written to {}. `-older-than` with less than that collects it.",
        unsure.run,
        duration(unsure.silent_for) + " ago"
    );
    one_line(&line).into_owned() + "\n"
}

/// What carries the tags of this program, in the accounts that the environment leads to.
async fn sweep(args: &GcArgs, process: &Process, cancel: &Cancel) -> Result<Status, Failure> {
    let owners = owners(&BTreeMap::new(), process);
    let older_than = Duration::from(args.older_than);
    let mut found = Vec::new();
    for owner in &owners {
        let left = tokio::select! {
            () = cancel.token().cancelled() => Err(Error::cancelled()),
            left = owner.sweep(older_than) => left,
        };
        found.extend(left.map_err(|error| Failure::of("failed to search for leftovers", &error))?);
    }
    if found.is_empty() {
        print(&format!("Nothing older than {} was left behind.\n", args.older_than));
        return Ok(Status::Ok);
    }
    let mut all_gone = true;
    for resource in &found {
        if args.remove {
            let removed = gc::remove(resource, &owners, cancel).await;
            all_gone &= report(resource, None, removed.err().as_ref());
        } else {
            print(&format!("{}\n", named(resource, None)));
        }
    }
    if !args.remove {
        print("Nothing was removed: `-remove` removes what is listed here.\n");
    }
    Ok(if all_gone { Status::Ok } else { Status::Failed })
}

/// Prints what became of a resource; answers whether it is gone.
fn report(resource: &Resource, run: Option<&str>, error: Option<&Error>) -> bool {
    let what = named(resource, run);
    match error {
        None => print(&format!("{what} is gone\n")),
        Some(error) => {
            print(&format!("{what} is still there: {}\n", one_line(&error.report().text)));
            if let Some(help) = error.help() {
                print(&format!("  help: {help}\n"));
            }
        }
    }
    error.is_none()
}

/// A resource with its build, its run, where it is and how old it is, in one line whatever their names are.
fn named(resource: &Resource, run: Option<&str>) -> String {
    let detail = |name| resource.details.get(name).map(String::as_str);
    let mut text = resource.describe();
    if let Some(build) = detail(BUILD) {
        let _ = write!(text, " of build {build}");
    }
    if let Some(run) = run.or_else(|| detail("run")) {
        let _ = write!(text, " of run {run}");
    }
    let place = match detail(LOCAL) {
        Some(_) => Some("the local cloud".to_owned()),
        None => detail("region").map(str::to_owned),
    };
    let age = detail(CREATED)
        .and_then(|created| created.parse::<jiff::Timestamp>().ok())
        .and_then(|created| Duration::try_from(jiff::Timestamp::now().duration_since(created)).ok())
        .map(|age| duration(age) + " old");
    let more: Vec<String> = place.into_iter().chain(age).collect();
    if !more.is_empty() {
        let _ = write!(text, " ({})", more.join(", "));
    }
    one_line(&text).into_owned()
}

/// In the largest unit of which it is at least one.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3600.. => (seconds / 3600, "hour"),
        60.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// What removes resources: as the registry has it, each with the local clouds in which it may have some.
fn owners(clouds: &BTreeMap<String, Cloud>, process: &Process) -> Vec<Arc<dyn Undo>> {
    let registry = registry();
    let mut owners = registry.owners(&process.run_context(false, false).environment);
    for (directory, cloud) in clouds {
        let mut context = process.run_context(false, false);
        cloud.take_the_place_of_aws(&mut context);
        let within = registry.owners(&context.environment);
        owners = owners
            .into_iter()
            .zip(within)
            .map(|(elsewhere, within)| {
                Arc::new(Redirected {
                    directory: directory.clone(),
                    within,
                    elsewhere,
                }) as Arc<dyn Undo>
            })
            .collect();
    }
    owners
}

/// An owner whose resources may live in a local cloud: the resource says where it is.
struct Redirected {
    directory: String,
    within: Arc<dyn Undo>,
    elsewhere: Arc<dyn Undo>,
}

#[async_trait]
impl Undo for Redirected {
    fn owner(&self) -> &'static str {
        self.elsewhere.owner()
    }

    async fn undo(&self, resource: &Resource, mode: UndoMode) -> Result<(), UndoError> {
        let is_within = resource.details.get(LOCAL) == Some(&self.directory);
        let undo = if is_within { &self.within } else { &self.elsewhere };
        undo.undo(resource, mode).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_has_build_region_and_age() {
        let day_and_more = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(30);
        let resource = Resource::new("aws", "instance")
            .detail("region", "eu-west-1")
            .detail(BUILD, "amazon-ebs.web")
            .detail(CREATED, day_and_more.to_string());
        let resource = Resource {
            id: Some("i-1".into()),
            ..resource
        };
        assert_eq!(
            named(&resource, Some("run-1")),
            "instance i-1 of build amazon-ebs.web of run run-1 (eu-west-1, 1 day old)"
        );
        assert_eq!(
            named(&Resource::new("aws", "volume").token("t\n1"), None),
            "volume t\\n1"
        );
    }
}
