//! The whole suite again, as other users.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::ground::text;

/// An id that no account of a usual system has.
const USER: u32 = 64_777;

const TUN: &str = "/dev/net/tun";

/// One trial per kind of user; those that cannot run here are listed with their reason.
pub(crate) fn trials() -> Vec<Trial> {
    let is_root = text(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0";
    let has_tools = Path::new("/usr/bin/newuidmap").exists();
    let skip = |trial: Trial, reason: Option<&'static str>| match reason {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None => trial,
    };
    let needs_root = (!is_root).then_some("needs root");
    let needs_tools = (!has_tools).then_some("needs newuidmap");
    vec![
        skip(
            Trial::test("users::suite_as_a_plain_user", || suite_as_user("")),
            needs_root,
        ),
        skip(
            Trial::test("users::suite_as_a_user_with_a_range_of_ids", || {
                suite_as_user("bakelite-test:700000000:65536\n")
            }),
            needs_root.or(needs_tools),
        ),
    ]
}

/// Runs the suite as a user who exists, with this range of ids, only in a mount namespace made for it.
fn suite_as_user(range: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("machine");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = directory.path().join("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let account = format!("{accounts}bakelite-test:x:{USER}:{USER}::{}:/bin/sh\n", home.display());
    let mut prepare = String::from("set -e\n");
    for (name, content) in [("passwd", account.as_str()), ("subuid", range), ("subgid", range)] {
        std::fs::write(directory.path().join(name), content).unwrap();
        if Path::new("/etc").join(name).exists() {
            let from = directory.path().join(name);
            prepare += &["mount --bind ", &from.to_string_lossy(), " /etc/", name, "\n"].concat();
        }
    }
    // As udev has it on most machines: everybody may open it.
    if Path::new(TUN).exists() {
        let device = directory.path().join("tun");
        let device = device.display();
        let _ = writeln!(prepare, "mknod -m 666 {device} c 10 200 && mount --bind {device} {TUN}");
    }
    let run = format!(
        "{prepare}exec setpriv --reuid {USER} --regid {USER} --clear-groups {} --test-threads 2",
        program.display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", &run])
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(Failed::from(text(&output.stdout) + &text(&output.stderr)))
    }
}
