//! How fast files go over, beside OpenSSH's own ways in the same run: medians of five, the contestants taking turns.
//!
//! `cargo bench -p bakelite-communicators --bench transfer` measures all; an argument measures only the cases whose name holds it.
//! Needs OpenSSH's server and client, tar and a gigabyte in `$TMPDIR`. The slow line is a relay of ours that holds every byte back, as
//! not every kernel has `netem`.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::options::CommunicatorOptions;
use bakelite_engine::communicator::{Communicator, Upload};
use bakelite_engine::events::{Events, Ui};
use bakelite_engine::provisioner::RunContext;
use bakelite_test_support::slow_line::SlowLine;
use bakelite_test_support::sshd::{Setup, Sshd};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

/// Rounds of each contest.
const ROUNDS: usize = 5;

/// One way of the slow line.
const DELAY: Duration = Duration::from_millis(25);

/// Peak memory that bakelite may use.
const MEMORY_KIB: u64 = 60 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.split_first() {
        Some((worker, rest)) if worker == "worker" => runtime.block_on(work(rest)),
        _ => {
            let filter = arguments.into_iter().find(|argument| !argument.starts_with('-'));
            runtime.block_on(measure(filter.as_deref().unwrap_or_default()));
        }
    }
}

/// What goes over, and where.
struct Contest<'a> {
    name: &'a str,
    operation: &'a str,
    source: &'a Path,
    port: u16,
    peers: &'a [Peer],
    /// What bakelite's time may be at most, as a multiple of the first peer's.
    limit: f64,
}

#[derive(Clone, Copy)]
enum Peer {
    Scp,
    Tar,
}

async fn measure(filter: &str) {
    let sshd = Sshd::start(Setup::default()).await;
    let far = SlowLine::to(sshd.address, DELAY).await;
    let directory = tempfile::tempdir().unwrap();
    let (big, small) = (directory.path().join("big"), directory.path().join("small"));
    make_big(&big, 512);
    make_small(&small, 2000);
    let medium = directory.path().join("medium");
    make_big(&medium, 32);
    let (near, far) = (sshd.address.port(), far.address.port());
    let contest = |name, operation, source, port, peers, limit| Contest {
        name,
        operation,
        source,
        port,
        peers,
        limit,
    };
    let contests = [
        contest(
            "upload 512 MiB",
            "upload",
            &big,
            near,
            &[Peer::Scp, Peer::Tar][..],
            1.0 / 1.3,
        ),
        contest("download 512 MiB", "download", &big, near, &[Peer::Scp], 1.0 / 1.3),
        contest(
            "upload 2,000 files",
            "upload-directory",
            &small,
            near,
            &[Peer::Tar, Peer::Scp],
            1.0,
        ),
        contest(
            "download 2,000 files",
            "download-directory",
            &small,
            near,
            &[Peer::Tar],
            1.0,
        ),
        contest(
            "upload 2,000 files, 50 ms away",
            "upload-directory",
            &small,
            far,
            &[Peer::Tar],
            1.5,
        ),
        contest(
            "download 2,000 files, 50 ms away",
            "download-directory",
            &small,
            far,
            &[Peer::Tar],
            1.5,
        ),
        contest(
            "upload 32 MiB, 50 ms away",
            "upload",
            &medium,
            far,
            &[Peer::Scp, Peer::Tar],
            1.0,
        ),
    ];
    let mut missed = false;
    for contest in contests.iter().filter(|contest| contest.name.contains(filter)) {
        missed |= !run(contest, &sshd, directory.path()).await;
    }
    assert!(!missed, "a limit was missed");
}

/// Holds one contest and prints its line; is bakelite within its limits?
async fn run(contest: &Contest<'_>, sshd: &Sshd, directory: &Path) -> bool {
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); contest.peers.len()];
    let mut memory = 0;
    for round in 0..ROUNDS {
        let destination = directory.join(format!("to-{round}"));
        let (took, peak) = bakelite(contest, sshd, &destination).await;
        memory = memory.max(peak);
        ours.push(took);
        check(contest.source, &destination);
        remove(&destination);
        for (peer, times) in contest.peers.iter().zip(&mut theirs) {
            times.push(timed(peer.command(contest, sshd, &destination)).await);
            remove(&destination);
        }
    }
    let ours = median(ours);
    print!(
        "{:<34} bakelite {:.3} s, {} MiB",
        contest.name,
        ours.as_secs_f64(),
        memory / 1024
    );
    let mut ratio = None;
    for (peer, times) in contest.peers.iter().zip(theirs) {
        let theirs = median(times).as_secs_f64();
        ratio.get_or_insert(ours.as_secs_f64() / theirs);
        print!("; {} {theirs:.3} s ({:.2} ×)", peer.name(), theirs / ours.as_secs_f64());
    }
    let kept = ratio.is_none_or(|ratio| ratio <= contest.limit) && memory <= MEMORY_KIB;
    println!("{}", if kept { "" } else { "  MISSED" });
    kept
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Scp => "scp",
            Peer::Tar => "tar | ssh",
        }
    }

    /// A shell command that does the same.
    fn command(self, contest: &Contest<'_>, sshd: &Sshd, destination: &Path) -> Command {
        let options = format!(
            "-q -i {} -o Port={} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            sshd.key_file.display(),
            contest.port
        );
        let (source, destination) = (contest.source.display(), destination.display());
        let host = format!("{}@127.0.0.1", sshd.username);
        let upload = contest.operation.starts_with("upload");
        let directory = contest.operation.ends_with("directory");
        let script = match (self, upload, directory) {
            (Peer::Scp, true, _) => format!("scp -r {options} {source} {host}:{destination}"),
            (Peer::Scp, false, _) => format!("scp -r {options} {host}:{source} {destination}"),
            (Peer::Tar, true, true) => {
                format!(
                    "tar -C {source} -cf - . | ssh {options} {host} 'mkdir {destination} && tar -C {destination} -xf -'"
                )
            }
            (Peer::Tar, false, true) => {
                format!(
                    "mkdir {destination} && ssh {options} {host} 'tar -C {source} -cf - .' | tar -C {destination} -xf -"
                )
            }
            (Peer::Tar, true, false) => format!("ssh {options} {host} 'cat > {destination}' < {source}"),
            (Peer::Tar, false, false) => format!("ssh {options} {host} 'cat {source}' > {destination}"),
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .stdin(Stdio::null())
            .env_remove("SSH_AUTH_SOCK");
        command
    }
}

/// Runs bakelite as a process of its own; answers its time, connection included, and its peak memory in KiB.
async fn bakelite(contest: &Contest<'_>, sshd: &Sshd, destination: &Path) -> (Duration, u64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["worker", contest.operation, &contest.port.to_string(), &sshd.username])
        .arg(&sshd.key_file)
        .arg(contest.source)
        .arg(destination);
    tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        let took = began.elapsed();
        assert!(output.status.success(), "{}", output.status);
        (took, String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
    })
    .await
    .unwrap()
}

async fn timed(mut command: Command) -> Duration {
    tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let status = command.status().unwrap();
        let took = began.elapsed();
        assert!(status.success(), "{command:?}: {status}");
        took
    })
    .await
    .unwrap()
}

/// The other process: one connection, one transfer. Prints its peak memory.
async fn work(arguments: &[String]) {
    let [operation, port, user, key, source, destination] = arguments else {
        panic!("{arguments:?}")
    };
    let options = serde_json::json!({
        "ssh_port": port.parse::<u16>().unwrap(), "ssh_username": user, "ssh_private_key_file": key,
    });
    let options: CommunicatorOptions = serde_json::from_value(options).unwrap();
    let target = Target {
        address: "127.0.0.1".into(),
        ..Target::default()
    };
    let ui = Ui::new(Events::new(std::sync::mpsc::channel().0));
    let ssh = connect(&target, &options, &run_context(), &ui, &CancellationToken::new())
        .await
        .unwrap();
    transfer(&*ssh, operation, source, destination).await;
    ssh.close().await;
    println!("{}", peak_memory());
}

async fn transfer(ssh: &dyn Communicator, operation: &str, source: &str, destination: &str) {
    match operation {
        "upload" => {
            let mut file = tokio::fs::File::open(source).await.unwrap();
            let size = file.metadata().await.unwrap().len();
            let upload = Upload {
                content: &mut file,
                size,
                mode: 0o644,
            };
            ssh.upload(upload, destination).await.unwrap();
        }
        "download" => {
            let mut file = tokio::fs::File::create(destination).await.unwrap();
            ssh.download(source, &mut file).await.unwrap();
            file.flush().await.unwrap();
        }
        "upload-directory" => ssh
            .upload_directory(Path::new(source), false, destination)
            .await
            .unwrap(),
        // A trailing slash would be the contents; the directory arrives under its name.
        "download-directory" => ssh.download_directory(source, Path::new(destination)).await.unwrap(),
        other => panic!("{other}"),
    }
}

/// Peak of the resident memory in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn run_context() -> RunContext {
    RunContext {
        id: "bench".into(),
        working_directory: "/".into(),
        temporary_directory: std::env::temp_dir(),
        home_directory: None,
        force: false,
        debug: false,
        environment: Arc::default(),
        private_files: bakelite_engine::private_file::PrivateFiles::default(),
    }
}

/// A file of so many MiB that no compression makes smaller.
fn make_big(path: &Path, mebibytes: usize) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
}

/// Files of 4 KiB in directories of a hundred.
fn make_small(directory: &Path, files: usize) {
    for number in 0..files {
        let directory = directory.join(format!("part{}", number / 100));
        std::fs::create_dir_all(&directory).unwrap();
        let line = format!("setting_{number} = {number}\n");
        let mut text = line.repeat(4096 / line.len() + 1);
        text.truncate(4096);
        std::fs::write(directory.join(format!("file{number}.conf")), text).unwrap();
    }
}

/// Everything has arrived.
fn check(source: &Path, destination: &Path) {
    let inner = destination.join(source.file_name().unwrap());
    let destination: PathBuf = if inner.exists() { inner } else { destination.to_owned() };
    let status = Command::new("diff")
        .arg("-rq")
        .arg(source)
        .arg(&destination)
        .status()
        .unwrap();
    assert!(status.success(), "{} differs", destination.display());
}

fn remove(path: &Path) {
    let _ = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
