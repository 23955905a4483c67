//! Processes that share a state directory, and processes that die.

use std::path::Path;
use std::process::Command;

use bakelite_local::LocalCloud;
use bakelite_test_support::server::Server;

use crate::Test;
use crate::client::{Api, TestCloud, options, runtime};

pub(crate) const TESTS: &[Test] = &[
    (
        "clouds_of_one_directory_see_the_same",
        clouds_of_one_directory_see_the_same,
    ),
    (
        "killed_processes_leave_stopped_instances",
        killed_processes_leave_stopped_instances,
    ),
    ("an_orderly_end_stops_instances", an_orderly_end_stops_instances),
    ("reset_removes_everything", reset_removes_everything),
];

/// The argument that makes this program a cloud for another one to kill.
const SERVE: &str = "--serve-a-cloud-in";

/// Serves a cloud for ever when this process was started for that.
#[expect(clippy::print_stdout, reason = "the parent reads the endpoint there")]
pub(crate) fn serve_if_asked() -> bool {
    let mut arguments = std::env::args().skip_while(|argument| argument != SERVE).skip(1);
    let Some(directory) = arguments.next() else {
        return false;
    };
    runtime().block_on(async {
        let cloud = LocalCloud::start(options(Path::new(&directory))).await.unwrap();
        let key = cloud.access_key();
        println!("{} {} {}", cloud.endpoint(), key.id, key.secret);
        std::future::pending::<()>().await;
    });
    true
}

/// A cloud in another process; it is killed with this value, as by `kill -9`.
pub(crate) struct Other {
    _process: Server,
    pub(crate) api: Api,
}

impl Other {
    pub(crate) fn start(directory: &Path) -> Other {
        Other::of(Command::new(std::env::current_exe().unwrap()).arg(SERVE).arg(directory))
    }

    /// With so many files at most.
    pub(crate) fn with_files(directory: &Path, most: u32) -> Other {
        let limited = format!("ulimit -n {most} && exec \"$0\" {SERVE} \"$1\"");
        let mut command = Command::new("sh");
        Other::of(
            command
                .args(["-c", &limited])
                .arg(std::env::current_exe().unwrap())
                .arg(directory),
        )
    }

    fn of(command: &mut Command) -> Other {
        let (process, api) = Server::start(command, |line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Some(Api::new(words[0], words[1], words[2]))
        });
        Other { _process: process, api }
    }
}

fn clouds_of_one_directory_see_the_same() {
    let cloud = TestCloud::start();
    let other = Other::start(cloud.state_dir());
    let id = other.api.launch("");
    other.api.wait_for(&id, "running");
    assert_eq!(cloud.api.state(&id), "running");
    let terminate = format!("InstanceId.1={id}");
    assert_eq!(
        cloud.api.error("TerminateInstances", &terminate),
        "IncorrectInstanceState"
    );
    let create = format!("InstanceId={id}&Name=shared");
    let image = other.api.ok("CreateImage", &create).value("imageId");
    let ours = cloud.api.launch_image(&image, "");
    cloud.api.wait_for(&ours, "running");
}

fn killed_processes_leave_stopped_instances() {
    let cloud = TestCloud::start();
    let other = Other::start(cloud.state_dir());
    let key = other.api.key_pair("k", cloud.state_dir());
    let created = other.api.ok("CreateSecurityGroup", "GroupName=g&GroupDescription=d");
    let group = created.value("groupId");
    let launch = format!("KeyName=k&SecurityGroupId.1={group}");
    let (stays, goes) = (other.api.launch(&launch), other.api.launch(&launch));
    other.api.wait_for(&stays, "running");
    other.api.wait_for(&goes, "running");
    other.api.ssh(&stays, "admin", &key, "echo kept > ~/note; sync");
    drop(other);
    assert_eq!(cloud.api.state(&stays), "stopped");
    let delete = format!("GroupId={group}");
    let code = cloud.api.error("DeleteSecurityGroup", &delete);
    assert_eq!(code, "DependencyViolation", "nothing goes by itself");
    cloud.api.ok("StartInstances", &format!("InstanceId.1={stays}"));
    cloud.api.wait_for(&stays, "running");
    assert_eq!(cloud.api.ssh(&stays, "admin", &key, "cat ~/note"), "kept\n");
    let terminate = format!("InstanceId.1={stays}&InstanceId.2={goes}");
    cloud.api.ok("TerminateInstances", &terminate);
    cloud.api.wait_for(&stays, "terminated");
    cloud.api.wait_for(&goes, "terminated");
    cloud.api.ok("DeleteSecurityGroup", &delete);
}

fn an_orderly_end_stops_instances() {
    let mut cloud = TestCloud::start();
    let id = cloud.api.launch("");
    cloud.api.wait_for(&id, "running");
    cloud.restart();
    assert_eq!(cloud.api.state(&id), "stopped");
    cloud.api.ok("StartInstances", &format!("InstanceId.1={id}"));
    cloud.api.wait_for(&id, "running");
}

fn reset_removes_everything() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let cloud = LocalCloud::start(options(directory.path())).await.unwrap();
        cloud.shutdown().await;
        bakelite_local::reset(directory.path()).await.unwrap();
        bakelite_local::reset(directory.path()).await.unwrap();
    });
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
