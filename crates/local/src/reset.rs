//! Emptying a state directory, on which no cloud may be running.

use std::io;
use std::path::{Path, PathBuf};

use crate::control::{self, Order};
use crate::instances::running_on;
use crate::local_error::LocalError;
use crate::machine::{MachineError, Machines};
use crate::operator;
use crate::owner;
use crate::state_directory::{Resetting, StateError, machines_directory};
use crate::store::StoreError;

/// Removes everything that a local cloud keeps in a directory, on which none may be running. When it is interrupted, the next
/// cloud or the next reset finishes it.
pub async fn reset(state_dir: &Path) -> Result<(), LocalError> {
    if !state_dir.exists() {
        return Ok(());
    }
    let resetting = Resetting::begin(state_dir)?;
    let emptied = empty(state_dir).await;
    // A refusal has changed nothing, so there is nothing to finish.
    let is_refusal = matches!(
        &emptied,
        Err(LocalError::State(StateError::InUse { .. })
            | LocalError::Machine(MachineError::Store(StoreError::Foreign(_))))
    );
    if is_refusal || emptied.is_ok() {
        resetting.end()?;
    }
    emptied
}

/// Asks the clouds that run on a directory to end, at the wish of a command, waits until they have, and empties the directory.
pub async fn reset_by_force(state_dir: &Path, wish: &str) -> Result<(), LocalError> {
    let owners = owners(state_dir);
    for owner in owner::living(&owners) {
        let order = Order::End { wish: wish.to_owned() };
        let asked = control::order(state_dir, &owner, &order, &[]).await;
        // One that ends at this moment cannot be reached any more.
        if let Err(source) = asked
            && !owner::has_ended(&owners.join(&owner))
        {
            let process = owner::process(&owner).unwrap_or_default();
            return Err(LocalError::Control { process, source });
        }
    }
    if !owner::ended(|| owner::living(&owners).is_empty()).await {
        return Err(StateError::NotEnded {
            path: state_dir.to_owned(),
            users: running_on(state_dir)?,
            seconds: owner::END_TIMEOUT.as_secs(),
        }
        .into());
    }
    reset(state_dir).await
}

/// Finishes what an interrupted reset has begun.
pub(crate) async fn finish_reset(state_dir: &Path) -> Result<(), LocalError> {
    if !Resetting::is_going_on(state_dir) {
        return Ok(());
    }
    match reset(state_dir).await {
        // Who runs on it has been here before us.
        Err(LocalError::State(StateError::InUse { .. })) => Ok(()),
        other => other,
    }
}

async fn empty(state_dir: &Path) -> Result<(), LocalError> {
    let owners = owners(state_dir);
    if !owner::living(&owners).is_empty() {
        return Err(StateError::InUse {
            path: state_dir.to_owned(),
            users: running_on(state_dir)?,
        }
        .into());
    }
    Machines::reset(&machines_directory(state_dir)).await?;
    for name in ["state.json", "state.json.new", "reserve", "lock"] {
        remove(&state_dir.join(name), |path| std::fs::remove_file(path))?;
    }
    for directory in [
        control::directory(state_dir),
        operator::directory(state_dir),
        state_dir.join("images"),
        owners,
    ] {
        remove(&directory, |path| std::fs::remove_dir_all(path))?;
    }
    Ok(())
}

fn owners(state_dir: &Path) -> PathBuf {
    state_dir.join("owners")
}

fn remove(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), LocalError> {
    match remove(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Directory {
            path: path.to_owned(),
            source,
        }
        .into()),
        _ => Ok(()),
    }
}
