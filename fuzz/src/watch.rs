//! Limits on one input: a second of processor time and 500 MB. The input is on disk while it is tried, so that it is not lost with the
//! process, whatever ends it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The processor time that one input may take, in hundredths of a second.
pub const LONGEST: u64 = 100;
/// The memory that the process may take, in KiB.
pub const LARGEST: u64 = 500 << 10;

/// Looks at an input while it is tried.
#[derive(Debug)]
pub struct Watch {
    /// When the present input was begun, in processor time plus one; 0 between inputs.
    begun: AtomicU64,
    /// Where the present input lies.
    pub input: PathBuf,
}

impl Watch {
    /// For inputs kept in that file while they are tried.
    pub fn new(input: PathBuf) -> Self {
        Self {
            begun: AtomicU64::new(0),
            input,
        }
    }

    /// An input is tried from now on.
    pub fn begin(&self, bytes: &[u8]) -> std::io::Result<()> {
        std::fs::write(&self.input, bytes)?;
        self.begun.store(processor_time() + 1, Ordering::Relaxed);
        Ok(())
    }

    /// The input has ended by itself. What it did wrong, if anything.
    pub fn end(&self) -> Option<String> {
        let begun = self.begun.swap(0, Ordering::Relaxed);
        let taken = processor_time() + 1 - begun;
        if taken > LONGEST {
            return Some(format!("took {taken} hundredths of a second"));
        }
        let peak = status("VmHWM:");
        (peak > LARGEST).then(|| format!("took {} MiB", peak >> 10))
    }

    /// Looks until something is wrong with the present input: what it is.
    pub fn look(&self) -> String {
        loop {
            #[expect(
                clippy::disallowed_methods,
                reason = "there is no event to wait for: a hang tells nobody"
            )]
            std::thread::sleep(Duration::from_millis(20));
            let begun = self.begun.load(Ordering::Relaxed);
            if begun > 0 && processor_time() + 1 > begun + 2 * LONGEST {
                return format!("hangs for more than {} hundredths of a second", 2 * LONGEST);
            }
            if status("VmRSS:") > LARGEST {
                return format!("takes more than {} MiB", LARGEST >> 10);
            }
        }
    }
}

/// The processor time of the process so far, in hundredths of a second.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let number = |index: usize| {
        fields
            .split_whitespace()
            .nth(index)
            .and_then(|field| field.parse().ok())
    };
    number(11).unwrap_or(0u64) + number(12).unwrap_or(0u64)
}

/// A line of `/proc/self/status` that is a number of KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
