//! Nothing is left behind: not after an interrupt at any moment, and not after a kill at any moment and `gc`.

use std::time::{Duration, Instant};

use bakelite_test_support::clouds::{Cloud, signal};
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::inventory::Inventory;
use bakelite_test_support::test_context;

/// How many moments of a bake are tried.
const MOMENTS: u32 = 10;

/// States take a while, so that moments between them exist.
const LATENCY: &str = "instance=0.3,boot=0.1,stop=0.3,image=0.5,terminate=0.2";

fn template() -> String {
    format!("{}/examples/quickstart", env!("CARGO_MANIFEST_DIR"))
}

/// How long an undisturbed bake takes here: the moments are spread over it.
fn undisturbed(context: &TestContext) -> Duration {
    let started = Instant::now();
    context.run(["build", &template()]).succeeds();
    started.elapsed()
}

/// Starts a bake, lets it run for a part of its time, and sends it a signal. The wait is the point: it picks the moment.
fn disturbed(context: &TestContext, whole: Duration, moment: u32, name: &str) -> Ran {
    let child = context.start(["build", &template()]);
    let (_nobody, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(whole * moment / MOMENTS);
    // It may be over already, at the last moment.
    let alive = std::path::Path::new(&format!("/proc/{}", child.id())).exists();
    if alive {
        signal(child.id(), name);
    }
    Ran::end_of(child)
}

#[test]
fn an_interrupt_at_any_moment_leaves_nothing() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", LATENCY]);
    let context = context.on(&cloud);
    let whole = undisturbed(&context);
    let clean = Inventory::of(&cloud.endpoint).temporary();
    for moment in 0..MOMENTS {
        let ran = disturbed(&context, whole, moment, "INT");
        assert_eq!(
            Inventory::of(&cloud.endpoint).temporary(),
            clean,
            "moment {moment}: {}{}",
            ran.stdout,
            ran.stderr
        );
        assert!(
            context.journals().is_empty(),
            "moment {moment}: {}{}",
            ran.stdout,
            ran.stderr
        );
    }
}

#[test]
fn a_kill_at_any_moment_and_gc_leave_nothing() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", LATENCY]);
    let context = context.on(&cloud);
    let whole = undisturbed(&context);
    let clean = Inventory::of(&cloud.endpoint).temporary();
    for moment in 0..MOMENTS {
        let _ = disturbed(&context, whole, moment, "KILL");
        let collected = context.run(["gc"]).succeeds();
        assert_eq!(
            Inventory::of(&cloud.endpoint).temporary(),
            clean,
            "moment {moment}: {collected}"
        );
        assert!(context.journals().is_empty(), "moment {moment}: {collected}");
    }
}

/// The local cloud of `build -local` dies with its bake; `gc` opens it again to remove what the bake left in it.
#[test]
fn a_killed_bake_on_its_own_cloud_is_collected() {
    let context = test_context!();
    let template = template();
    let arguments = ["build", "-local", "-latency", LATENCY, &template];
    let started = Instant::now();
    context.run(arguments).succeeds();
    let whole = started.elapsed();
    for moment in 3..7 {
        let child = context.start(arguments);
        let (_nobody, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(whole * moment / MOMENTS);
        signal(child.id(), "KILL");
        let _ = Ran::end_of(child);
        context.run(["gc"]).succeeds();
        assert!(context.journals().is_empty(), "moment {moment}");
    }
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let left = Inventory::of(&cloud.endpoint);
    assert!(
        left.instances.is_empty() && left.key_pairs.is_empty() && left.volumes.is_empty(),
        "{left:?}"
    );
}
