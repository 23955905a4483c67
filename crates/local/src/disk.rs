//! Watching how much a machine has written: an overlay has no quota that every file system and every user could have.
//!
//! Counting the files of a layer takes time, so they are counted when the file system has been filled by as much as could matter since the last
//! count. A machine can pass its limit by what it writes within a second, and by a thirty-second part of the limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::sandbox::{IdMap, Job, SandboxError, do_job, measure};

/// How often the file system is asked how full it is.
const EVERY: Duration = Duration::from_secs(1);

/// A layer that cannot be counted that often in a row counts as too large: an instance can keep moving directories under the walk.
const MOST_FAILURES: u32 = 10;

/// Returns when the layer of a machine and its volumes, whose directories are relative to the store, hold more than `limit` bytes besides what the
/// volumes hold already.
pub(crate) async fn watch(store: &Path, machine: &Path, volumes: &[PathBuf], ids: IdMap, limit: u64) {
    let limit = limit.saturating_add(held(store, volumes, ids).await);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counted_at = used(store);
    let mut failures = 0;
    loop {
        ticks.tick().await;
        let now = used(store);
        if failures == 0 && now < counted_at.saturating_add(limit / 32) {
            counted_at = counted_at.min(now);
            continue;
        }
        counted_at = now;
        let volumes = volumes.iter().map(|volume| store.join(volume));
        let count = Job::Count {
            // A volume may be detached and deleted by now.
            directories: [store.join(machine)]
                .into_iter()
                .chain(volumes.filter(|path| path.is_dir()))
                .collect(),
            limit,
        };
        match do_job(count, ids).await {
            Ok(()) => failures = 0,
            Err(SandboxError::Inside {
                errno: Some(libc::EDQUOT),
                ..
            }) => return,
            Err(error) => {
                tracing::warn!(machine = %machine.display(), %error, "layer not counted");
                failures += 1;
                if failures == MOST_FAILURES {
                    return;
                }
            }
        }
    }
}

/// What volumes hold, in bytes.
async fn held(store: &Path, volumes: &[PathBuf], ids: IdMap) -> u64 {
    if volumes.is_empty() {
        return 0;
    }
    let directories = volumes.iter().map(|volume| store.join(volume)).collect();
    let measured = measure(directories, ids).await.unwrap_or_default();
    measured.into_iter().fold(0, u64::saturating_add)
}

/// How many bytes of the file system are free for this user.
pub(crate) fn free(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// How many bytes of the file system are taken.
fn used(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |found| found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize)
}
