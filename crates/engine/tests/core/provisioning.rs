//! Provisioners: retries, timeouts, where an error is, `-on-error`.

use std::time::Duration;

use bakelite_engine::error::Kind;
use bakelite_engine::event::Level;
use bakelite_engine::policy::OnError;

use crate::bench::{Act, Bench};

const ONE: &str = "provisioner \"fake\" {\n  act = \"p\"\n}";
const ERROR_CLEANUP: &str = "error-cleanup-provisioner \"fake\" {\n  act = \"cleaner\"\n}";

#[tokio::test(start_paused = true)]
async fn a_provisioner_is_tried_again_as_often_as_the_template_says() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Fails, Act::Fails]);
    let ran = bench
        .bake("", "provisioner \"fake\" {\n  act = \"p\"\n  max_retries = 2\n}")
        .await;
    assert_eq!(ran.artifacts(), ["original"]);
    assert_eq!(
        bench.world.log(),
        ["provision p", "provision p", "provision p", "build end"]
    );
    assert_eq!(
        ran.messages(Level::Warning),
        [
            "Provisioner `fake` failed, trying again (2 tries left): provision p failed",
            "Provisioner `fake` failed, trying again (1 try left): provision p failed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_at_the_place_of_the_provisioner_with_its_help() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Fails, Act::Fails]);
    let ran = bench
        .bake("", "provisioner \"fake\" {\n  act = \"p\"\n  max_retries = 1\n}")
        .await;
    let report = ran.error().report();
    let location = report.location.unwrap();
    assert_eq!(
        (report.text.as_str(), report.help.as_deref()),
        ("provision p failed", Some("tell it otherwise"))
    );
    assert_eq!(
        (location.to_string().as_str(), location.source_line.as_str()),
        ("t.pkr.hcl:6:1", "provisioner \"fake\" {")
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_about_an_option_is_at_that_option() {
    let bench = Bench::new();
    bench.world.tell("build end", [Act::Fails]);
    let ran = bench.bake("ends = \"badly\"", ONE).await;
    assert_eq!(ran.error().location().unwrap().to_string(), "t.pkr.hcl:2:3");
}

#[tokio::test(start_paused = true)]
async fn options_that_are_refused_at_bake_time_are_an_error_at_their_place() {
    let bench = Bench::new();
    // Known only at bake time, so that planning cannot complain.
    let refused = "provisioner \"fake\" {\n  act = build.ID == \"id\" ? \"refused\" : \"p\"\n}";
    let report = bench.bake("", refused).await.error().report();
    assert_eq!(report.text, "provisioner `fake` cannot be used: `act` is refused");
    assert_eq!(report.help.as_deref(), Some("take another"));
    assert_eq!(report.location.unwrap().line, 7);
}

#[tokio::test(start_paused = true)]
async fn a_provisioner_that_takes_too_long_is_cleaned_up_after() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Hangs]);
    bench.world.tell("clean up p", [Act::Hangs]);
    let ran = bench
        .bake("", "provisioner \"fake\" {\n  act = \"p\"\n  timeout = \"5m\"\n}")
        .await;
    assert_eq!(ran.error().kind(), Kind::TimedOut);
    assert_eq!(
        ran.error().to_string(),
        "provisioner ran longer than its timeout of 5m0s"
    );
    assert_eq!(bench.world.log(), ["provision p", "clean up p"]);
    // Half a minute is what cleaning up may take.
    assert_eq!(ran.took.as_secs(), 330);
}

#[tokio::test(start_paused = true)]
async fn a_pause_before_a_provisioner_takes_its_time() {
    let bench = Bench::new();
    let ran = bench
        .bake("", "provisioner \"fake\" {\n  act = \"p\"\n  pause_before = \"90s\"\n}")
        .await;
    assert_eq!((ran.artifacts(), ran.took.as_secs()), (vec!["original"], 90));
}

#[tokio::test(start_paused = true)]
async fn continue_on_error_makes_a_warning_of_an_error() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Fails]);
    let ran = bench
        .bake(
            "",
            "provisioner \"fake\" {\n  act = \"p\"\n  continue_on_error = true\n}",
        )
        .await;
    assert_eq!(ran.artifacts(), ["original"]);
    assert_eq!(
        ran.messages(Level::Warning),
        ["provisioner `fake` failed: provision p failed"]
    );
}

async fn after_failure(on_error: OnError, answers: &[&'static str]) -> (Vec<String>, Vec<String>, usize) {
    let bench = Bench {
        on_error,
        answers: answers.to_vec(),
        ..Bench::new()
    };
    bench.world.tell("provision p", [Act::Fails]);
    let ran = bench.bake("makes = [\"m\"]", &format!("{ONE}\n{ERROR_CLEANUP}")).await;
    let log = bench.world.log().split_off(2);
    (log, ran.outcomes[0].leftovers.clone(), bench.journals_left())
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_cleaned_up_on_the_instance_first() {
    let (log, left, journals) = after_failure(OnError::CleanUp, &[]).await;
    assert_eq!(log, ["provision cleaner", "undo m"]);
    assert_eq!((left.len(), journals), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn abort_leaves_everything_to_gc() {
    let (log, left, journals) = after_failure(OnError::Abort, &[]).await;
    assert_eq!(log, [""; 0]);
    assert_eq!((left, journals), (vec!["thing m".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn run_cleanup_provisioner_runs_it_and_leaves_the_rest() {
    let (log, left, journals) = after_failure(OnError::RunCleanupProvisioner, &[]).await;
    assert_eq!(log, ["provision cleaner"]);
    assert_eq!((left, journals), (vec!["thing m".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn the_user_decides_when_asked() {
    let retried = after_failure(OnError::Ask, &["x", "r"]).await;
    assert_eq!(retried.0, ["provision p", "build end", "undo m"]);
    let aborted = after_failure(OnError::Ask, &["a"]).await;
    assert_eq!((aborted.0, aborted.2), (Vec::new(), 1));
    for answers in [&["c"][..], &[""], &[]] {
        let cleaned = after_failure(OnError::Ask, answers).await;
        assert_eq!(cleaned.0, ["provision cleaner", "undo m"], "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_provisioner_that_fails_does_not_hide_the_error() {
    let bench = Bench::new();
    bench.world.tell("provision p", [Act::Fails]);
    bench.world.tell("provision cleaner", [Act::Fails]);
    let ran = bench.bake("", &format!("{ONE}\n{ERROR_CLEANUP}")).await;
    assert_eq!(ran.error().to_string(), "provision p failed");
    assert_eq!(
        ran.messages(Level::Error),
        ["error-cleanup-provisioner failed: provision cleaner failed"]
    );
    assert_eq!(ran.took, Duration::ZERO);
}
