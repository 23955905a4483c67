//! The control socket of a running cloud: how other processes of its user run commands in its instances and ask it to end.
//!
//! It lies in the state directory, which only its user can open. A message is one packet with the standard streams of a command attached.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use crate::cloud::{Cloud, with_causes};
use crate::machine::{MachineError, exit_status};
use crate::owner;
use crate::sandbox::{Streams, awaitable, wire};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// What another process asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Run a command as root in an instance; its standard streams come along.
    Run { instance: String, arguments: Vec<String> },
    /// End, at the wish of this command.
    End { wish: String },
    /// End unless a bake still uses the cloud.
    Release,
}

/// What becomes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The command has ended with this status.
    Ended(i32),
    /// The command could not be run.
    Refused(String),
    /// The cloud is going to end.
    Taken,
}

/// The listening socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct Control {
    socket: AsyncFd<OwnedFd>,
    path: PathBuf,
}

impl Control {
    /// Listens for orders to the cloud of this owner.
    pub(crate) fn bind(state_dir: &Path, owner: &str) -> io::Result<Control> {
        let directory = directory(state_dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        remove_gone(state_dir);
        let socket = socket()?;
        bind(&socket, &address(&File::open(&directory)?, owner)?)?;
        listen(&socket, BACKLOG)?;
        Ok(Control {
            socket: awaitable(socket)?,
            path: directory.join(owner),
        })
    }

    /// Does what is asked for, until the cloud closes.
    pub(crate) async fn serve(self, cloud: Arc<Cloud>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = accept(&self.socket) => match accepted {
                    Ok(connection) => drop(connections.spawn(handle(Arc::clone(&cloud), connection))),
                    Err(error) => {
                        tracing::warn!(%error, "control socket");
                        return;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = cloud.closing.cancelled() => return,
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the sockets of all owners are.
pub(crate) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("control")
}

/// Removes the sockets of owners that have ended.
fn remove_gone(state_dir: &Path) {
    for entry in fs::read_dir(directory(state_dir)).into_iter().flatten().flatten() {
        let mark = state_dir.join("owners").join(entry.file_name());
        if owner::has_ended(&mark) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The address of a socket in an open directory: the path of the directory may be longer than an address.
fn address(directory: &File, owner: &str) -> io::Result<SocketAddrUnix> {
    let path = format!("/proc/self/fd/{}/{owner}", directory.as_raw_fd());
    Ok(SocketAddrUnix::new(path)?)
}

async fn accept(socket: &AsyncFd<OwnedFd>) -> io::Result<AsyncFd<OwnedFd>> {
    loop {
        let mut ready = socket.readable().await?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if let Ok(accepted) = ready.try_io(|socket| Ok(accept_with(socket, flags)?)) {
            return awaitable(accepted?);
        }
    }
}

async fn handle(cloud: Arc<Cloud>, connection: AsyncFd<OwnedFd>) {
    let Ok(Some(message)) = receive::<Order>(&connection).await else {
        return;
    };
    let reply = match message.content {
        Order::Run { instance, arguments } => {
            let Some(streams) = wire::streams(message.files) else {
                return;
            };
            match run(&cloud, &instance, &arguments, streams, &connection).await {
                Some(reply) => reply,
                None => return,
            }
        }
        Order::End { wish } => {
            cloud.wishes.end.send_replace(Some(wish));
            Reply::Taken
        }
        Order::Release if cloud.wishes.is_kept.load(Ordering::Relaxed) => {
            cloud.wishes.release.send_replace(true);
            Reply::Taken
        }
        Order::Release => Reply::Refused("a bake uses the cloud".to_owned()),
    };
    let _ = send(&connection, &reply, &[]).await; // whoever asked may be gone
}

/// Runs a command; nothing when whoever asked for it went away first, which ends the command.
async fn run(
    cloud: &Cloud,
    instance: &str,
    arguments: &[String],
    streams: Streams,
    connection: &AsyncFd<OwnedFd>,
) -> Option<Reply> {
    let slot = cloud.slot(instance);
    let machine = slot.lock().await.as_ref().map(|running| running.machine.clone());
    let Some(machine) = machine else {
        return Some(Reply::Refused(format!("instance `{instance}` is not running")));
    };
    let mut process = match machine.run(arguments, streams).await {
        Ok(process) => process,
        Err(error) => return Some(Reply::Refused(with_causes(&MachineError::from(error)))),
    };
    let id = process.id;
    tokio::select! {
        end = process.end() => Some(Reply::Ended(exit_status(end))),
        _ = receive::<Order>(connection) => {
            machine.kill(id).await;
            None
        }
    }
}

/// Sends an order to the cloud of an owner and returns its reply.
pub(crate) async fn order(
    state_dir: &Path,
    owner: &str,
    order: &Order,
    files: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<Reply> {
    let socket = socket()?;
    connect(&socket, &address(&File::open(directory(state_dir))?, owner)?)?;
    let connection = awaitable(socket)?;
    send(&connection, order, files).await?;
    let reply = receive::<Reply>(&connection).await?;
    reply
        .map(|message| message.content)
        .ok_or_else(|| io::ErrorKind::ConnectionReset.into())
}

async fn send<T: Serialize>(
    connection: &AsyncFd<OwnedFd>,
    content: &T,
    files: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<()> {
    loop {
        let mut ready = connection.writable().await?;
        if let Ok(sent) = ready.try_io(|connection| wire::send(connection.as_fd(), content, &[], files)) {
            return sent;
        }
    }
}

async fn receive<T: DeserializeOwned>(connection: &AsyncFd<OwnedFd>) -> io::Result<Option<wire::Message<T>>> {
    loop {
        let mut ready = connection.readable().await?;
        if let Ok(received) = ready.try_io(|connection| wire::receive(connection.as_fd())) {
            return received;
        }
    }
}
