//! What a registry answers about an image: an index of manifests, one for each platform, and a manifest with its layers. Docker's older
//! media types have the same fields.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a layer that gzip has compressed.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// What a request for a manifest accepts.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// What the registries and Go call the architecture of this machine.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// The name, kind and size of a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Further words about it, such as the name of an image in a layout.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub annotations: serde_json::Map<String, serde_json::Value>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64` and so on.
    pub architecture: String,
    /// `linux` and so on.
    pub os: String,
    /// `v7`, `v8` of ARM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// [`MANIFEST`], or Docker's.
    #[serde(default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// An index of manifests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`INDEX`], or Docker's.
    #[serde(default)]
    pub media_type: String,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

/// Either of both, told apart by what is in it: some registries answer with a wrong media type.
#[derive(Debug)]
pub(crate) enum Answered {
    Manifest(Manifest),
    Index(Index),
}

impl Answered {
    /// Reads one; `None` when it is neither.
    pub(crate) fn read(content: &[u8]) -> Option<Answered> {
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(content) {
            return Some(Answered::Manifest(manifest));
        }
        serde_json::from_slice::<Index>(content).ok().map(Answered::Index)
    }
}

impl Index {
    /// The manifest for an architecture under Linux.
    pub fn for_architecture(&self, architecture: &str) -> Option<&Descriptor> {
        let fits = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().is_some_and(|platform| {
                platform.os == "linux"
                    && platform.architecture == architecture
                    && platform.variant.as_deref().is_none_or(|variant| variant == "v8")
            })
        };
        self.manifests.iter().find(fits)
    }

    /// The platforms that there are, for an error.
    pub(crate) fn platforms(&self) -> String {
        let platforms = self
            .manifests
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref());
        let mut names: Vec<String> = platforms
            .filter(|platform| platform.os != "unknown")
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        names.dedup();
        names.join(", ")
    }
}

impl Descriptor {
    /// Is it a layer that can be unpacked: a tar archive, compressed or not?
    pub(crate) fn is_layer(&self) -> bool {
        matches!(
            self.media_type.as_str(),
            "application/vnd.oci.image.layer.v1.tar"
                | LAYER_GZIP
                | "application/vnd.oci.image.layer.v1.tar+zstd"
                | "application/vnd.docker.image.rootfs.diff.tar"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip"
                | "application/vnd.docker.image.rootfs.diff.tar.zstd"
        )
    }
}
