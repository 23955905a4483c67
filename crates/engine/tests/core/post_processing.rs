//! Chains of post-processors and what they keep.

use crate::bench::{Act, Bench};

/// A chain of these post-processors, each with further lines.
fn chain(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(act, more)| format!("post-processor \"fake\" {{\n  act = \"{act}\"\n  {more}\n}}"))
        .collect();
    format!("post-processors {{\n{}\n}}", members.join("\n"))
}

#[tokio::test(start_paused = true)]
async fn a_chain_keeps_its_end_alone() {
    let bench = Bench::new();
    let ran = bench.bake("", &chain(&[("x", ""), ("y", "")])).await;
    assert_eq!(ran.artifacts(), ["y"]);
    assert_eq!(
        bench.world.log().split_off(1),
        [
            "process original by x",
            "process x by y",
            "destroy x",
            "destroy original"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_template_decides_what_is_kept() {
    let bench = Bench::new();
    let keeping = chain(&[("x", "keep_input_artifact = true"), ("y", "keep_input_artifact = true")]);
    assert_eq!(bench.bake("", &keeping).await.artifacts(), ["original", "x", "y"]);
    let dropping = chain(&[("x", "keep_input = true\n  keep_input_artifact = false")]);
    assert_eq!(bench.bake("", &dropping).await.artifacts(), ["x"]);
    let unsaid = chain(&[("x", "keep_input = true")]);
    assert_eq!(bench.bake("", &unsaid).await.artifacts(), ["original", "x"]);
}

#[tokio::test(start_paused = true)]
async fn the_original_stays_when_one_of_the_chains_keeps_it() {
    let bench = Bench::new();
    let chains = format!(
        "{}\n{}",
        chain(&[("x", "")]),
        chain(&[("y", "keep_input_artifact = true")])
    );
    assert_eq!(bench.bake("", &chains).await.artifacts(), ["original", "x", "y"]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_fails_does_not_stop_the_others() {
    let bench = Bench::new();
    bench.world.tell("process original by x", [Act::Fails]);
    let chains = format!("{}\n{}", chain(&[("x", ""), ("z", "")]), chain(&[("y", "")]));
    let ran = bench.bake("", &chains).await;
    let report = ran.error().report();
    assert_eq!(report.text, "post-processor `fake`: process original by x failed");
    assert_eq!(report.help.as_deref(), Some("tell it otherwise"));
    assert_eq!(report.location.unwrap().line, 7);
    assert_eq!(
        bench.world.log().split_off(1),
        ["process original by x", "process original by y", "destroy original"]
    );
}

#[tokio::test(start_paused = true)]
async fn several_errors_are_all_reported() {
    let bench = Bench::new();
    bench.world.tell("process original by x", [Act::Fails]);
    bench.world.tell("destroy original", [Act::Fails]);
    let ran = bench.bake("", &chain(&[("x", "")])).await;
    assert_eq!(
        ran.error().to_string(),
        "2 errors occurred:\n* post-processor `fake`: process original by x failed\n\
         * delete artifact `original`: destroy original failed"
    );
}
