//! What the local cloud reports while it works, to whoever started it: nothing of it is an answer to a call.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Something that the user should know at the time it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// An image is being downloaded: its name, and bytes of its compressed layers. The last one has `done == total`.
    Pulling {
        /// The image.
        image: String,
        /// What is there.
        done: u64,
        /// All.
        total: u64,
    },
    /// It is downloaded and being unpacked.
    Unpacking {
        /// The image.
        image: String,
    },
    /// Another process pulls the same image, and is waited for.
    Waiting {
        /// The image.
        image: String,
    },
    /// The registry is not reached; the copy of an earlier pull is used.
    Kept {
        /// The image.
        image: String,
        /// Why there is no newer one.
        why: String,
    },
    /// The distribution of a well-known AMI cannot be pulled, and an instance starts from this machine's own system.
    StandsIn(StandIn),
    /// A volume of an instance is not what it is on EC2.
    Volume {
        /// The instance.
        instance: String,
        /// What it is, as a line.
        line: String,
    },
    /// Something in an instance's user data is wrong or has no effect here.
    UserData {
        /// The instance.
        instance: String,
        /// What it is, as a line.
        line: String,
    },
}

/// What an instance starts from in place of what its AMI's name promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandIn {
    /// The AMI's distribution.
    pub wanted: String,
    /// This machine's.
    pub host: String,
    /// Why the distribution is not there.
    pub why: String,
    /// The image that has it.
    pub image: String,
    /// The AMI's name, as `-local-image` takes it.
    pub ami: String,
}

impl StandIn {
    /// What it means for scripts.
    pub fn meaning(&self) -> String {
        format!(
            "{} stands in for {}: programs and packages are those of this machine, so package managers and paths of {} may be missing",
            self.host, self.wanted, self.wanted
        )
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        format!(
            "give the AMI its own root with `-local-image '{}=oci:{}'` where the registry can be reached, or `=tar:FILE`, `=dir:DIRECTORY`",
            self.ami, self.image
        )
    }
}

/// Where notices go.
#[derive(Clone)]
pub struct Notices(Arc<dyn Fn(Notice) + Send + Sync>);

impl Notices {
    /// To a function, which must not wait: it is called while something is downloaded.
    pub fn to(receive: impl Fn(Notice) + Send + Sync + 'static) -> Notices {
        Notices(Arc::new(receive))
    }

    pub(crate) fn send(&self, notice: Notice) {
        (self.0)(notice);
    }
}

impl Default for Notices {
    /// Nowhere.
    fn default() -> Notices {
        Notices::to(|_| ())
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Notices(…)")
    }
}
