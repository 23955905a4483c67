//! Work on the store's files that needs the ids of the machines: copying and removing layers, making base roots.
//!
//! A job first opens the folders that it works in, with the rights of whoever started it: the way there is for him alone.
//! Everything else happens from these folders on, with the machines' ids only.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, mkdirat, open, openat};
use rustix::process::fchdir;

use super::enter::{Doing as _, Failure};
use super::tree::{AS_FOLDER, Trouble};
use super::wire::Job;
use super::{copy, count, host_root, mounts, remove, unpack};

/// The name of a layer's files in its folder.
const FILES: &CStr = c"fs";

/// A job whose folders are open.
#[derive(Debug)]
pub(super) enum Opened {
    Probe { folder: OwnedFd },
    Copy { from: OwnedFd, to: OwnedFd },
    Count { layer: OwnedFd, limit: u64 },
    Empty { folder: OwnedFd },
    Unpack { tarball: File, name: PathBuf, to: OwnedFd },
    Host { to: OwnedFd, folders: Vec<String> },
}

/// Opens what a job works on.
pub(super) fn open_folders(job: Job) -> Result<Opened, Failure> {
    let folder = |path: &Path| open(path, AS_FOLDER, Mode::empty()).doing(format!("opening `{}`", path.display()));
    let layer = |path: &Path| {
        openat(folder(path)?, FILES, AS_FOLDER, Mode::empty())
            .doing(format!("opening the layer in `{}`", path.display()))
    };
    Ok(match job {
        Job::Probe { folder: path } => Opened::Probe { folder: folder(&path)? },
        Job::Copy { from, to } => Opened::Copy {
            from: layer(&from)?,
            to: folder(&to)?,
        },
        Job::Count { folder, limit } => Opened::Count {
            layer: layer(&folder)?,
            limit,
        },
        Job::Empty { folder: path } => Opened::Empty { folder: folder(&path)? },
        Job::Unpack { tarball, to } => Opened::Unpack {
            tarball: File::open(&tarball).doing(format!("opening `{}`", tarball.display()))?,
            name: tarball,
            to: folder(&to)?,
        },
        Job::Host { to, folders } => Opened::Host {
            to: folder(&to)?,
            folders,
        },
    })
}

impl Opened {
    /// Does the job.
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Opened::Probe { folder } => {
                fchdir(&folder).doing("entering the probe's folder")?;
                mounts::probe(Path::new(""))
            }
            Opened::Copy { from, to } => {
                copy::layer(from, to.as_fd(), FILES).map_err(|trouble| failure("copying a layer", trouble))
            }
            Opened::Count { layer, limit } => {
                count::check(layer, limit).map_err(|trouble| failure("counting the files of a layer", trouble))
            }
            Opened::Empty { folder } => remove::empty(folder).map_err(|trouble| failure("removing files", trouble)),
            Opened::Unpack { tarball, name, to } => make_root(&to)
                .and_then(|root| unpack::unpack(tarball, &root))
                .doing(format!("unpacking `{}`", name.display())),
            Opened::Host { to, folders } => {
                let built = fchdir(&to)
                    .map_err(io::Error::from)
                    .and_then(|()| host_root::build(Path::new("fs"), &folders));
                built.doing("building a root from this machine's folders")
            }
        }
    }
}

/// Makes the folder that will be a machine's `/`.
fn make_root(folder: &OwnedFd) -> io::Result<OwnedFd> {
    mkdirat(folder, FILES, Mode::from_raw_mode(0o755))?;
    Ok(openat(folder, FILES, AS_FOLDER, Mode::empty())?)
}

fn failure(doing: &str, trouble: Trouble) -> Failure {
    Failure {
        doing: format!("{doing}, at `{}`", trouble.place),
        error: trouble.error,
    }
}
