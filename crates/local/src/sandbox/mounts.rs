//! The machine's file system: overlays of layers, its own `/proc`, `/dev` and `/run`, and nothing of the host's root.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::thread::UnshareFlags;

use super::failure::{Failure, Step as _};
use super::shims::{self, Shims};
use super::wire::MachineStart;
use super::{kernel, services};

/// What the boot must know of the root that was built.
#[derive(Debug)]
pub(super) struct Root {
    /// The shims that the root needs.
    pub(super) shims: Shims,
    /// Links by which this machine's own system has enabled services, where the root stands on that: they are not the instance's.
    pub(super) enabled_by_host: BTreeSet<PathBuf>,
}

/// What the parent has opened for a machine.
#[derive(Debug)]
pub(super) struct Given {
    /// The mount of the directory that the root stands on, where its ids are mapped.
    pub(super) base: Option<OwnedFd>,
    /// What [`MachineStart::volumes`] tells of.
    pub(super) volumes: Vec<OwnedFd>,
}

/// Where volumes lie that get mounted, in `/dev`.
const VOLUMES: &str = ".volumes";
/// Files of `/proc` that tell about the whole host or its other users. What only root of the host may read is closed to a machine by its
/// ids already, which are never root's; in a rootless container they are the container's.
const HIDDEN: [&str; 16] = [
    "kcore",
    "keys",
    "key-users",
    "timer_list",
    "sched_debug",
    "latency_stats",
    "kallsyms",
    "slabinfo",
    "kpageflags",
    "kpagecount",
    "kpagecgroup",
    "vmallocinfo",
    "pagetypeinfo",
    "kmsg",
    "interrupts",
    "softirqs",
];
/// Parts of `/proc` that may be read.
const READ_ONLY: [&str; 6] = ["sys", "irq", "bus", "fs", "sysrq-trigger", "acpi"];
/// Devices that every program may expect.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Builds the root in a mount namespace of its own and makes it the root of this process.
///
/// The working directory is the store.
pub(super) fn build(machine: &MachineStart, given: Given) -> Result<Root, Failure> {
    let Given { base, volumes } = given;
    kernel::unshare(UnshareFlags::NEWNS).step("create a mount namespace")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).step("separate the mounts from the host's")?;
    let root = machine.directory.join("root");
    let base = base.map(|base| attach_base(machine, &base)).transpose()?;
    let mount_overlays = |tools| mount_overlays(machine, base.as_deref(), &root, tools);
    // Only that root has parts: this machine's directories.
    let host = machine.parts.first().filter(|_| machine.parts.len() > 1);
    let enabled_by_host = host
        .and_then(|part| part.lower.last())
        .map(|lowest| services::links(lowest))
        .unwrap_or_default();

    mount_overlays(None)?;
    let shims = shims::needed(&root, !machine.volumes.is_empty());
    if shims.any() {
        // They stand in a layer of their own, so that they never become part of an image.
        let tools = machine.directory.join("tools");
        shims::write_layer(&tools, &root, &shims).step("write the shims")?;
        for part in machine.parts.iter().rev() {
            unmount(root.join(&part.at), UnmountFlags::DETACH).step("unmount the root")?;
        }
        mount_overlays(Some(&tools))?;
    }
    mount_proc(&root)?;
    mount_devices(&root, machine.shared_memory)?;
    mount_volumes(machine, &root.join("dev"), volumes)?;
    mount_fresh(&root, "run", "mode=755,size=64m")?;
    mount_fresh(&root, "sys", "mode=555,size=0,ro")?;
    change_root(&root)?;
    Ok(Root { shims, enabled_by_host })
}

/// Puts the mount of the base directory beside the machine's layers; returns where.
fn attach_base(machine: &MachineStart, base: &OwnedFd) -> Result<PathBuf, Failure> {
    let at = machine.directory.join("base");
    fs::create_dir_all(&at).step("create the mount point of the base directory")?;
    move_here(base, &at).step("mount the base directory")?;
    Ok(at)
}

fn mount_overlays(
    machine: &MachineStart,
    base: Option<&Path>,
    root: &Path,
    tools: Option<&Path>,
) -> Result<(), Failure> {
    for part in &machine.parts {
        let upper = machine.directory.join("fs").join(&part.at);
        let work = machine.directory.join("work").join(if part.at.is_empty() {
            "_".into()
        } else {
            part.at.replace('/', "_")
        });
        fs::create_dir_all(&upper).step("create the writable layer")?;
        fs::create_dir_all(&work).step("create the overlay's work directory")?;
        let tools = tools.map(|tools| tools.join(&part.at)).filter(|tools| tools.is_dir());
        let mut lower: Vec<PathBuf> = tools.into_iter().chain(part.lower.iter().cloned()).collect();
        if let (true, Some(base), Some(lowest)) = (part.at.is_empty(), base, lower.last_mut()) {
            base.clone_into(lowest);
        }
        overlay(&lower, &upper, &work, &root.join(&part.at)).step(format!("mount the overlay of `/{}`", part.at))?;
    }
    Ok(())
}

/// Mounts one overlay. Attributes are kept in the `user.` namespace, which is open to all users of a user namespace.
pub(super) fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, at: &Path) -> std::io::Result<()> {
    let mut options = b"userxattr,lowerdir=".to_vec();
    for (index, layer) in lower.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        push_escaped(&mut options, layer);
    }
    options.extend_from_slice(b",upperdir=");
    push_escaped(&mut options, upper);
    options.extend_from_slice(b",workdir=");
    push_escaped(&mut options, work);
    let options = std::ffi::CString::new(options)?;
    Ok(mount(
        "overlay",
        at,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )?)
}

fn push_escaped(options: &mut Vec<u8>, path: &Path) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}

fn mount_fresh(root: &Path, name: &str, options: &str) -> Result<(), Failure> {
    let at = directory(root, name)?;
    let options = std::ffi::CString::new(options).step("name mount options")?;
    mount("tmpfs", &at, "tmpfs", MountFlags::NODEV, Some(options.as_c_str())).step(format!("mount `/{name}`"))
}

/// The mount point `name` of the root. A root may bring anything under that name, but nothing outside of it gets touched:
/// a link is replaced, never followed.
fn directory(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = root.join(name);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => return Ok(path),
        Ok(_) => fs::remove_file(&path).step(format!("replace `/{name}` of the root"))?,
        Err(_) => {}
    }
    fs::create_dir(&path).step(format!("create `/{name}` of the root"))?;
    Ok(path)
}

fn mount_proc(root: &Path) -> Result<(), Failure> {
    let proc = directory(root, "proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &proc, "proc", flags, None).step("mount `/proc`")?;
    for name in READ_ONLY {
        let path = proc.join(name);
        if path.exists() {
            mount_bind(&path, &path).step(format!("cover `/proc/{name}`"))?;
        }
        if name == "sys" {
            // Network settings belong to the machine's own network namespace.
            mount_bind(path.join("net"), path.join("net")).step("keep `/proc/sys/net`")?;
        }
    }
    for name in READ_ONLY {
        let path = proc.join(name);
        if path.exists() {
            mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY | flags, "")
                .step(format!("make `/proc/{name}` read-only"))?;
        }
    }
    for name in HIDDEN {
        let path = proc.join(name);
        if path.exists() {
            bind_device("null", &path).step(format!("hide `/proc/{name}`"))?;
        }
    }
    Ok(())
}

fn mount_devices(root: &Path, shared_memory: u64) -> Result<(), Failure> {
    mount_fresh(root, "dev", "mode=755,size=1m")?;
    let dev = root.join("dev");
    for name in DEVICES {
        let at = dev.join(name);
        fs::write(&at, "").step(format!("create `/dev/{name}`"))?;
        bind_device(name, &at).step(format!("mount `/dev/{name}`"))?;
    }
    fs::create_dir(dev.join("pts")).step("create `/dev/pts`")?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount(
        "devpts",
        dev.join("pts"),
        "devpts",
        flags,
        Some(c"newinstance,ptmxmode=0666,mode=620"),
    )
    .step("mount `/dev/pts`")?;
    fs::create_dir(dev.join("shm")).step("create `/dev/shm`")?;
    let options =
        std::ffi::CString::new(format!("mode=1777,size={shared_memory},nr_inodes=65536")).step("name mount options")?;
    mount(
        "tmpfs",
        dev.join("shm"),
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(options.as_c_str()),
    )
    .step("mount `/dev/shm`")?;
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, target) in links {
        std::os::unix::fs::symlink(target, dev.join(name)).step(format!("create `/dev/{name}`"))?;
    }
    Ok(())
}

/// Puts the machine's volumes into `/dev`: each under its name and the links that EC2's systems have, and below `VOLUMES` what `mount` mounts
/// in its place.
fn mount_volumes(machine: &MachineStart, dev: &Path, given: Vec<OwnedFd>) -> Result<(), Failure> {
    if machine.volumes.is_empty() {
        return Ok(());
    }
    let mut given = given.into_iter();
    let places = dev.join(VOLUMES);
    let ids = dev.join("disk/by-id");
    fs::create_dir(&places)
        .and_then(|()| fs::create_dir_all(&ids))
        .step("create the directories of volumes")?;
    let nodes = places.join("nodes");
    let has_nodes = machine.volumes.iter().any(|volume| volume.is_block);
    if let Some(mount) = given.by_ref().take(usize::from(has_nodes)).next() {
        fs::create_dir(&nodes).step("create the mount point of device nodes")?;
        move_here(&mount, &nodes).step("mount the device nodes")?;
    }
    for volume in &machine.volumes {
        let step = || format!("attach volume `/dev/{}`", volume.name);
        let (at, place) = (dev.join(&volume.name), places.join(&volume.name));
        let node = if volume.is_block {
            nodes.join(&volume.name)
        } else {
            volume.directory.join("disk")
        };
        fs::write(&at, "").step(step())?;
        mount_bind(node, &at).step(step())?;
        fs::create_dir(&place).step(step())?;
        match given.by_ref().take(usize::from(volume.has_file_system)).next() {
            Some(mount) => move_here(&mount, &place).step(step())?,
            None => mount_bind(volume.directory.join("files"), &place).step(step())?,
        }
        let id = format!("nvme-Amazon_Elastic_Block_Store_{}", volume.id.replace('-', ""));
        std::os::unix::fs::symlink(format!("../../{}", volume.name), ids.join(id)).step(step())?;
    }
    if has_nodes {
        unmount(&nodes, UnmountFlags::DETACH).step("unmount the device nodes")?;
        fs::remove_dir(&nodes).step("remove the mount point of device nodes")?;
    }
    Ok(())
}

/// Mounts what is mounted nowhere yet.
fn move_here(mount: &OwnedFd, at: &Path) -> rustix::io::Result<()> {
    let flags = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", CWD, at, flags)
}

/// Puts one of the host's devices somewhere. Read-only concerns the node, not the device: its owner and mode stay as the
/// host has them.
fn bind_device(name: &str, at: &Path) -> std::io::Result<()> {
    mount_bind(Path::new("/dev").join(name), at)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
    // Where the host's `/dev` has a flag about access times, it is locked and must be named again.
    let times = [MountFlags::empty(), MountFlags::RELATIME, MountFlags::NOATIME];
    let mut outcome = Ok(());
    for times in times {
        outcome = mount_remount(at, flags | times, "").map_err(std::io::Error::from);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Makes the new root the root and lets go of the host's.
fn change_root(root: &Path) -> Result<(), Failure> {
    std::env::set_current_dir(root).step("enter the new root")?;
    rustix::process::pivot_root(".", ".").step("change the root")?;
    unmount(".", UnmountFlags::DETACH).step("leave the host's root")?;
    std::env::set_current_dir("/").step("enter the new root")
}

/// Tries what a machine will need, in a mount namespace of its own.
pub(super) fn probe(directory: &Path) -> Result<(), Failure> {
    kernel::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID).step("create mount and PID namespaces")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).step("separate the mounts from the host's")?;
    let Some(child) = kernel::fork().step("start a process")? else {
        kernel::leave(probe_inside(directory));
    };
    let ended =
        rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).step("wait for a process")?;
    let outcome = ended.and_then(|(_, status)| status.exit_status()).unwrap_or(0);
    let errno = |step: &str, code: i32| Failure {
        step: step.into(),
        error: std::io::Error::from_raw_os_error(code),
    };
    match outcome {
        0 => Err(errno("probe the sandbox", libc::EIO)),
        1 => Ok(()),
        code if code & 0x80 != 0 => Err(errno("mount `/proc`", code & 0x7f)),
        code => Err(errno("mount an overlay", code)),
    }
}

/// Exit status: 1 all is well; below 128 the error of the overlay; from 128 on that of `/proc`.
fn probe_inside(directory: &Path) -> i32 {
    let code = |error: &std::io::Error| error.raw_os_error().unwrap_or(libc::EIO) & 0x7f;
    let [lower, upper, work, root] = ["lower", "fs", "work", "root"].map(|name| directory.join(name));
    for path in [&lower, &upper, &work, &root] {
        if let Err(error) = fs::create_dir_all(path) {
            return code(&error);
        }
    }
    if let Err(error) = overlay(&[lower], &upper, &work, &root) {
        return code(&error);
    }
    let proc = root.join("proc");
    let made = rustix::fs::mkdir(&proc, Mode::from_raw_mode(0o755))
        .and_then(|()| mount("proc", &proc, "proc", MountFlags::NOSUID, None));
    match made {
        Ok(()) => 1,
        Err(error) => code(&error.into()) | 0x80,
    }
}
