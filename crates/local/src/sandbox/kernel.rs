//! The few kernel calls for which no library has a safe face. All of them are made by sandbox processes, which have one
//! thread only; that is what most of the safety arguments rest on.
#![expect(unsafe_code, reason = "fork, namespaces and ioctls have no safe wrapper")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use tokio::io::unix::AsyncFd;

/// Leaves the namespaces of these kinds for new ones.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: `FILES` is never among the flags, so no file descriptor changes its meaning under anyone.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

/// Splits the process in two; the child gets `None`.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: sandbox processes have one thread, so the child finds no lock held and no state half changed.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// A file whose readiness tasks can wait for.
pub(crate) fn awaitable(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays the same open file for as long as it lives, and lives as long as its registration.
    unsafe { AsyncFd::register(file) }.map_err(Into::into)
}

/// Ends the process at once, without running what the parent of a fork registered for its own exit.
pub(super) fn leave(status: i32) -> ! {
    // SAFETY: `_exit` takes any status and touches no memory of ours.
    unsafe { libc::_exit(status) }
}

/// Runs `prepare` in the new process of a command, after its streams are in place and before it executes the program.
pub(super) fn before_execution(command: &mut Command, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: sandbox processes have one thread, so the closure may allocate and call what it likes after the fork.
    unsafe { command.pre_exec(prepare) };
}

/// A file that turns readable when one of these signals arrives; they are blocked from now on.
pub(super) fn signal_file(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set; the other calls get the initialised set, and signal numbers that are
    // out of range are answered with an error, not with undefined behaviour. The descriptor is new and owned by nobody.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            file => Ok(OwnedFd::from_raw_fd(file)),
        }
    }
}

/// The number of the next signal that waits in a signal file.
pub(super) fn next_signal(file: &OwnedFd) -> Option<i32> {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(file, &mut record) {
        // `ssi_signo`, the first field, is a native 32-bit number.
        Ok(length) if length == record.len() => i32::try_from(u32::from_ne_bytes(*record.first_chunk()?)).ok(),
        _ => None,
    }
}

/// Unblocks all signals and gives them their default meaning, as a fresh process has it.
pub(super) fn reset_signals() {
    // SAFETY: an empty set, initialised before use; `SIG_DFL` is valid for every signal that can be set, and the
    // others are refused with an error.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Closes every file from `first` on, whoever left it open.
pub(super) fn close_from(first: u32) {
    // SAFETY: called before this process owns such files, or right before it executes or leaves for good: no owner of
    // one of these descriptors is used again.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Sends a signal by its number, also a real-time one; `-1` as target is everyone in the PID namespace.
pub(super) fn kill(target: i32, signal: i32) -> io::Result<()> {
    // SAFETY: `kill` takes plain numbers.
    if unsafe { libc::kill(target, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves the session keyring of the parent behind, with whatever keys it holds.
pub(super) fn new_session_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: with a null name the call takes plain numbers only. A kernel without keyrings refuses, which is as good.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0_usize) };
}

/// A detached copy of the mount at an open path, in which ids of the file system appear as a user namespace maps them: what belongs to
/// id 0 on the disk belongs to root of that namespace. Takes root of the host (`mount_setattr`, Linux 5.12).
pub(super) fn mapped_tree(path: &std::ffi::CStr, user_namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `struct mount_attr` of `mount_setattr`.
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const MAP_IDS: u64 = 0x0010_0000;
    const READ_ONLY_NO_DEVICES: u64 = 0x1 | 0x4;
    let flags = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE | rustix::mount::OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, path, flags)?;
    let attributes = MountAttributes {
        set: MAP_IDS | READ_ONLY_NO_DEVICES,
        clear: 0,
        propagation: 0,
        user_namespace: u64::try_from(user_namespace.as_raw_fd()).map_err(io::Error::other)?,
    };
    // SAFETY: the path is an empty NUL-terminated string, and the kernel reads as many bytes of the struct as its length says; both
    // descriptors are open for as long as the call takes.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if outcome == 0 {
        Ok(tree)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts this process and all that it will start under a filter of system calls. Set-user-id programs keep their meaning: the caller is
/// root of its user namespace, so that no-new-privileges is not needed.
pub(super) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the instructions, of which there are as many as `len` says, and changes nothing.
    let outcome = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::c_ulong::from(libc::SECCOMP_MODE_FILTER),
            &raw const program,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes an opened TUN device an interface of the network namespace that it was opened in; packets come and go without a header before
/// them.
pub(super) fn attach_tun(device: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    const TUN_WITHOUT_HEADER: libc::c_short = 0x0001 | 0x1000; // IFF_TUN | IFF_NO_PI
    // SAFETY: an all-zero `ifreq` is valid, of its name the last byte stays zero, and the kernel writes no more than the struct.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = TUN_WITHOUT_HEADER;
        match libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw const request) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Switches the loopback interface of the network namespace on.
pub(super) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: an all-zero `ifreq` is valid, its name is NUL-terminated, and the kernel reads no more than the struct.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
            *to = from.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = 0x41; // IFF_UP | IFF_RUNNING
        match libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Makes a file a block device: a free loop device, and its number. The device goes when its last descriptor and its last mount have gone, also
/// when that is because all their owners were killed. While the descriptor that this returns is open, it is locked, so that udev of the
/// host does not look for file systems on it: what lies there may be named like one of the host's.
pub(crate) fn attach_loop(file: BorrowedFd<'_>) -> io::Result<(OwnedFd, u32)> {
    /// `struct loop_info64`.
    #[repr(C)]
    #[derive(Default)]
    struct Information {
        numbers: [u64; 5], // device, inode, rdevice, offset, size limit
        number: u32,
        encryption: [u32; 2],
        flags: u32,
        names: [[u64; 8]; 2],
        key: [u64; 4],
        initial: [u64; 2],
    }
    /// `struct loop_config`.
    #[repr(C)]
    #[derive(Default)]
    struct Configuration {
        file: u32,
        block_size: u32,
        information: Information,
        reserved: [u64; 8],
    }
    const GET_FREE: libc::Ioctl = 0x4c82;
    const CONFIGURE: libc::Ioctl = 0x4c0a;
    const CLEAR_WITH_LAST_USER: u32 = 4; // LO_FLAGS_AUTOCLEAR
    const TRIES: u32 = 1000;
    let control = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    let configuration = Configuration {
        file: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 4096,
        information: Information {
            flags: CLEAR_WITH_LAST_USER,
            ..Information::default()
        },
        ..Configuration::default()
    };
    for _ in 0..TRIES {
        // SAFETY: the request has no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) };
        let Ok(number) = u32::try_from(number) else {
            return Err(io::Error::last_os_error());
        };
        let path = format!("/dev/loop{number}");
        let device = OwnedFd::from(std::fs::File::options().read(true).write(true).open(path)?);
        if rustix::fs::flock(&device, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            continue; // somebody else is about to take it, or udev looks at it
        }
        // SAFETY: the kernel reads as many bytes as the struct has, whose layout is the kernel's; both descriptors are open.
        match unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const configuration) } {
            0 => return Ok((device, number)),
            _ if io::Error::last_os_error().kind() == io::ErrorKind::ResourceBusy => {}
            _ => return Err(io::Error::last_os_error()),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}
