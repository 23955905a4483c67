//! The well-known base images, by the names and owners that templates look for, and the images that the user named.
//!
//! A well-known image starts from its distribution: this machine's own system directories where they are of it, else what a public
//! registry has of it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::distribution::Distribution;
use crate::ids::ResourceKind;
use crate::machine::RootId;
use crate::moment::Moment;
use crate::state::ACCOUNT;
use crate::state::image::{EVERYONE, Image, ImageRoot, LaunchPermission};
use crate::state::volume::{BlockDevice, EbsDevice};

/// An image that the user named: `-local-image NAME=ROOT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalImage {
    pub(crate) name: String,
    /// What the user wrote, for people.
    pub(crate) source: String,
    pub(crate) root: RootId,
}

/// A distribution: who publishes its images, who logs in, what its disk is.
struct Publisher {
    owner_id: &'static str,
    alias: Option<&'static str>,
    user: &'static str,
    root_device: &'static str,
    volume_type: &'static str,
    /// Its distribution's name in `/etc/os-release`.
    distribution: &'static str,
}

const AMAZON: Publisher = Publisher {
    owner_id: "137112412989",
    alias: Some("amazon"),
    user: "ec2-user",
    root_device: "/dev/xvda",
    volume_type: "gp3",
    distribution: "amzn",
};
const CANONICAL: Publisher = Publisher {
    owner_id: "099720109477",
    alias: Some("amazon"),
    user: "ubuntu",
    root_device: "/dev/sda1",
    volume_type: "gp3",
    distribution: "ubuntu",
};
const DEBIAN: Publisher = Publisher {
    owner_id: "136693071363",
    alias: Some("amazon"),
    user: "admin",
    root_device: "/dev/xvda",
    volume_type: "gp3",
    distribution: "debian",
};

const ROCKY: Publisher = Publisher {
    owner_id: "792107900819",
    alias: None,
    user: "rocky",
    root_device: "/dev/sda1",
    volume_type: "gp3",
    distribution: "rocky",
};
const ALMA: Publisher = Publisher {
    owner_id: "764336703387",
    alias: None,
    user: "ec2-user",
    root_device: "/dev/sda1",
    volume_type: "gp3",
    distribution: "almalinux",
};
const RED_HAT: Publisher = Publisher {
    owner_id: "309956199498",
    alias: Some("amazon"),
    user: "ec2-user",
    root_device: "/dev/sda1",
    volume_type: "gp3",
    distribution: "rhel",
};

/// A series of images: a name in which `{arch}` and `{build}` vary. Builds are in order of time, each with its date in it.
struct Series {
    publisher: &'static Publisher,
    release: &'static str,
    name: &'static str,
    description: &'static str,
    architectures: [(&'static str, &'static str); 2],
    builds: &'static [&'static str],
}

/// How the publishers spell the two architectures in names, and what the API calls them.
const KERNEL_NAMES: [(&str, &str); 2] = [("x86_64", "x86_64"), ("arm64", "arm64")];
const DEBIAN_NAMES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "arm64")];
const RPM_NAMES: [(&str, &str); 2] = [("x86_64", "x86_64"), ("aarch64", "arm64")];

const AL2_BUILDS: &[&str] = &["20260413.0", "20260512.1", "20260608.0"];
const AL2023_BUILDS: &[&str] = &["9.20260916.0", "9.20261014.1", "9.20261104.0"];
const UBUNTU_BUILDS: &[&str] = &["20260911", "20261009", "20261106"];
const DEBIAN_BUILDS: &[&str] = &["20260907-2227", "20261005-2255", "20261102-2283"];
const ROCKY_BUILDS: &[&str] = &["20260609.0", "20260804.0", "20261020.0"];
const RED_HAT_BUILDS: &[&str] = &["20260609", "20260804", "20261020"];

#[rustfmt::skip]
const SERIES: &[Series] = &[
    Series { publisher: &AMAZON, release: "2", name: "amzn2-ami-hvm-2.0.{build}-{arch}-gp2", description: "Amazon Linux 2 AMI 2.0.{build} {arch} HVM gp2", architectures: KERNEL_NAMES, builds: AL2_BUILDS },
    Series { publisher: &AMAZON, release: "2", name: "amzn2-ami-kernel-5.10-hvm-2.0.{build}-{arch}-gp2", description: "Amazon Linux 2 Kernel 5.10 AMI 2.0.{build} {arch} HVM gp2", architectures: KERNEL_NAMES, builds: AL2_BUILDS },
    Series { publisher: &AMAZON, release: "2023", name: "al2023-ami-2023.{build}-kernel-6.1-{arch}", description: "Amazon Linux 2023 AMI 2023.{build} {arch} HVM kernel-6.1", architectures: KERNEL_NAMES, builds: AL2023_BUILDS },
    Series { publisher: &AMAZON, release: "2023", name: "al2023-ami-2023.{build}-kernel-6.12-{arch}", description: "Amazon Linux 2023 AMI 2023.{build} {arch} HVM kernel-6.12", architectures: KERNEL_NAMES, builds: AL2023_BUILDS },
    Series { publisher: &AMAZON, release: "2023", name: "al2023-ami-minimal-2023.{build}-kernel-6.1-{arch}", description: "Amazon Linux 2023 AMI 2023.{build} {arch} Minimal HVM kernel-6.1", architectures: KERNEL_NAMES, builds: AL2023_BUILDS },
    Series { publisher: &CANONICAL, release: "16.04", name: "ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-{arch}-server-{build}", description: "Canonical, Ubuntu, 16.04 LTS, {arch} xenial image build on {build}", architectures: DEBIAN_NAMES, builds: UBUNTU_BUILDS },
    Series { publisher: &CANONICAL, release: "18.04", name: "ubuntu/images/hvm-ssd/ubuntu-bionic-18.04-{arch}-server-{build}", description: "Canonical, Ubuntu, 18.04 LTS, {arch} bionic image build on {build}", architectures: DEBIAN_NAMES, builds: UBUNTU_BUILDS },
    Series { publisher: &CANONICAL, release: "20.04", name: "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-{arch}-server-{build}", description: "Canonical, Ubuntu, 20.04 LTS, {arch} focal image build on {build}", architectures: DEBIAN_NAMES, builds: UBUNTU_BUILDS },
    Series { publisher: &CANONICAL, release: "22.04", name: "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{arch}-server-{build}", description: "Canonical, Ubuntu, 22.04 LTS, {arch} jammy image build on {build}", architectures: DEBIAN_NAMES, builds: UBUNTU_BUILDS },
    Series { publisher: &CANONICAL, release: "24.04", name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-{build}", description: "Canonical, Ubuntu, 24.04, {arch} noble image", architectures: DEBIAN_NAMES, builds: UBUNTU_BUILDS },
    Series { publisher: &CANONICAL, release: "26.04", name: "ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-{arch}-server-{build}", description: "Canonical, Ubuntu, 26.04, {arch} resolute image", architectures: DEBIAN_NAMES, builds: UBUNTU_BUILDS },
    Series { publisher: &DEBIAN, release: "11", name: "debian-11-{arch}-{build}", description: "Debian 11 ({build})", architectures: DEBIAN_NAMES, builds: DEBIAN_BUILDS },
    Series { publisher: &DEBIAN, release: "12", name: "debian-12-{arch}-{build}", description: "Debian 12 ({build})", architectures: DEBIAN_NAMES, builds: DEBIAN_BUILDS },
    Series { publisher: &DEBIAN, release: "13", name: "debian-13-{arch}-{build}", description: "Debian 13 ({build})", architectures: DEBIAN_NAMES, builds: DEBIAN_BUILDS },
    Series { publisher: &ROCKY, release: "8", name: "Rocky-8-EC2-Base-8.10-{build}.{arch}", description: "Rocky-8-EC2-Base-8.10-{build}.{arch}", architectures: RPM_NAMES, builds: ROCKY_BUILDS },
    Series { publisher: &ROCKY, release: "9", name: "Rocky-9-EC2-Base-9.6-{build}.{arch}", description: "Rocky-9-EC2-Base-9.6-{build}.{arch}", architectures: RPM_NAMES, builds: ROCKY_BUILDS },
    Series { publisher: &ALMA, release: "8", name: "AlmaLinux OS 8.10.{build} {arch}", description: "Official AlmaLinux OS 8.10 {arch} image", architectures: RPM_NAMES, builds: RED_HAT_BUILDS },
    Series { publisher: &ALMA, release: "9", name: "AlmaLinux OS 9.6.{build} {arch}", description: "Official AlmaLinux OS 9.6 {arch} image", architectures: RPM_NAMES, builds: RED_HAT_BUILDS },
    Series { publisher: &RED_HAT, release: "8", name: "RHEL-8.10.0_HVM-{build}-{arch}-0-Hourly2-GP3", description: "Provided by Red Hat, Inc.", architectures: KERNEL_NAMES, builds: RED_HAT_BUILDS },
    Series { publisher: &RED_HAT, release: "9", name: "RHEL-9.6.0_HVM-{build}-{arch}-0-Hourly2-GP3", description: "Provided by Red Hat, Inc.", architectures: KERNEL_NAMES, builds: RED_HAT_BUILDS },
];

/// The size of every base image's root volume, in GiB.
const ROOT_SIZE_GIB: u32 = 8;
/// How long after its making a well-known image is deprecated, as its publishers do it: two years.
const DEPRECATED_AFTER: Duration = Duration::from_hours(2 * 365 * 24);

/// Returns the login users of images of unknown origin.
pub(crate) fn custom_users() -> Vec<String> {
    ["ec2-user", "ubuntu", "admin", "root"].map(str::to_owned).to_vec()
}

/// Returns a region's well-known images and the images that the user named.
pub(crate) fn images(region: &str, local: &[LocalImage]) -> Vec<Image> {
    let mut images: Vec<Image> = local.iter().map(|image| local_image(region, image)).collect();
    for series in SERIES {
        for (spelling, architecture) in series.architectures {
            for build in series.builds {
                images.push(series.image(region, spelling, architecture, build));
            }
        }
    }
    images
}

impl Series {
    fn image(&self, region: &str, spelling: &str, architecture: &str, build: &str) -> Image {
        let fill = |text: &str| text.replace("{arch}", spelling).replace("{build}", build);
        let name = fill(self.name);
        // A filter without an architecture finds the usual one: of one build it is the newest.
        let created = match architecture {
            "x86_64" => build_date(build).plus(Duration::from_mins(1)),
            _ => build_date(build),
        };
        let publisher = self.publisher;
        let volume_type = if name.ends_with("gp2") || name.contains("/hvm-ssd/") {
            "gp2"
        } else {
            publisher.volume_type
        };
        Image {
            id: ResourceKind::Image.stable_id(&format!("{region}/{name}")),
            description: fill(self.description),
            owner_id: publisher.owner_id.to_owned(),
            owner_alias: publisher.alias.map(str::to_owned),
            architecture: architecture.to_owned(),
            created,
            available: created,
            root: ImageRoot::Distribution(Distribution::new(publisher.distribution, self.release)),
            root_device: publisher.root_device.to_owned(),
            block_devices: vec![root_device(region, &name, publisher.root_device, volume_type)],
            boot_mode: Some(
                if architecture == "arm64" {
                    "uefi"
                } else {
                    "uefi-preferred"
                }
                .to_owned(),
            ),
            tpm_support: None,
            imds_support: name.starts_with("al2023").then(|| "v2.0".to_owned()),
            uefi_data: None,
            ena_support: true,
            sriov_support: true,
            login_users: vec![publisher.user.to_owned()],
            launch_permission: BTreeSet::from([LaunchPermission::Group(EVERYONE.to_owned())]),
            deprecated: Some(created.plus(DEPRECATED_AFTER)),
            deregistration_protection: false,
            source_instance_id: None,
            source_image_id: None,
            source_image_region: None,
            name,
        }
    }
}

/// Returns the image that `-local-image NAME=ROOT` stands for. A name in the form of an id is the id.
fn local_image(region: &str, local: &LocalImage) -> Image {
    let is_id = local.name.starts_with("ami-");
    let id = if is_id {
        local.name.clone()
    } else {
        ResourceKind::Image.stable_id(&format!("local/{}", local.name))
    };
    let created = build_date("20260101");
    Image {
        id,
        name: local.name.clone(),
        description: local.source.clone(),
        owner_id: ACCOUNT.to_owned(),
        owner_alias: None,
        architecture: if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x86_64"
        }
        .to_owned(),
        created,
        available: created,
        root: ImageRoot::Baked(local.root.clone()),
        root_device: "/dev/xvda".to_owned(),
        block_devices: vec![root_device(region, &local.name, "/dev/xvda", "gp3")],
        boot_mode: None,
        tpm_support: None,
        imds_support: None,
        uefi_data: None,
        ena_support: true,
        sriov_support: true,
        login_users: custom_users(),
        launch_permission: BTreeSet::new(),
        deprecated: None,
        deregistration_protection: false,
        source_instance_id: None,
        source_image_id: None,
        source_image_region: None,
    }
}

fn root_device(region: &str, name: &str, device: &str, volume_type: &str) -> BlockDevice {
    let gp3 = volume_type == "gp3";
    BlockDevice {
        device: device.to_owned(),
        virtual_name: None,
        ebs: Some(EbsDevice {
            snapshot_id: Some(ResourceKind::Snapshot.stable_id(&format!("{region}/{name}"))),
            size_gib: ROOT_SIZE_GIB,
            volume_type: volume_type.to_owned(),
            iops: gp3.then_some(3000),
            throughput: gp3.then_some(125),
            encrypted: false,
            kms_key_id: None,
            delete_on_termination: true,
        }),
    }
}

/// Returns the instant of a build: ten o'clock of the date in it.
fn build_date(build: &str) -> Moment {
    let date = build
        .split(['.', '-', ' '])
        .find(|part| part.len() == 8)
        .unwrap_or("20260101");
    let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or("01");
    let text = format!("{}-{}-{}T10:00:00Z", part(0..4), part(4..6), part(6..8));
    Moment::parse(&text).unwrap_or_else(Moment::now)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::pattern::matches;

    #[test]
    fn names_and_ids_are_unique_and_stable() {
        let images = super::images("us-east-1", &[]);
        assert_eq!(
            images.iter().map(|image| &image.id).collect::<HashSet<_>>().len(),
            images.len()
        );
        assert_eq!(
            images.iter().map(|image| &image.name).collect::<HashSet<_>>().len(),
            images.len()
        );
        assert_eq!(images, super::images("us-east-1", &[]));
        assert_ne!(images[0].id, super::images("eu-west-1", &[])[0].id);
        assert!(images.iter().all(|image| image.created < Moment::now()));
    }

    #[test]
    fn patterns_of_common_templates_find_images() {
        let images = super::images("us-east-1", &[]);
        for (pattern, user) in [
            ("al2023-ami-*-x86_64", "ec2-user"),
            ("al2023-ami-2023.*-kernel-6.1-x86_64", "ec2-user"),
            ("amzn2-ami-hvm-*-x86_64-gp2", "ec2-user"),
            ("amzn2-ami-hvm*", "ec2-user"),
            ("ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*", "ubuntu"),
            ("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*", "ubuntu"),
            ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-*", "ubuntu"),
            ("debian-12-amd64-*", "admin"),
            ("Rocky-9-EC2-Base-9.*.x86_64", "rocky"),
            ("AlmaLinux OS 9.*x86_64", "ec2-user"),
            ("RHEL-9.*_HVM-*-x86_64-*-Hourly2-GP3", "ec2-user"),
        ] {
            let found: Vec<&Image> = images.iter().filter(|image| matches(pattern, &image.name)).collect();
            assert!(found.len() >= 3, "{pattern}");
            assert!(found.iter().all(|image| image.login_users == [user]), "{pattern}");
            assert!(
                found.windows(2).any(|pair| pair[0].created != pair[1].created),
                "{pattern}"
            );
        }
    }

    #[test]
    fn every_well_known_image_has_a_distribution_that_can_be_pulled() {
        for image in super::images("us-east-1", &[]) {
            let ImageRoot::Distribution(distribution) = &image.root else {
                panic!("{}", image.name);
            };
            assert!(distribution.image().is_some(), "{}", image.name);
        }
    }

    #[test]
    fn local_images_take_an_id_for_a_name() {
        let local = |name: &str| LocalImage {
            name: name.to_owned(),
            source: "dir:/roots/x".to_owned(),
            root: RootId("directory-x".to_owned()),
        };
        let images = super::images("us-east-1", &[local("base"), local("ami-0c55b159cbfafe1f0")]);
        assert_eq!(images[1].id, "ami-0c55b159cbfafe1f0");
        assert_eq!(images[0].id, ResourceKind::Image.stable_id("local/base"));
        assert_eq!(images[0].root, ImageRoot::Baked(RootId("directory-x".to_owned())));
    }
}
