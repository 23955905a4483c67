//! Watching how much a machine has written: an overlay has no quota that every file system and every user could have.
//!
//! Counting the files of a layer takes time, so they are counted when the file system has been filled by as much as could matter since the last
//! count. A machine can pass its limit by what it writes within a second, and by a thirty-second part of the limit; where others free as much at the
//! same time, by what it writes until the next count that is made in any case.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::sandbox::{IdMap, Job, SandboxError, do_job, measure};

/// How often the file system is asked how full it is.
const EVERY: Duration = Duration::from_secs(1);

/// While anything is written to the file system, a layer is counted again after this time.
const AGAIN: Duration = Duration::from_secs(10);
/// And after so many times what counting it took.
const REST: u32 = 50;

/// A layer that cannot be counted that often in a row counts as too large: an instance can keep moving directories under the walk.
const MOST_FAILURES: u32 = 10;

/// What a machine may write, and where it is counted.
#[derive(Debug)]
pub(crate) struct Disk {
    store: PathBuf,
    /// The directories of the machine and of its volumes.
    directories: Vec<PathBuf>,
    ids: IdMap,
    /// In bytes.
    pub(crate) limit: u64,
    /// What the volumes held before.
    held: u64,
    begun: Count,
}

/// The last count of a layer.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// How many bytes of the file system were taken.
    used: u64,
    ended: Instant,
    took: Duration,
}

impl Disk {
    /// Of a machine that has not begun to write: `limit` bytes besides what its volumes hold already. Its directory and those of its volumes are
    /// relative to the store.
    pub(crate) async fn before(store: &Path, machine: &Path, volumes: Vec<PathBuf>, ids: IdMap, limit: u64) -> Self {
        let begun = Count {
            used: used(store),
            ended: Instant::now(),
            took: Duration::ZERO,
        };
        let volumes: Vec<PathBuf> = volumes.iter().map(|volume| store.join(volume)).collect();
        Self {
            store: store.to_owned(),
            held: held(&volumes, ids).await,
            directories: [store.join(machine)].into_iter().chain(volumes).collect(),
            ids,
            limit,
            begun,
        }
    }

    /// Returns when more has been written.
    pub(crate) async fn exceeded(&self) {
        let limit = self.limit.saturating_add(self.held);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = self.begun;
        let mut failures = 0;
        loop {
            ticks.tick().await;
            let used = used(&self.store);
            if failures == 0 && !last.is_old(used, Instant::now(), limit) {
                // What others have freed hides as much of what this machine writes.
                last.used = last.used.min(used);
                continue;
            }
            let begun = Instant::now();
            match self.count(limit).await {
                Ok(()) => failures = 0,
                Err(SandboxError::Inside {
                    errno: Some(libc::EDQUOT),
                    ..
                }) => return,
                Err(error) => {
                    tracing::warn!(machine = %self.directories[0].display(), %error, "layer not counted");
                    failures += 1;
                    if failures == MOST_FAILURES {
                        return;
                    }
                }
            }
            last = Count {
                used,
                ended: Instant::now(),
                took: begun.elapsed(),
            };
        }
    }

    async fn count(&self, limit: u64) -> Result<(), SandboxError> {
        // A volume may be detached and deleted by now.
        let directories = self.directories.iter().filter(|path| path.is_dir()).cloned();
        let count = Job::Count {
            directories: directories.collect(),
            limit,
        };
        do_job(count, self.ids).await
    }
}

impl Count {
    /// Whether the layer may have grown by what matters, now that so many bytes of the file system are taken.
    fn is_old(&self, used: u64, now: Instant, limit: u64) -> bool {
        let has_grown = used >= self.used.saturating_add(limit / 32);
        has_grown || (used != self.used && now >= self.ended + AGAIN.max(self.took * REST))
    }
}

/// What volumes hold, in bytes; those that are made at the start hold nothing yet.
async fn held(volumes: &[PathBuf], ids: IdMap) -> u64 {
    let made: Vec<PathBuf> = volumes.iter().filter(|path| path.is_dir()).cloned().collect();
    if made.is_empty() {
        return 0;
    }
    let measured = measure(made, ids).await.unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_free_does_not_hide_growth_for_ever() {
        const LIMIT: u64 = 64 << 20;
        let count = |took| Count {
            used: 1 << 30,
            ended: Instant::now(),
            took,
        };
        let after =
            |count: &Count, used: u64, seconds| count.is_old(used, count.ended + Duration::from_secs(seconds), LIMIT);
        let quick = count(Duration::from_millis(5));
        assert!(after(&quick, (1 << 30) + (2 << 20), 1)); // a thirty-second part
        assert!(!after(&quick, (1 << 30) + (1 << 20), 9));
        assert!(after(&quick, (1 << 30) + (1 << 20), 10));
        assert!(after(&quick, (1 << 30) - (1 << 20), 10)); // this one may have written while another freed more
        assert!(!after(&quick, 1 << 30, 1000)); // nobody has written
        let slow = count(Duration::from_secs(2));
        assert!(!after(&slow, (1 << 30) + 1, 99));
        assert!(after(&slow, (1 << 30) + 1, 100));
    }
}
