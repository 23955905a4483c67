//! Nothing is left behind: not after an interrupt at any step of a bake, and not after a kill at any step and `gc`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bakelite_test_support::clouds::{Cloud, signal};
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::inventory::Inventory;
use bakelite_test_support::test_context;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// The step event at which a bake has an instance, and no file on this machine yet: `connect` starts.
const CONNECTING: usize = 9;

/// States take a while, so that a signal arrives while something is on its way.
const LATENCY: &str = "instance=0.3,boot=0.1,stop=0.3,image=0.5,terminate=0.2";

/// Longer than any step takes.
const LIMIT: Duration = Duration::from_mins(1);

fn template() -> String {
    format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"))
}

/// The beginnings and ends of steps, as they are written to a pipe.
fn steps(pipe: &Path) -> Receiver<()> {
    let (sender, steps) = channel();
    let pipe = pipe.to_owned();
    std::thread::spawn(move || {
        let events = BufReader::new(File::open(pipe).unwrap());
        for event in events.lines().map_while(Result::ok) {
            if event.contains("\"what\":{\"step\":") {
                // Whoever has seen enough of them does not listen any more, but the pipe has to be read.
                let _ = sender.send(());
            }
        }
    });
    steps
}

/// Bakes, and sends a signal at a step event. `None`: the bake had fewer.
fn disturbed(context: &TestContext, flags: &[&str], moment: usize, name: &str) -> Option<Ran> {
    let pipe = context.work().join(format!("events-{name}-{moment}"));
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (pipe_text, template) = (pipe.display().to_string(), template());
    let arguments = ["build", "-log-events", &pipe_text]
        .into_iter()
        .chain(flags.iter().copied());
    let child = context.start(arguments.chain([template.as_str()]));
    let steps = steps(&pipe);
    for seen in 0..moment {
        if let Err(error) = steps.recv_timeout(LIMIT) {
            let ran = Ran::end_of(child);
            assert!(
                error == std::sync::mpsc::RecvTimeoutError::Disconnected,
                "nothing happened after {seen} events: {}{}",
                ran.stdout,
                ran.stderr
            );
            return None;
        }
    }
    signal(child.id(), name);
    Some(Ran::end_of(child))
}

/// Disturbs a bake at every so many of its step events, and checks after each.
fn at_every(context: &TestContext, flags: &[&str], every: usize, name: &str, check: impl Fn(usize, &Ran)) {
    let mut count = 0;
    for moment in (1..).step_by(every) {
        let Some(ran) = disturbed(context, flags, moment, name) else {
            break;
        };
        check(moment, &ran);
        count += 1;
    }
    assert!(count * every > 10, "only {count} moments");
}

#[test]
fn an_interrupt_at_any_step_leaves_nothing() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", LATENCY]);
    let context = context.on(&cloud);
    let clean = Inventory::of(&cloud.endpoint).temporary();
    at_every(&context, &[], 2, "INT", |moment, ran| {
        let left = Inventory::of(&cloud.endpoint).temporary();
        assert_eq!(left, clean, "moment {moment}: {}{}", ran.stdout, ran.stderr);
        let journals = context.journals();
        assert!(journals.is_empty(), "moment {moment}: {}{}", ran.stdout, ran.stderr);
    });
}

#[test]
fn a_kill_at_any_step_and_gc_leave_nothing() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", LATENCY]);
    let context = context.on(&cloud);
    let clean = Inventory::of(&cloud.endpoint).temporary();
    at_every(&context, &[], 2, "KILL", |moment, _| {
        let collected = context.run(["gc"]).succeeds();
        let left = Inventory::of(&cloud.endpoint).temporary();
        assert_eq!(left, clean, "moment {moment}: {collected}");
        assert!(context.journals().is_empty(), "moment {moment}: {collected}");
    });
}

/// The local cloud of `build -local` dies with its bake; `gc` opens it again to remove what the bake left in it.
#[test]
fn a_killed_bake_on_its_own_cloud_is_collected() {
    let context = test_context!();
    at_every(&context, &["-local", "-latency", LATENCY], 7, "KILL", |moment, _| {
        context.run(["gc"]).succeeds();
        assert!(context.journals().is_empty(), "moment {moment}");
    });
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let left = Inventory::of(&cloud.endpoint);
    assert!(
        left.instances.is_empty() && left.key_pairs.is_empty() && left.volumes.is_empty(),
        "{left:?}"
    );
}

/// The bake was killed on one machine; another, with nothing of the first but the directory of journals, removes what it left.
#[test]
fn a_killed_bake_is_collected_by_another_machine_that_shares_its_journals() {
    let (context, other) = (test_context!(), test_context!());
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", "instance=3,terminate=0.2"]);
    let (context, other) = (context.on(&cloud), other.on(&cloud));
    let shared = tempfile::tempdir().unwrap();
    let directory = shared.path().display().to_string();
    let clean = Inventory::of(&cloud.endpoint).temporary();
    let _ = disturbed(&context, &["-journal", &directory], CONNECTING, "KILL").unwrap();
    let left = Inventory::of(&cloud.endpoint).temporary();
    assert_ne!(left, clean);
    let nothing = "Nothing was left behind.\n";
    assert_eq!(context.run(["gc"]).succeeds(), nothing, "the journal is elsewhere");

    let journals = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(shared.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let [journal] = journals().try_into().unwrap();
    let mode = std::fs::metadata(&journal).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // As the other machine would find it.
    let text = std::fs::read_to_string(&journal).unwrap();
    let (before, after) = text.split_once("\"host\":\"").unwrap();
    std::fs::write(&journal, format!("{before}\"host\":\"build-7{after}")).unwrap();
    let said = other.run(["gc", "-journal", &directory]).succeeds();
    assert!(
        said.starts_with("Left alone: run ") && said.contains("of build-7") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(Inventory::of(&cloud.endpoint).temporary(), left);

    let other = other.with("BAKELITE_JOURNAL", &directory);
    let said = other.run(["gc", "-older-than", "0s"]).succeeds();
    assert_eq!(Inventory::of(&cloud.endpoint).temporary(), clean, "{said}");
    assert_eq!(journals(), Vec::<PathBuf>::new(), "{said}");
    assert_eq!(other.run(["gc"]).succeeds(), nothing);
}
