//! Cancellation at each of its levels, and answers that come when nobody waits for them any more.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::cancel::Urgency;
use bakelite_engine::error::Kind;
use bakelite_engine::event::BuildEvent;
use bakelite_engine::undo::Undo;
use tokio::time::sleep;

use crate::bench::{Act, Bench, FakeUndo, Ran};

const ONE: &str = "makes = [\"a\"]";
const PROVISIONED: &str = "provisioner \"fake\" {\n  act = \"p\"\n}";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Cancels after so many seconds each.
async fn cancelled_at(bench: &Bench, times: &[(u64, Urgency)], ran: impl Future<Output = Ran>) -> Ran {
    let cancelling = async {
        let mut now = 0;
        for (at, urgency) in times {
            sleep(seconds(at - now)).await;
            now = *at;
            bench.canceller.cancel(*urgency);
        }
    };
    tokio::join!(ran, cancelling).0
}

#[tokio::test(start_paused = true)]
async fn a_provisioner_is_cancelled_and_everything_goes() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Hangs]);
    let build = format!("{PROVISIONED}\nerror-cleanup-provisioner \"fake\" {{\n  act = \"cleaner\"\n}}");
    let ran = cancelled_at(&bench, &[(10, Urgency::CleanUp)], bench.bake(ONE, &build)).await;
    assert_eq!(ran.error().kind(), Kind::Cancelled);
    assert_eq!(bench.world.log(), ["create a", "provision p", "undo a"]);
    assert_eq!((ran.took, bench.journals_left()), (seconds(10), 0));
}

#[tokio::test(start_paused = true)]
async fn a_pause_and_retries_end_with_the_cancellation() {
    let bench = Bench::new();
    let pausing = "provisioner \"fake\" {\n  act = \"p\"\n  pause_before = \"1h\"\n  max_retries = 5\n}";
    let ran = cancelled_at(&bench, &[(10, Urgency::CleanUp)], bench.bake("", pausing)).await;
    assert_eq!((ran.error().kind(), ran.took), (Kind::Cancelled, seconds(10)));
    assert!(bench.world.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_is_waited_for_and_undone() {
    let bench = Bench::new();
    bench.world.tell("create a", [Act::SucceedsAfter(seconds(30))]);
    let ran = cancelled_at(&bench, &[(10, Urgency::CleanUp)], bench.bake(ONE, "")).await;
    assert_eq!(bench.world.log(), ["create a", "create a answered", "undo a"]);
    assert_eq!((ran.took, bench.journals_left()), (seconds(30), 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_undone_by_its_token() {
    let bench = Bench::new();
    bench.world.tell("create a", [Act::Hangs]);
    let ran = cancelled_at(&bench, &[(10, Urgency::CleanUp)], bench.bake(ONE, "")).await;
    assert_eq!(bench.world.log(), ["create a", "undo token-a"]);
    assert_eq!((ran.took, bench.journals_left()), (seconds(100), 0));
}

#[tokio::test(start_paused = true)]
async fn who_insists_waits_shorter_for_answers() {
    let bench = Bench::new();
    bench.world.tell("create a", [Act::Hangs]);
    let times = [(10, Urgency::CleanUp), (20, Urgency::Hurry)];
    let ran = cancelled_at(&bench, &times, bench.bake(ONE, "")).await;
    assert_eq!(bench.world.log(), ["create a", "undo token-a hastily"]);
    assert_eq!(ran.took, seconds(25));
}

#[tokio::test(start_paused = true)]
async fn who_insists_ends_a_patient_removal() {
    let bench = Bench::new();
    bench.world.tell("undo a", [Act::Hangs]);
    let times = [(10, Urgency::CleanUp), (20, Urgency::Hurry)];
    bench.world.tell("provision p", [Act::Hangs]);
    let ran = cancelled_at(&bench, &times, bench.bake(ONE, PROVISIONED)).await;
    assert_eq!(
        bench.world.log(),
        ["create a", "provision p", "undo a", "undo a hastily"]
    );
    assert_eq!((ran.took, bench.journals_left()), (seconds(20), 0));
}

#[tokio::test(start_paused = true)]
async fn who_insists_ends_a_pause_between_removals_but_not_those_that_come_after() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Hangs]);
    bench.world.tell("undo a", [Act::FailsForNow; 5]);
    bench.world.tell("undo a hastily", [Act::FailsForNow]);
    // Tries at 10, 11, 13, 17 s; the pause after that is cut at 20 s.
    let times = [(10, Urgency::CleanUp), (20, Urgency::Hurry)];
    let ran = cancelled_at(&bench, &times, bench.bake(ONE, PROVISIONED)).await;
    assert_eq!(
        bench.world.log().split_off(2),
        [
            "undo a",
            "undo a",
            "undo a",
            "undo a",
            "undo a hastily",
            "undo a hastily"
        ]
    );
    assert!(ran.took > seconds(20), "{:?}", ran.took);
    assert_eq!(bench.journals_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_left_leaves_its_journal_to_gc() {
    let bench = Bench::new();
    bench.world.tell("undo a", [Act::Hangs]);
    bench.world.tell("undo a hastily", [Act::Hangs]);
    let left = tokio::time::timeout(seconds(30), bench.bake(ONE, "")).await;
    assert!(left.is_err());
    // The run's tasks go, and the lock of its journal with them.
    sleep(seconds(1)).await;
    assert_eq!(bench.journals_left(), 1);
    let owners: [Arc<dyn Undo>; 1] = [Arc::new(FakeUndo)];
    assert!(bench.collect(&owners).await[0].error.is_none());
    assert_eq!(bench.journals_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn gc_hears_a_cancellation_and_keeps_what_it_did_not_reach() {
    let bench = Bench::new();
    bench.world.tell("undo a", [Act::Fails, Act::Hangs]);
    bench.bake(ONE, "").await;
    let owners: [Arc<dyn Undo>; 1] = [Arc::new(FakeUndo)];
    let cancelling = async {
        sleep(seconds(10)).await;
        bench.canceller.cancel(Urgency::CleanUp);
    };
    let (collected, ()) = tokio::join!(bench.collect(&owners), cancelling);
    assert!(collected[0].error.as_ref().unwrap().is_cancelled());
    assert_eq!(bench.journals_left(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_waits_for_its_turn_does_not_begin() {
    let bench = Bench {
        parallel_builds: 1,
        ..Bench::new()
    };
    bench.world.tell("provision p", [Act::Hangs]);
    let template = "source \"fake\" \"a\" {}\nsource \"fake\" \"b\" {}\n\
        build {\n  sources = [\"fake.a\", \"fake.b\"]\n  provisioner \"fake\" {\n    act = \"p\"\n  }\n}\n";
    let ran = cancelled_at(&bench, &[(10, Urgency::CleanUp)], bench.run(template)).await;
    assert_eq!(ran.builds(|what| matches!(what, BuildEvent::Started)), ["fake.a"]);
    assert_eq!(ran.builds(|what| matches!(what, BuildEvent::Skipped)), ["fake.b"]);
    assert_eq!(
        ran.builds(|what| matches!(what, BuildEvent::Errored { .. })),
        ["fake.a"]
    );
    assert!(
        ran.outcomes
            .iter()
            .all(|outcome| outcome.result.as_ref().unwrap_err().is_cancelled())
    );
}
