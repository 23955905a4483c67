//! Images that the user gives: `-local-image NAME=oci:IMAGE`, `=dir:DIRECTORY`, `=tar:FILE`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bakelite_oci::{OciError, Reference};

use crate::machine::{BaseRoot, MachineError};

/// Where the root of a given image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A directory: `dir:DIRECTORY`, or a directory's path alone.
    Directory(PathBuf),
    /// A tarball, compressed or not: `tar:FILE`, or a file's path alone.
    Tarball(PathBuf),
    /// An image of a registry: `oci:REGISTRY/REPOSITORY:TAG` or `@DIGEST`.
    Registry(Reference),
}

/// Why a given image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GivenImageError {
    /// It is not there, or not what it is said to be.
    #[error("failed to open `{}`", path.display())]
    Missing {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It was to be a directory.
    #[error("`{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// It was to be a file.
    #[error("`{}` is a directory, not a tarball", .0.display())]
    NotAFile(PathBuf),
    /// It cannot be pulled, or its name is none.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// No root can be made of it.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

impl GivenImageError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            GivenImageError::Missing { .. } => {
                Some("write NAME=oci:IMAGE, NAME=dir:DIRECTORY or NAME=tar:FILE; paths are relative to the working directory".to_owned())
            }
            GivenImageError::NotADirectory(_) => Some("`tar:FILE` is for a tarball".to_owned()),
            GivenImageError::NotAFile(_) => Some("`dir:DIRECTORY` is for a directory".to_owned()),
            GivenImageError::Oci(error) => error.help(),
            GivenImageError::Machine(error) => error.help().map(str::to_owned),
        }
    }
}

impl ImageSource {
    /// Reads the part behind `NAME=`; relative paths lie in `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<ImageSource, GivenImageError> {
        if let Some(reference) = text.strip_prefix("oci:") {
            let reference = reference.strip_prefix("//").unwrap_or(reference);
            return Ok(ImageSource::Registry(reference.parse().map_err(OciError::from)?));
        }
        if let Some(path) = text.strip_prefix("dir:") {
            return Ok(ImageSource::Directory(directory.join(path)));
        }
        if let Some(path) = text.strip_prefix("tar:") {
            return Ok(ImageSource::Tarball(directory.join(path)));
        }
        Ok(ImageSource::of_path(directory.join(text)))
    }

    /// A directory or a tarball, whichever the path is.
    pub fn of_path(path: PathBuf) -> ImageSource {
        if path.is_dir() {
            ImageSource::Directory(path)
        } else {
            ImageSource::Tarball(path)
        }
    }

    /// The root on this machine, which is there; `None` for an image of a registry.
    pub(crate) fn base(&self) -> Result<Option<BaseRoot>, GivenImageError> {
        let (ImageSource::Directory(path) | ImageSource::Tarball(path)) = self else {
            return Ok(None);
        };
        let missing = |source| GivenImageError::Missing {
            path: path.clone(),
            source,
        };
        let path = std::fs::canonicalize(path).map_err(missing)?;
        match self {
            ImageSource::Directory(_) if path.is_dir() => Ok(Some(BaseRoot::Directory(path))),
            ImageSource::Directory(_) => Err(GivenImageError::NotADirectory(path)),
            _ if path.is_dir() => Err(GivenImageError::NotAFile(path)),
            _ => Ok(Some(BaseRoot::Tarball(path))),
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::Directory(path) => write!(formatter, "dir:{}", path.display()),
            ImageSource::Tarball(path) => write!(formatter, "tar:{}", path.display()),
            ImageSource::Registry(reference) => write!(formatter, "oci:{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        std::fs::write(directory.path().join("file"), "").unwrap();
        let parse = |text: &str| ImageSource::parse(text, directory.path());
        assert_eq!(
            parse("oci:debian:12").unwrap().to_string(),
            "oci:docker.io/library/debian:12"
        );
        assert!(
            matches!(parse("dir:root").unwrap(), ImageSource::Directory(path) if path == directory.path().join("root"))
        );
        assert!(matches!(parse("root").unwrap(), ImageSource::Directory(_)));
        assert!(matches!(parse("file").unwrap(), ImageSource::Tarball(_)));
        assert!(matches!(parse("tar:/x").unwrap(), ImageSource::Tarball(path) if path == Path::new("/x")));
        assert!(matches!(
            parse("oci:NO"),
            Err(GivenImageError::Oci(OciError::Reference(_)))
        ));
        let base = |text: &str| parse(text).unwrap().base();
        assert!(matches!(base("dir:file"), Err(GivenImageError::NotADirectory(_))));
        assert!(matches!(base("tar:root"), Err(GivenImageError::NotAFile(_))));
        assert!(matches!(base("absent"), Err(GivenImageError::Missing { .. })));
        assert!(matches!(base("root"), Ok(Some(BaseRoot::Directory(_)))));
    }
}
