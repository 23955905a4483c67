//! What is left of a local cloud: when it is reset, when that is interrupted, when the disk is full, under any umask.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bakelite_local::machine::{BaseRoot, Isolation, Machines};
use bakelite_local::{Latency, LocalCloud, LocalCloudOptions};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::eventually::LIMIT;
use libtest_mimic::{Failed, Trial};
use tokio::runtime::Runtime;

use crate::Test;
use crate::ground::{ground, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "killed_reset_is_finished_by_the_next_cloud",
        killed_reset_is_finished_by_the_next_cloud,
    ),
    (
        "killed_reset_is_finished_by_the_next_reset",
        killed_reset_is_finished_by_the_next_reset,
    ),
    (
        "half_removed_store_of_an_earlier_version_is_taken",
        half_removed_store_of_an_earlier_version_is_taken,
    ),
    ("leftovers_go_at_the_next_opening", leftovers_go_at_the_next_opening),
    (
        "reset_under_a_running_cloud_is_refused",
        reset_under_a_running_cloud_is_refused,
    ),
    ("modes_hold_under_any_umask", modes_hold_under_any_umask),
];

/// Tests that take a mount of their own.
pub(crate) fn trials() -> Vec<Trial> {
    let is_root = text(&Command::new("id").arg("-u").run_to_end().stdout).trim() == "0";
    let trial = Trial::test("resets::full_disk_leaves_no_half_layer", full_disk_leaves_no_half_layer);
    vec![if is_root {
        trial
    } else {
        trial.with_kind("needs root").with_ignored_flag(true)
    }]
}

/// What the test program does as another process.
#[expect(
    clippy::disallowed_methods,
    reason = "how one process of a test tells the other what to do"
)]
pub(crate) fn act_if_asked() -> bool {
    let Ok(act) = std::env::var("BAKELITE_TEST_ACT") else {
        return false;
    };
    let directory = PathBuf::from(std::env::var("BAKELITE_TEST_DIRECTORY").unwrap());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        match act.as_str() {
            "reset" => bakelite_local::reset(&directory).await.unwrap(),
            "use" => use_cloud(&directory).await,
            "fill" => fill_disk(&directory).await,
            other => panic!("{other}"),
        }
    });
    true
}

fn act(act: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env("BAKELITE_TEST_ACT", act)
        .env("BAKELITE_TEST_DIRECTORY", directory)
        .stdin(Stdio::null());
    command
}

fn options(directory: &Path) -> LocalCloudOptions {
    LocalCloudOptions {
        limits: bakelite_local::Limits::default(),
        network: bakelite_local::NetworkOptions::default(),
        state_dir: directory.to_owned(),
        isolation: Isolation::Sandbox,
        latency: Latency::default(),
        images: Vec::new(),
        pulls: bakelite_local::PullOptions {
            given_images_only: true,
            ..Default::default()
        },
        listen: ([127, 0, 0, 1], 0).into(),
        ssh_port: 0,
        refusals: bakelite_local::Refusals::default(),
        region: "us-east-1".into(),
    }
}

/// Starts a cloud and runs something in an instance of its first image.
async fn use_cloud(directory: &Path) {
    let cloud = LocalCloud::start(options(directory)).await.unwrap();
    let image = cloud.images().await.unwrap()[0].id.clone();
    let status = cloud.run(&image, &["true".to_owned()]).await.unwrap();
    assert_eq!(status, 0);
    cloud.shutdown().await;
}

/// Kills a reset as soon as something is so (or it is done).
fn killed_reset(directory: &Path, is_time: impl Fn() -> bool) {
    let mut reset: Child = act("reset", directory).spawn().unwrap();
    let deadline = Instant::now() + LIMIT;
    // No pause: the moment would pass in it.
    while !is_time() && reset.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the reset does not end");
        std::thread::yield_now();
    }
    reset.kill().unwrap();
    reset.wait().unwrap();
}

/// What can be seen of a reset from outside while it goes on, in its order.
fn moments(directory: &Path) -> [Box<dyn Fn() -> bool>; 5] {
    let is_empty = |path: PathBuf| std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
    let [mark, layers, unfinished, store, state] = [
        "resetting",
        "machines/layers",
        "machines/unfinished",
        "machines",
        "state.json",
    ]
    .map(|name| directory.join(name));
    [
        Box::new(move || mark.exists()),
        Box::new(move || is_empty(layers.clone())),
        Box::new(move || is_empty(unfinished.clone())),
        Box::new(move || !store.exists()),
        Box::new(move || !state.exists()),
    ]
}

fn killed_reset_is_finished_by_the_next_cloud() {
    let runtime = &ground().runtime;
    for number in 0..5 {
        let directory = ground().scratch(&format!("killed-then-used-{number}"));
        runtime.block_on(use_cloud(&directory));
        killed_reset(&directory, &moments(&directory)[number]);
        runtime.block_on(use_cloud(&directory));
        assert!(!directory.join("resetting").exists());
        let unfinished = directory.join("machines/unfinished");
        assert_eq!(std::fs::read_dir(unfinished).unwrap().count(), 0);
        runtime.block_on(bakelite_local::reset(&directory)).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}

fn killed_reset_is_finished_by_the_next_reset() {
    let runtime = &ground().runtime;
    for number in 0..5 {
        let directory = ground().scratch(&format!("killed-then-reset-{number}"));
        runtime.block_on(use_cloud(&directory));
        killed_reset(&directory, &moments(&directory)[number]);
        runtime.block_on(bakelite_local::reset(&directory)).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}

/// Earlier versions removed `store.json` first.
fn half_removed_store_of_an_earlier_version_is_taken() {
    let runtime = &ground().runtime;
    let directory = ground().scratch("half-removed");
    for again in 0..2 {
        let store = directory.join("machines");
        std::fs::create_dir_all(store.join("layers/host-0123/fs/etc")).unwrap();
        std::fs::create_dir_all(store.join("probe-root-0123/work")).unwrap();
        if again == 0 {
            runtime.block_on(use_cloud(&directory));
        }
        runtime.block_on(bakelite_local::reset(&directory)).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}

fn leftovers_go_at_the_next_opening() {
    let directory = ground().scratch("leftovers").join("store");
    let runtime = &ground().runtime;
    let open = || {
        runtime
            .block_on(Machines::open(
                &directory,
                Isolation::Sandbox,
                bakelite_local::Limits::default(),
            ))
            .unwrap()
    };
    drop(open());
    let left = directory.join("unfinished/0123");
    std::fs::create_dir_all(left.join("fs/etc")).unwrap();
    std::fs::write(left.join("fs/etc/motd"), "half").unwrap();
    let held = directory.join("unfinished/4567");
    std::fs::create_dir_all(held.join("fs")).unwrap();
    let lock = std::fs::File::open(&held).unwrap();
    lock.lock().unwrap();
    drop(open());
    assert!(!left.exists());
    assert!(held.exists(), "somebody works there");
    drop(lock);
    drop(open());
    assert!(!held.exists());
    runtime.block_on(Machines::reset(&directory)).unwrap();
}

fn reset_under_a_running_cloud_is_refused() {
    let directory = ground().scratch("reset-running");
    ground().runtime.block_on(async {
        let cloud = LocalCloud::start(options(&directory)).await.unwrap();
        let error = bakelite_local::reset(&directory).await.unwrap_err();
        assert!(error.to_string().contains("is in use by process"), "{error}");
        let image = cloud.images().await.unwrap()[0].id.clone();
        assert_eq!(cloud.run(&image, &["true".to_owned()]).await.unwrap(), 0);
        cloud.shutdown().await;
        bakelite_local::reset(&directory).await.unwrap();
    });
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

fn modes_hold_under_any_umask() {
    for umask in ["000", "077"] {
        let directory = ground().scratch("umask").join(umask);
        let run = format!("umask {umask} && exec {}", std::env::current_exe().unwrap().display());
        let used = act("use", &directory)
            .get_envs()
            .fold(Command::new("sh"), |mut shell, (name, value)| {
                shell.env(name, value.unwrap());
                shell
            })
            .args(["-c", &run])
            .run_to_end();
        assert!(used.status.success(), "{umask}: {}", text(&used.stderr));
        let mut seen = 0;
        let mut waiting = vec![directory.clone()];
        while let Some(path) = waiting.pop() {
            let found = std::fs::symlink_metadata(&path).unwrap();
            let mode = found.mode() & 0o777;
            if found.is_dir() {
                let is_ours_alone = path == directory || path.ends_with("owners");
                assert!(
                    if is_ours_alone {
                        mode == 0o700
                    } else {
                        mode & 0o722 == 0o700
                    },
                    "{umask}: {} {mode:o}",
                    path.display()
                );
                let is_root = path.ends_with("fs");
                if !is_root {
                    waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                }
            } else {
                seen += 1;
                assert_eq!(mode, 0o600, "{umask}: {}", path.display());
            }
        }
        assert!(seen >= 3, "{seen}");
        ground().runtime.block_on(bakelite_local::reset(&directory)).unwrap();
    }
}

fn full_disk_leaves_no_half_layer() -> Result<(), Failed> {
    let directory = ground().scratch("full-disk");
    let fill = act("fill", &directory);
    let mount = format!("mount -t tmpfs -o size=64m,mode=700 tmpfs {}", directory.display());
    let output = fill
        .get_envs()
        .fold(Command::new("unshare"), |mut command, (name, value)| {
            command.env(name, value.unwrap());
            command
        })
        .args([
            "--mount",
            "sh",
            "-c",
            &format!("{mount} && exec {}", std::env::current_exe().unwrap().display()),
        ])
        .run_to_end();
    if output.status.success() {
        Ok(())
    } else {
        Err(Failed::from(text(&output.stdout) + &text(&output.stderr)))
    }
}

/// Takes a snapshot for which there is no room.
async fn fill_disk(directory: &Path) {
    let store = directory.join("store");
    let machines = Machines::open(&store, Isolation::Sandbox, bakelite_local::Limits::default())
        .await
        .unwrap();
    let base = machines.base(&BaseRoot::Host).await.unwrap();
    let spec = bakelite_local::machine::MachineSpec {
        id: "i-full".into(),
        root: base.clone(),
        hostname: "full".into(),
        users: Vec::new(),
        authorized_keys: Vec::new(),
        operator_key: None,
        user_data: None,
        address: std::net::Ipv4Addr::new(127, 41, 7, 7),
        ssh_port: 0,
        volumes: Vec::new(),
    };
    let machine = machines.start(spec).await.unwrap();
    std::fs::write(store.join("machines/i-full/fs/root/big"), vec![7; 36 << 20]).unwrap();
    let error = machines.snapshot("i-full").await.unwrap_err().to_string();
    assert!(
        error.contains("failed to copy a layer") && error.contains("root") && error.contains("No space left"),
        "{error}"
    );
    machine.stop().await;
    let names = |name: &str| {
        std::fs::read_dir(store.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("layers"), [base.0.as_str()]);
    assert_eq!(names("unfinished").len(), 0);
    machines.discard("i-full").await.unwrap();
    Machines::reset(&store).await.unwrap();
    assert!(!store.exists());
    let mode = std::fs::metadata(directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
