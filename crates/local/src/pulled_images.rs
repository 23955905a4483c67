//! Images of registries, pulled once and shared by all instances and all processes of a state directory.
//!
//! ```text
//! images/names/<hash>.json    which build of an image a name meant when it was pulled last
//! images/<digest>/            what of it is downloaded; locked by who is at it, gone when the root is in the store
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bakelite_net::proxies::Environment;
use bakelite_oci::pull::Resolved;
use bakelite_oci::reference::Version;
use bakelite_oci::registry::{Access, Registry};
use bakelite_oci::{Digest, OciError, Reference};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use crate::given_image::GivenImageError;
use crate::machine::{BaseRoot, Machines, RootId};
use crate::notice::{Notice, Notices};

/// How often another process's pull is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The pulled images of a state directory.
#[derive(Debug)]
pub(crate) struct PulledImages {
    directory: PathBuf,
    environment: Arc<Environment>,
    notices: Notices,
}

/// When the registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Each time, where a tag may mean another image by now.
    Newest,
    /// Only where nothing is there.
    Present,
}

/// What a name meant.
#[derive(Serialize, Deserialize)]
struct Named {
    image: String,
    digest: Digest,
}

impl PulledImages {
    /// Those of a state directory, pulled through the proxies and with the credentials of this environment.
    pub(crate) fn new(state: &Path, environment: Arc<Environment>, notices: Notices) -> PulledImages {
        PulledImages {
            directory: state.join("images"),
            environment,
            notices,
        }
    }

    /// The root of an image that is there already.
    pub(crate) fn present(&self, machines: &Machines, reference: &Reference) -> Option<RootId> {
        let content = fs::read(self.name_file(reference)).ok()?;
        let named: Named = serde_json::from_slice(&content).ok()?;
        machines.pulled(&named.digest.to_string())
    }

    /// The root of an image, pulled unless it is there.
    pub(crate) async fn root(
        &self,
        machines: &Machines,
        reference: &Reference,
        freshness: Freshness,
    ) -> Result<RootId, GivenImageError> {
        let present = self.present(machines, reference);
        let is_fixed = freshness == Freshness::Present || matches!(reference.version, Version::Digest(_));
        if let Some(root) = present.as_ref().filter(|_| is_fixed) {
            return Ok(root.clone());
        }
        let registry = Registry::of(reference, Access::Pull, &self.environment).await?;
        let resolved = match (registry.resolve().await, present) {
            (Ok(resolved), _) => resolved,
            (Err(error), Some(root)) if error.is_unreachable() => {
                self.notices.send(Notice::Kept {
                    image: reference.to_string(),
                    why: error.to_string(),
                });
                return Ok(root);
            }
            (Err(error), _) => return Err(error.into()),
        };
        let root = match machines.pulled(&resolved.digest.to_string()) {
            Some(root) => root,
            None => self.pull(machines, &registry, &resolved).await?,
        };
        self.remember(reference, resolved.digest)?;
        Ok(root)
    }

    async fn pull(
        &self,
        machines: &Machines,
        registry: &Registry,
        resolved: &Resolved,
    ) -> Result<RootId, GivenImageError> {
        let image = resolved.reference.to_string();
        let directory = self.directory.join(resolved.digest.hex());
        let _lock = self.lock(&directory, &image).await?;
        if let Some(root) = machines.pulled(&resolved.digest.to_string()) {
            return Ok(root); // by the process that was waited for
        }
        let report = |progress: bakelite_oci::pull::Progress| {
            self.notices.send(Notice::Pulling {
                image: image.clone(),
                done: progress.done.min(progress.total),
                total: progress.total,
            });
        };
        let layers = registry.layers(resolved, &directory, &report).await?;
        self.notices.send(Notice::Unpacking { image: image.clone() });
        let base = BaseRoot::Image {
            digest: resolved.digest.to_string(),
            layers,
        };
        let made = machines.base(&base).await;
        // What could not be unpacked is downloaded anew, too.
        fs::remove_dir_all(&directory).map_err(file("remove", &directory))?;
        Ok(made?)
    }

    /// Waits until nobody else is at a download.
    async fn lock(&self, directory: &Path, image: &str) -> Result<File, OciError> {
        let mut is_told = false;
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            make_directory(directory)?;
            let lock = File::open(directory).map_err(file("open", directory))?;
            match lock.try_lock() {
                Ok(()) if is_at(&lock, directory) => return Ok(lock),
                Ok(()) => continue, // it was removed by who had it before
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(file("lock", directory)(source)),
            }
            if !is_told {
                self.notices.send(Notice::Waiting {
                    image: image.to_owned(),
                });
                is_told = true;
            }
            ticks.tick().await;
        }
    }

    /// Keeps what a name meant, whole at any time.
    fn remember(&self, reference: &Reference, digest: Digest) -> Result<(), OciError> {
        let path = self.name_file(reference);
        let new = path.with_extension(format!("{}.new", crate::ids::random_hex(8)));
        let named = Named {
            image: reference.to_string(),
            digest,
        };
        make_directory(&self.directory.join("names"))?;
        let written = serde_json::to_vec(&named)
            .map_err(io::Error::other)
            .and_then(|content| fs::write(&new, content))
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(file("write", &path))
    }

    fn name_file(&self, reference: &Reference) -> PathBuf {
        let digest = Digest::of(reference.to_string().as_bytes());
        self.directory.join("names").join(format!("{}.json", digest.hex()))
    }
}

/// Is an open directory the one that has the path now?
fn is_at(open: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    let (open, there) = (open.metadata(), fs::symlink_metadata(path));
    open.ok().map(identity) == there.ok().map(identity)
}

fn make_directory(path: &Path) -> Result<(), OciError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(file("create", path))
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OciError {
    let path = path.to_owned();
    move |source| OciError::File { what, path, source }
}
