//! Images out of the local cloud again: as a tarball, an OCI image or a raw disk.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bakelite_net::proxies::Environment;
use bakelite_oci::layout::{About, Image as Packed};
use bakelite_oci::registry::{Access, Registry};
use bakelite_oci::{OciError, Reference};

use crate::local_cloud::LocalCloud;
use crate::local_error::LocalError;
use crate::machine::{MachineError, Machines};
use crate::mke2fs;
use crate::state::image::Image;

/// What a disk has besides its files: tables of the file system, a journal, and room to write.
const LEAST_ROOM: u64 = 128 << 20;

/// What an image becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportTarget {
    /// A tarball of the root, compressed as its name says: `.tar`, `.tar.gz`, `.tgz`, `.tar.zst`.
    Tarball(PathBuf),
    /// An OCI image in one file: `oci-archive:FILE`.
    OciArchive(PathBuf),
    /// An OCI image as a directory: `oci-dir:DIRECTORY`.
    OciDirectory(PathBuf),
    /// An image in a registry: `oci:REGISTRY/REPOSITORY:TAG`.
    Registry(Reference),
    /// A raw disk of the AMI's size with an ext4 file system, without a boot loader: `disk:FILE`.
    Disk(PathBuf),
}

/// Why an image could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target is none.
    #[error("`{0}` does not say what to write")]
    Target(String),
    /// A push has to name what it makes.
    #[error("image `{0}` is named by a digest, which a push cannot choose")]
    ByDigest(Box<Reference>),
    /// Nothing is overwritten.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// The program that makes file systems is missing.
    #[error("failed to find `mke2fs`, which makes the file system of a disk")]
    NoMke2fs,
    /// The image, or its root.
    #[error(transparent)]
    Cloud(#[from] LocalError),
    /// Its root could not be read or made.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// It could not be packed or pushed.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// A file could not be written.
    #[error("failed to write `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl ExportError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            ExportError::Target(_) => Some(
                "write tar:FILE, oci-archive:FILE, oci-dir:DIRECTORY, oci:REGISTRY/REPOSITORY:TAG or disk:FILE; a file that ends in .tar, \
                 .tar.gz, .tgz, .tar.zst, .img or .raw says it itself"
                    .to_owned(),
            ),
            ExportError::ByDigest(_) => Some("name a tag: oci:REGISTRY/REPOSITORY:TAG".to_owned()),
            ExportError::Exists(_) => Some("remove it, or write somewhere else: nothing is overwritten".to_owned()),
            ExportError::NoMke2fs => Some("install e2fsprogs, or export a tarball".to_owned()),
            ExportError::Cloud(error) => error.help(),
            ExportError::Machine(error) => error.help().map(str::to_owned),
            ExportError::Oci(error) => error.help(),
            ExportError::File { .. } => None,
        }
    }
}

impl ExportTarget {
    /// Reads a target; relative paths lie in `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<ExportTarget, ExportError> {
        let wrong = || ExportError::Target(text.to_owned());
        let (kind, rest) = text.split_once(':').unwrap_or(("", text));
        let path = || directory.join(rest);
        Ok(match kind {
            _ if rest.is_empty() => return Err(wrong()),
            "tar" => ExportTarget::Tarball(path()),
            "oci-archive" => ExportTarget::OciArchive(path()),
            "oci-dir" => ExportTarget::OciDirectory(path()),
            "disk" => ExportTarget::Disk(path()),
            "oci" => ExportTarget::Registry(
                rest.strip_prefix("//")
                    .unwrap_or(rest)
                    .parse()
                    .map_err(OciError::from)?,
            ),
            _ => {
                let has_ending = |endings: &[&str]| endings.iter().any(|ending| text.ends_with(ending));
                let path = directory.join(text);
                if has_ending(&[".tar", ".tar.gz", ".tgz", ".tar.zst"]) {
                    ExportTarget::Tarball(path)
                } else if has_ending(&[".img", ".raw"]) {
                    ExportTarget::Disk(path)
                } else {
                    return Err(wrong());
                }
            }
        })
    }

    fn path(&self) -> Option<&Path> {
        match self {
            ExportTarget::Tarball(path)
            | ExportTarget::OciArchive(path)
            | ExportTarget::OciDirectory(path)
            | ExportTarget::Disk(path) => Some(path),
            ExportTarget::Registry(_) => None,
        }
    }
}

impl fmt::Display for ExportTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportTarget::Registry(reference) => write!(formatter, "{reference}"),
            ExportTarget::Tarball(path)
            | ExportTarget::OciArchive(path)
            | ExportTarget::OciDirectory(path)
            | ExportTarget::Disk(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl LocalCloud {
    /// Writes an image, by its id or name, to a target. What is written in part when it fails is removed.
    pub async fn export(
        &self,
        image: &str,
        target: &ExportTarget,
        environment: &Environment,
    ) -> Result<(), ExportError> {
        if let ExportTarget::Registry(reference) = target
            && reference.to_string().contains('@')
        {
            return Err(ExportError::ByDigest(Box::new(reference.clone())));
        }
        if let Some(path) = target.path().filter(|path| fs::symlink_metadata(path).is_ok()) {
            return Err(ExportError::Exists(path.to_owned()));
        }
        let tool = match target {
            ExportTarget::Disk(_) => Some(mke2fs::find().ok_or(ExportError::NoMke2fs)?),
            _ => None,
        };
        let image = self.image(image)?;
        let root = self.root(&image).await?;
        let machines = self.machines();
        let draft = machines.draft()?;
        let export = Export {
            machines,
            image: &image,
            directory: draft.path(),
            tar: &draft.path().join("root.tar"),
        };
        let exported = async {
            create(export.tar)?;
            machines.archive(&root, export.tar).await?;
            export.write(target, tool.as_deref(), environment).await
        };
        let exported = exported.await;
        let removed = machines.remove_draft(draft).await;
        exported?;
        Ok(removed?)
    }
}

/// One export: the image, and what is made of it on the way.
struct Export<'a> {
    machines: &'a Machines,
    image: &'a Image,
    /// Where everything is made; it goes afterwards.
    directory: &'a Path,
    /// The root as a tar archive.
    tar: &'a Path,
}

impl Export<'_> {
    async fn write(
        &self,
        target: &ExportTarget,
        tool: Option<&Path>,
        environment: &Environment,
    ) -> Result<(), ExportError> {
        match (target, tool) {
            (ExportTarget::Disk(path), Some(tool)) => self.disk(path, tool).await,
            (ExportTarget::Registry(reference), _) => {
                let packed = self.pack(&self.about())?;
                let registry = Registry::of(reference, Access::Push, environment).await?;
                registry.push(&packed).await?;
                Ok(())
            }
            (ExportTarget::OciArchive(path), _) => {
                let about = self.about();
                let packed = self.pack(&about)?;
                finished(
                    path,
                    packed
                        .write_archive(create(path)?, path, &about)
                        .map_err(ExportError::from),
                )
            }
            (ExportTarget::OciDirectory(path), _) => {
                let about = self.about();
                let written = self.pack(&about)?.write_directory(path, &about);
                if written.is_err() {
                    // The first error is the one that matters.
                    fs::remove_dir_all(path).ok();
                }
                Ok(written?)
            }
            (ExportTarget::Tarball(path), _) => {
                let to = create(path)?;
                finished(path, compress(self.tar, to, path).map_err(at(path)))
            }
            (ExportTarget::Disk(_), None) => Err(ExportError::NoMke2fs),
        }
    }

    fn about(&self) -> About {
        About {
            created: self.image.created.to_string(),
            made_by: format!("bakelite {} from AMI {}", env!("CARGO_PKG_VERSION"), self.image.id),
            name: "latest".to_owned(),
            labels: vec![
                ("org.opencontainers.image.title".to_owned(), self.image.name.clone()),
                ("bakelite.ami".to_owned(), self.image.id.clone()),
            ],
        }
    }

    fn pack(&self, about: &About) -> Result<Packed, OciError> {
        Packed::of_tar(self.tar, &self.directory.join("layer"), about)
    }

    /// A disk of the AMI's size, or as large as its files need; sparse.
    async fn disk(&self, path: &Path, tool: &Path) -> Result<(), ExportError> {
        let content = fs::metadata(self.tar).map_err(at(self.tar))?.len();
        let volume = self
            .image
            .block_devices
            .iter()
            .find(|device| device.device == self.image.root_device);
        let volume = volume
            .and_then(|device| device.ebs.as_ref())
            .map_or(0, |ebs| u64::from(ebs.size_gib) << 30);
        let size = volume.max((content + content / 4 + LEAST_ROOM).next_multiple_of(1 << 20));
        self.machines.disk_of(self.tar, self.directory, tool, size).await?;
        let made = self.directory.join("disk");
        finished(path, copy_sparsely(&made, &mut create(path)?).map_err(at(path)))
    }
}

/// Removes a file that was not finished.
fn finished(path: &Path, outcome: Result<(), ExportError>) -> Result<(), ExportError> {
    if outcome.is_err() {
        // The first error is the one that matters.
        fs::remove_file(path).ok();
    }
    outcome
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    |source| ExportError::File { path, source }
}

fn create(path: &Path) -> Result<File, ExportError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(at(path))
}

/// Copies a tar archive, compressed as the name of the copy says.
fn compress(tar: &Path, to: File, path: &Path) -> io::Result<()> {
    let mut from = File::open(tar)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".gz") || name.ends_with(".tgz") {
        let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::fast());
        io::copy(&mut from, &mut encoder)?;
        return encoder.finish().map(drop);
    }
    if name.ends_with(".zst") {
        let mut encoder = zstd::Encoder::new(to, 3)?;
        io::copy(&mut from, &mut encoder)?;
        return encoder.finish().map(drop);
    }
    let mut to = to;
    io::copy(&mut from, &mut to).map(drop)
}

/// Copies a disk without writing what is nothing but zeros.
fn copy_sparsely(from: &Path, to: &mut File) -> io::Result<()> {
    let mut from = File::open(from)?;
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut buffer = vec![0_u8; 1 << 20];
    let mut position = 0;
    while position < size {
        // Where nothing but a hole follows, there is no data to be found.
        let Ok(data) = rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(position)) else {
            break;
        };
        from.seek(SeekFrom::Start(data))?;
        let length = from.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        if buffer[..length].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(data))?;
            to.write_all(&buffer[..length])?;
        }
        position = data + length as u64;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let here = Path::new("/here");
        let parse = |text: &str| ExportTarget::parse(text, here);
        for (text, expected) in [
            ("root.tar.gz", ExportTarget::Tarball("/here/root.tar.gz".into())),
            ("tar:root", ExportTarget::Tarball("/here/root".into())),
            ("/x/root.img", ExportTarget::Disk("/x/root.img".into())),
            ("oci-archive:a", ExportTarget::OciArchive("/here/a".into())),
            ("oci-dir:a", ExportTarget::OciDirectory("/here/a".into())),
            (
                "oci:localhost:5000/a:1",
                ExportTarget::Registry("localhost:5000/a:1".parse().unwrap()),
            ),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "root", "tar:", "qcow2:x"] {
            assert!(matches!(parse(text), Err(ExportError::Target(_))), "{text}");
        }
        assert!(matches!(parse("oci:NO"), Err(ExportError::Oci(_))));
    }

    #[test]
    fn holes_stay_holes() {
        use std::os::unix::fs::MetadataExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let mut file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.seek(SeekFrom::Start(32 << 20)).unwrap();
        file.write_all(b"data").unwrap();
        copy_sparsely(&from, &mut File::create(&to).unwrap()).unwrap();
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        assert!(fs::metadata(&to).unwrap().blocks() * 512 < 8 << 20);
    }
}
