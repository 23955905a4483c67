//! What a bake made goes at its end, last first; what does not go stays in the journal, and `gc` removes it.

use std::sync::Arc;

use bakelite_engine::event::{Level, StepEvent, What};
use bakelite_engine::gc;
use bakelite_engine::undo::Undo;

use crate::bench::{Act, Bench, FakeUndo};

const THREE: &str = "makes = [\"a\", \"b\", \"c\"]";

#[tokio::test(start_paused = true)]
async fn everything_goes_in_reverse_order() {
    let bench = Bench::new();
    let ran = bench.bake(THREE, "").await;
    assert_eq!(ran.artifacts(), ["original"]);
    assert_eq!(bench.world.log().split_off(4), ["undo c", "undo b", "undo a"]);
    assert_eq!((ran.outcomes[0].leftovers.len(), bench.journals_left()), (0, 0));
    let cleaned = ran
        .events
        .iter()
        .any(|event| matches!(&event.what, What::Step(StepEvent::Started { step }) if step == "clean up"));
    assert!(cleaned, "the status line shows that the build is cleaning up");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_stays() {
    let bench = Bench::new();
    bench.bake(&format!("{THREE}\n  keeps = [\"b\"]"), "").await;
    assert_eq!(bench.world.log().split_off(4), ["undo c", "undo a"]);
    assert_eq!(bench.journals_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_made_that_failed_is_looked_for() {
    let bench = Bench::new();
    bench.world.tell("create b", [Act::Fails]);
    let ran = bench.bake(THREE, "").await;
    assert_eq!(ran.error().to_string(), "create b failed");
    assert_eq!(bench.world.log(), ["create a", "create b", "undo token-b", "undo a"]);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_for_now_is_tried_again() {
    let bench = Bench::new();
    bench
        .world
        .tell("undo b", [Act::FailsForNow, Act::FailsForNow, Act::FailsForNow]);
    let ran = bench.bake(THREE, "").await;
    assert!(ran.outcomes[0].leftovers.is_empty());
    // 1 + 2 + 4 seconds between the tries.
    assert_eq!(ran.took.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_keeps_failing_does_not_stop_the_others() {
    let bench = Bench::new();
    bench.world.tell("undo b", [Act::FailsForNow; 100]);
    let ran = bench.bake(THREE, "").await;
    assert_eq!(ran.outcomes[0].leftovers, ["thing b"]);
    assert_eq!(ran.messages(Level::Error), ["failed to remove thing b: undo b failed"]);
    assert_eq!(bench.world.log().last().unwrap(), "undo a");
    assert!(ran.took.as_secs() <= 60, "{:?}", ran.took);
    assert_eq!(bench.journals_left(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_waited_for_once_and_not_with_each_resource() {
    let bench = Bench::new();
    for name in ["undo a", "undo b", "undo c"] {
        bench.world.tell(name, [Act::FailsForNow; 100]);
    }
    let ran = bench.bake(THREE, "").await;
    assert_eq!(ran.outcomes[0].leftovers, ["thing c", "thing b", "thing a"]);
    let log = bench.world.log();
    let tries = |name| log.iter().filter(|call| *call == name).count();
    assert!(tries("undo c") > 5, "{log:?}");
    // A pause of the policy may still fit behind the first.
    assert!(
        (1..=4).contains(&tries("undo b")) && (1..=4).contains(&tries("undo a")),
        "{log:?}"
    );
    assert!(ran.took.as_secs() <= 60, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn gc_removes_what_a_run_left() {
    let bench = Bench::new();
    bench.world.tell("undo b", [Act::Fails]);
    bench.bake(THREE, "").await;
    let listed = gc::list(&bench.journals()).unwrap().collected;
    let [left] = listed.as_slice() else {
        panic!("one thing expected")
    };
    assert_eq!(
        (left.run.as_str(), left.resource.describe().as_str()),
        ("run-1", "thing b")
    );
    let detail = |name| left.resource.details.get(name).cloned();
    assert_eq!(detail("build").as_deref(), Some("fake.a"));
    assert!(detail("created").unwrap().parse::<jiff::Timestamp>().is_ok());

    let owners: [Arc<dyn Undo>; 1] = [Arc::new(FakeUndo)];
    bench.world.tell("undo b", [Act::Fails]);
    let collected = bench.collect(&owners).await;
    assert_eq!(
        collected[0]
            .error
            .as_ref()
            .map(|error| (error.report().text, error.help().map(str::to_owned))),
        Some((
            "failed to remove thing b: undo b failed".into(),
            Some("tell it otherwise".into())
        ))
    );
    assert_eq!(bench.journals_left(), 1);
    bench.world.tell("undo b", [Act::FailsForNow]);
    let collected = bench.collect(&owners).await;
    assert!(collected[0].error.is_none());
    assert_eq!(bench.journals_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn gc_leaves_what_nobody_here_knows() {
    let bench = Bench::new();
    bench.world.tell("undo a", [Act::Fails]);
    bench.bake("makes = [\"a\"]", "").await;
    let collected = bench.collect(&[]).await;
    let error = collected[0].error.as_ref().unwrap();
    assert_eq!(error.to_string(), "this program knows no owner `fake`");
    assert_eq!(bench.journals_left(), 1);
}

#[test]
fn the_registry_knows_each_owner_once() {
    let owners = Bench::registry().owners(&Arc::default());
    let names: Vec<&str> = owners.iter().map(|owner| owner.owner()).collect();
    assert_eq!(names, ["this-machine", "fake"]);
}
