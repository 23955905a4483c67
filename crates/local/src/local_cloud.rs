//! A running local cloud, as the program uses it: start, endpoint, images, shutdown.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Duration, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_keys::{AccessKey, AccessKeys};
use crate::address::Addresses;
use crate::api_error::ApiError;
use crate::catalogue::{self, LocalImage};
use crate::cloud::Cloud;
use crate::control::{Control, Wishes};
use crate::ec2::power::{self, InstanceName};
use crate::keys::RsaKeys;
use crate::latency::Latency;
use crate::limits::Limits;
use crate::machine_error::FREE_SPACE;
use crate::machine::{Isolation, MachineError, Machines};
use crate::operator;
use crate::refusals::Refusals;
use crate::reset::finish_reset;
use crate::router;
use crate::server;
use crate::sessions::Sessions;
use crate::state::State;
use crate::state::image::Image;
use crate::state::instance::InstanceState;
use crate::state_directory::{StateDirectory, StateError};
use crate::visibility::Fresh;

/// What a local cloud is started with.
#[derive(Debug, Clone)]
pub struct LocalCloudOptions {
    /// Where everything is kept; made when it is not there. Several processes may use the same directory.
    pub state_dir: PathBuf,
    /// How instances are isolated from this machine.
    pub isolation: Isolation,
    /// How much of this machine one instance may use.
    pub limits: Limits,
    /// How long changes of state take.
    pub latency: Latency,
    /// Images besides the well-known ones: name (or `ami-…`, which then is the id) and directory or tarball of the root.
    pub images: Vec<(String, PathBuf)>,
    /// Where the API listens; port 0 takes a free one. Loopback only: the API is not encrypted.
    pub listen: SocketAddr,
    /// The port on which instances should listen for SSH, usually 22. An instance that cannot have it listens on
    /// another one, which its tag `bakelite:ssh-port` tells.
    pub ssh_port: u16,
    /// What the cloud refuses although nothing is wrong with it.
    pub refusals: Refusals,
    /// A region besides AWS's own that requests may be made in, and the one that [`LocalCloud::run`] looks in first.
    pub region: String,
}

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
    /// A root that the user named is not there.
    #[error("local image `{name}`: no file or directory `{root}`")]
    Root {
        /// The image's name.
        name: String,
        /// Its root.
        root: PathBuf,
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
    pub fn help(&self) -> Option<&str> {
        match self {
            LocalError::Machine(error) => error.help(),
            LocalError::State(StateError::InUse { .. }) => Some("`bakelite local reset -force` ends them first"),
            LocalError::State(error) if error.is_full() => Some(FREE_SPACE),
            LocalError::UnknownInstance(_) => Some("`bakelite local ps` lists the instances"),
            LocalError::UnknownImage(_) => Some("`bakelite local images` lists the images"),
            LocalError::BaseImage(_) => Some("it takes no space; `bakelite local images` lists what was baked"),
            LocalError::NotLoopback(_) => Some("the API is not encrypted; use 127.0.0.1 or [::1]"),
            _ => None,
        }
    }
}

impl From<ApiError> for LocalError {
    fn from(error: ApiError) -> LocalError {
        LocalError::Api(error.to_string())
    }
}

/// One image, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// `ami-…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// The region in which it is.
    pub region: String,
    /// When it was made, ISO 8601.
    pub created: String,
    /// The login users of its instances.
    pub login_users: Vec<String>,
    /// Whether it is one of the well-known or user-given base images, or was baked.
    pub is_base: bool,
}

/// A running local cloud. [`shutdown`](LocalCloud::shutdown) ends it in good order; dropping it leaves its machines to
/// die with the process.
pub struct LocalCloud {
    pub(crate) cloud: Arc<Cloud>,
    server: JoinHandle<()>,
    pub(crate) region: String,
}

impl LocalCloud {
    /// Starts a cloud; when this returns its endpoint answers.
    pub async fn start(options: LocalCloudOptions) -> Result<LocalCloud, LocalError> {
        if !options.listen.ip().is_loopback() {
            return Err(LocalError::NotLoopback(options.listen));
        }
        let local_images = options.images.into_iter().map(check_root).collect::<Result<_, _>>()?;
        let rsa_keys = RsaKeys::start();
        finish_reset(&options.state_dir).await?;
        let directory = StateDirectory::open(&options.state_dir)?;
        let operator_key = operator::public_line(&options.state_dir).map_err(|source| LocalError::Ssh {
            path: operator::directory(&options.state_dir),
            source,
        })?;
        let machines = Machines::open(
            &machines_directory(&options.state_dir),
            options.isolation,
            options.limits,
        )
        .await?;
        let listening = |source| LocalError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let cloud = Arc::new(Cloud {
            directory,
            machines,
            latency: options.latency,
            fresh: Fresh::new(options.latency.visible),
            refusals: options.refusals,
            ssh_port: options.ssh_port,
            sessions: Sessions::default(),
            address,
            keys: AccessKeys::new(),
            region: options.region.clone(),
            local_images,
            addresses: Addresses::new(),
            rsa_keys,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            slots: Mutex::new(HashMap::new()),
            wishes: Wishes::default(),
            operator_key,
        });
        discard_left_disks(&cloud);
        match Control::bind(&options.state_dir, cloud.directory.owner().id()) {
            Ok(control) => drop(cloud.tasks.spawn(control.serve(Arc::clone(&cloud)))),
            // Some file systems have no sockets; a bake needs none.
            Err(error) => tracing::warn!(%error, "no control socket: `local exec` does not reach this cloud"),
        }
        let answering = Arc::clone(&cloud);
        let answer = move |request, slot| router::respond(Arc::clone(&answering), request, slot);
        let serving = server::serve(listener, server::Limits::of_process(), cloud.closing.clone(), answer);
        let server = cloud.tasks.spawn(serving);
        Ok(LocalCloud {
            cloud,
            server,
            region: options.region,
        })
    }

    /// Returns the address of the API, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.cloud.address)
    }

    /// Returns the key that calls have to be signed with. It is new with each start, and the only permanent one.
    pub fn access_key(&self) -> &AccessKey {
        self.cloud.keys.owner()
    }

    /// The cloud behind the API.
    pub(crate) fn shared(&self) -> Arc<Cloud> {
        Arc::clone(&self.cloud)
    }

    /// Returns what instances cannot do here, in sentences for the user.
    pub fn limits(&self) -> Vec<String> {
        self.cloud.machines.limits()
    }

    /// Stops answering, ends the machines of all instances (which are then `stopped`), and waits for all work to end.
    pub async fn shutdown(self) {
        self.cloud.closing.cancel();
        if let Err(error) = self.server.await {
            tracing::warn!(%error, "server of the local cloud");
        }
        self.cloud.tasks.close();
        self.cloud.tasks.wait().await;
        stop_machines(&self.cloud).await;
    }

    /// Returns all baked images, then the base images of the cloud's own region.
    #[expect(
        clippy::unused_async,
        reason = "reading the state may come to wait, as all other uses of a cloud do"
    )]
    pub async fn images(&self) -> Result<Vec<ImageSummary>, LocalError> {
        let mut summaries = self.cloud.directory.read(|state| {
            let images = state.regions.iter().flat_map(|(region, content)| {
                content
                    .images
                    .values()
                    .map(move |image| summarize(region, image, false))
            });
            images.collect::<Vec<_>>()
        })?;
        summaries.sort_by(|one, other| one.created.cmp(&other.created));
        let base = catalogue::images(&self.region, &self.cloud.local_images);
        summaries.extend(base.iter().map(|image| summarize(&self.region, image, true)));
        Ok(summaries)
    }

    /// Completes when another process has asked this one to end; answers the command that did.
    pub async fn asked_to_end(&self) -> String {
        let mut wish = self.cloud.wishes.end.subscribe();
        match wish.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(wish)) => wish.clone(),
            // The cloud holds the sender.
            _ => std::future::pending().await,
        }
    }

    /// From now on the cloud runs only for the instances that a bake has left. Completes when nobody needs them any more: the leftovers of
    /// the bake are being collected.
    pub async fn released(&self) {
        self.cloud.wishes.is_kept.store(true, Ordering::Relaxed);
        let mut release = self.cloud.wishes.release.subscribe();
        let _ = release.wait_for(|released| *released).await;
    }

    /// Whether an instance of this cloud is left, and its state directory.
    pub fn has_instances(&self) -> bool {
        let owner = self.cloud.directory.owner();
        let alive = self.cloud.directory.read(|state| {
            let mut instances = state.regions.values().flat_map(|region| region.instances.values());
            instances.any(|instance| instance.owner.as_deref() == Some(owner.id()))
        });
        owner.is_marked() && alive.unwrap_or(true)
    }

    /// Completes when no instance of this cloud is left, or its state directory is gone.
    pub async fn idle(&self) {
        let mut ticks = interval(IDLE_CHECK);
        while self.has_instances() {
            ticks.tick().await;
        }
    }

    /// Runs a command in a throw-away machine made from an image, with this process's standard streams; returns its exit
    /// status. The image is an id, or the name of one.
    pub async fn run(&self, image: &str, command: &[String]) -> Result<i32, LocalError> {
        let catalogue = catalogue::images(&self.region, &self.cloud.local_images);
        let found = self.cloud.directory.read(|state| {
            let own = own_images(state, &self.region).map(|(_, image)| image);
            own.chain(&catalogue)
                .find(|known| known.id == image || known.name == image)
                .map(|known| known.root.clone())
        })?;
        let root = found.ok_or_else(|| LocalError::UnknownImage(image.to_owned()))?;
        let root = self.cloud.root_of(&root).await?;
        Ok(self.cloud.machines.run(&root, command).await?)
    }
}

/// How often an idle cloud looks whether it still has instances.
const IDLE_CHECK: Duration = Duration::from_millis(500);

/// The images that were baked, each with its region: those of one region first.
pub(crate) fn own_images<'a>(state: &'a State, first: &str) -> impl Iterator<Item = (&'a String, &'a Image)> {
    let regions = state.regions.get_key_value(first).into_iter().chain(&state.regions);
    regions.flat_map(|(name, region)| region.images.values().map(move |image| (name, image)))
}

/// Where the store of machines is in a state directory.
pub(crate) fn machines_directory(state_dir: &Path) -> PathBuf {
    state_dir.join("machines")
}

fn check_root((name, root): (String, PathBuf)) -> Result<LocalImage, LocalError> {
    match std::path::absolute(&root) {
        Ok(absolute) if absolute.exists() => Ok(LocalImage { name, root: absolute }),
        _ => Err(LocalError::Root { name, root }),
    }
}

fn summarize(region: &str, image: &Image, is_base: bool) -> ImageSummary {
    ImageSummary {
        id: image.id.clone(),
        name: image.name.clone(),
        region: region.to_owned(),
        created: image.created.to_string(),
        login_users: image.login_users.clone(),
        is_base,
    }
}

/// Removes, in the background, the disks of instances whose process died between their end and the removal.
fn discard_left_disks(cloud: &Arc<Cloud>) {
    let left = cloud.directory.read(|state| {
        let instances = state.regions.iter().flat_map(|(region, content)| {
            let left = content
                .instances
                .values()
                .filter(|instance| !instance.exists() && instance.has_disk && instance.owner.is_none());
            left.map(|instance| InstanceName {
                region: region.clone(),
                id: instance.id.clone(),
            })
        });
        instances.collect::<Vec<_>>()
    });
    for name in left.unwrap_or_default() {
        let task_cloud = cloud.clone();
        cloud
            .tasks
            .spawn(async move { power::discard(&task_cloud, &name).await });
    }
}

/// Ends the machines that still run; their instances are stopped, and can be started again by the next cloud.
async fn stop_machines(cloud: &Cloud) {
    let slots: Vec<_> = cloud
        .slots
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .drain()
        .collect();
    let stops = slots.into_iter().map(|(_, slot)| async move {
        if let Some(running) = slot.lock().await.take() {
            running.machine.stop().await;
        }
    });
    futures::future::join_all(stops).await;
    let owner = cloud.directory.owner().id();
    let recorded: Result<(), ApiError> = cloud.change_all(|state| {
        let instances = state
            .regions
            .values_mut()
            .flat_map(|region| region.instances.values_mut());
        for instance in instances.filter(|instance| instance.owner.as_deref() == Some(owner)) {
            instance.owner = None;
            if instance.is_alive() {
                instance.enter(InstanceState::Stopped);
                let reason = "Server.ScheduledStop";
                instance.state_reason = Some((reason.to_owned(), format!("{reason}: the local cloud was shut down")));
            }
        }
        Ok(())
    });
    if let Err(error) = recorded {
        tracing::warn!(%error, "end of the local cloud not recorded");
    }
}
