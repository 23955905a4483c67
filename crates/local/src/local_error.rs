//! Why a local cloud could not be started or used, and what the user can do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::api_error::ApiError;
use crate::full_disk::FREE_SPACE;
use crate::given_image::GivenImageError;
use crate::machine_error::MachineError;
use crate::state_directory::StateError;

/// Why a local cloud could not be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// Machines cannot be made.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The API cannot listen.
    #[error("failed to listen for API calls on {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The API was to listen where others could call it.
    #[error("API address {0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// An image that the user gave cannot be used.
    #[error("`-local-image {name}={image}`")]
    GivenImage {
        /// The image's name.
        name: String,
        /// Where its root was to come from.
        image: String,
        /// Why it cannot be used.
        source: GivenImageError,
    },
    /// There is no such image.
    #[error("image `{0}` does not exist in the local cloud")]
    UnknownImage(String),
    /// The image was not made here.
    #[error("image `{0}` is a base image")]
    BaseImage(String),
    /// There is no such instance.
    #[error("instance `{0}` does not exist in the local cloud")]
    UnknownInstance(String),
    /// The instance does not run.
    #[error("instance `{id}` is {state}")]
    NotRunning {
        /// Its id.
        id: String,
        /// The state that it is in.
        state: &'static str,
    },
    /// The process that runs an instance did not do what it was asked for.
    #[error("failed to reach process {process}, which runs the instance: {source}")]
    Control {
        /// The number of the process.
        process: u32,
        /// The system's error.
        source: io::Error,
    },
    /// A command could not be started in an instance.
    #[error("{0}")]
    Refused(String),
    /// The files for SSH clients could not be written.
    #[error("failed to prepare files for SSH clients in `{}`: {source}", path.display())]
    Ssh {
        /// Their directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Something that the API would answer, too.
    #[error("{0}")]
    Api(String),
}

impl LocalError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            LocalError::Machine(error) => error.help(),
            LocalError::GivenImage { source, .. } => return source.help(),
            LocalError::State(StateError::InUse { .. }) => Some("`bakelite local reset -force` ends them first"),
            LocalError::State(error) if error.is_full() => Some(FREE_SPACE),
            LocalError::UnknownInstance(_) => Some("`bakelite local ps` lists the instances"),
            LocalError::UnknownImage(_) => Some("`bakelite local images` lists the images"),
            LocalError::BaseImage(_) => Some("it takes no space; `bakelite local images` lists what was baked"),
            LocalError::NotLoopback(_) => Some("the API is not encrypted; use 127.0.0.1 or [::1]"),
            _ => None,
        };
        help.map(str::to_owned)
    }
}

impl From<ApiError> for LocalError {
    fn from(error: ApiError) -> LocalError {
        LocalError::Api(error.to_string())
    }
}
