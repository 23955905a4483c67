//! What parent and init say to each other: one message per packet of a socket pair, JSON and then raw bytes, with open
//! files attached.

use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest message in bytes; the kernel's default socket buffer takes it in one packet.
const LONGEST: usize = 192 * 1024;
/// The most files with one message.
const MOST_FILES: usize = 96;

/// From parent to init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first message: what to become.
    Start(Box<Start>),
    /// The id maps of the user namespace are written. For a machine on a directory of the user's whose ids had to be mapped, too, the
    /// mount of that directory comes along; then what [`MachineStart::volumes`] tell of.
    Mapped { has_base: bool },
    /// Answer to `Network`: whether the machine has a TUN device now.
    Attached { device: bool },
    /// Start a process; its three standard streams come along unless it gets a terminal. The bytes are the command.
    Run(Run),
    /// Send a signal to the process group of a run.
    Signal { id: u64, signal: i32 },
    /// Does this login user exist?
    Account { id: u64, user: String },
    /// Connect to a port of the machine's own loopback; the socket comes back, maybe still on its way.
    Connect { id: u64, port: u16 },
    /// The boot is the instance's first if there is something to do: a list of `Action`s, as JSON in the first file that comes along.
    /// Their output goes into the second.
    FirstBoot,
    /// Power off.
    Stop,
}

/// From init to parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The user namespace exists; its id maps are the parent's to write.
    NeedMap,
    /// The machine's network exists. The socket of its metadata service comes along, and then, if it is to reach more than that, its TUN
    /// device, or the network namespace in which it `wants_device` from the parent.
    Network { wants_device: bool },
    /// The machine is up (again).
    Booted,
    /// A job is done; what it has measured.
    Done { bytes: Vec<u64> },
    /// It did not work out; init ends.
    Failed {
        step: String,
        error: String,
        errno: Option<i32>,
    },
    /// A run has started, or a connection; a terminal's master comes along, or the socket.
    Started { id: u64 },
    /// A run or a connection could not start.
    Refused { id: u64, error: String },
    /// A run has ended.
    Exited { id: u64, end: End },
    /// Answer to `Account`.
    Account { id: u64, known: bool },
    /// The machine shuts down all processes and boots again.
    Rebooting,
    /// Bytes for the console.
    Console,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// With an exit status.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

/// What a sandbox is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// A machine.
    Machine(MachineStart),
    /// Work on the store's files with the ids of the machines, of which there are `ids`; 0: with our own.
    Job { ids: u32, job: Job },
}

/// Everything that init must know to boot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MachineStart {
    /// How many user and group ids exist in it; 0: not isolated at all.
    pub(crate) ids: u32,
    /// How many processes it may have.
    pub(crate) processes: u64,
    /// How large a file it may write, in bytes.
    pub(crate) file_size: u64,
    /// How much its shared memory (`/dev/shm`) holds, in bytes.
    pub(crate) shared_memory: u64,
    /// The store's directory: relative paths below are relative to it.
    pub(crate) store: PathBuf,
    /// The machine's own directory in the store (`fs`, `work`, `root`, `tools` below it).
    pub(crate) directory: PathBuf,
    /// The overlays that make up the root; the first is the root itself.
    pub(crate) parts: Vec<Part>,
    /// The instance's id.
    pub(crate) instance: String,
    /// The host name.
    pub(crate) hostname: String,
    /// Login users that must exist.
    pub(crate) users: Vec<String>,
    /// Lines for their `authorized_keys`.
    pub(crate) authorized_keys: Vec<String>,
    /// How it reaches other machines; not at all without it.
    pub(crate) network: Option<NetworkStart>,
    /// What all its sessions have in their environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Its volumes besides the root. If any is a block device, a mount with the nodes of all of these comes along, each under its name; then
    /// the mounts of file systems, one for each volume that has one; then what has to stay open for as long as the machine runs.
    pub(crate) volumes: Vec<VolumeStart>,
}

/// A volume besides the root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VolumeStart {
    /// The volume's id.
    pub(crate) id: String,
    /// Its name in `/dev`.
    pub(crate) name: String,
    /// Where it lies, relative to the store: the file `disk`, and the directory `files`, which is what gets mounted unless it has a file system.
    pub(crate) directory: PathBuf,
    /// Whether it is a block device; else it is the file itself.
    pub(crate) is_block: bool,
    /// Whether the file system that gets mounted comes along.
    pub(crate) has_file_system: bool,
}

/// Something to do at the first boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Print a line; `failed` makes it an error of the boot.
    Print { line: String, failed: bool },
    /// Take this host name.
    Rename(String),
    /// Write a file.
    Write(NewFile),
    /// Make sure of a user.
    Create(NewUser),
    /// Let these keys log in as a user.
    Authorize { user: String, keys: Vec<String> },
    /// Run a script to its end.
    Run(Script),
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewFile {
    /// Where.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) content: Vec<u8>,
    /// Its permissions.
    pub(crate) mode: u32,
    /// `user` or `user:group`; root without it.
    pub(crate) owner: Option<String>,
    /// Keep what is in it.
    pub(crate) append: bool,
}

/// A user to make sure of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewUser {
    /// Login name.
    pub(crate) name: String,
    /// The comment in `/etc/passwd`.
    pub(crate) comment: String,
    /// Further groups, which are created where they are missing.
    pub(crate) groups: Vec<String>,
    /// Rules for `sudo`, without the user's name.
    pub(crate) sudo: Vec<String>,
    /// Login shell.
    pub(crate) shell: Option<String>,
    /// Lines for `authorized_keys`.
    pub(crate) keys: Vec<String>,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Its file's name.
    pub(crate) name: String,
    /// Its text.
    pub(crate) content: Vec<u8>,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Whether it stays in the instance, where cloud-init has scripts of user data.
    pub(crate) is_kept: bool,
}

/// The machine's end of its network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NetworkStart {
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// The name servers of its `/etc/resolv.conf`.
    pub(crate) name_servers: Vec<Ipv4Addr>,
}

/// One overlay of a root.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Where it lies, relative to the root; empty: the root itself.
    pub(crate) at: String,
    /// Its layers, topmost first; relative to the store, but for directories of the host.
    pub(crate) lower: Vec<PathBuf>,
}

impl MachineStart {
    /// The directory of the user's that is the lowest layer of the root, if that is what the root stands on.
    pub(crate) fn base(&self) -> Option<&Path> {
        let lowest = self.parts.first()?.lower.last()?;
        lowest.is_absolute().then_some(lowest)
    }
}

/// Where the machines' ids lie among this machine's, for a job that is not done with them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Shift {
    pub(crate) users: u32,
    pub(crate) groups: u32,
    pub(crate) count: u32,
}

/// Work on the store's files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Try everything that a machine will need, in this directory.
    Probe { directory: PathBuf },
    /// Copy the layer in one directory (its `fs`) into another.
    Copy { from: PathBuf, to: PathBuf },
    /// Fail with `EDQUOT` if the files of the layers in these directories (their `fs`) take more than this many bytes.
    Count { directories: Vec<PathBuf>, limit: u64 },
    /// Report how many bytes the files of each directory take.
    Measure { directories: Vec<PathBuf> },
    /// Remove everything in a directory.
    Empty { directory: PathBuf },
    /// Unpack a tarball as the layer of a directory.
    Unpack { tarball: PathBuf, to: PathBuf },
    /// Unpack the layers of a container image, the lowest first, as one layer of a directory.
    UnpackLayers { layers: Vec<PathBuf>, to: PathBuf },
    /// Write the root that these overlays make up, whose layers lie in the store or elsewhere, as a tar archive to a file that is there.
    Archive {
        store: PathBuf,
        parts: Vec<Part>,
        shift: Option<Shift>,
        to: PathBuf,
    },
    /// Make a disk with a file system of so many bytes, `disk`, of a directory's `fs`, by running `mke2fs`.
    Disk {
        directory: PathBuf,
        program: PathBuf,
        size: u64,
    },
    /// Build the layer that stands below machines on the host's own system directories.
    Host { to: PathBuf, directories: Vec<String> },
}

/// A process to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The parent's number for it.
    pub(crate) id: u64,
    /// The login user.
    pub(crate) user: String,
    /// What to run.
    pub(crate) program: Program,
    /// A terminal, if one is wanted.
    pub(crate) terminal: Option<Terminal>,
    /// Additional environment.
    pub(crate) environment: Vec<(String, String)>,
}

/// What a run executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Program {
    /// A login shell.
    Shell,
    /// The message's bytes, by the user's shell.
    Command,
    /// The message's bytes as NUL-separated arguments, without a shell.
    Arguments,
    /// The SFTP server.
    Sftp,
}

/// A terminal as the client wants it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Terminal {
    /// `TERM`.
    pub(crate) term: String,
    /// Columns.
    pub(crate) columns: u16,
    /// Rows.
    pub(crate) rows: u16,
    /// Modes by their number in RFC 4254 §8.
    pub(crate) modes: Vec<(u8, u32)>,
}

/// Standard input, output and error of a run.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Standard input.
    pub(crate) input: OwnedFd,
    /// Standard output.
    pub(crate) output: OwnedFd,
    /// Standard error.
    pub(crate) error: OwnedFd,
}

/// A received message.
#[derive(Debug)]
pub(crate) struct Message<T> {
    /// The message proper.
    pub(crate) content: T,
    /// Its raw bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its files.
    pub(crate) files: Vec<OwnedFd>,
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    content: &T,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut packet = serde_json::to_vec(content).map_err(io::Error::other)?;
    packet.push(0);
    packet.extend_from_slice(bytes);
    if packet.len() > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::ArgumentListTooLong,
            format!("{} bytes are too long for a message", packet.len()),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many files for a message"));
    }
    sendmsg(
        socket,
        &[io::IoSlice::new(&packet)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one message; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<Message<T>>> {
    let mut packet = vec![0_u8; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [io::IoSliceMut::new(&mut packet)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is cut off"));
    }
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    packet.truncate(received.bytes);
    let end = packet.iter().position(|byte| *byte == 0).unwrap_or(packet.len());
    let bytes = packet.get(end + 1..).unwrap_or_default().to_vec();
    let content = serde_json::from_slice(&packet[..end]).map_err(io::Error::other)?;
    Ok(Some(Message { content, bytes, files }))
}

/// Takes the three standard streams out of a message's files.
pub(crate) fn streams(files: Vec<OwnedFd>) -> Option<Streams> {
    let mut files = files.into_iter();
    Some(Streams {
        input: files.next()?,
        output: files.next()?,
        error: files.next()?,
    })
}

impl Streams {
    /// The three, to be sent along.
    pub(crate) fn borrowed(&self) -> [BorrowedFd<'_>; 3] {
        [self.input.as_fd(), self.output.as_fd(), self.error.as_fd()]
    }
}
