//! A running local cloud, as the program uses it: start, endpoint, images, shutdown.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
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
use crate::control::Control;
use crate::ec2::power::{self, InstanceName};
use crate::firewall::SecurityGroups;
use crate::given_image::ImageSource;
use crate::keys::RsaKeys;
use crate::latency::Latency;
use crate::limits::Limits;
use crate::local_error::LocalError;
use crate::machine::{BaseRoot, Isolation, Machines, RootId};
use crate::net::NetworkOptions;
use crate::operator;
use crate::pulled_images::{Freshness, PulledImages};
use crate::refusals::Refusals;
use crate::reset::finish_reset;
use crate::router;
use crate::server;
use crate::sessions::Sessions;
use crate::state::State;
use crate::state::image::{Image, ImageRoot};
use crate::state::instance::InstanceState;
use crate::state_directory::{StateDirectory, machines_directory};
use crate::throttle::Throttle;
use crate::userland::{PullOptions, Userlands};
use crate::visibility::Fresh;
use crate::wishes::Wishes;

/// What a local cloud is started with.
#[derive(Debug, Clone)]
pub struct LocalCloudOptions {
    /// Where everything is kept; made when it is not there. Several processes may use the same directory.
    pub state_dir: PathBuf,
    /// How instances are isolated from this machine.
    pub isolation: Isolation,
    /// How much of this machine one instance may use.
    pub limits: Limits,
    /// What instances reach besides each other.
    pub network: NetworkOptions,
    /// How long changes of state take.
    pub latency: Latency,
    /// Images besides the well-known ones: name (or `ami-…`, which then is the id) and where the root comes from. They are made when the
    /// cloud starts.
    pub images: Vec<(String, ImageSource)>,
    /// How images are pulled from registries.
    pub pulls: PullOptions,
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
        let rsa_keys = RsaKeys::start();
        finish_reset(&options.state_dir).await?;
        let directory = StateDirectory::open(&options.state_dir)?;
        let operator_key = operator::public_line(&options.state_dir).map_err(|source| LocalError::Ssh {
            path: operator::directory(&options.state_dir),
            source,
        })?;
        let machines = Machines::open_with(
            &machines_directory(&options.state_dir),
            options.isolation,
            options.limits,
            options.network,
        )
        .await?;
        let images = PulledImages::new(
            &options.state_dir,
            Arc::clone(&options.pulls.environment),
            options.pulls.notices.clone(),
        );
        let userlands = Userlands::new(images, &options.pulls);
        let local_images = given_images(&options.images, &machines, &userlands.images).await?;
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
            throttle: Throttle::new(options.refusals.rate),
            refusals: options.refusals,
            ssh_port: options.ssh_port,
            sessions: Sessions::default(),
            address,
            keys: AccessKeys::new(),
            region: options.region.clone(),
            local_images,
            userlands,
            addresses: Addresses::new(),
            rsa_keys,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            slots: Mutex::new(HashMap::new()),
            wishes: Wishes::default(),
            operator_key,
        });
        cloud.machines.network().admit_by(Arc::new(SecurityGroups::of(&cloud)));
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
        let root = self.root(&self.image(image)?).await?;
        Ok(self.cloud.machines.run(&root, command).await?)
    }

    pub(crate) fn machines(&self) -> &Machines {
        &self.cloud.machines
    }

    /// Finds an image by its id or name, in the cloud's own region first.
    pub(crate) fn image(&self, image: &str) -> Result<Image, LocalError> {
        let catalogue = catalogue::images(&self.region, &self.cloud.local_images);
        let found = self.cloud.directory.read(|state| {
            let own = own_images(state, &self.region).map(|(_, image)| image);
            own.chain(&catalogue)
                .find(|known| known.id == image || known.name == image)
                .cloned()
        })?;
        found.ok_or_else(|| LocalError::UnknownImage(image.to_owned()))
    }

    /// The root of an image, pulled where it has to be.
    pub(crate) async fn root(&self, image: &Image) -> Result<RootId, LocalError> {
        match (self.cloud.root_of(image).await?, &image.root) {
            (Some(root), _) => Ok(root),
            (None, ImageRoot::Distribution(distribution)) => {
                let userlands = &self.cloud.userlands;
                Ok(userlands
                    .pulled(&self.cloud.machines, distribution, &image.name)
                    .await?)
            }
            (None, _) => Err(LocalError::UnknownImage(image.id.clone())),
        }
    }
}

/// How often an idle cloud looks whether it still has instances.
const IDLE_CHECK: Duration = Duration::from_millis(500);

/// The images that were baked, each with its region: those of one region first.
pub(crate) fn own_images<'a>(state: &'a State, first: &str) -> impl Iterator<Item = (&'a String, &'a Image)> {
    let regions = state.regions.get_key_value(first).into_iter().chain(&state.regions);
    regions.flat_map(|(name, region)| region.images.values().map(move |image| (name, image)))
}

/// Makes the roots of the images that the user gave: whatever is wrong with one is known before anything starts.
async fn given_images(
    images: &[(String, ImageSource)],
    machines: &Machines,
    pulled: &PulledImages,
) -> Result<Vec<LocalImage>, LocalError> {
    let mut made = Vec::with_capacity(images.len());
    for (name, image) in images {
        let root = async {
            match (image, image.base()?) {
                (ImageSource::Registry(reference), _) => pulled.root(machines, reference, Freshness::Newest).await,
                (_, Some(base)) => Ok(machines.base(&base).await?),
                (_, None) => Ok(machines.base(&BaseRoot::Host).await?),
            }
        };
        let root = root.await.map_err(|source| LocalError::GivenImage {
            name: name.clone(),
            image: image.to_string(),
            source,
        })?;
        made.push(LocalImage {
            name: name.clone(),
            source: image.to_string(),
            root,
        });
    }
    Ok(made)
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
