//! Volumes, and the block devices that become volumes.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// One device of an image, or of an instance to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockDevice {
    pub(crate) device: String,
    /// An instance store (`ephemeral0`); such a device has no volume.
    pub(crate) virtual_name: Option<String>,
    pub(crate) ebs: Option<EbsDevice>,
}

/// A volume to be made from a snapshot, or empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EbsDevice {
    pub(crate) snapshot_id: Option<String>,
    pub(crate) size_gib: u32,
    pub(crate) volume_type: String,
    pub(crate) iops: Option<u32>,
    pub(crate) throughput: Option<u32>,
    pub(crate) encrypted: bool,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) delete_on_termination: bool,
}

/// A volume of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) created: Moment,
    /// Snapshot, size, type and the like; `delete_on_termination` speaks for the attachment.
    pub(crate) ebs: EbsDevice,
    pub(crate) attachment: Option<Attachment>,
    /// Of a volume that `CreateVolume` made: a repeated call returns the same one.
    pub(crate) client_token: Option<String>,
}

/// Where a volume is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) instance_id: String,
    pub(crate) device: String,
    pub(crate) since: Moment,
}

impl Volume {
    /// Returns its size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.ebs.size_gib) << 30
    }

    pub(crate) fn state(&self) -> &'static str {
        if self.attachment.is_some() {
            "in-use"
        } else {
            "available"
        }
    }
}
