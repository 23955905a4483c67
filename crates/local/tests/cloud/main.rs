//! Whole local clouds, called over HTTP as any client calls them, with real machines behind them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod client;
mod errors;
mod images;
mod instances;
mod owner;
mod pools;
mod sessions;
mod sharing;

use bakelite_test_support::backstop::Backstop;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    bakelite_local::enter_if_asked();
    if sharing::serve_if_asked() {
        return;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (subject, tests) in [
        ("answers", answers::TESTS),
        ("errors", errors::TESTS),
        ("images", images::TESTS),
        ("instances", instances::TESTS),
        ("owner", owner::TESTS),
        ("pools", pools::TESTS),
        ("sessions", sessions::TESTS),
        ("sharing", sharing::TESTS),
    ] {
        trials.extend(
            tests
                .iter()
                .map(|(name, test)| Trial::test(format!("{subject}::{name}"), move || run(name, *test))),
        );
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test's name and its body.
type Test = (&'static str, fn());

#[expect(clippy::unnecessary_wraps, reason = "what a trial's body returns")]
fn run(name: &str, test: fn()) -> Result<(), Failed> {
    let _limit = Backstop::of(name);
    test();
    Ok(())
}
