//! Inputs that once went wrong do so no more, and neither do a few new ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bakelite_fuzz::bench::Bench;
use bakelite_fuzz::target::Target;
use bakelite_fuzz::{grammar, mutate, seeds};
use fastrand::Rng;

/// Runs on the least stack that a thread of the program has.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap();
    thread.join().unwrap();
}

#[test]
fn what_once_went_wrong_is_answered() {
    on_a_small_stack(|| {
        let directory = tempfile::tempdir().unwrap();
        let bench = Bench::new(directory.path()).unwrap();
        for target in Target::ALL {
            for (_, input) in seeds::once_found(target) {
                bench.try_out(target, &input);
            }
        }
    });
}

#[test]
fn some_hundred_texts_nobody_writes_are_answered() {
    on_a_small_stack(|| {
        let directory = tempfile::tempdir().unwrap();
        let bench = Bench::new(directory.path()).unwrap();
        let functions = bench.functions();
        let mut rng = Rng::with_seed(7);
        for target in Target::ALL {
            let seeds = seeds::of(target);
            let is_bytes =
                target.is_of_a_peer() || matches!(target, Target::DataClient | Target::DataAgent | Target::Packets);
            let fewest = if is_bytes { 1 } else { 50 };
            assert!(seeds.len() >= fewest, "{}: {} seeds", target.name(), seeds.len());
            for _ in 0..100 {
                let (input, other) = (rng.choice(&seeds).unwrap(), rng.choice(&seeds).unwrap());
                let input = mutate::mutated(&mut rng, input, other, &functions);
                bench.try_out(target, &input);
                let mut text = String::new();
                match target {
                    Target::Expression => grammar::expression(&mut rng, &functions, 4, &mut text),
                    Target::Template => grammar::body(&mut rng, &functions, 2, &mut text),
                    Target::Json => grammar::json(&mut rng, 4, &mut text),
                    Target::Tar | Target::Scp | Target::Sftp | Target::Greeting | Target::WinRm => continue,
                    Target::Query => grammar::form(&mut rng, &mut text),
                    Target::Services => grammar::service(&mut rng, &mut text),
                    Target::Signature => grammar::head(&mut rng, &mut text),
                    Target::DataClient | Target::DataAgent | Target::Packets => {}
                }
                bench.try_out(target, text.as_bytes());
            }
        }
    });
}
