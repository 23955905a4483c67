//! Whole bakes on the local cloud, each with one call that fails in one way, or with one action that does: whatever fails, the bake ends
//! with an AMI or with an error that names the call, nothing is left, nothing is made twice, and what exists is what was reported.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "how each fault ended is read beside a failure")]

mod bakes;
mod matrix;
mod place;

use bakes::{EVERYTHING, INTERMEDIARY, SURROGATE, VOLUMES};
use matrix::Part;

#[test]
fn each_call_of_a_bake_with_everything_may_fail() {
    matrix::run(&[EVERYTHING], Part::Usual);
}

#[test]
fn what_is_visible_late_is_waited_for_and_removed() {
    matrix::run_late(&[EVERYTHING, INTERMEDIARY, SURROGATE, VOLUMES]);
}

#[test]
#[ignore = "the whole matrix takes half an hour: cargo test --test faults -- --ignored"]
fn the_whole_matrix() {
    matrix::run(&[EVERYTHING, INTERMEDIARY, SURROGATE, VOLUMES], Part::Whole);
}

#[test]
#[ignore = "as the whole matrix"]
fn the_usual_part_of_all_bakes() {
    matrix::run(&[INTERMEDIARY, SURROGATE, VOLUMES], Part::Usual);
}
