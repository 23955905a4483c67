//! Ids: what each kind of resource is called, how a fresh id is made, and when a given one is malformed.

use rsa::rand_core::{OsRng, RngCore as _};
use sha2::{Digest as _, Sha256};

use crate::api_error::ApiError;

/// A kind of resource that has ids with a prefix of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourceKind {
    Instance,
    Image,
    Snapshot,
    Volume,
    KeyPair,
    SecurityGroup,
    SecurityGroupRule,
    NetworkInterface,
    Subnet,
    Vpc,
    LaunchTemplate,
    Fleet,
    SpotRequest,
}

/// One row per kind: id prefix, type name in tags, words for messages, codes for malformed and for unknown ids.
struct Row(
    ResourceKind,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const KINDS: &[Row] = &[
    Row(ResourceKind::Instance, "i", "instance", "instance ID", "InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound"),
    Row(ResourceKind::Image, "ami", "image", "image ID", "InvalidAMIID.Malformed", "InvalidAMIID.NotFound"),
    Row(ResourceKind::Snapshot, "snap", "snapshot", "snapshot", "InvalidSnapshotID.Malformed", "InvalidSnapshot.NotFound"),
    Row(ResourceKind::Volume, "vol", "volume", "volume", "InvalidVolumeID.Malformed", "InvalidVolume.NotFound"),
    Row(ResourceKind::KeyPair, "key", "key-pair", "key pair ID", "InvalidKeyPair.Malformed", "InvalidKeyPair.NotFound"),
    Row(ResourceKind::SecurityGroup, "sg", "security-group", "security group", "InvalidGroupId.Malformed", "InvalidGroup.NotFound"),
    Row(ResourceKind::SecurityGroupRule, "sgr", "security-group-rule", "security group rule ID", "InvalidSecurityGroupRuleId.Malformed", "InvalidSecurityGroupRuleId.NotFound"),
    Row(ResourceKind::NetworkInterface, "eni", "network-interface", "networkInterface ID", "InvalidNetworkInterfaceId.Malformed", "InvalidNetworkInterfaceID.NotFound"),
    Row(ResourceKind::Subnet, "subnet", "subnet", "subnet ID", "InvalidSubnetID.Malformed", "InvalidSubnetID.NotFound"),
    Row(ResourceKind::Vpc, "vpc", "vpc", "vpc ID", "InvalidVpcID.Malformed", "InvalidVpcID.NotFound"),
    Row(ResourceKind::LaunchTemplate, "lt", "launch-template", "launch template ID", "InvalidLaunchTemplateId.Malformed", "InvalidLaunchTemplateId.NotFound"),
    Row(ResourceKind::Fleet, "fleet", "fleet", "fleet ID", "InvalidFleetId.Malformed", "InvalidFleetId.NotFound"),
    Row(ResourceKind::SpotRequest, "sir", "spot-instances-request", "spot instance request ID", "InvalidSpotInstanceRequestID.Malformed", "InvalidSpotInstanceRequestID.NotFound"),
];

/// Hexadecimal digits after the prefix of an id; EC2 made shorter ones (8) until 2018, which stay valid.
const ID_DIGITS: usize = 17;
const OLD_ID_DIGITS: usize = 8;

impl ResourceKind {
    fn row(self) -> &'static Row {
        KINDS.iter().find(|row| row.0 == self).unwrap_or(&KINDS[0])
    }

    /// Returns the kind that an id's prefix names.
    pub(crate) fn of(id: &str) -> Option<ResourceKind> {
        let (prefix, _) = id.rsplit_once('-')?;
        KINDS.iter().find(|row| row.1 == prefix).map(|row| row.0)
    }

    /// Returns the kind of that name in tag specifications and `resource-type` filters.
    pub(crate) fn named(name: &str) -> Option<ResourceKind> {
        KINDS.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    pub(crate) fn prefix(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn tag_name(self) -> &'static str {
        self.row().2
    }

    pub(crate) fn words(self) -> &'static str {
        self.row().3
    }

    pub(crate) fn malformed_code(self) -> &'static str {
        self.row().4
    }

    pub(crate) fn not_found_code(self) -> &'static str {
        self.row().5
    }

    /// Returns a fresh random id.
    pub(crate) fn new_id(self) -> String {
        format!("{}-{}", self.prefix(), random_hex(ID_DIGITS))
    }

    /// Returns the id that belongs to `seed` forever: catalogue images and default networks keep theirs over restarts.
    pub(crate) fn stable_id(self, seed: &str) -> String {
        let digest = hex::encode(Sha256::digest(format!("{}\n{seed}", self.prefix())));
        format!("{}-{}", self.prefix(), digest.get(..ID_DIGITS).unwrap_or(&digest))
    }

    /// Checks that an id has this kind's form.
    pub(crate) fn check(self, id: &str) -> Result<(), ApiError> {
        let digits = id
            .strip_prefix(self.prefix())
            .and_then(|rest| rest.strip_prefix('-'))
            .unwrap_or("");
        let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && matches!(digits.len(), ID_DIGITS | OLD_ID_DIGITS) {
            Ok(())
        } else {
            Err(ApiError::malformed(self, id))
        }
    }
}

/// Returns `digits` random hexadecimal digits from the operating system's generator.
pub(crate) fn random_hex(digits: usize) -> String {
    let mut bytes = vec![0; digits.div_ceil(2)];
    OsRng.fill_bytes(&mut bytes);
    let mut text = hex::encode(bytes);
    text.truncate(digits);
    text
}

/// Returns a random id in the form of a UUID, as request ids have it.
pub(crate) fn request_id() -> String {
    let digits = random_hex(32);
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// Returns the error for an id that leads nowhere: malformed, or unknown.
pub(crate) fn absent(kind: ResourceKind, id: &str) -> ApiError {
    match kind.check(id) {
        Ok(()) => ApiError::not_found(kind, id),
        Err(malformed) => malformed,
    }
}

/// Returns the error for a key pair name that leads nowhere.
pub(crate) fn unknown_key_pair(name: &str) -> ApiError {
    ApiError::new(
        ResourceKind::KeyPair.not_found_code(),
        format!("The key pair '{name}' does not exist"),
    )
}

impl ApiError {
    pub(crate) fn not_found(kind: ResourceKind, id: &str) -> ApiError {
        ApiError::new(
            kind.not_found_code(),
            format!("The {} '{id}' does not exist", kind.words()),
        )
    }

    pub(crate) fn malformed(kind: ResourceKind, id: &str) -> ApiError {
        ApiError::new(
            kind.malformed_code(),
            format!("Invalid id: \"{id}\" (expecting \"{}-...\")", kind.prefix()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_have_their_own_form_and_differ() {
        for Row(kind, prefix, ..) in KINDS {
            let id = kind.new_id();
            assert_eq!(kind.check(&id), Ok(()));
            assert_eq!(ResourceKind::of(&id), Some(*kind), "{prefix}");
            assert_ne!(id, kind.new_id());
        }
    }

    #[test]
    fn stable_ids_depend_on_kind_and_seed_only() {
        let id = ResourceKind::Image.stable_id("us-east-1/debian");
        assert_eq!(id, ResourceKind::Image.stable_id("us-east-1/debian"));
        assert_ne!(id, ResourceKind::Image.stable_id("us-east-2/debian"));
        assert_eq!(ResourceKind::Image.check(&id), Ok(()));
    }

    #[test]
    fn malformed_ids_get_the_code_of_their_kind() {
        for id in [
            "",
            "ami",
            "ami-",
            "ami-xyz",
            "i-0123456789abcdef0",
            "ami-0123456789abcdef00",
            "AMI-12345678",
        ] {
            let error = ResourceKind::Image.check(id).unwrap_err();
            assert_eq!(error.code, "InvalidAMIID.Malformed", "{id}");
        }
        assert_eq!(ResourceKind::Image.check("ami-12345678"), Ok(()));
    }
}
