//! Several builds in one run.

use bakelite_engine::event::BuildEvent;

use crate::bench::{Act, Bench};

const THREE: &str = "source \"fake\" \"c\" {}\nsource \"fake\" \"a\" {}\nsource \"fake\" \"b\" {}\n\
    build {\n  sources = [\"fake.c\", \"fake.a\", \"fake.b\"]\n}\n";

#[tokio::test(start_paused = true)]
async fn builds_one_at_a_time_run_in_the_order_of_the_template() {
    let bench = Bench {
        parallel_builds: 1,
        ..Bench::new()
    };
    let ran = bench.run(THREE).await;
    assert_eq!(
        ran.builds(|what| matches!(what, BuildEvent::Started)),
        ["fake.c", "fake.a", "fake.b"]
    );
}

#[tokio::test(start_paused = true)]
async fn one_build_that_fails_leaves_the_others_alone() {
    let bench = Bench::new();
    bench.world.tell("build end", [Act::Fails]);
    let ran = bench.run(THREE).await;
    let names: Vec<&str> = ran.outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
    assert_eq!(names, ["fake.c", "fake.a", "fake.b"]);
    assert_eq!(ran.outcomes.iter().filter(|outcome| outcome.result.is_err()).count(), 1);
}
