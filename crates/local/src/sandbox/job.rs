//! Work on the store's files that needs the ids of the machines: copying and removing layers, making base roots.
//!
//! A job first opens the directories that it works in, with the rights of whoever started it: the way there is for him alone.
//! Everything else happens from these directories on, with the machines' ids only.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, mkdirat, open, openat};
use rustix::process::fchdir;

use super::failure::{Failure, Step as _};
use super::tree::{AS_DIRECTORY, Trouble};
use super::wire::{Job, Shift};
use super::{archive, copy, count, disk_image, host_root, mounts, remove, unpack};

/// The name of a layer's files in its directory.
const FILES: &CStr = c"fs";

/// A job whose directories are open.
#[derive(Debug)]
pub(super) enum Opened {
    Probe {
        directory: OwnedFd,
    },
    Copy {
        from: OwnedFd,
        to: OwnedFd,
    },
    Count {
        layers: Vec<OwnedFd>,
        limit: u64,
    },
    Measure {
        directories: Vec<OwnedFd>,
    },
    Empty {
        directory: OwnedFd,
    },
    Unpack {
        tarball: File,
        name: PathBuf,
        to: OwnedFd,
    },
    UnpackLayers {
        layers: Vec<File>,
        to: OwnedFd,
    },
    Archive {
        parts: Vec<archive::Part>,
        shift: Option<Shift>,
        to: File,
    },
    Disk {
        directory: OwnedFd,
        program: PathBuf,
        size: u64,
    },
    Host {
        to: OwnedFd,
        directories: Vec<String>,
    },
}

/// Opens what a job works on.
pub(super) fn open_directories(job: Job) -> Result<Opened, Failure> {
    let directory = |path: &Path| open(path, AS_DIRECTORY, Mode::empty()).step(format!("open `{}`", path.display()));
    let layer = |path: &Path| {
        openat(directory(path)?, FILES, AS_DIRECTORY, Mode::empty())
            .step(format!("open the layer in `{}`", path.display()))
    };
    Ok(match job {
        Job::Probe { directory: path } => Opened::Probe {
            directory: directory(&path)?,
        },
        Job::Copy { from, to } => Opened::Copy {
            from: layer(&from)?,
            to: directory(&to)?,
        },
        Job::Count { directories, limit } => Opened::Count {
            layers: directories.iter().map(|path| layer(path)).collect::<Result<_, _>>()?,
            limit,
        },
        Job::Measure { directories } => Opened::Measure {
            directories: directories
                .iter()
                .map(|path| directory(path))
                .collect::<Result<_, _>>()?,
        },
        Job::Empty { directory: path } => Opened::Empty {
            directory: directory(&path)?,
        },
        Job::Unpack { tarball, to } => Opened::Unpack {
            tarball: File::open(&tarball).step(format!("open `{}`", tarball.display()))?,
            name: tarball,
            to: directory(&to)?,
        },
        Job::UnpackLayers { layers, to } => Opened::UnpackLayers {
            layers: layers
                .iter()
                .map(|layer| File::open(layer).step(format!("open `{}`", layer.display())))
                .collect::<Result<_, _>>()?,
            to: directory(&to)?,
        },
        Job::Archive {
            store,
            parts,
            shift,
            to,
        } => Opened::Archive {
            parts: parts
                .iter()
                .map(|part| open_part(&store, part))
                .collect::<Result<_, _>>()?,
            shift,
            to: File::create(&to).step(format!("write `{}`", to.display()))?,
        },
        Job::Disk {
            directory: path,
            program,
            size,
        } => Opened::Disk {
            directory: directory(&path)?,
            program,
            size,
        },
        Job::Host { to, directories } => Opened::Host {
            to: directory(&to)?,
            directories,
        },
    })
}

impl Opened {
    /// Does the job; answers what it has measured.
    pub(super) fn run(self) -> Result<Vec<u64>, Failure> {
        let done = match self {
            // What is removed meanwhile takes nothing.
            Opened::Measure { directories } => {
                let taken = |directory| count::taken(directory, u64::MAX).unwrap_or(0);
                return Ok(directories.into_iter().map(taken).collect());
            }
            Opened::Probe { directory } => {
                fchdir(&directory).step("enter the probe's directory")?;
                mounts::probe(Path::new(""))
            }
            Opened::Copy { from, to } => {
                copy::layer(from, to.as_fd(), FILES).map_err(|trouble| failure("copy a layer", trouble))
            }
            Opened::Count { layers, limit } => {
                count::check(layers, limit).map_err(|trouble| failure("count the files of a layer", trouble))
            }
            Opened::Empty { directory } => remove::empty(directory).map_err(|trouble| failure("remove files", trouble)),
            Opened::Unpack { tarball, name, to } => make_root(&to)
                .and_then(|root| unpack::unpack(tarball, &root))
                .step(format!("unpack `{}`", name.display())),
            Opened::UnpackLayers { layers, to } => make_root(&to)
                .and_then(|root| unpack::unpack_layers(layers, &root))
                .step("unpack the image"),
            Opened::Archive { parts, shift, to } => {
                archive::write(&parts, shift, to).step("write the archive of the root")
            }
            Opened::Disk {
                directory,
                program,
                size,
            } => disk_image::make(&directory, &program, size).step(format!("run `{}`", program.display())),
            Opened::Host { to, directories } => {
                let built = fchdir(&to)
                    .map_err(io::Error::from)
                    .and_then(|()| host_root::build(Path::new("fs"), &directories));
                built.step("build a root from this machine's directories")
            }
        };
        done.map(|()| Vec::new())
    }
}

/// Opens the layers of a part: those of the store are relative to it.
fn open_part(store: &Path, part: &super::wire::Part) -> Result<archive::Part, Failure> {
    let source = |lower: &PathBuf| {
        let path = store.join(lower);
        Ok(archive::Source {
            directory: open(&path, AS_DIRECTORY, Mode::empty()).step(format!("open `{}`", path.display()))?,
            is_host: lower.is_absolute() && !part.at.is_empty(),
            is_stored: !lower.is_absolute(),
        })
    };
    Ok(archive::Part {
        at: part.at.clone().into_bytes(),
        sources: part.lower.iter().map(source).collect::<Result<_, Failure>>()?,
    })
}

/// Makes the directory that will be a machine's `/`.
fn make_root(directory: &OwnedFd) -> io::Result<OwnedFd> {
    mkdirat(directory, FILES, Mode::from_raw_mode(0o755))?;
    Ok(openat(directory, FILES, AS_DIRECTORY, Mode::empty())?)
}

fn failure(step: &str, trouble: Trouble) -> Failure {
    Failure {
        step: format!("{step}, at `{}`", trouble.place),
        error: trouble.error,
    }
}
