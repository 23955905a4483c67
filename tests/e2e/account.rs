//! What a bake does to the account: whole bakes on the local cloud, and the state that they leave there, as the AWS CLI reads it.

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::inventory::{self, Inventory};
use bakelite_test_support::test_context;

/// An account on a local cloud.
struct Account {
    cloud: Cloud,
    context: TestContext,
    before: Inventory,
}

impl Account {
    fn with(flags: &[&str]) -> Account {
        let context = test_context!();
        let flags: Vec<&str> = ["-ssh-port", "0"].iter().chain(flags).copied().collect();
        let cloud = Cloud::local(&context, &flags);
        let context = context.on(&cloud);
        let before = Inventory::of(&cloud.endpoint);
        Account { cloud, context, before }
    }

    /// Bakes with these lines in an amazon-ebs source.
    fn bake(&self, source: &str) -> Ran {
        self.bake_by("amazon-ebs", &format!("ami_name = \"baked\"\n{source}"))
    }

    fn bake_by(&self, builder: &str, source: &str) -> Ran {
        self.context.template(&format!(
            r#"
            source "{builder}" "it" {{
              region        = "us-east-1"
              ssh_username  = "ubuntu"
              source_ami_filter {{
                filters     = {{ name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }}
                owners      = ["099720109477"]
                most_recent = true
              }}
              {source}
            }}
            build {{ sources = ["source.{builder}.it"] }}
            "#
        ));
        self.context.run(["build", "t.pkr.hcl"])
    }

    /// What a question of EC2 answers in a region, as words separated by spaces, in order.
    fn ec2(&self, region: &str, question: &[&str], query: &str) -> String {
        self.aws(region, &[&["ec2"], question].concat(), query)
    }

    fn aws(&self, region: &str, question: &[&str], query: &str) -> String {
        let mut command = inventory::aws(&self.cloud.endpoint);
        command.args(["--region", region, "--output", "text", "--query", query]);
        let answer = Ran::of(command.args(question)).succeeds();
        answer.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The one image of this account in a region.
    fn image(&self, region: &str) -> String {
        let id = self.ec2(region, &["describe-images", "--owners", "self"], "Images[].ImageId");
        assert!(id.starts_with("ami-") && !id.contains(' '), "{region}: `{id}`");
        id
    }

    /// What the image of a region has.
    fn of_image(&self, region: &str, query: &str) -> String {
        self.ec2(
            region,
            &["describe-images", "--owners", "self"],
            &format!("Images[].{query}"),
        )
    }

    /// Checks that nothing temporary is left of any kind, in no region.
    fn is_clean(&self) {
        assert_eq!(
            Inventory::of(&self.cloud.endpoint).temporary(),
            self.before.clone().temporary()
        );
        let templates = self.ec2(
            "us-east-1",
            &["describe-launch-templates"],
            "LaunchTemplates[].LaunchTemplateId",
        );
        let profiles = self.aws(
            "us-east-1",
            &["iam", "list-instance-profiles"],
            "InstanceProfiles[].InstanceProfileName",
        );
        let roles = self.aws("us-east-1", &["iam", "list-roles"], "Roles[].RoleName");
        assert_eq!((templates.as_str(), profiles.as_str(), roles.as_str()), ("", "", ""));
        assert_eq!(self.context.journals(), Vec::<std::path::PathBuf>::new());
    }

    /// Snapshots of a region that no image has.
    fn loose_snapshots(&self, region: &str) -> Vec<String> {
        let used = self.of_image(region, "BlockDeviceMappings[].Ebs.SnapshotId");
        let all = self.ec2(
            region,
            &["describe-snapshots", "--owner-ids", "self"],
            "Snapshots[].SnapshotId",
        );
        let loose = all.split(' ').filter(|id| !id.is_empty() && !used.contains(id));
        loose.map(str::to_owned).collect()
    }
}

const ON_DEMAND: &str = "instance_type = \"m5.large\"\n";

#[test]
fn two_further_regions_have_keys_of_their_own() {
    let account = Account::with(&[]);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        ami_regions        = ["eu-west-1", "ap-south-1"]
        encrypt_boot       = true
        kms_key_id         = "alias/here"
        region_kms_key_ids = {{ "eu-west-1" = "alias/west", "ap-south-1" = "alias/south" }}
        tags               = {{ Team = "web" }}
        snapshot_tags      = {{ Kind = "root" }}
        "#
    ));
    let output = output.succeeds();
    for (region, key) in [
        ("us-east-1", "alias/here"),
        ("eu-west-1", "alias/west"),
        ("ap-south-1", "alias/south"),
    ] {
        assert!(
            output.contains(&format!("{region}: {}", account.image(region))),
            "{output}"
        );
        let device = account.of_image(region, "BlockDeviceMappings[].Ebs.Encrypted");
        let tags = account.of_image(region, "Tags[?Key=='Team'].Value[]");
        let snapshots = account.ec2(
            region,
            &["describe-snapshots", "--owner-ids", "self"],
            "Snapshots[].[Encrypted, KmsKeyId, Tags[?Key=='Kind'].Value | [0]]",
        );
        assert_eq!(
            (device.as_str(), tags.as_str(), snapshots.as_str()),
            ("True", "web", format!("True {key} root").as_str()),
            "{region}"
        );
    }
    account.is_clean();
}

#[test]
fn a_spot_instance_is_of_the_first_type_that_is_there() {
    let account = Account::with(&["-no-capacity", "m5.large,c5.large"]);
    let output = account.bake(
        r#"
        spot_price          = "auto"
        spot_instance_types = ["m5.large", "c5.large", "m4.large"]
        run_tags            = { Team = "web" }
        spot_tags           = { Kind = "request" }
        fleet_tags          = { Kind = "fleet" }
        "#,
    );
    let _ = output.succeeds();
    let launched = account.ec2(
        "us-east-1",
        &["describe-instances"],
        "Reservations[].Instances[].[InstanceType, InstanceLifecycle, State.Name, Tags[?Key=='Team'].Value | [0]]",
    );
    assert_eq!(launched, "m4.large spot terminated web");
    let _ = account.image("us-east-1");
    account.is_clean();
}

#[test]
fn a_fleet_without_capacity_names_each_pool() {
    let account = Account::with(&["-no-capacity", "m5.large,m4.large"]);
    let output = account.bake("spot_price = \"auto\"\nspot_instance_types = [\"m5.large\", \"m4.large\"]");
    let output = output.fails_with(1);
    for pool in ["m5.large", "m4.large"] {
        assert!(
            output.contains(&format!("- {pool}: InsufficientInstanceCapacity")),
            "{output}"
        );
    }
    account.is_clean();
}

#[test]
fn zones_without_capacity_are_passed_over() {
    let account = Account::with(&["-no-capacity", "us-east-1a,us-east-1b"]);
    let output = account.bake(&format!(
        "{ON_DEMAND}\nsubnet_filter {{\n filters = {{ \"default-for-az\" = \"true\" }}\n most_free = true\n}}"
    ));
    let output = output.succeeds();
    let zone = account.ec2(
        "us-east-1",
        &["describe-instances"],
        "Reservations[].Instances[].Placement.AvailabilityZone",
    );
    assert_eq!(zone, "us-east-1c", "{output}");
    account.is_clean();
}

#[test]
fn an_unencrypted_source_becomes_an_encrypted_image() {
    let account = Account::with(&[]);
    let _ = account.bake(&format!("{ON_DEMAND}\nencrypt_boot = true")).succeeds();
    let devices = account.of_image("us-east-1", "BlockDeviceMappings[].Ebs.[DeviceName, Encrypted]");
    assert_eq!(devices, "None True");
    assert_eq!(account.loose_snapshots("us-east-1"), Vec::<String>::new());
    account.is_clean();
}

#[test]
fn an_image_is_shared_with_all_that_are_named() {
    let account = Account::with(&[]);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        ami_users      = ["111122223333", "444455556666"]
        ami_org_arns   = ["arn:aws:organizations::111122223333:organization/o-1234567890"]
        ami_ou_arns    = ["arn:aws:organizations::111122223333:ou/o-1234567890/ou-1234-12345678"]
        snapshot_users = ["111122223333"]
        ami_regions    = ["eu-west-1"]
        "#
    ));
    let _ = output.succeeds();
    for region in ["us-east-1", "eu-west-1"] {
        let image = account.image(region);
        let permissions = account.ec2(
            region,
            &[
                "describe-image-attribute",
                "--image-id",
                &image,
                "--attribute",
                "launchPermission",
            ],
            "LaunchPermissions[].[UserId || OrganizationArn || OrganizationalUnitArn]",
        );
        assert_eq!(
            permissions,
            "111122223333 444455556666 arn:aws:organizations::111122223333:organization/o-1234567890 \
             arn:aws:organizations::111122223333:ou/o-1234567890/ou-1234-12345678",
            "{region}"
        );
        let snapshot = account.of_image(region, "BlockDeviceMappings[0].Ebs.SnapshotId");
        let attribute = [
            "describe-snapshot-attribute",
            "--snapshot-id",
            &snapshot,
            "--attribute",
            "createVolumePermission",
        ];
        let users = account.ec2(region, &attribute, "CreateVolumePermissions[].UserId");
        assert_eq!(users, "111122223333", "{region}");
    }
    account.is_clean();
}

#[test]
fn tags_of_blocks_and_maps_are_on_the_image_and_its_snapshots() {
    let account = Account::with(&[]);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        tags          = {{ Team = "web", Both = "image" }}
        snapshot_tags = {{ Both = "snapshot" }}
        tag {{
          key   = "Owner"
          value = "{{{{ .SourceAMIOwner }}}}"
        }}
        snapshot_tag {{
          key   = "Disk"
          value = "{{{{ .BuildRegion }}}}"
        }}
        "#
    ));
    let _ = output.succeeds();
    let tags = "sort_by(Tags[?!starts_with(Key, 'bakelite')], &Key)[].[Key, Value][]";
    assert_eq!(
        account.of_image("us-east-1", tags),
        "Both image Owner 099720109477 Team web"
    );
    let snapshots = account.ec2(
        "us-east-1",
        &["describe-snapshots", "--owner-ids", "self"],
        &format!("Snapshots[].{tags}"),
    );
    assert_eq!(snapshots, "Both snapshot Disk us-east-1 Owner 099720109477 Team web");
}

#[test]
fn deprecation_and_protection_are_in_every_region() {
    let account = Account::with(&[]);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        ami_regions  = ["eu-west-1"]
        deprecate_at = "2099-01-02T03:04:00Z"
        deregistration_protection {{
          enabled = true
        }}
        "#
    ));
    let _ = output.succeeds();
    for region in ["us-east-1", "eu-west-1"] {
        let set = account.of_image(region, "[DeprecationTime, DeregistrationProtection]");
        assert_eq!(set, "2099-01-02T03:04:00.000Z enabled-without-cooldown", "{region}");
    }
    account.is_clean();
}

#[test]
fn four_block_devices_are_in_the_image_as_the_template_has_them() {
    let account = Account::with(&[]);
    let device = |of: &str, name: &str, more: &str| {
        format!(
            "{of}_block_device_mappings {{\n device_name = \"{name}\"\n delete_on_termination = true\n {more}\n}}\n"
        )
    };
    let output = account.bake(
        &[
            ON_DEMAND,
            &device("launch", "/dev/sda1", "volume_size = 12\nvolume_type = \"gp3\""),
            &device(
                "launch",
                "/dev/sdf",
                "volume_size = 4\nvolume_type = \"io2\"\niops = 200",
            ),
            &device(
                "ami",
                "/dev/sdg",
                "volume_size = 4\nvolume_type = \"gp3\"\nthroughput = 200",
            ),
            &device(
                "ami",
                "/dev/sdh",
                "volume_size = 5\nencrypted = true\nvolume_type = \"gp2\"",
            ),
        ]
        .concat(),
    );
    let _ = output.succeeds();
    let devices = account.of_image(
        "us-east-1",
        "BlockDeviceMappings[].[DeviceName, Ebs.VolumeSize, Ebs.VolumeType, Ebs.Encrypted]",
    );
    assert_eq!(
        devices,
        "/dev/sda1 12 gp3 False /dev/sdf 4 io2 False /dev/sdg 4 gp3 False /dev/sdh 5 gp2 True"
    );
    account.is_clean();
}

#[test]
fn without_an_image_nothing_is_left_at_all() {
    let account = Account::with(&[]);
    let _ = account.bake(&format!("{ON_DEMAND}\nskip_create_ami = true")).succeeds();
    assert_eq!(Inventory::of(&account.cloud.endpoint), account.before);
    account.is_clean();
}

#[test]
fn images_of_the_name_give_way_in_three_regions() {
    let account = Account::with(&[]);
    let source = format!("{ON_DEMAND}\nami_regions = [\"eu-west-1\", \"ap-south-1\"]");
    let _ = account.bake(&source).succeeds();
    let regions = ["us-east-1", "eu-west-1", "ap-south-1"];
    let first = regions.map(|region| account.image(region));
    let _ = account.bake(&source).fails_with(1);
    assert_eq!(regions.map(|region| account.image(region)), first);
    let forced = format!("{source}\nforce_deregister = true\nforce_delete_snapshot = true");
    let _ = account.bake(&forced).succeeds();
    for (region, first) in regions.iter().zip(first) {
        assert_ne!(account.image(region), first, "{region}");
        assert_eq!(account.loose_snapshots(region), Vec::<String>::new(), "{region}");
    }
    account.is_clean();
}

#[test]
fn fast_launch_is_enabled_in_each_region() {
    let account = Account::with(&[]);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        ami_regions = ["eu-west-1"]
        fast_launch {{
          enable_fast_launch    = true
          target_resource_count = 7
          max_parallel_launches = 8
        }}
        "#
    ));
    let _ = output.succeeds();
    for region in ["us-east-1", "eu-west-1"] {
        let fast = account.ec2(
            region,
            &["describe-fast-launch-images"],
            "FastLaunchImages[].[ImageId, State, SnapshotConfiguration.TargetResourceCount, MaxParallelLaunches]",
        );
        assert_eq!(fast, format!("{} enabled 7 8", account.image(region)));
    }
    account.is_clean();
}

#[test]
fn fast_launch_takes_the_launch_template_of_each_region() {
    let account = Account::with(&[]);
    let make = |region: &str, name: &str| {
        let question = [
            "create-launch-template",
            "--launch-template-name",
            name,
            "--launch-template-data",
            "{\"InstanceType\":\"m5.large\"}",
        ];
        account.ec2(region, &question, "LaunchTemplate.LaunchTemplateId")
    };
    let (home, west) = (make("us-east-1", "home"), make("eu-west-1", "west"));
    let south = make("ap-south-1", "south");
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        ami_regions = ["eu-west-1", "ap-south-1", "us-west-2"]
        fast_launch {{
          template_id = "{home}"
          region_launch_templates {{
            region           = "eu-west-1"
            template_name    = "west"
            template_version = 1
          }}
          region_launch_templates {{
            region      = "ap-south-1"
            template_id = "{south}"
          }}
          region_launch_templates {{
            region             = "us-west-2"
            enable_fast_launch = false
          }}
        }}
        "#
    ));
    let _ = output.succeeds();
    for (region, template) in [
        ("us-east-1", home.as_str()),
        ("eu-west-1", &west),
        ("ap-south-1", &south),
        ("us-west-2", ""),
    ] {
        let fast = account.ec2(
            region,
            &["describe-fast-launch-images"],
            "FastLaunchImages[].[State, LaunchTemplate.LaunchTemplateId, LaunchTemplate.Version]",
        );
        let wanted = if template.is_empty() {
            String::new()
        } else {
            format!("enabled {template} 1")
        };
        assert_eq!(fast, wanted, "{region}");
    }
}

#[test]
fn a_temporary_profile_goes_with_its_instance() {
    let account = Account::with(&[]);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        temporary_iam_instance_profile_policy_document {{
          Version = "2012-10-17"
          Statement {{
            Effect   = "Allow"
            Action   = ["s3:GetObject"]
            Resource = ["*"]
          }}
        }}
        "#
    ));
    let _ = output.succeeds();
    let profile = account.ec2(
        "us-east-1",
        &["describe-instances"],
        "Reservations[].Instances[].IamInstanceProfile.Arn",
    );
    assert!(
        profile.starts_with("arn:aws:iam::123456789012:instance-profile/packer-"),
        "{profile}"
    );
    account.is_clean();
}

#[test]
fn a_surrogate_becomes_an_image_with_a_tpm() {
    let account = Account::with(&[]);
    let output = account.bake_by(
        "amazon-ebssurrogate",
        &format!(
            r#"{ON_DEMAND}
            ami_name                = "surrogate"
            ami_virtualization_type = "hvm"
            boot_mode               = "uefi"
            tpm_support             = "v2.0"
            launch_block_device_mappings {{
              device_name           = "/dev/xvdf"
              volume_size           = 9
              volume_type           = "gp3"
              delete_on_termination = true
            }}
            ami_root_device {{
              source_device_name    = "/dev/xvdf"
              device_name           = "/dev/xvda"
              delete_on_termination = true
              volume_size           = 10
              volume_type           = "gp3"
            }}
            "#
        ),
    );
    let _ = output.succeeds();
    assert_eq!(
        account.of_image(
            "us-east-1",
            "[Name, BootMode, TpmSupport, RootDeviceName, BlockDeviceMappings[0].Ebs.VolumeSize]"
        ),
        "surrogate uefi v2.0 /dev/xvda 10"
    );
    assert_eq!(account.loose_snapshots("us-east-1"), Vec::<String>::new());
    account.is_clean();
}

#[test]
fn a_volume_set_is_left_with_its_tags_and_snapshots() {
    let account = Account::with(&[]);
    let output = account.bake_by(
        "amazon-ebsvolume",
        &format!(
            r#"{ON_DEMAND}
            ebs_volumes {{
              device_name           = "/dev/xvdf"
              volume_size           = 2
              volume_type           = "gp3"
              delete_on_termination = false
              tags                  = {{ Name = "data" }}
            }}
            ebs_volumes {{
              device_name           = "/dev/xvdg"
              volume_size           = 3
              volume_type           = "gp2"
              delete_on_termination = true
              snapshot_volume       = true
              tags                  = {{ Name = "saved" }}
            }}
            "#
        ),
    );
    let output = output.succeeds();
    let volumes = account.ec2(
        "us-east-1",
        &["describe-volumes"],
        "Volumes[].[VolumeId, State, Size, Tags[?Key=='Name'].Value | [0]]",
    );
    let (id, rest) = volumes.split_once(' ').unwrap();
    assert_eq!(rest, "available 2 data", "{output}");
    assert!(output.contains(id), "{output}");
    let snapshots = account.ec2(
        "us-east-1",
        &["describe-snapshots", "--owner-ids", "self"],
        "Snapshots[].[State, VolumeSize]",
    );
    assert_eq!(snapshots, "completed 3");
    let running = account.ec2(
        "us-east-1",
        &["describe-instances"],
        "Reservations[].Instances[].State.Name",
    );
    assert_eq!(running, "terminated");
}

/// Everything that is made is unknown for three seconds.
const LATE: [&str; 2] = ["-latency", "visible=3"];

#[test]
fn what_is_visible_late_is_waited_for() {
    let account = Account::with(&LATE);
    let output = account.bake(&format!(
        r#"{ON_DEMAND}
        ami_regions = ["eu-west-1"]
        ami_users   = ["111122223333"]
        tags        = {{ Team = "web" }}
        temporary_iam_instance_profile_policy_document {{
          Version = "2012-10-17"
          Statement {{
            Effect   = "Allow"
            Action   = ["s3:GetObject"]
            Resource = ["*"]
          }}
        }}
        "#
    ));
    let _ = output.succeeds();
    for region in ["us-east-1", "eu-west-1"] {
        let tags = account.of_image(region, "Tags[?Key=='Team'].Value[]");
        assert_eq!(tags, "web", "{region}");
    }
    account.is_clean();
}

#[test]
fn a_spot_instance_that_is_visible_late_is_waited_for() {
    let account = Account::with(&LATE);
    let output = account.bake("spot_price = \"auto\"\nspot_instance_types = [\"m5.large\", \"m4.large\"]");
    let _ = output.succeeds();
    let _ = account.image("us-east-1");
    account.is_clean();
}

#[test]
fn a_failing_bake_removes_what_is_visible_late() {
    let account = Account::with(&["-latency", "visible=3", "-deny", "CreateImage"]);
    let output = account.bake(ON_DEMAND).fails_with(1);
    assert!(output.contains("ec2:CreateImage"), "{output}");
    assert_eq!(Inventory::of(&account.cloud.endpoint), account.before);
    account.is_clean();
}

#[test]
fn a_denied_action_is_named_and_nothing_is_left() {
    for (action, named) in [
        ("RunInstances", "ec2:RunInstances"),
        ("ec2:CreateTags", "ec2:CreateTags"),
        ("ModifyImageAttribute", "ec2:ModifyImageAttribute"),
    ] {
        let account = Account::with(&["-deny", action]);
        let output = account.bake(&format!("{ON_DEMAND}\nami_users = [\"111122223333\"]"));
        let output = output.fails_with(1);
        assert!(output.contains(named), "{action}: {output}");
        assert!(output.contains("bakelite iam-policy"), "{action}: {output}");
        assert_eq!(Inventory::of(&account.cloud.endpoint), account.before, "{action}");
        account.is_clean();
    }
}
