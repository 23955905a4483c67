//! The bakes that calls fail in: one for each builder, with as many of its calls as one bake can have.

/// A bake, and what it leaves when it succeeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bake {
    pub(crate) name: &'static str,
    pub(crate) builder: &'static str,
    pub(crate) source: &'static str,
    /// The name of the AMIs, and the regions in which there is one then.
    pub(crate) images: (&'static str, &'static [&'static str]),
    /// How many volumes stay.
    pub(crate) volumes: usize,
    /// How many snapshots stay that no AMI has.
    pub(crate) snapshots: usize,
    /// AMIs of the name are there before, and give way.
    pub(crate) replaces: bool,
}

/// The regions of all bakes.
pub(crate) const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

const USUAL: &str = r#"
  region       = "us-east-1"
  ssh_username = "ubuntu"
  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }
"#;

/// A spot instance with a temporary profile; an encrypted AMI and its copy with a key of its own, with everything that an AMI can be
/// given, in the place of AMIs of the same name.
pub(crate) const EVERYTHING: Bake = Bake {
    name: "everything",
    builder: "amazon-ebs",
    source: r#"
  ami_name            = "baked"
  spot_price          = "auto"
  spot_instance_types = ["m5.large", "c5.large"]
  run_tags            = { Team = "web" }
  run_volume_tags     = { Kind = "scratch" }
  spot_tags           = { Kind = "request" }
  fleet_tags          = { Kind = "fleet" }
  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"
    Statement {
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["*"]
    }
  }
  launch_block_device_mappings {
    device_name           = "/dev/sdf"
    volume_size           = 4
    volume_type           = "gp3"
    delete_on_termination = true
  }
  ami_regions        = ["eu-west-1"]
  encrypt_boot       = true
  kms_key_id         = "alias/here"
  region_kms_key_ids = { "eu-west-1" = "alias/west" }
  tags               = { Team = "web" }
  snapshot_tags      = { Kind = "root" }
  ami_description    = "everything"
  ami_users          = ["111122223333"]
  snapshot_users     = ["111122223333"]
  deprecate_at       = "2099-01-02T03:04:00Z"
  deregistration_protection {
    enabled = true
  }
  fast_launch {
    enable_fast_launch    = true
    target_resource_count = 7
    max_parallel_launches = 8
  }
  force_deregister      = true
  force_delete_snapshot = true
"#,
    images: ("baked", &REGIONS),
    volumes: 0,
    snapshots: 0,
    replaces: true,
};

/// An instance on demand that is stopped, and an intermediary AMI: volumes that are encrypted only in the copies.
pub(crate) const INTERMEDIARY: Bake = Bake {
    name: "intermediary",
    builder: "amazon-ebs",
    source: r#"
  ami_name               = "baked"
  instance_type          = "m5.large"
  ena_support            = true
  sriov_support          = true
  ami_regions            = ["eu-west-1"]
  skip_save_build_region = true
  tags                   = { Team = "web" }
  subnet_filter {
    filters   = { "default-for-az" = "true" }
    most_free = true
  }
"#,
    images: ("baked", &["eu-west-1"]),
    volumes: 0,
    snapshots: 0,
    replaces: false,
};

/// An AMI that is registered from snapshots of the instance's second volume.
pub(crate) const SURROGATE: Bake = Bake {
    name: "surrogate",
    builder: "amazon-ebssurrogate",
    source: r#"
  instance_type           = "m5.large"
  ami_name                = "surrogate"
  ami_virtualization_type = "hvm"
  boot_mode               = "uefi"
  tpm_support             = "v2.0"
  tags                    = { Team = "web" }
  snapshot_tags           = { Kind = "root" }
  ami_regions             = ["eu-west-1"]
  launch_block_device_mappings {
    device_name           = "/dev/xvdf"
    volume_size           = 9
    volume_type           = "gp3"
    delete_on_termination = true
  }
  ami_root_device {
    source_device_name    = "/dev/xvdf"
    device_name           = "/dev/xvda"
    delete_on_termination = true
    volume_size           = 10
    volume_type           = "gp3"
  }
"#,
    images: ("surrogate", &REGIONS),
    volumes: 0,
    snapshots: 0,
    replaces: false,
};

/// Two volumes that stay, and a snapshot of a third.
pub(crate) const VOLUMES: Bake = Bake {
    name: "volumes",
    builder: "amazon-ebsvolume",
    source: r#"
  instance_type = "m5.large"
  ebs_volumes {
    device_name           = "/dev/xvdf"
    volume_size           = 2
    volume_type           = "gp3"
    delete_on_termination = false
    tags                  = { Name = "data" }
  }
  ebs_volumes {
    device_name           = "/dev/xvdg"
    volume_size           = 2
    volume_type           = "gp3"
    delete_on_termination = false
    tags                  = { Name = "more" }
  }
  ebs_volumes {
    device_name           = "/dev/xvdh"
    volume_size           = 3
    volume_type           = "gp2"
    delete_on_termination = true
    snapshot_volume       = true
    snapshot_users        = ["111122223333"]
    tags                  = { Name = "saved" }
  }
"#,
    images: ("", &[]),
    volumes: 2,
    snapshots: 1,
    replaces: false,
};

impl Bake {
    /// The template, with these lines more in its source.
    pub(crate) fn template(&self, more: &str) -> String {
        let (builder, source) = (self.builder, self.source);
        format!(
            "source \"{builder}\" \"it\" {{{USUAL}{source}{more}}}\nbuild {{\n  sources = [\"source.{builder}.it\"]\n  \
             provisioner \"shell\" {{\n    inline = [\"true\"]\n  }}\n  post-processor \"manifest\" {{}}\n}}\n"
        )
    }
}
