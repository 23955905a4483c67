//! `encrypt_boot`: the volumes are encrypted at launch wherever that saves an encrypted copy of the AMI.

use aws_sdk_ec2::types::{BlockDeviceMapping, EbsBlockDevice, Image};

use super::options::ImageOptions;

/// Families of instance types that cannot have encrypted volumes (EBS encryption, EC2 user guide).
const WITHOUT_ENCRYPTION: [&str; 6] = ["c1", "cc1", "cc2", "m1", "m2", "t1"];

/// Whether the instance's volumes can be encrypted instead of a copy of the AMI: the AMI stays in the build region, and gets no devices
/// of its own.
pub(crate) fn is_at_launch(options: &ImageOptions, instance_types: &[String]) -> bool {
    let mut families = instance_types
        .iter()
        .map(|name| name.split('.').next().unwrap_or_default());
    options.encrypt_boot == Some(true)
        && !options.skip_save_build_region
        && options.ami_block_device_mappings.is_empty()
        && !families.any(|family| WITHOUT_ENCRYPTION.contains(&family))
}

/// The devices of the launch, with all EBS volumes encrypted: those of the template and those of the source AMI.
pub(crate) fn encrypted(
    devices: Vec<BlockDeviceMapping>,
    source: &Image,
    key: Option<&str>,
) -> Vec<BlockDeviceMapping> {
    let mut all = devices;
    for mapping in source.block_device_mappings() {
        let (Some(ebs), name) = (mapping.ebs(), mapping.device_name()) else {
            continue;
        };
        if !all.iter().any(|device| device.device_name() == name) {
            let ebs = EbsBlockDevice::builder().set_volume_size(ebs.volume_size()).build();
            let device = BlockDeviceMapping::builder().set_device_name(name.map(str::to_owned));
            all.push(device.ebs(ebs).build());
        }
    }
    for ebs in all.iter_mut().filter_map(|device| device.ebs.as_mut()) {
        ebs.encrypted = Some(true);
        ebs.kms_key_id = key.map(str::to_owned);
    }
    all
}

/// Whether a text has one of the forms that name a KMS key: a key's id or ARN, an alias or its ARN.
pub(crate) fn is_key(text: &str) -> bool {
    match text.strip_prefix("arn:") {
        Some(arn) => is_arn(arn),
        None => is_id(text) || is_alias(text),
    }
}

fn is_id(text: &str) -> bool {
    let id = text.strip_prefix("mrk-").unwrap_or(text);
    let is_hex = |letter: char| letter.is_ascii_digit() || ('a'..='f').contains(&letter);
    id.len() > 1 && id.starts_with(is_hex) && id.chars().all(|letter| is_hex(letter) || letter == '-')
}

fn is_alias(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ":/_-".contains(letter);
    text.strip_prefix("alias/")
        .is_some_and(|name| !name.is_empty() && name.chars().all(allowed))
}

/// `PARTITION:kms:REGION:ACCOUNT:KEY`.
fn is_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(5, ':').collect();
    let [partition, "kms", region, account, key] = parts[..] else {
        return false;
    };
    is_partition(partition)
        && region
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
        && account.len() == 12
        && account.chars().all(|digit| digit.is_ascii_digit())
        && (key.strip_prefix("key/").is_some_and(is_id) || is_alias(key))
}

/// `aws`, or `aws-` and a name of at least two lower-case letters that is not `gov` alone: `aws-cn`, `aws-us-gov`, `aws-iso-b`, `aws-eusc`.
fn is_partition(text: &str) -> bool {
    let Some(name) = text.strip_prefix("aws") else {
        return false;
    };
    let parts = name.strip_prefix('-').map(|name| name.split('-').collect::<Vec<_>>());
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase());
    match parts.as_deref() {
        None => name.is_empty(),
        Some([first, rest @ ..]) => *first != "gov" && first.len() > 1 && is_word(first) && rest.iter().all(is_word),
        Some([]) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_known_forms() {
        for key in [
            "12345678-1234-abcd-0000-123456789012",
            "mrk-1234abcd",
            "alias/my/key_1",
            "arn:aws:kms:us-east-1:123456789012:key/12345678-1234",
            "arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/x",
            "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-12ab",
            "arn:aws-iso-b:kms:us-isob-east-1:123456789012:key/12ab",
            "arn:aws-eusc:kms:eusc-de-east-1:123456789012:key/12ab",
        ] {
            assert!(is_key(key), "{key}");
        }
        for text in [
            "nope",
            "1",
            "-12",
            "12AB",
            "alias/",
            "arn:aws-gov:kms:us-east-1:123456789012:key/12ab",
            "arn:aws:kms:us-east-1:1234:key/12ab",
            "arn:aws:s3:us-east-1:123456789012:key/12ab",
            "arn:aws:kms:us-east-1:123456789012:12ab",
            "",
        ] {
            assert!(!is_key(text), "{text}");
        }
    }

    #[test]
    fn all_volumes_of_the_launch_are_encrypted() {
        let volume = |name: &str| {
            let ebs = EbsBlockDevice::builder().encrypted(false).volume_size(5).build();
            BlockDeviceMapping::builder().device_name(name).ebs(ebs).build()
        };
        let without = BlockDeviceMapping::builder()
            .device_name("/dev/sdz")
            .no_device("")
            .build();
        let source = Image::builder()
            .block_device_mappings(volume("/dev/xvda"))
            .block_device_mappings(volume("/dev/sdz"))
            .build();
        let devices = encrypted(vec![volume("/dev/sdf"), without.clone()], &source, Some("alias/k"));
        let names: Vec<_> = devices.iter().filter_map(|device| device.device_name()).collect();
        assert_eq!(names, ["/dev/sdf", "/dev/sdz", "/dev/xvda"]);
        assert_eq!(devices[1], without);
        for device in [&devices[0], &devices[2]] {
            let ebs = device.ebs().unwrap();
            assert_eq!((ebs.encrypted(), ebs.kms_key_id()), (Some(true), Some("alias/k")));
        }
        assert_eq!(devices[2].ebs().unwrap().volume_size(), Some(5));
    }
}
