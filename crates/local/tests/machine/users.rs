//! The whole suite again, as other users.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::ground::text;

/// An id that no account of a usual system has.
const PLAIN: u32 = 64_777;
const WITH_RANGE: u32 = 64_778;

/// One trial per kind of user; those that cannot run here are listed with their reason.
pub(crate) fn trials() -> Vec<Trial> {
    let is_root = Path::new("/root").metadata().is_ok() && text(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0";
    let has_tools = Path::new("/usr/bin/newuidmap").exists();
    let skip = |trial: Trial, reason: Option<&'static str>| match reason {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    };
    let needs_root = (!is_root).then_some("needs root");
    vec![
        skip(Trial::test("users::suite_as_a_plain_user", || suite_as(PLAIN)), needs_root),
        skip(
            Trial::test("users::suite_as_a_user_with_a_range_of_ids", || with_range(|| suite_as(WITH_RANGE))),
            needs_root.or((!has_tools).then_some("needs newuidmap")),
        ),
    ]
}

fn suite_as(user: u32) -> Result<(), Failed> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("machine");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(user), Some(user)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", &user.to_string(), "--regid", &user.to_string(), "--clear-groups"])
        .arg(&program)
        .args(["--test-threads", "2"])
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(Failed::from(text(&output.stdout) + &text(&output.stderr))) }
}

/// Gives the user a range, and takes it back.
fn with_range(work: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    let files = ["/etc/subuid", "/etc/subgid", "/etc/passwd"];
    let before: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect();
    for (file, text) in files.iter().zip(&before) {
        let line = if *file == "/etc/passwd" {
            format!("bakelite-range:x:{WITH_RANGE}:{WITH_RANGE}::/nonexistent:/bin/sh\n")
        } else {
            "bakelite-range:700000000:65536\n".to_owned()
        };
        std::fs::write(file, format!("{text}{line}")).unwrap();
    }
    let outcome = work();
    for (file, text) in files.iter().zip(&before) {
        std::fs::write(file, text).unwrap();
    }
    outcome
}
