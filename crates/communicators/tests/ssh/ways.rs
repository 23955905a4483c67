//! Ways to transfer: what each needs of the other side, and what happens where that is missing.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bakelite_communicators::connect::Target;
use bakelite_communicators::dial::{Dial, DialError, Stream};
use bakelite_engine::communicator::{Communicator, CommunicatorError, Upload};
use bakelite_test_support::slow_line::SlowLine;
use bakelite_test_support::sshd::Setup;

use crate::files::{METHODS, upload};
use crate::instance::{Instance, ran};

const QUICKEST: &str = METHODS[2];

/// A server with these programs only.
fn with(programs: &[&'static str], sftp: bool) -> Setup {
    Setup {
        sftp,
        programs: Some(programs.to_vec()),
        ..Setup::default()
    }
}

/// A file there and back.
async fn carries_a_file(instance: &Instance, ssh: &dyn Communicator) {
    let path = instance.sshd.directory().join("a file");
    upload(ssh, b"content", 0o750, &path).await.unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (7, 0o750));
    let mut back = Vec::new();
    ssh.download(path.to_str().unwrap(), &mut back).await.unwrap();
    assert_eq!(back, b"content");
}

/// A directory there and back.
async fn carries_a_directory(instance: &Instance, ssh: &dyn Communicator) {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(source.path().join("src/sub")).unwrap();
    std::fs::write(source.path().join("src/sub/x"), "x").unwrap();
    let there = instance.sshd.directory().join("there");
    ssh.upload_directory(&source.path().join("src"), false, there.to_str().unwrap())
        .await
        .unwrap();
    assert_eq!(std::fs::read_to_string(there.join("sub/x")).unwrap(), "x");
    let back = source.path().join("back");
    ssh.download_directory(there.to_str().unwrap(), &back).await.unwrap();
    assert_eq!(std::fs::read_to_string(back.join("there/sub/x")).unwrap(), "x");
}

#[tokio::test]
async fn a_shell_is_enough_for_files_and_tar_for_directories() {
    let instance = Instance::start(with(&["sh", "cat", "chmod", "mkdir", "tar"], false)).await;
    let ssh = instance.connect(QUICKEST).await;
    carries_a_file(&instance, &*ssh).await;
    carries_a_directory(&instance, &*ssh).await;
}

#[tokio::test]
async fn every_tar_does() {
    for tar in ["/usr/bin/tar", "/bin/busybox", "/usr/bin/bsdtar"] {
        assert!(Path::new(tar).exists(), "{tar} is missing: tests/prepare installs it");
        let instance = Instance::start(with(&["sh", "cat", "chmod", "mkdir"], false)).await;
        symlink(tar, instance.sshd.directory().join("bin/tar")).unwrap();
        let ssh = instance.connect(QUICKEST).await;
        carries_a_directory(&instance, &*ssh).await;
        let source = tempfile::tempdir().unwrap();
        let day = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        std::fs::create_dir(source.path().join("closed")).unwrap();
        std::fs::create_dir(source.path().join("old")).unwrap();
        std::fs::write(source.path().join("closed/run"), "run").unwrap();
        std::fs::File::open(source.path().join("closed/run"))
            .unwrap()
            .set_modified(day)
            .unwrap();
        std::fs::set_permissions(source.path().join("closed/run"), std::fs::Permissions::from_mode(0o751)).unwrap();
        std::fs::set_permissions(source.path().join("closed"), std::fs::Permissions::from_mode(0o555)).unwrap();
        let there = instance.sshd.directory().join("again");
        std::fs::create_dir_all(there.join("real")).unwrap();
        symlink("real", there.join("old")).unwrap();
        ssh.upload_directory(source.path(), true, there.to_str().unwrap())
            .await
            .unwrap();
        let directory = std::fs::metadata(there.join("closed")).unwrap();
        let file = std::fs::metadata(there.join("closed/run")).unwrap();
        // busybox leaves directories their usual mode when it does not run as root.
        if !tar.ends_with("busybox") {
            assert_eq!(directory.mode() & 0o777, 0o555, "{tar}");
        }
        assert_eq!(file.mode() & 0o777, 0o751, "{tar}");
        assert_eq!(file.modified().unwrap(), day, "{tar}");
        assert!(
            std::fs::symlink_metadata(there.join("old")).unwrap().is_symlink(),
            "{tar}"
        );
        for directory in [source.path().join("closed"), there.join("closed")] {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

#[tokio::test]
async fn without_a_shell_or_tar_sftp_is_enough() {
    for programs in [&[][..], &["sh", "cat", "chmod"]] {
        let instance = Instance::start(with(programs, true)).await;
        let ssh = instance.connect(QUICKEST).await;
        carries_a_file(&instance, &*ssh).await;
        carries_a_directory(&instance, &*ssh).await;
    }
}

#[tokio::test]
async fn without_all_of_them_scp_is_enough() {
    let instance = Instance::start(with(&["scp"], false)).await;
    let ssh = instance.connect(QUICKEST).await;
    carries_a_file(&instance, &*ssh).await;
    carries_a_directory(&instance, &*ssh).await;
}

#[tokio::test]
async fn with_nothing_at_all_the_error_says_what_helps() {
    let instance = Instance::start(with(&[], false)).await;
    let ssh = instance.connect(QUICKEST).await;
    let error = upload(&*ssh, b"x", 0o644, &instance.sshd.directory().join("f"))
        .await
        .unwrap_err();
    let CommunicatorError::Refused { help, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        error.to_string().contains("neither scp nor SFTP") && help.is_some(),
        "{error}"
    );
}

#[tokio::test]
async fn a_shell_that_greets_does_not_disturb() {
    let greeting = Setup {
        config: r#"ForceCommand echo "Welcome to the instance"; echo "Have fun" >&2; eval "$SSH_ORIGINAL_COMMAND""#
            .into(),
        sftp: false,
        ..Setup::default()
    };
    let instance = Instance::start(greeting).await;
    let ssh = instance.connect(QUICKEST).await;
    carries_a_file(&instance, &*ssh).await;
    carries_a_directory(&instance, &*ssh).await;
    let ssh = instance.connect(METHODS[0]).await;
    let error = upload(&*ssh, b"x", 0o644, &instance.sshd.directory().join("f"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Welcome"), "{error}");
}

#[tokio::test]
async fn a_server_that_runs_something_else_has_a_clear_error() {
    let restricted = Setup {
        config: "ForceCommand echo only for tunnels; exit 1".into(),
        sftp: false,
        ..Setup::default()
    };
    let instance = Instance::start(restricted).await;
    for method in METHODS {
        let ssh = instance.connect(method).await;
        let error = upload(&*ssh, b"x", 0o644, &instance.sshd.directory().join("f"))
            .await
            .unwrap_err();
        assert!(matches!(error, CommunicatorError::Refused { .. }), "{method}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_allows_nothing_but_sftp_is_found_out() {
    let instance = Instance::start(Setup {
        config: "ForceCommand internal-sftp".into(),
        ..Setup::default()
    })
    .await;
    let ssh = instance.connect(QUICKEST).await;
    let path = instance.sshd.directory().join("file");
    upload(&*ssh, b"content", 0o644, &path).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
}

#[tokio::test]
async fn a_link_that_is_downloaded_itself_is_followed() {
    let instance = Instance::start(Setup::default()).await;
    for method in METHODS {
        let ssh = instance.connect(method).await;
        let real = instance.sshd.directory().join("real");
        std::fs::create_dir_all(&real).unwrap();
        std::fs::write(real.join("x"), "x").unwrap();
        let link = instance.sshd.directory().join("link");
        let _ = symlink("real", &link);
        let local = tempfile::tempdir().unwrap();
        ssh.download_directory(link.to_str().unwrap(), local.path())
            .await
            .unwrap();
        assert!(
            !std::fs::symlink_metadata(local.path().join("link"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(
            std::fs::read_to_string(local.path().join("link/x")).unwrap(),
            "x",
            "{method}"
        );
    }
}

#[tokio::test]
async fn times_modes_links_and_odd_names_arrive() {
    arrives_as_it_is(Setup::default()).await;
}

#[tokio::test]
async fn times_modes_links_and_odd_names_arrive_by_sftp() {
    arrives_as_it_is(with(&[], true)).await;
}

async fn arrives_as_it_is(setup: Setup) {
    let instance = Instance::start(setup).await;
    let ssh = instance.connect(QUICKEST).await;
    let outer = tempfile::tempdir().unwrap();
    let source = outer.path().join("src");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(outer.path().join("outside"), "far").unwrap();
    std::fs::write(source.join("new\nline 'q' $x"), "odd").unwrap();
    std::fs::write(source.join("sub/run"), "run").unwrap();
    std::fs::set_permissions(source.join("sub/run"), std::fs::Permissions::from_mode(0o751)).unwrap();
    let day = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    std::fs::File::open(source.join("sub/run"))
        .unwrap()
        .set_modified(day)
        .unwrap();
    symlink("sub/run", source.join("inside")).unwrap();
    symlink("../outside", source.join("out")).unwrap();
    std::fs::File::open(source.join("sub"))
        .unwrap()
        .set_modified(day)
        .unwrap();

    let there = instance.sshd.directory().join("there");
    ssh.upload_directory(&source, false, there.to_str().unwrap())
        .await
        .unwrap();
    arrived(&there, day);
    // What was followed is a file now: another link leads out of the directory at the other side.
    std::fs::remove_file(there.join("out")).unwrap();
    std::fs::write(instance.sshd.directory().join("outside"), "far").unwrap();
    symlink(instance.sshd.directory().join("outside"), there.join("out")).unwrap();
    let back = outer.path().join("back");
    ssh.download_directory(there.to_str().unwrap(), &back).await.unwrap();
    arrived(&back.join("there"), day);
}

fn arrived(directory: &Path, day: SystemTime) {
    let run = std::fs::metadata(directory.join("sub/run")).unwrap();
    assert_eq!(
        (run.permissions().mode() & 0o777, run.modified().unwrap()),
        (0o751, day)
    );
    assert_eq!(
        std::fs::metadata(directory.join("sub")).unwrap().modified().unwrap(),
        day
    );
    assert_eq!(
        std::fs::read_link(directory.join("inside")).unwrap(),
        Path::new("sub/run")
    );
    assert!(std::fs::symlink_metadata(directory.join("out")).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(directory.join("out")).unwrap(), "far");
    assert_eq!(
        std::fs::read_to_string(directory.join("new\nline 'q' $x")).unwrap(),
        "odd"
    );
}

#[tokio::test]
async fn a_circle_of_links_at_the_other_side_comes_to_an_end() {
    let instance = Instance::start(with(&[], true)).await;
    let ssh = instance.connect(QUICKEST).await;
    let there = instance.sshd.directory().join("there");
    std::fs::create_dir_all(there.join("sub")).unwrap();
    symlink("..", there.join("sub/circle")).unwrap();
    let local = tempfile::tempdir().unwrap();
    ssh.download_directory(there.to_str().unwrap(), local.path())
        .await
        .unwrap();
    let circle = local.path().join("there/sub/circle");
    assert_eq!(std::fs::read_link(circle).unwrap(), Path::new(".."));
}

#[tokio::test]
async fn what_is_there_stays_what_it_is() {
    what_is_there_stays(Setup::default()).await;
}

#[tokio::test]
async fn what_is_there_stays_what_it_is_by_sftp() {
    what_is_there_stays(with(&[], true)).await;
}

async fn what_is_there_stays(setup: Setup) {
    let instance = Instance::start(setup).await;
    let ssh = instance.connect(QUICKEST).await;
    let source = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = source.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("lib/deep/x", "x");
    file("etc/conf", "new");
    file("etc/plain", "new");
    // As on many systems: `lib` is a link, a configuration file is one, a directory is closed to others.
    let there = instance.sshd.directory().join("root");
    std::fs::create_dir_all(there.join("usr/lib")).unwrap();
    std::fs::create_dir_all(there.join("etc")).unwrap();
    symlink("usr/lib", there.join("lib")).unwrap();
    std::fs::write(there.join("real"), "old").unwrap();
    std::fs::write(there.join("etc/plain"), "old").unwrap();
    symlink("../real", there.join("etc/conf")).unwrap();
    std::fs::set_permissions(there.join("etc"), std::fs::Permissions::from_mode(0o700)).unwrap();

    ssh.upload_directory(source.path(), true, there.to_str().unwrap())
        .await
        .unwrap();
    assert!(std::fs::symlink_metadata(there.join("lib")).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(there.join("usr/lib/deep/x")).unwrap(), "x");
    assert!(std::fs::symlink_metadata(there.join("etc/conf")).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(there.join("real")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(there.join("etc/plain")).unwrap(), "new");
    assert_eq!(std::fs::metadata(there.join("etc")).unwrap().mode() & 0o777, 0o700);
}

/// The way over a slow line. The line itself is near: only the server's answers tell how far it is.
struct Far(std::net::SocketAddr);

#[async_trait]
impl Dial for Far {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        Ok(Box::new(tokio::net::TcpStream::connect(self.0).await?))
    }
}

#[tokio::test]
async fn over_a_long_line_everything_is_compressed_and_arrives_whole() {
    let instance = Instance::start(Setup::default()).await;
    let line = SlowLine::to(instance.sshd.address, Duration::from_millis(15)).await;
    let target = Target {
        dial: Some(Arc::new(Far(line.address))),
        ..Instance::target()
    };
    let options = instance.options(QUICKEST);
    let ssh = instance.try_connect(&target, &options).await.unwrap();
    let text = "a line that is much like the next\n".repeat(50_000);
    let noise: Vec<u8> = (0..1_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    let source = tempfile::tempdir().unwrap();
    let (there, back) = (instance.sshd.directory().join("there"), source.path().join("back"));
    for (name, content) in [("text", text.as_bytes()), ("noise", &noise), ("empty", b"")] {
        std::fs::create_dir_all(source.path().join("src")).unwrap();
        std::fs::write(source.path().join("src").join(name), content).unwrap();
        let path = instance.sshd.directory().join(name);
        upload(&*ssh, content, 0o644, &path).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == content, "{name}");
        let mut read = Vec::new();
        ssh.download(path.to_str().unwrap(), &mut read).await.unwrap();
        assert!(read == content, "{name}");
    }
    ssh.upload_directory(&source.path().join("src"), false, there.to_str().unwrap())
        .await
        .unwrap();
    ssh.download_directory(there.to_str().unwrap(), &back).await.unwrap();
    assert!(std::fs::read(back.join("there/text")).unwrap() == text.as_bytes());
    assert!(std::fs::read(back.join("there/noise")).unwrap() == noise);
}

#[tokio::test]
async fn patterns_may_stand_in_directories_too() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect(QUICKEST).await;
    let root = instance.sshd.directory().join("logs");
    for (directory, name) in [("a 1", "x.log"), ("a 2", "y.log"), ("b", "z.log"), ("a 3", "w.txt")] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
        std::fs::write(root.join(directory).join(name), name).unwrap();
    }
    let local = tempfile::tempdir().unwrap();
    ssh.download_directory(&format!("{}/a*/*.log", root.display()), local.path())
        .await
        .unwrap();
    let mut names: Vec<_> = std::fs::read_dir(local.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["x.log", "y.log"]);
    for nothing in ["a*/*.nope", "nowhere/x", "nowhere/*"] {
        let source = format!("{}/{nothing}", root.display());
        let error = ssh.download_directory(&source, local.path()).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}

/// A disk of 128 KiB, until it is dropped.
pub(crate) struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// Only root may: a test that needs one fails for another user, who can leave it out with `--skip full_disk`.
    pub(crate) fn mount(at: &Path) -> Self {
        std::fs::create_dir(at).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128k", "none"])
            .arg(at)
            .status();
        assert!(
            mounted.unwrap().success(),
            "only root can mount a small disk: run as root, or add `-- --skip full_disk`"
        );
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_by_every_way() {
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("src")).unwrap();
    std::fs::write(source.path().join("src/big"), vec![1; 3_000_000]).unwrap();
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let disk = instance.sshd.directory().join("disk");
        let _disk = SmallDisk::mount(&disk);
        let ssh = instance.connect(method).await;
        let content = vec![1; 3_000_000];
        let file = Upload {
            content: &mut content.as_slice(),
            size: content.len() as u64,
            mode: 0o644,
        };
        let by_file = ssh.upload(file, disk.join("f").to_str().unwrap()).await.unwrap_err();
        let by_directory = ssh
            .upload_directory(&source.path().join("src"), false, disk.join("src").to_str().unwrap())
            .await
            .unwrap_err();
        for error in [by_file, by_directory] {
            let text = error.to_string();
            let told = text.contains("No space left") || (method == METHODS[1] && text.contains("Failure"));
            assert!(told, "{method}: {text}");
        }
        // The connection is as good as before.
        assert_eq!(ran(&*ssh, "echo on").await.stdout, b"on\n");
    }
}

#[tokio::test]
async fn the_progress_of_a_directory_is_told() {
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect(QUICKEST).await;
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("big"), vec![0; 2_000_000]).unwrap();
    let there = instance.sshd.directory().join("there");
    ssh.upload_directory(source.path(), true, there.to_str().unwrap())
        .await
        .unwrap();
    let told = instance.transfers();
    assert!(
        told.len() > 3 && told[0].contains("Started") && told[told.len() - 1].contains("Finished"),
        "{told:?}"
    );
}

#[tokio::test]
async fn wherever_a_connection_breaks_nothing_half_counts_as_done() {
    let content: Vec<u8> = (0..600_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let line = SlowLine::to(instance.sshd.address, Duration::ZERO).await;
        let mut options = instance.options(method);
        options.ssh_port = Some(line.address.port());
        let ssh = instance.try_connect(&Instance::target(), &options).await.unwrap();
        let path = instance.sshd.directory().join("file");
        upload(&*ssh, &content, 0o644, &path).await.unwrap();
        for bytes in [0, 300, 40_000, 300_000, 600_000] {
            let there = instance.sshd.directory().join("new");
            line.break_after(bytes);
            match upload(&*ssh, &content, 0o644, &there).await {
                // It was tried again over a new connection, before anything of it had gone over.
                Ok(()) => assert!(std::fs::read(&there).unwrap() == content, "{method} {bytes}"),
                Err(error) => assert!(
                    matches!(error, CommunicatorError::Disconnected { .. }),
                    "{method} {bytes}: {error}"
                ),
            }
            line.break_after(bytes);
            let mut back = Vec::new();
            match ssh.download(path.to_str().unwrap(), &mut back).await {
                Ok(()) => assert!(back == content, "{method} {bytes}"),
                Err(error) => assert!(
                    matches!(error, CommunicatorError::Disconnected { .. }),
                    "{method} {bytes}: {error}"
                ),
            }
            line.break_after(u32::MAX);
        }
    }
}
