//! Why an image could not be pulled, pushed or written, and what to do next.

use std::io;
use std::path::PathBuf;

use bakelite_net::DialError;
use bakelite_net::client::RequestError;
use hyper::StatusCode;

use crate::digest::Digest;
use crate::reference::{NotAReference, Reference};

/// Why an image could not be pulled, pushed or written. No message quotes what a registry or a file contains.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// The name is none.
    #[error(transparent)]
    Reference(#[from] NotAReference),
    /// There is no connection to the registry, or it was lost before an answer.
    #[error("failed to reach registry {registry}")]
    Unreachable {
        /// Its host.
        registry: String,
        /// The cause.
        source: RequestError,
    },
    /// The registry is there and goes silent.
    #[error("registry {registry} stopped answering for {seconds} s")]
    Silent {
        /// Its host.
        registry: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A download was cut again and again.
    #[error("the download of {digest} from registry {registry} was cut {times} times without any progress")]
    Cut {
        /// The registry's host.
        registry: String,
        /// What was downloaded.
        digest: Digest,
        /// How often.
        times: u32,
    },
    /// There is no such image.
    #[error("image `{0}` does not exist")]
    Unknown(Box<Reference>),
    /// The registry does not let us.
    #[error("registry {registry} denied access to `{repository}` ({credentials})")]
    Denied {
        /// Its host.
        registry: String,
        /// The repository.
        repository: String,
        /// With which credentials.
        credentials: String,
    },
    /// The registry has had enough of us.
    #[error("registry {registry} limits how many images are pulled, and the limit is reached")]
    TooMany {
        /// Its host.
        registry: String,
    },
    /// Any other refusal.
    #[error("registry {registry} answered {what} with {status}")]
    Status {
        /// Its host.
        registry: String,
        /// What was asked.
        what: String,
        /// The status.
        status: StatusCode,
    },
    /// The registry answered with what no registry answers with.
    #[error("registry {registry} answered {what} with {why}")]
    Malformed {
        /// Its host.
        registry: String,
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        why: &'static str,
    },
    /// The content is another than its name says.
    #[error("{what} of `{reference}` is damaged: it has digest {found} in place of {expected}")]
    Digest {
        /// Layer, configuration or manifest.
        what: &'static str,
        /// The image.
        reference: Box<Reference>,
        /// Of what came.
        found: Digest,
        /// Of what should have come.
        expected: Digest,
    },
    /// The image is for other machines.
    #[error("image `{reference}` has no variant for linux/{wanted}: it has {found}")]
    Platform {
        /// The image.
        reference: Box<Reference>,
        /// This machine's architecture.
        wanted: &'static str,
        /// Those that it has.
        found: String,
    },
    /// It is an artifact without a file system.
    #[error("image `{reference}` contains {what}, so no root can be made of it")]
    NotARoot {
        /// The image.
        reference: Box<Reference>,
        /// What is in the way.
        what: &'static str,
    },
    /// The credentials cannot be read.
    #[error("failed to read the credentials of registries from `{}`: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A program that keeps credentials does not give them out.
    #[error("credential helper `{program}` failed for registry {registry}: {why}")]
    Helper {
        /// The program.
        program: String,
        /// The registry.
        registry: String,
        /// What it did.
        why: String,
    },
    /// A file could not be read or written.
    #[error("failed to {what} `{}`", path.display())]
    File {
        /// `read`, `write`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl OciError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            OciError::Reference(_) => {
                "write it as REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:…, such as docker.io/library/debian:12".to_owned()
            }
            OciError::Unreachable { source, .. } => return DialError::among(source).map(DialError::help),
            OciError::Silent { .. } | OciError::Cut { .. } => {
                "run it again: what has been downloaded is kept, and the download goes on from there".to_owned()
            }
            OciError::Unknown(reference) => format!(
                "check the name and the tag: `skopeo list-tags docker://{}/{}` lists what there is",
                reference.registry, reference.repository
            ),
            OciError::Denied { registry, .. } => {
                format!("check the name of the repository, and log in: `docker login {registry}` writes ~/.docker/config.json, which is read here")
            }
            OciError::TooMany { registry } => format!("wait, or log in, which raises the limit: `docker login {registry}`"),
            OciError::Status { status, .. } if status.is_server_error() => "try again later".to_owned(),
            OciError::Digest { .. } => {
                "what was downloaded has been removed; if it happens again, the registry or a proxy on the way changes what it transfers".to_owned()
            }
            OciError::Platform { .. } => "name an image that is built for this architecture".to_owned(),
            OciError::NotARoot { .. } => "name an image of a Linux distribution".to_owned(),
            OciError::Config { .. } => "correct the file, or let DOCKER_CONFIG name another directory".to_owned(),
            OciError::Helper { .. } => "run the helper by hand, or store the credentials in the file: `docker login`".to_owned(),
            OciError::Status { .. } | OciError::Malformed { .. } | OciError::File { .. } => return None,
        })
    }

    /// Is it that the registry is not reached, so that nothing is known about the image?
    pub fn is_unreachable(&self) -> bool {
        match self {
            OciError::Unreachable { .. }
            | OciError::Silent { .. }
            | OciError::Cut { .. }
            | OciError::TooMany { .. } => true,
            OciError::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OciError {
        let path = path.into();
        move |source| OciError::File { what, path, source }
    }
}
