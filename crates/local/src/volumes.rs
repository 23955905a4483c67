//! Volumes of machines besides their root: a file each, which a machine sees as a device, and what gets mounted in its place.
//!
//! The kernel of the host never reads a file system that an instance has written: it is not made to withstand one. So an instance may write to
//! its device what it likes, and when it mounts the device, it gets a directory that belongs to this file system (by its UUID). The
//! directory lies in a file system that `mke2fs` of the host has made and that only the kernel has written to since, which bounds it by the
//! volume's size; where there are no loop devices, in the store itself.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, makedev, mknodat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use tokio::process::Command;

use crate::base;
use crate::machine_error::MachineError;
use crate::mke2fs;
use crate::sandbox::{IdMap, Job, VolumeStart, attach_loop, do_job};
use crate::store::{Base, Layer, RootId, Store};

/// A volume of a machine besides its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its id (`vol-0abc…`).
    pub id: String,
    /// The device that it is to be, with or without `/dev/`.
    pub device: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The major number of loop devices.
const LOOP: u32 = 7;
/// Names in `/dev` that every system has.
const TAKEN: [&str; 13] = [
    "console", "disk", "fd", "full", "null", "ptmx", "pts", "random", "shm", "tty", "urandom", "zero", "net",
];
/// The most volumes of a machine: EC2 has 27 names, and messages to sandboxes carry a bounded number of files.
const MOST: usize = 27;

/// What is attached for the volumes of a machine.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// What the machine is told of them.
    pub(crate) starts: Vec<VolumeStart>,
    /// What goes along, in the order of [`VolumeStart`]s.
    pub(crate) files: Vec<OwnedFd>,
    /// What is not as on EC2, in sentences for the user.
    pub(crate) complaints: Vec<String>,
}

/// Makes a volume, unless it is there: empty, or with what a snapshot keeps of one.
pub(crate) async fn make(
    store: &Store,
    ids: IdMap,
    volume: &VolumeSpec,
    from: Option<&RootId>,
) -> Result<(), MachineError> {
    if directory_of(store, &volume.id).is_dir() {
        return Ok(());
    }
    let draft = store.draft()?;
    let made = fill(store, ids, draft.path(), volume, from).await;
    match made.and_then(|()| Ok(store.publish_volume(&draft, &volume.id)?)) {
        Ok(true) => Ok(()),
        made => {
            base::remove(draft, ids).await.ok(); // the first error is the one that matters
            made.map(drop)
        }
    }
}

/// Makes a volume in a directory of the store: empty, or with what a snapshot keeps of one.
pub(crate) async fn fill(
    store: &Store,
    ids: IdMap,
    directory: &Path,
    volume: &VolumeSpec,
    from: Option<&RootId>,
) -> Result<(), MachineError> {
    let Some(from) = from else {
        return Ok(store.make_volume(directory, volume.size)?);
    };
    copy(ids, &store.directory().join(Store::layer_directory(from)), directory).await?;
    let path = directory.join("fs/disk");
    // A volume may be larger than its snapshot, never smaller.
    let grown = File::options().write(true).open(&path).and_then(|disk| {
        let size = disk.metadata()?.len();
        if size < volume.size {
            disk.set_len(volume.size)
        } else {
            Ok(())
        }
    });
    grown.map_err(|source| MachineError::Base { path, source })
}

/// Copies what a volume holds, with the ids of the machines.
async fn copy(ids: IdMap, from: &Path, to: &Path) -> Result<(), MachineError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    Ok(do_job(Job::Copy { from, to }, ids).await?)
}

/// Freezes what a volume holds into a layer on which nothing can start; `None` if it holds nothing. What a running machine has written so far
/// is in it.
pub(crate) async fn snapshot(store: &Store, ids: IdMap, id: &str) -> Result<Option<RootId>, MachineError> {
    let from = directory_of(store, id);
    if !from.is_dir() {
        return Ok(None);
    }
    // What a device or a file system of its own has not written to its file yet; it takes as long as the host's disks do.
    tokio::task::spawn_blocking(rustix::fs::sync).await.ok();
    let root = crate::layers::snapshot_id(id);
    let draft = store.draft()?;
    let layer = Layer {
        parent: None,
        base: Some(Base::Volume),
        removed: false,
    };
    let copied = copy(ids, &from, draft.path()).await;
    match copied.and_then(|()| Ok(store.publish_layer(&draft, &root, &layer)?)) {
        Ok(_) => Ok(Some(root)),
        Err(error) => {
            base::remove(draft, ids).await.ok(); // the first error is the one that matters
            Err(error)
        }
    }
}

fn directory_of(store: &Store, id: &str) -> PathBuf {
    store.directory().join(Store::volume_directory(id))
}

/// Attaches the volumes of a machine that is about to start, each with its directory relative to the store. What cannot be attached is left out, with a complaint.
pub(crate) async fn attach(store: &Store, ids: IdMap, volumes: &[(VolumeSpec, PathBuf)]) -> Attached {
    let mut attached = Attached::default();
    let (mut nodes, mut mounts, mut held) = (None, Vec::new(), Vec::new());
    for (volume, directory) in volumes {
        let Some(name) = name_of(volume).filter(|name| attached.starts.iter().all(|other| other.name != *name)) else {
            attached.complain(volume, "the name cannot be that of a device");
            continue;
        };
        if attached.starts.len() == MOST {
            attached.complain(volume, "an instance has at most 27 volumes");
            continue;
        }
        if !store.directory().join(directory).is_dir()
            && let Err(error) = make(store, ids, volume, None).await
        {
            attached.complain(volume, &crate::causes::with_causes(&error));
            continue;
        }
        let mut start = VolumeStart {
            id: volume.id.clone(),
            name: name.to_owned(),
            directory: directory.join("fs"),
            is_block: false,
            has_file_system: false,
        };
        let directory = store.directory().join(&start.directory);
        if let Some(root) = ids.root() {
            match add_node(&directory.join("disk"), name, root, &mut nodes) {
                Ok(device) => {
                    held.push(device);
                    start.is_block = true;
                }
                Err(error) => attached.complain(volume, &format!("it is a file and not a block device ({error})")),
            }
            match mount(&directory, volume.size, root).await {
                Ok(Some((mount, device))) => {
                    mounts.push(mount);
                    held.push(device);
                    start.has_file_system = true;
                }
                Ok(None) => {}
                Err(error) => {
                    attached.complain(volume, &format!("its file system cannot be mounted ({error})"));
                    continue;
                }
            }
        } else {
            attached.complain(
                volume,
                "it is a file and not a block device, and a file system on it is bounded by `-local-disk` and not by the volume's size, \
                 because loop devices take root",
            );
        }
        attached.starts.push(start);
    }
    attached.files = nodes.into_iter().chain(mounts).chain(held).collect();
    attached
}

impl Attached {
    fn complain(&mut self, volume: &VolumeSpec, line: &str) {
        self.complaints.push(format!("volume `{}`: {line}", volume.device));
    }
}

/// The name in `/dev` that a volume gets.
fn name_of(volume: &VolumeSpec) -> Option<&str> {
    let name = volume.device.strip_prefix("/dev/").unwrap_or(&volume.device);
    let fits = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    Some(name).filter(|name| fits && !TAKEN.contains(name))
}

/// Makes a file a block device with a node in a file system of nodes, which is made for the first one.
fn add_node(disk: &Path, name: &str, (user, group): (u32, u32), nodes: &mut Option<OwnedFd>) -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open(disk)?;
    let (device, number) = attach_loop(file.as_fd())?;
    let nodes = match nodes {
        Some(nodes) => nodes,
        None => nodes.insert(mounted(
            "tmpfs",
            &[("mode", "755"), ("size", "64k")],
            MountAttrFlags::empty(),
        )?),
    };
    let mode = Mode::from_raw_mode(0o660);
    mknodat(&*nodes, name, FileType::BlockDevice, mode, makedev(LOOP, number))?;
    let owner = (Uid::from_raw(user), Gid::from_raw(group));
    chownat(&*nodes, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(device)
}

/// Mounts the file system that holds what the machine mounts, with the device below it; it is made the first time. `None` where the files lie in the
/// store itself, because this machine has no loop devices, no `mke2fs` or no ext4.
async fn mount(directory: &Path, size: u64, root: (u32, u32)) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    let path = directory.join("filesystem");
    if path.exists() {
        return mount_file(&path).map(Some);
    }
    let is_empty = fs::read_dir(directory.join("files"))?.next().is_none();
    let Some(program) = mke2fs::find().filter(|_| is_empty) else {
        return Ok(None);
    };
    let mounted = match make_file_system(&program, &path, size, root).await {
        Ok(()) => mount_file(&path),
        Err(error) => Err(error),
    };
    if let Err(error) = &mounted {
        tracing::warn!(path = %path.display(), %error, "no file system of its own for a volume");
        fs::remove_file(&path).ok(); // it may not be there
    }
    Ok(mounted.ok())
}

fn mount_file(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let file = File::options().read(true).write(true).open(path)?;
    let (device, number) = attach_loop(file.as_fd())?;
    let source = format!("/dev/loop{number}");
    // Its file stays as small as what is in it.
    let options = [("source", source.as_str()), ("noinit_itable", ""), ("discard", "")];
    let mount = mounted("ext4", &options, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    Ok((mount, device))
}

/// A file system of a kind, mounted nowhere yet.
fn mounted(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&context, *name)?;
        } else {
            fsconfig_set_string(&context, *name, *value)?;
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

async fn make_file_system(program: &Path, path: &Path, size: u64, (user, group): (u32, u32)) -> io::Result<()> {
    let file = File::options().write(true).create_new(true).open(path)?;
    file.set_len(size)?;
    std::os::unix::fs::fchown(&file, Some(user), Some(group))?; // who copies it has the ids of the machines
    let owner = format!("root_owner={user}:{group},lazy_itable_init=1,lazy_journal_init=1");
    let made = Command::new(program)
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-J", "size=4", "-E", &owner])
        .arg(path)
        .env_clear()
        .kill_on_drop(true)
        .output()
        .await?;
    if made.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&made.stderr);
    let last = words.lines().last().unwrap_or_default().escape_debug().to_string();
    Err(io::Error::other(format!("`{}`: {last}", program.display())))
}
