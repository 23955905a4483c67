//! `build`: the whole line, from a template to artifacts.

use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::cancel::{Canceller, Urgency, cancellation};
use bakelite_engine::event::{Event, RunEvent, What};
use bakelite_engine::events::Events;
use bakelite_engine::journal::Journal;
use bakelite_engine::policy::{FailurePolicy, OnError};
use bakelite_engine::private_file::PrivateFiles;
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::run::{self, Outcome, Settings};
use bakelite_template::{Purpose, UndeclaredVariables};
use tokio::time::timeout;

use crate::args::{BuildArgs, OnErrorArg};
use crate::cloud::{Access, Cloud, check_unused};
use crate::exit::{Failure, Status};
use crate::keeper::{self, Keeper};
use crate::notices::NoticeBoard;
use crate::output::Output;
use crate::process::{Process, Role};
use crate::reading::{Reading, invocation};
use crate::registry::registry;
use crate::report::{Extras, Reporting, Style};
use crate::signals::Signals;
use crate::user::AtTerminal;
use crate::world::World;

/// How long a reader that has stopped is waited for when a bake was interrupted: its last words are for nobody then.
const LAST_WORDS: Duration = Duration::from_secs(10);

pub(super) async fn run(args: BuildArgs, machine_readable: bool, process: &Process) -> Result<Status, Failure> {
    if process.role == Role::Keeper {
        return keeper::run(&args.cloud, process).await;
    }
    let place = Place::start(&args, process).await?;
    let state = args.cloud.local_state.clone();
    let status = bake(args, machine_readable, &place, process).await;
    let kept = place.leave().await;
    if let (Some(first), Ok(_)) = (kept.first(), &status) {
        let state = state.map_or_else(String::new, |state| format!(" -local-state {}", state.display()));
        process.output.say(&format!(
            "Still running: {}. `bakelite local ssh{state} {first}` logs in, `bakelite local exec{state} {first} COMMAND` runs a command as \
             root, `bakelite gc` removes what is left.",
            kept.join(", ")
        ));
    }
    status
}

/// Where a bake happens.
enum Place {
    Aws,
    /// A local cloud that ends with this process.
    Here(Cloud),
    /// A local cloud that stays for what the bake leaves.
    Kept(Box<Keeper>),
}

impl Place {
    async fn start(args: &BuildArgs, process: &Process) -> Result<Place, Failure> {
        if !args.local {
            check_unused(&args.cloud)?;
            return Ok(Place::Aws);
        }
        // Whoever has everything cleaned up needs nothing that outlives the bake.
        Ok(if matches!(args.on_error, OnErrorArg::Cleanup) {
            Place::Here(Cloud::start_for_build(&args.cloud, process).await?)
        } else {
            Place::Kept(Box::new(Keeper::start(&args.cloud, process).await?))
        })
    }

    /// How to call the local cloud.
    fn access(&self) -> Option<Access> {
        match self {
            Place::Aws => None,
            Place::Here(cloud) => Some(cloud.access()),
            Place::Kept(keeper) => Some(keeper.access().clone()),
        }
    }

    /// Where what the local cloud reports comes together.
    fn board(&self) -> Option<NoticeBoard> {
        match self {
            Place::Aws => None,
            Place::Here(cloud) => Some(cloud.board().clone()),
            Place::Kept(keeper) => Some(keeper.board().clone()),
        }
    }

    /// Completes when another process wants the bake to end; answers the command that does.
    async fn asked_to_end(&self) -> String {
        match self {
            Place::Aws => std::future::pending().await,
            Place::Here(cloud) => cloud.asked_to_end().await,
            Place::Kept(keeper) => keeper.asked_to_end().await,
        }
    }

    /// Answers the instances that stay.
    async fn leave(self) -> Vec<String> {
        match self {
            Place::Aws => Vec::new(),
            Place::Here(cloud) => {
                cloud.shutdown().await;
                Vec::new()
            }
            Place::Kept(keeper) => keeper.leave().await,
        }
    }
}

/// Reads, plans and bakes; says what was wrong and what was made.
async fn bake(args: BuildArgs, machine_readable: bool, place: &Place, process: &Process) -> Result<Status, Failure> {
    let mut context = process.run_context(args.force, args.debug);
    let access = place.access();
    if let Some(access) = &access {
        access.redirect(&mut context);
    }
    let board = place.board();
    let undeclared = if args.warn_on_undeclared_var {
        UndeclaredVariables::Warn
    } else {
        UndeclaredVariables::Ignore
    };
    let style = style(&args, machine_readable, process);
    let settings = settings(&args, context.clone(), process)?;
    let part = args.partition.map(|argument| argument.part(process)).transpose()?;
    let extras = Extras {
        run: context.id.clone(),
        timing: args.timing,
        log_events: args.log_events,
        trace: args.trace,
        report: args.report,
    };
    let invocation = invocation(args.template, args.path, Purpose::Build, undeclared, process)?;
    let registry = registry();
    let mut reading = Reading::default();
    // With it, anybody on this machine could use the local cloud.
    reading.hidden.extend(access.map(|access| access.secret));
    let Some(template) = reading.read(&invocation) else {
        reading.say(process);
        return Ok(Status::Failed);
    };
    let world = World {
        registry: &registry,
        run: &context,
    };
    let planning = template.plan(&registry, &world, &mut reading.diagnostics);
    let mut plan = not_in_silence(
        planning,
        "the data sources and functions of the template",
        process.output,
    )
    .await;
    reading.hidden.extend(plan.secrets.iter().cloned());
    reading.hidden.extend_by_environment(&context.environment);
    let unsound = reading.say(process);
    if plan.builds.is_empty() {
        if !unsound {
            process.output.error(
                "error: no build is left to run\nhelp: look at -only and -except; `bakelite inspect` lists the builds\n",
            );
        }
        return Ok(Status::Failed);
    }
    if let Some(part) = part {
        let all = plan.builds.len();
        plan.builds.retain(|build| part.contains(&build.name));
        process.output.say(&part.describe(plan.builds.len(), all));
        if plan.builds.is_empty() {
            return Ok(if unsound { Status::Failed } else { Status::Ok });
        }
    }
    let journal = Arc::clone(&settings.journal);
    let mut signals = Signals::listen()?;
    let explaining = board.clone();
    let explain = move |event: &mut Event| {
        if let Some(board) = &explaining {
            board.explain(event);
        }
    };
    let reporting = Reporting::start(style, reading.hidden, &extras, &process.log, explain)?;
    let (canceller, cancel) = cancellation();
    if let Some(board) = &board {
        board.report_by(Some(reporting.events.clone()));
    }
    let running = run::run(plan, &registry, settings, &reporting.events, &cancel);
    let outcomes = until_left(running, &canceller, &reporting.events, &mut signals, place).await;
    if let Some(board) = &board {
        board.report_by(None);
    }
    let outcomes = shown(outcomes, cancel.is_cancelled(), reporting, &mut signals).await;
    journal
        .close()
        .map_err(|error| Failure::new("failed to close the journal").because(&error))?;
    let failed = outcomes?.iter().any(|outcome| outcome.result.is_err());
    Ok(if failed || unsound { Status::Failed } else { Status::Ok })
}

/// Waits for what has no events of its own; when that takes more than ten seconds, prints what is waited for.
async fn not_in_silence<T>(work: impl Future<Output = T>, what: &str, output: Output) -> T {
    tokio::pin!(work);
    for pause in [10, 20, 60].map(Duration::from_secs) {
        if let Ok(done) = timeout(pause, &mut work).await {
            return done;
        }
        output.say(&format!("==> Waiting for {what}"));
    }
    work.await
}

/// Waits for the run while listening for signals, and for the wish of another process to end the local cloud: the first cleans up, the second hurries, the third leaves at once.
async fn until_left(
    running: impl Future<Output = Vec<Outcome>>,
    canceller: &Canceller,
    events: &Events,
    signals: &mut Signals,
    place: &Place,
) -> Result<Vec<Outcome>, Failure> {
    tokio::pin!(running);
    let mut level = 0;
    loop {
        let signal = tokio::select! {
            outcomes = &mut running => return Ok(outcomes),
            name = signals.next() => name.to_owned(),
            wish = place.asked_to_end(), if level == 0 => format!("a request of `{wish}`"),
        };
        level += 1;
        events.emit(What::Run(RunEvent::Interrupted { signal, level }));
        match level {
            1 => canceller.cancel(Urgency::CleanUp),
            2 => canceller.cancel(Urgency::Hurry),
            _ => return Err(Failure::new("left without cleaning up").help("`bakelite gc` removes what is left")),
        }
    }
}

/// Waits until the outcomes are shown, as long as nobody wants the program to end: its output may lead to a reader that has stopped.
/// Everything is cleaned up by now.
async fn shown(
    outcomes: Result<Vec<Outcome>, Failure>,
    is_cancelled: bool,
    reporting: Reporting,
    signals: &mut Signals,
) -> Result<Vec<Outcome>, Failure> {
    let showing = async {
        if is_cancelled {
            timeout(LAST_WORDS, reporting.finish()).await.is_ok()
        } else {
            reporting.finish().await;
            true
        }
    };
    let is_shown = tokio::select! {
        is_shown = showing => is_shown,
        _ = signals.next() => false,
    };
    // Standard error may lead to the same reader.
    outcomes.map_err(|failure| {
        if is_shown {
            failure
        } else {
            Failure::said(Status::Failed)
        }
    })
}

fn settings(args: &BuildArgs, run: RunContext, process: &Process) -> Result<Settings, Failure> {
    let on_error = match args.on_error {
        OnErrorArg::Cleanup => OnError::CleanUp,
        OnErrorArg::Abort => OnError::Abort,
        OnErrorArg::Ask => OnError::Ask,
        OnErrorArg::RunCleanupProvisioner => OnError::RunCleanupProvisioner,
    };
    let journal = Arc::new(Journal::new(process.journals(args.journal.as_deref())?, &run.id));
    let run = RunContext {
        private_files: PrivateFiles::noted_in(Arc::clone(&journal)),
        ..run
    };
    let user = Arc::new(AtTerminal::new(process.input_is_terminal));
    let parallel_builds = usize::try_from(args.parallel_builds).unwrap_or(0);
    Ok(Settings {
        parallel_builds,
        policy: FailurePolicy { on_error, user },
        run,
        journal,
    })
}

fn style(args: &BuildArgs, machine_readable: bool, process: &Process) -> Style {
    if machine_readable {
        return Style::Machine;
    }
    let color = args
        .color
        .unwrap_or_else(|| process.wants_color(process.output_is_terminal));
    // Questions and the log would be overwritten by live lines.
    let asks = args.debug || matches!(args.on_error, OnErrorArg::Ask);
    if process.output_is_terminal && !asks && !process.log.is_on_errors() {
        Style::Terminal {
            color,
            timestamp: args.timestamp_ui,
        }
    } else {
        Style::Plain {
            color,
            timestamp: args.timestamp_ui,
        }
    }
}
