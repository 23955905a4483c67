//! Real machines, reached with OpenSSH's own clients, and attempts to break out of them.
//!
//! Run by root, the whole suite runs again as a plain user (who has one id only), and, where `uidmap` is installed, as a
//! user with a range of ids of his own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod escape;
mod files;
mod ground;
mod images;
mod internet;
mod layers;
mod power;
mod resets;
mod roots;
mod services;
mod ssh;
mod tarballs;
mod user_data;
mod users;
mod volumes;
mod walls;

use bakelite_test_support::backstop::Backstop;
use libtest_mimic::{Arguments, Trial};

fn main() {
    bakelite_local::sandbox::enter_if_asked();
    if power::hold_machine_if_asked() || volumes::hold_volume_if_asked() || resets::act_if_asked() {
        return;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (subject, tests) in [
        ("ssh", ssh::TESTS),
        ("files", files::TESTS),
        ("roots", roots::TESTS),
        ("power", power::TESTS),
        ("user_data", user_data::TESTS),
        ("services", services::TESTS),
        ("escape", escape::TESTS),
        ("walls", walls::TESTS),
        ("internet", internet::TESTS),
        ("layers", layers::TESTS),
        ("tarballs", tarballs::TESTS),
        ("images", images::TESTS),
        ("resets", resets::TESTS),
        ("volumes", volumes::TESTS),
    ] {
        trials.extend(tests.iter().map(|(name, test)| {
            Trial::test(format!("{subject}::{name}"), || {
                let _limit = Backstop::of(name);
                test();
                Ok(())
            })
        }));
    }
    trials.extend(resets::trials());
    trials.extend(users::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    ground::close();
    conclusion.exit();
}

/// A test's name and its body.
type Test = (&'static str, fn());
