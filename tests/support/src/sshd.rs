//! A real OpenSSH server for one test: own port, own keys, own configuration, run as whoever runs the tests.
//!
//! Our listener accepts and gives each connection to an `sshd -i` of its own. So there is no race for a port, a test can refuse
//! connections as an instance does that restarts, and it can kill the server's side of a connection.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// How a test wants its server.
#[derive(Debug, Clone)]
pub struct Setup {
    /// With the SFTP subsystem.
    pub sftp: bool,
    /// The programs that commands find besides the shell's own; `None`: all of the machine.
    pub programs: Option<Vec<&'static str>>,
    /// More lines for `sshd_config`; `%F` is the server's directory.
    pub config: String,
    /// Type of the user's key for `ssh-keygen -t`.
    pub key_type: &'static str,
    /// Write the user's key as PEM (PKCS#1), as EC2 does, and not in OpenSSH's own format.
    pub pem: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            sftp: true,
            programs: None,
            config: String::new(),
            key_type: "ed25519",
            pem: false,
        }
    }
}

/// A running server; it ends with the value.
pub struct Sshd {
    /// Where it listens.
    pub address: SocketAddr,
    /// The user that may log in.
    pub username: String,
    /// The private key of that user.
    pub key_file: PathBuf,
    directory: TempDir,
    shared: Arc<Shared>,
    /// Ends with the value.
    _accepting: JoinSet<()>,
}

struct Shared {
    configuration: PathBuf,
    log: PathBuf,
    refusing: AtomicBool,
    accepted: AtomicUsize,
    refused: AtomicUsize,
    sessions: Mutex<Vec<Child>>,
}

impl Sshd {
    /// Starts a server.
    pub async fn start(setup: Setup) -> Sshd {
        crate::backstop::watch();
        let program = program();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        make_key(&path("host_key"), "ed25519", false);
        make_key(&path("user_key"), setup.key_type, setup.pem);
        std::fs::copy(path("user_key.pub"), path("authorized_keys")).unwrap();
        let configuration = path("sshd_config");
        std::fs::write(&configuration, config(directory.path(), &setup)).unwrap();
        make_privilege_separation_directory();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            configuration,
            log: path("sshd.log"),
            refusing: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            sessions: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(program, listener, Arc::clone(&shared)));
        Sshd {
            address,
            username: current_user(),
            key_file: path("user_key"),
            directory,
            shared,
            _accepting: accepting,
        }
    }

    /// The user's private key.
    pub fn private_key(&self) -> String {
        std::fs::read_to_string(&self.key_file).unwrap()
    }

    /// A directory that goes away with the server.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections were closed at once so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Closes new connections at once, or serves them again.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Kills the server's side of all connections, with what runs there.
    pub async fn kill_sessions(&self) {
        let sessions = std::mem::take(&mut *self.shared.sessions.lock().unwrap());
        for mut session in sessions {
            kill_group(&session);
            let _ = session.wait().await;
        }
    }

    /// The fingerprint of its host key, as `ssh-keygen` prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        let mut command = std::process::Command::new("ssh-keygen");
        let said = command.arg("-lf").arg(self.directory().join("host_key.pub")).output();
        let said = String::from_utf8(said.expect("ssh-keygen runs").stdout).expect("it prints text");
        said.split(' ')
            .nth(1)
            .expect("the second word is the fingerprint")
            .to_owned()
    }

    /// Gives the server another host key, as a new instance at the same address has.
    pub fn change_host_key(&self) {
        let key = self.directory.path().join("host_key");
        std::fs::remove_file(&key).unwrap();
        std::fs::remove_file(self.directory.path().join("host_key.pub")).unwrap();
        make_key(&key, "ed25519", false);
    }

    /// What the server has logged, for messages of failed assertions.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.shared.log).unwrap_or_default()
    }
}

/// Kills a process that leads a group of its own, and the group. By the system call and never by the `kill` program: that of
/// procps 4.0.2 takes the group -123 for -1, which is every process there is.
fn kill_group(leader: &Child) {
    let Some(id) = leader.id().and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1) else {
        return;
    };
    if let Some(group) = Pid::from_raw(id) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

async fn accept(program: PathBuf, listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        if shared.refusing.load(Ordering::SeqCst) {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let session = serve(&program, stream, &shared);
        shared.sessions.lock().unwrap().push(session);
    }
}

fn serve(program: &Path, stream: TcpStream, shared: &Shared) -> Child {
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let output = stream.try_clone().unwrap();
    let mut command = Command::new(program);
    command
        .arg("-i")
        .arg("-f")
        .arg(&shared.configuration)
        .arg("-E")
        .arg(&shared.log);
    command
        .stdin(OwnedFd::from(stream))
        .stdout(OwnedFd::from(output))
        .stderr(Stdio::null());
    command
        .env_remove("SSH_AUTH_SOCK")
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// sshd wants to be called by its full path.
fn program() -> PathBuf {
    let found = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.expect("these tests need OpenSSH's server: install it (Debian, Ubuntu: apt-get install openssh-server; Fedora: dnf install openssh-server)")
}

/// As root, sshd wants this directory, which the service's start makes on a machine that runs it.
fn make_privilege_separation_directory() {
    let directory = Path::new("/run/sshd");
    if !directory.exists() {
        // Without the right to make it we are not root, and sshd does not need it.
        let _ = std::fs::create_dir(directory);
    }
}

fn make_key(path: &Path, kind: &str, pem: bool) {
    let mut command = std::process::Command::new("ssh-keygen");
    command
        .args(["-q", "-t", kind, "-N", "", "-C", "bakelite-test", "-f"])
        .arg(path);
    if pem {
        command.args(["-m", "PEM"]);
    }
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .expect("these tests need ssh-keygen: install openssh-client");
    assert!(status.success(), "ssh-keygen: {status}");
}

fn config(directory: &Path, setup: &Setup) -> String {
    let shown = directory.display();
    let mut text = format!(
        "HostKey {shown}/host_key\nAuthorizedKeysFile {shown}/authorized_keys\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin yes\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\nAcceptEnv none\nMaxSessions 50\n"
    );
    // A directive that is given first counts.
    text.insert_str(0, &format!("{}\n", setup.config.replace("%F", &shown.to_string())));
    if setup.sftp {
        text.push_str("Subsystem sftp internal-sftp\n");
    }
    // No start-up files of the tester's own: what they print would be output of the commands.
    let mut environment = format!("HOME={shown}");
    if let Some(programs) = &setup.programs {
        let programs_directory = directory.join("bin");
        std::fs::create_dir(&programs_directory).unwrap();
        for program in programs {
            let real = ["/usr/bin", "/bin"]
                .into_iter()
                .map(|directory| Path::new(directory).join(program))
                .find(|path| path.exists());
            std::os::unix::fs::symlink(real.unwrap(), programs_directory.join(program)).unwrap();
        }
        write!(environment, " PATH={}", programs_directory.display()).unwrap();
    }
    writeln!(text, "SetEnv {environment}").unwrap();
    text
}

fn current_user() -> String {
    let said = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
