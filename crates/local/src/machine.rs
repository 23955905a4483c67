//! Machines: what an instance of the local cloud runs on. The EC2 half knows this file only.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::base;
pub use crate::base::BaseRoot;
use crate::cgroup::Hierarchies;
use crate::disk::{self, Disk};
use crate::layers::{self, Content};
use crate::limits::Limits;
pub use crate::machine_error::MachineError;
use crate::net::{Network, NetworkOptions, Policy};
use crate::sandbox::{
    Action, Condition, IdMap, Job, MachineStart, NetworkStart, Process, ProcessEnd, Program, Run, Sandbox,
    SandboxError, Shift, Streams, TUN, Wires, do_job, measure,
};
use crate::sshd;
pub use crate::store::RootId;
use crate::store::{Layer, Store, StoreError, Unfinished};
use crate::user_data;
pub use crate::volumes::VolumeSpec;
use crate::volumes::{self, Attached};

/// The usual port of SSH; where a machine's server really listens may be another.
const SSH_PORT: u16 = 22;

/// How machines are isolated from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In namespaces of the kernel, on a root of their own.
    Sandbox,
    /// Not at all: the user's explicit choice (`--local-unisolated`).
    Unisolated,
}

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// The instance's id (`i-0abc…`).
    pub id: String,
    /// The root that it starts from.
    pub root: RootId,
    /// Its host name.
    pub hostname: String,
    /// Login users that must exist, for example `ec2-user`.
    pub users: Vec<String>,
    /// OpenSSH lines, for all users.
    pub authorized_keys: Vec<String>,
    /// An OpenSSH line of a key that may log in as well and is not written into the machine.
    pub operator_key: Option<String>,
    /// What is done at its first boot: a script, a `#cloud-config`, or several of both.
    pub user_data: Option<Vec<u8>>,
    /// A loopback address of its own.
    pub address: Ipv4Addr,
    /// The SSH port that is wanted, 0 for any.
    pub ssh_port: u16,
    /// Its volumes besides the root. Those that are not there yet are empty.
    pub volumes: Vec<VolumeSpec>,
}

/// The store and everything that runs on it; a cheap handle.
#[derive(Clone, Debug)]
pub struct Machines {
    inner: Arc<MachinesInner>,
}

#[derive(Debug)]
struct MachinesInner {
    store: Store,
    ids: IdMap,
    isolation: Isolation,
    limits: Limits,
    hierarchies: Hierarchies,
    network: Network,
    machines: Mutex<HashMap<String, Machine>>,
    /// What listens to the sandboxes and serves SSH; ends with the last handle.
    tasks: Mutex<JoinSet<()>>,
}

impl Machines {
    /// Opens (or creates) the store below `dir` and checks what the kernel allows.
    pub async fn open(dir: &Path, isolation: Isolation, limits: Limits) -> Result<Machines, MachineError> {
        Machines::open_with(dir, isolation, limits, NetworkOptions::default()).await
    }

    /// The same, with a network of that kind.
    pub async fn open_with(
        dir: &Path,
        isolation: Isolation,
        limits: Limits,
        network: NetworkOptions,
    ) -> Result<Machines, MachineError> {
        if Store::is_half_removed(dir) {
            Self::reset(dir).await?;
        }
        let mut store = Store::open(dir)?;
        let ids = match isolation {
            Isolation::Sandbox => IdMap::detect()?,
            Isolation::Unisolated => IdMap::Own,
        };
        if isolation == Isolation::Sandbox {
            store.belong_to(ids)?;
            let probe = store.draft()?;
            let directory = probe.path().to_owned();
            let outcome = do_job(Job::Probe { directory }, ids).await;
            base::remove(probe, ids).await.ok(); // what is left is left over, see below
            outcome?;
        }
        // What interrupted processes were making or removing.
        for left in store.left_over(false) {
            if let Err(error) = base::remove(left, ids).await {
                tracing::warn!(%error, "leftovers of the local cloud");
            }
        }
        let inner = MachinesInner {
            store,
            ids,
            isolation,
            limits,
            hierarchies: hierarchies(isolation, &limits)?,
            network: Network::new(network),
            machines: Mutex::default(),
            tasks: Mutex::default(),
        };
        Ok(Machines { inner: Arc::new(inner) })
    }

    /// What machines cannot do here, in sentences for the user.
    pub fn limits(&self) -> Vec<String> {
        let network = (self.inner.isolation == Isolation::Sandbox && !self.inner.network.policy().is_offline())
            .then(why_no_network)
            .flatten();
        let mut limits = self.limits_of_ids();
        limits.extend(network);
        limits
    }

    fn limits_of_ids(&self) -> Vec<String> {
        match (self.inner.isolation, self.inner.ids) {
            (Isolation::Unisolated, _) => vec!["machines are not isolated: scripts run on this machine as you".into()],
            (Isolation::Sandbox, IdMap::Single { .. }) => vec![
                "machines have one user id: every login user is root there, and files cannot be given to others; \
                 install `uidmap` and add a line such as `alice:100000:65536` to `/etc/subuid` and `/etc/subgid` to have more"
                    .into(),
            ],
            (Isolation::Sandbox, _) => Vec::new(),
        }
    }

    /// The network that all its machines are on.
    pub(crate) fn network(&self) -> &Network {
        &self.inner.network
    }

    /// Registers a base root and returns its id; idempotent.
    pub async fn base(&self, base: &BaseRoot) -> Result<RootId, MachineError> {
        if self.is_unisolated() {
            match base {
                BaseRoot::Host => {}
                BaseRoot::Directory(path) | BaseRoot::Tarball(path) => {
                    return Err(MachineError::NeedsIsolation(path.clone()));
                }
                BaseRoot::Image { digest, .. } => return Err(MachineError::NeedsIsolation(digest.into())),
            }
        }
        base::register(&self.inner.store, base, self.inner.ids).await
    }

    /// The root of a pulled image, by the digest of its manifest, if it is there.
    pub(crate) fn pulled(&self, digest: &str) -> Option<RootId> {
        let root = base::image_root(digest);
        self.inner.store.layer(&root).is_ok().then_some(root)
    }

    /// A directory of the store for something that goes again; also when this process is killed.
    pub(crate) fn draft(&self) -> Result<Unfinished, MachineError> {
        Ok(self.inner.store.draft()?)
    }

    /// Removes a draft with all that is in it.
    pub(crate) async fn remove_draft(&self, draft: Unfinished) -> Result<(), MachineError> {
        base::remove(draft, self.inner.ids).await
    }

    /// Writes a root as a tar archive to a file that is there. What it stands on may be this machine's own directories.
    pub(crate) async fn archive(&self, root: &RootId, to: &Path) -> Result<(), MachineError> {
        let store = &self.inner.store;
        let parts = layers::parts(store, root, None)?;
        let is_on_directory = parts
            .first()
            .and_then(|part| part.lower.last())
            .is_some_and(|lowest| lowest.is_absolute());
        // The user's own directory has ids of this machine, which the machines' ids may not read: root reads it itself then.
        let (ids, shift) = match self.inner.ids {
            IdMap::Shifted { users, groups, count } if is_on_directory => {
                (IdMap::Own, Some(Shift { users, groups, count }))
            }
            ids => (ids, None),
        };
        let job = Job::Archive {
            store: store.directory().to_owned(),
            parts,
            shift,
            to: to.to_owned(),
        };
        Ok(do_job(job, ids).await?)
    }

    /// Makes `disk` in a draft's directory, with a file system of what is in a tarball.
    pub(crate) async fn disk_of(
        &self,
        tarball: &Path,
        directory: &Path,
        mke2fs: &Path,
        size: u64,
    ) -> Result<(), MachineError> {
        let unpack = Job::Unpack {
            tarball: tarball.to_owned(),
            to: directory.to_owned(),
        };
        do_job(unpack, self.inner.ids).await?;
        let make = Job::Disk {
            directory: directory.to_owned(),
            program: mke2fs.to_owned(),
            size,
        };
        Ok(do_job(make, self.inner.ids).await?)
    }

    /// Do machines run without isolation, on this machine's own files?
    pub(crate) fn is_unisolated(&self) -> bool {
        self.inner.isolation == Isolation::Unisolated
    }

    /// Starts a machine on a fresh writable layer; its SSH server listens when this returns.
    pub async fn start(&self, spec: MachineSpec) -> Result<Machine, MachineError> {
        self.inner.store.create_machine(&spec.id, &spec.root)?;
        let id = spec.id.clone();
        let started = match self.settle(&id, &spec.root).await {
            Ok(()) => self.launch(spec).await,
            Err(error) => Err(error),
        };
        if started.is_err() {
            self.remove_machine(&id).await.ok(); // the first error is the one that matters
        }
        started
    }

    /// Without isolation nothing is mounted: what a snapshot holds is copied into the new machine.
    async fn settle(&self, id: &str, root: &RootId) -> Result<(), MachineError> {
        let store = &self.inner.store;
        if self.inner.isolation == Isolation::Sandbox || store.layer(root)?.base.is_some() {
            return Ok(());
        }
        let from = store.directory().join(Store::layer_directory(root));
        let to = store.directory().join(Store::machine_directory(id));
        // The copy takes the place of the machine's directory, in which nothing is yet.
        std::fs::remove_dir(to.join("fs")).map_err(|source| StoreError::File {
            path: to.join("fs"),
            source,
        })?;
        Ok(do_job(Job::Copy { from, to }, self.inner.ids).await?)
    }

    /// Starts a stopped machine again on its own writable layer.
    pub async fn restart(&self, id: &str, spec: MachineSpec) -> Result<Machine, MachineError> {
        if self.running(id).is_some() {
            return Err(MachineError::Running(id.to_owned()));
        }
        self.launch(MachineSpec {
            id: id.to_owned(),
            ..spec
        })
        .await
    }

    async fn launch(&self, spec: MachineSpec) -> Result<Machine, MachineError> {
        let store = &self.inner.store;
        let mut record = store.machine(&spec.id)?;
        let key = sshd::host_key(store, &spec.id)?;
        let listener = sshd::listen(spec.address, spec.ssh_port).await?;
        let disk = self.disk(&spec.id, &places(&spec)).await;
        let (sandbox, wires, complaints) = self.boot(&spec, &record.root, &places(&spec)).await?;
        let login_user = spec.users.first().map(String::as_str);
        let mut actions = user_data::read(spec.user_data.as_deref().unwrap_or_default(), login_user);
        let keys = spec.authorized_keys.iter().chain(&spec.operator_key);
        let keys = sshd::authorized(keys.chain(user_data::authorized_keys(&actions)));
        let server =
            sshd::Server::new(listener, key, keys, Arc::clone(&sandbox)).map_err(|source| MachineError::Listen {
                address: SocketAddr::from((spec.address, spec.ssh_port)),
                source,
            })?;
        print_host_key(&sandbox, &server.host_key());
        let machine = Machine {
            inner: Arc::new(MachineInner {
                address: server.address(),
                host_key: server.host_key(),
                sandbox: Arc::clone(&sandbox),
                metadata: Mutex::new(wires.metadata),
                stopping: AtomicBool::new(false),
                over_disk: AtomicBool::new(false),
                complaints,
            }),
        };
        let has_volumes = !spec.volumes.is_empty();
        if record.booted {
            actions.clear();
        } else {
            record.booted = true;
            store.write_machine(&spec.id, &record)?;
        }
        let watched = machine.clone();
        let network = self.inner.network.clone();
        let address = interface_address(spec.address);
        self.machines().insert(spec.id, machine.clone());
        self.inner
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(async move {
                let serve = async {
                    // As on EC2, who logs in finds the volumes of `/etc/fstab` mounted.
                    if has_volumes {
                        mount_volumes(&sandbox).await;
                    }
                    tokio::join!(server.serve(), finish_boot(&sandbox, &actions), watched.watch(disk))
                };
                let serve = async { tokio::join!(serve, serve_network(&network, wires.tun, address, &sandbox)) };
                tokio::select! {
                    () = sandbox.listen() => {}
                    _ = serve => {}
                }
            });
        Ok(machine)
    }

    /// Boots a machine with its volumes, each with its directory relative to the store; answers also what they are not.
    async fn boot(
        &self,
        spec: &MachineSpec,
        root: &RootId,
        volumes: &[(VolumeSpec, PathBuf)],
    ) -> Result<(Arc<Sandbox>, Wires, Vec<String>), MachineError> {
        let store = &self.inner.store;
        let limits = self.inner.limits;
        let Attached {
            starts,
            files,
            complaints,
        } = self.attach(volumes).await;
        // A volume that is a file is as large as it is; what is written to it counts for the disk.
        let largest = volumes.iter().map(|(volume, _)| volume.size).max().unwrap_or(0);
        let start = MachineStart {
            processes: limits.processes(),
            file_size: limits.disk().max(largest),
            shared_memory: limits.shared_memory(),
            ids: self.inner.ids.count(),
            store: store.directory().to_owned(),
            directory: Store::machine_directory(&spec.id),
            parts: layers::parts(store, root, Some(&Store::machine_directory(&spec.id).join("fs")))?,
            instance: spec.id.clone(),
            hostname: spec.hostname.clone(),
            users: spec.users.clone(),
            authorized_keys: spec.authorized_keys.clone(),
            network: (!self.inner.network.policy().is_offline()).then(|| NetworkStart {
                address: interface_address(spec.address),
                name_servers: Policy::name_servers(),
            }),
            environment: self.inner.network.policy().environment().to_vec(),
            volumes: starts,
        };
        let cgroup = self.inner.hierarchies.create(&spec.id, &limits);
        let (sandbox, wires) = Sandbox::start(start, self.inner.ids, cgroup, files).await?;
        Ok((Arc::new(sandbox), wires, complaints))
    }

    async fn attach(&self, wanted: &[(VolumeSpec, PathBuf)]) -> Attached {
        if !self.is_unisolated() {
            return volumes::attach(&self.inner.store, self.inner.ids, wanted).await;
        }
        let complaint =
            |(volume, _): &(VolumeSpec, PathBuf)| format!("volume `{}`: it exists only with isolation", volume.device);
        Attached {
            complaints: wanted.iter().map(complaint).collect(),
            ..Attached::default()
        }
    }

    /// Makes a volume, unless it is there: empty, or with what a snapshot keeps of one.
    pub async fn make_volume(&self, volume: &VolumeSpec, from: Option<&RootId>) -> Result<(), MachineError> {
        volumes::make(&self.inner.store, self.inner.ids, volume, from).await
    }

    /// Freezes what a volume holds, if it holds anything, also while a machine runs that it is attached to.
    pub async fn snapshot_volume(&self, id: &str) -> Result<Option<RootId>, MachineError> {
        volumes::snapshot(&self.inner.store, self.inner.ids, id).await
    }

    /// The volumes that hold anything.
    pub(crate) fn volumes(&self) -> Vec<String> {
        self.inner.store.names("volumes")
    }

    /// Removes what a volume holds; idempotent.
    pub async fn remove_volume(&self, id: &str) -> Result<(), MachineError> {
        if crate::store::is_name(id) {
            self.remove(&Store::volume_directory(id)).await?;
        }
        Ok(())
    }

    /// What a machine may write that has not started yet.
    async fn disk(&self, id: &str, volumes: &[(VolumeSpec, PathBuf)]) -> Disk {
        let volumes = volumes.iter().filter(|_| !self.is_unisolated());
        let volumes = volumes.map(|(_, directory)| directory.clone()).collect();
        let inner = &self.inner;
        Disk::before(
            inner.store.directory(),
            &Store::machine_directory(id),
            volumes,
            inner.ids,
            inner.limits.disk(),
        )
        .await
    }

    /// Freezes the writable layer of a machine into a root.
    ///
    /// A stopped machine's layer becomes the root's layer as it is. A running machine's layer is copied, file by file while
    /// it runs, as a real snapshot without reboot would catch it.
    pub async fn snapshot(&self, id: &str) -> Result<RootId, MachineError> {
        let store = &self.inner.store;
        if self.running(id).is_none() {
            return Ok(layers::freeze(store, id)?);
        }
        let record = store.machine(id)?;
        let root = layers::snapshot_id(id);
        let draft = store.draft()?;
        let from = store.directory().join(Store::machine_directory(id));
        let to = draft.path().to_owned();
        if let Err(error) = do_job(Job::Copy { from, to }, self.inner.ids).await {
            base::remove(draft, self.inner.ids).await.ok(); // the first error is the one that matters
            return Err(error.into());
        }
        let layer = Layer {
            parent: Some(record.root),
            base: None,
            removed: false,
        };
        store.publish_layer(&draft, &root, &layer)?;
        Ok(root)
    }

    /// Removes a machine's writable layer, after stopping it if it runs; idempotent.
    pub async fn discard(&self, id: &str) -> Result<(), MachineError> {
        let machine = self.machines().remove(id);
        if let Some(machine) = machine {
            machine.stop().await;
        }
        self.remove_machine(id).await?;
        self.sweep().await
    }

    async fn remove_machine(&self, id: &str) -> Result<(), MachineError> {
        if crate::store::is_name(id) {
            self.remove(&Store::machine_directory(id)).await?;
        }
        Ok(())
    }

    /// Removes a directory of the store: at once for everybody who looks, then for good.
    async fn remove(&self, name: &Path) -> Result<(), MachineError> {
        match self.inner.store.set_aside(name)? {
            Some(aside) => base::remove(aside, self.inner.ids).await,
            None => Ok(()),
        }
    }

    /// Removes a root's own top layer when nothing else is based on it, at once or as soon as that is so; idempotent.
    pub async fn remove_root(&self, root: &RootId) -> Result<(), MachineError> {
        let store = &self.inner.store;
        match store.layer(root) {
            Ok(layer) => store.write_layer(root, &Layer { removed: true, ..layer })?,
            Err(StoreError::UnknownRoot(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.sweep().await
    }

    /// Removes the layers that are no longer needed.
    async fn sweep(&self) -> Result<(), MachineError> {
        for root in layers::unused(&self.inner.store) {
            self.remove(&Store::layer_directory(&root)).await?;
        }
        Ok(())
    }

    /// Runs a command in a throw-away machine with inherited stdio; returns its exit status.
    pub async fn run(&self, root: &RootId, command: &[String]) -> Result<i32, MachineError> {
        self.run_with(root, &[], command).await
    }

    /// The same, with volumes of the machine's own: empty, or with what a snapshot keeps of one.
    pub(crate) async fn run_with(
        &self,
        root: &RootId,
        volumes: &[(VolumeSpec, Option<RootId>)],
        command: &[String],
    ) -> Result<i32, MachineError> {
        let id = format!("run-{}", layers::snapshot_id("run").0);
        self.inner.store.create_machine(&id, root)?;
        let outcome = match self.own_volumes(&id, volumes).await {
            Ok(volumes) => self.run_in(&id, root, &volumes, command).await,
            Err(error) => Err(error),
        };
        self.remove_machine(&id).await?;
        outcome
    }

    /// Makes volumes that go with their machine.
    async fn own_volumes(
        &self,
        id: &str,
        volumes: &[(VolumeSpec, Option<RootId>)],
    ) -> Result<Vec<(VolumeSpec, PathBuf)>, MachineError> {
        let store = &self.inner.store;
        let mut made = Vec::new();
        for (volume, from) in volumes.iter().filter(|_| !self.is_unisolated()) {
            let directory = Store::machine_directory(id).join(&volume.id);
            let path = store.directory().join(&directory);
            store.make_directory(&path, 0o700)?;
            volumes::fill(store, self.inner.ids, &path, volume, from.as_ref()).await?;
            made.push((volume.clone(), directory));
        }
        Ok(made)
    }

    async fn run_in(
        &self,
        id: &str,
        root: &RootId,
        volumes: &[(VolumeSpec, PathBuf)],
        command: &[String],
    ) -> Result<i32, MachineError> {
        let spec = MachineSpec {
            id: id.to_owned(),
            root: root.clone(),
            hostname: "localhost".into(),
            users: Vec::new(),
            authorized_keys: Vec::new(),
            operator_key: None,
            user_data: None,
            address: Ipv4Addr::LOCALHOST,
            ssh_port: 0,
            volumes: Vec::new(),
        };
        let disk = self.disk(id, volumes).await;
        let (sandbox, wires, complaints) = self.boot(&spec, root, volumes).await?;
        for line in complaints {
            tracing::warn!(machine = id, "{line}");
        }
        let address = interface_address(spec.address);
        let network = serve_network(&self.inner.network, wires.tun, address, &sandbox);
        drop(wires.metadata); // nobody would answer
        let own = |stream: rustix::fd::BorrowedFd<'_>| stream.try_clone_to_owned().map_err(SandboxError::Message);
        let streams = Streams {
            input: own(io::stdin().as_fd())?,
            output: own(io::stdout().as_fd())?,
            error: own(io::stderr().as_fd())?,
        };
        let process = async {
            if !volumes.is_empty() {
                mount_volumes(&sandbox).await;
            }
            finish_boot(&sandbox, &[]).await;
            let mut process = run_arguments(&sandbox, command, streams).await?;
            Ok::<_, SandboxError>(process.end().await)
        };
        let work = async {
            let end = process.await;
            // Also after a command that could not be started: listening ends with the machine.
            sandbox.request_stop().await;
            end
        };
        let end = tokio::select! {
            never = network => match never {},
            (end, ()) = async { tokio::join!(work, sandbox.listen()) } => end?,
            () = disk.exceeded() => {
                sandbox.request_stop().await;
                sandbox.listen().await;
                return Err(MachineError::OverDisk(disk.limit));
            }
        };
        Ok(exit_status(end))
    }

    /// What the store holds, and how many bytes each part takes.
    pub(crate) async fn contents(&self) -> Result<Vec<Content>, MachineError> {
        let store = &self.inner.store;
        let mut contents = layers::contents(store);
        for some in contents.chunks_mut(MOST_MEASURED) {
            let directories = some.iter().map(|one| store.directory().join(&one.directory));
            let measured = measure(directories.collect(), self.inner.ids).await?;
            for (one, bytes) in some.iter_mut().zip(measured) {
                one.bytes = bytes;
            }
        }
        Ok(contents)
    }

    /// How many bytes of the store's file system are free for its user.
    pub(crate) fn free(&self) -> u64 {
        disk::free(self.inner.store.directory())
    }

    /// Removes everything below the store's directory, also files of other users made in sandboxes. When it is interrupted,
    /// the next time finishes it.
    pub async fn reset(dir: &Path) -> Result<(), MachineError> {
        if !dir.exists() {
            return Ok(());
        }
        let store = Store::open(dir)?;
        let ids = match store.ids()? {
            Some(ids) => ids,
            // An older version had root's machines use root's ids.
            None if rustix::process::geteuid().is_root() => IdMap::Own,
            None => IdMap::detect()?,
        };
        store.clear()?;
        for left in store.left_over(true) {
            base::remove(left, ids).await?;
        }
        Ok(store.remove()?)
    }

    fn machines(&self) -> std::sync::MutexGuard<'_, HashMap<String, Machine>> {
        self.inner.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, id: &str) -> Option<Machine> {
        self.machines().get(id).filter(|machine| machine.is_running()).cloned()
    }
}

/// Why machines of this user have no network, in a sentence for the user.
fn why_no_network() -> Option<String> {
    let error = std::fs::File::options().read(true).write(true).open(TUN).err()?;
    let mend = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("`sudo chmod 0666 {TUN}` opens it to all users, as most distributions have it")
        }
        _ => "`sudo modprobe tun` may load what is missing".to_owned(),
    };
    Some(format!(
        "instances have no network but the metadata service, because {TUN} cannot be opened ({error}); {mend}"
    ))
}

/// The address of a machine's interface: its own, unless that is no instance's, as in a throw-away machine.
fn interface_address(address: Ipv4Addr) -> Ipv4Addr {
    /// Among instances' addresses, but of no subnet.
    const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 127, 255, 254);
    let is_instances = address.octets()[0] == 127 && address.octets()[1] & 0xc0 == 64;
    if is_instances { address } else { NOBODY }
}

/// Connects a machine with the world; what it may not reach is written on its console. Never returns: the machine's end ends it.
async fn serve_network(
    network: &Network,
    tun: Option<io::Result<OwnedFd>>,
    address: Ipv4Addr,
    sandbox: &Sandbox,
) -> std::convert::Infallible {
    match tun {
        Some(Ok(tun)) => {
            let refused = |destination: &str| {
                tracing::info!(%address, destination, "not reachable from instances");
                let line = format!("bakelite: {destination} is closed to instances; -local-allow opens it\n");
                sandbox.write_console(line.as_bytes());
            };
            network.serve(tun, address, refused).await;
        }
        Some(Err(error)) => {
            tracing::warn!(%address, %error, "no network");
            sandbox.write_console(format!("bakelite: no network: {TUN}: {error}\n").as_bytes());
        }
        None => {}
    }
    std::future::pending().await
}

/// Directories that are open at once while they are measured.
const MOST_MEASURED: usize = 100;

/// Starts a command as root, without a shell.
async fn run_arguments(sandbox: &Sandbox, arguments: &[String], streams: Streams) -> Result<Process, SandboxError> {
    let run = Run {
        id: 0,
        user: "root".into(),
        program: Program::Arguments,
        terminal: None,
        environment: Vec::new(),
    };
    sandbox.run(run, arguments.join("\0").as_bytes(), Some(streams)).await
}

/// The status of a process as a shell has it.
pub(crate) fn exit_status(end: ProcessEnd) -> i32 {
    match end {
        ProcessEnd::Status(status) => status,
        ProcessEnd::Signal(signal) => 128 + signal,
    }
}

/// Shows the host key on the console in the form of cloud-init.
fn print_host_key(sandbox: &Sandbox, key: &str) {
    let lines = format!("-----BEGIN SSH HOST KEY KEYS-----\n{key}\n-----END SSH HOST KEY KEYS-----\n");
    sandbox.write_console(lines.as_bytes());
}

/// Does what user data asks for and shows its output on the console, as cloud-init does. Without anything to do the boot is finished when
/// this returns.
async fn finish_boot(sandbox: &Sandbox, actions: &[Action]) {
    let shown = async {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut output = tokio::net::unix::pipe::Receiver::from_owned_fd(reader)?;
        sandbox.finish_boot(actions, &writer).await.map_err(io::Error::other)?;
        drop(writer);
        let mut buffer = vec![0_u8; 4096];
        loop {
            match output.read(&mut buffer).await? {
                0 => return Ok::<(), io::Error>(()),
                length => sandbox.write_console(&buffer[..length]),
            }
        }
    };
    if let Err(error) = shown.await {
        sandbox.write_console(format!("user data: {error}\n").as_bytes());
    }
}

/// Where the volumes of a machine lie, relative to the store.
fn places(spec: &MachineSpec) -> Vec<(VolumeSpec, PathBuf)> {
    let place = |volume: &VolumeSpec| (volume.clone(), Store::volume_directory(&volume.id));
    spec.volumes.iter().map(place).collect()
}

/// Mounts the volumes that `/etc/fstab` names.
async fn mount_volumes(sandbox: &Sandbox) {
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
    let mounted = async {
        let streams = Streams {
            input: null()?.into(),
            output: null()?.into(),
            error: null()?.into(),
        };
        let command = ["mount".to_owned(), "--bakelite-volumes".to_owned()];
        Ok::<_, SandboxError>(run_arguments(sandbox, &command, streams).await?.end().await)
    };
    let outcome = match mounted.await {
        Ok(ProcessEnd::Status(0)) => return,
        Ok(end) => format!("exit status {}", exit_status(end)),
        Err(error) => error.to_string(),
    };
    sandbox.write_console(format!("failed to mount the volumes of /etc/fstab: {outcome}\n").as_bytes());
}

/// Why a machine has ended without being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It powered itself off, or its init was killed.
    ByItself,
    /// It had written more than its limit.
    OverDisk,
}

/// Where machines get their cgroups; what was asked for and has no effect there is an error.
fn hierarchies(isolation: Isolation, limits: &Limits) -> Result<Hierarchies, MachineError> {
    let hierarchies = match isolation {
        Isolation::Sandbox => Hierarchies::detect(),
        Isolation::Unisolated => Hierarchies::default(),
    };
    hierarchies.sweep();
    limits.check(hierarchies.create("probe", limits).enforced)?;
    Ok(hierarchies)
}

/// A running or ended machine; a cheap handle.
#[derive(Clone, Debug)]
pub struct Machine {
    inner: Arc<MachineInner>,
}

#[derive(Debug)]
struct MachineInner {
    address: SocketAddr,
    host_key: String,
    sandbox: Arc<Sandbox>,
    metadata: Mutex<Option<std::net::TcpListener>>,
    stopping: AtomicBool,
    over_disk: AtomicBool,
    complaints: Vec<String>,
}

impl Machine {
    /// What of its volumes is not as on EC2, in sentences for the user.
    pub fn complaints(&self) -> &[String] {
        &self.inner.complaints
    }

    /// Where its SSH server really listens.
    pub fn ssh_address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Connects to a port of the machine: its SSH server, which is ours, or what listens in its own network. Never to this machine's.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let stream = if port == SSH_PORT || port == self.inner.address.port() {
            TcpStream::connect(self.inner.address).await?
        } else {
            self.inner.sandbox.connect(port).await?
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// What the machine's metadata service is asked on; to be served once.
    pub(crate) fn take_metadata(&self) -> Option<std::net::TcpListener> {
        self.inner
            .metadata
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Starts a command in it as root, without a shell.
    pub(crate) async fn run(&self, arguments: &[String], streams: Streams) -> Result<Process, SandboxError> {
        run_arguments(&self.inner.sandbox, arguments, streams).await
    }

    /// Kills a command and what it has started in its process group.
    pub(crate) async fn kill(&self, id: u64) {
        self.inner.sandbox.signal(id, libc::SIGKILL).await;
    }

    /// Its host key as an OpenSSH public key line.
    pub fn host_key(&self) -> String {
        self.inner.host_key.clone()
    }

    /// What it wrote while booting; the last 64 KiB.
    pub fn console_output(&self) -> Vec<u8> {
        self.inner.sandbox.console()
    }

    /// Ends its processes and its SSH server, and returns when they are gone.
    pub async fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
        self.inner.sandbox.request_stop().await;
        self.wait_for_end().await;
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(
            *self.inner.sandbox.condition().borrow(),
            Condition::Running | Condition::Rebooting
        )
    }

    /// Resolves when the machine has ended by itself (`shutdown`, `poweroff` in it) or by its limits, not when it was stopped.
    pub async fn ended(&self) -> Ended {
        self.wait_for_end().await;
        if self.inner.stopping.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.inner.over_disk.load(Ordering::Relaxed) {
            Ended::OverDisk
        } else {
            Ended::ByItself
        }
    }

    /// Ends the machine when it has written more than it may.
    async fn watch(&self, disk: Disk) {
        disk.exceeded().await;
        self.inner.over_disk.store(true, Ordering::Relaxed);
        let line = format!("bakelite: more than {} bytes were written; powering off\n", disk.limit);
        self.inner.sandbox.write_console(line.as_bytes());
        self.inner.sandbox.request_stop().await;
        std::future::pending::<()>().await;
    }

    /// Resolves when it has ended, whoever wanted that.
    pub async fn gone(&self) {
        self.wait_for_end().await;
    }

    async fn wait_for_end(&self) {
        let mut condition = self.inner.sandbox.condition();
        // A closed channel cannot happen while the sandbox is held; it would mean the end as well.
        condition.wait_for(|condition| *condition == Condition::Gone).await.ok();
    }
}
