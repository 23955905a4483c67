//! The least IAM policy for what a template uses: one table of features, each with its actions and the options that make it needed.
//! `bakelite iam-policy` prints the features of a template, docs/guide/iam.md has all of them.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

/// A component of a template with its options: a builder (`amazon-ebs`) or a data source (`amazon-ami`).
pub struct Used<'a> {
    /// Its name.
    pub component: &'a str,
    /// Its options, as decoded.
    pub options: &'a Map<String, Json>,
}

/// A row of the table.
struct Feature {
    /// The id of its statement.
    sid: &'static str,
    actions: &'static [&'static str],
    on: On,
    /// Whether a component uses it.
    used: fn(&Used<'_>) -> bool,
}

/// What the actions are allowed on.
enum On {
    /// Everything: the actions, or most of them, know no narrower resource before the bake.
    All,
    /// The roles that instances are given.
    PassedRole,
    /// What these options name, as ARNs.
    Named {
        /// In the page, where nothing is named.
        example: &'static str,
        arns: fn(&Used<'_>) -> Vec<String>,
    },
}

const BUILDERS: [&str; 3] = ["amazon-ebs", "amazon-ebssurrogate", "amazon-ebsvolume"];

/// Which features there are, with the calls of each. A call of the code that no row names fails a test of the sources.
static FEATURES: &[Feature] = &[
    Feature {
        sid: "Launch",
        actions: &[
            "ec2:CreateTags",
            "ec2:DeleteVolume",
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypeOfferings",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeInstances",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVolumes",
            "ec2:DescribeVpcs",
            "ec2:RunInstances",
            "ec2:TerminateInstances",
        ],
        on: On::All,
        used: |used| used.is_builder(),
    },
    Feature {
        sid: "Stop",
        actions: &["ec2:StopInstances"],
        on: On::All,
        used: |used| used.is_builder() && !used.has("disable_stop_instance"),
    },
    Feature {
        sid: "CheckRegions",
        actions: &["ec2:DescribeRegions"],
        on: On::All,
        used: |used| used.is_builder() && !used.has("skip_region_validation"),
    },
    Feature {
        sid: "TemporaryKeyPair",
        actions: &["ec2:CreateKeyPair", "ec2:DeleteKeyPair", "ec2:DescribeKeyPairs"],
        on: On::All,
        used: |used| used.is_builder() && used.makes_key_pair(),
    },
    Feature {
        sid: "TemporarySecurityGroup",
        actions: &[
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateSecurityGroup",
            "ec2:DeleteSecurityGroup",
        ],
        on: On::All,
        used: |used| {
            used.is_builder() && !used.any(&["security_group_id", "security_group_ids", "security_group_filter"])
        },
    },
    Feature {
        sid: "Image",
        actions: &[
            "ec2:CreateImage",
            "ec2:DeleteSnapshot",
            "ec2:DeleteTags",
            "ec2:DeregisterImage",
            "ec2:DescribeSnapshots",
        ],
        on: On::All,
        used: |used| used.component == "amazon-ebs" && !used.has("skip_create_ami"),
    },
    Feature {
        sid: "CopiesAndEncryption",
        actions: &["ec2:CopyImage"],
        on: On::All,
        used: |used| used.is_builder() && used.any(&["ami_regions", "encrypt_boot", "region_kms_key_ids"]),
    },
    Feature {
        sid: "KmsKeys",
        actions: &[
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncrypt*",
        ],
        on: On::Named {
            example: "arn:aws:kms:REGION:ACCOUNT:key/KEY",
            arns: |used| used.keys(),
        },
        used: |used| used.is_builder() && !used.keys().is_empty(),
    },
    Feature {
        sid: "ShareImagesAndSetTheirAttributes",
        actions: &["ec2:ModifyImageAttribute"],
        on: On::All,
        used: |used| {
            used.is_builder()
                && used.any(&[
                    "ami_description",
                    "ami_groups",
                    "ami_org_arns",
                    "ami_ou_arns",
                    "ami_product_codes",
                    "ami_users",
                    "imds_support",
                ])
        },
    },
    Feature {
        sid: "ShareSnapshots",
        actions: &["ec2:ModifySnapshotAttribute"],
        on: On::All,
        used: |used| used.is_builder() && used.any(&["snapshot_groups", "snapshot_users"]),
    },
    Feature {
        sid: "Deprecation",
        actions: &["ec2:EnableImageDeprecation"],
        on: On::All,
        used: |used| used.is_builder() && used.has("deprecate_at"),
    },
    Feature {
        sid: "DeregistrationProtection",
        actions: &[
            "ec2:DisableImageDeregistrationProtection",
            "ec2:EnableImageDeregistrationProtection",
        ],
        on: On::All,
        used: |used| used.is_builder() && used.has("deregistration_protection"),
    },
    Feature {
        sid: "FastLaunch",
        actions: &[
            "ec2:CreateLaunchTemplate",
            "ec2:CreateSnapshot",
            "ec2:DescribeFastLaunchImages",
            "ec2:DescribeLaunchTemplates",
            "ec2:EnableFastLaunch",
        ],
        on: On::All,
        used: |used| used.is_builder() && used.has("fast_launch"),
    },
    Feature {
        sid: "EnaAndSriovSupport",
        actions: &["ec2:ModifyInstanceAttribute"],
        on: On::All,
        used: |used| used.is_builder() && used.any(&["ena_support", "sriov_support"]),
    },
    Feature {
        sid: "Spot",
        actions: &[
            "ec2:CreateFleet",
            "ec2:CreateLaunchTemplate",
            "ec2:DeleteLaunchTemplate",
            "ec2:DescribeLaunchTemplates",
            "iam:CreateServiceLinkedRole",
        ],
        on: On::All,
        used: |used| used.is_builder() && used.any(&["spot_instance_types", "spot_price"]),
    },
    Feature {
        sid: "WindowsPassword",
        actions: &["ec2:GetPasswordData"],
        on: On::All,
        used: |used| used.is_builder() && used.needs_password(),
    },
    Feature {
        sid: "HostKeyFromTheConsole",
        actions: &["ec2:GetConsoleOutput"],
        on: On::All,
        used: |used| used.is_builder() && used.communicator() == "ssh",
    },
    Feature {
        sid: "SessionManager",
        actions: &[
            "ec2:DescribeInstanceStatus",
            "ssm:DescribeSessions",
            "ssm:ResumeSession",
            "ssm:StartSession",
            "ssm:TerminateSession",
        ],
        on: On::All,
        used: |used| used.is_builder() && used.text("ssh_interface") == Some("session_manager"),
    },
    Feature {
        sid: "SendSshKey",
        actions: &["ec2-instance-connect:SendSSHPublicKey"],
        on: On::All,
        used: |used| {
            used.is_builder() && used.has("ssh_private_key_file") && !used.any(&["ssh_keypair_name", "ssh_agent_auth"])
        },
    },
    Feature {
        sid: "InstanceProfile",
        actions: &["iam:GetInstanceProfile"],
        on: On::All,
        used: |used| used.is_builder() && used.has("iam_instance_profile") && !used.has("skip_profile_validation"),
    },
    Feature {
        sid: "TemporaryInstanceProfile",
        actions: &[
            "iam:AddRoleToInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:CreateRole",
            "iam:DeleteInstanceProfile",
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:GetInstanceProfile",
            "iam:GetRole",
            "iam:PutRolePolicy",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:TagInstanceProfile",
            "iam:TagRole",
        ],
        on: On::All,
        used: |used| used.is_builder() && used.has(TEMPORARY_PROFILE),
    },
    Feature {
        sid: "SweepInstanceProfiles",
        actions: &["iam:ListInstanceProfiles", "iam:ListRoles"],
        on: On::All,
        // For `gc -sweep` alone, which no template has.
        used: |_| false,
    },
    Feature {
        sid: "PassRole",
        actions: &["iam:PassRole"],
        on: On::PassedRole,
        used: |used| used.is_builder() && used.any(&["iam_instance_profile", TEMPORARY_PROFILE]),
    },
    Feature {
        sid: "Surrogate",
        actions: &[
            "ec2:AttachVolume",
            "ec2:CreateSnapshot",
            "ec2:DeleteSnapshot",
            "ec2:DeregisterImage",
            "ec2:DescribeSnapshots",
            "ec2:DetachVolume",
            "ec2:ModifyInstanceAttribute",
            "ec2:RegisterImage",
        ],
        on: On::All,
        used: |used| used.component == "amazon-ebssurrogate",
    },
    Feature {
        sid: "Volumes",
        actions: &[
            "ec2:CreateSnapshot",
            "ec2:DeleteSnapshot",
            "ec2:DeleteTags",
            "ec2:DescribeSnapshots",
            "ec2:ModifySnapshotAttribute",
        ],
        on: On::All,
        used: |used| used.component == "amazon-ebsvolume",
    },
    Feature {
        sid: "FindImages",
        actions: &["ec2:DescribeImages"],
        on: On::All,
        used: |used| used.component == "amazon-ami",
    },
    Feature {
        sid: "Parameters",
        actions: &["ssm:GetParameter"],
        on: On::Named {
            example: "arn:aws:ssm:REGION:ACCOUNT:parameter/NAME",
            arns: |used| vec![used.named_arn("ssm", "parameter/", "")],
        },
        used: |used| used.component == "amazon-parameterstore",
    },
    Feature {
        sid: "Secrets",
        actions: &["secretsmanager:GetSecretValue"],
        on: On::Named {
            example: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-*",
            arns: |used| vec![used.named_arn("secretsmanager", "secret:", "-*")],
        },
        used: |used| used.component == "amazon-secretsmanager",
    },
    Feature {
        sid: "DecryptParametersAndSecrets",
        actions: &["kms:Decrypt"],
        on: On::All,
        used: |used| {
            used.component == "amazon-secretsmanager"
                || (used.component == "amazon-parameterstore" && used.has("with_decryption"))
        },
    },
    Feature {
        sid: "AssumeRole",
        actions: &["sts:AssumeRole", "sts:TagSession"],
        on: On::Named {
            example: "arn:aws:iam::ACCOUNT:role/ROLE-TO-ASSUME",
            arns: |used| used.role().into_iter().collect(),
        },
        used: |used| used.role().is_some(),
    },
    Feature {
        sid: "DecodeDenials",
        actions: &["sts:DecodeAuthorizationMessage"],
        on: On::All,
        used: |used| used.has("decode_authorization_messages"),
    },
];

const TEMPORARY_PROFILE: &str = "temporary_iam_instance_profile_policy_document";

/// The policy for these components: a statement for each feature that one of them uses.
pub fn policy(used: &[Used<'_>]) -> Json {
    let mut allowed = BTreeSet::new();
    let statements = FEATURES.iter().filter_map(|feature| {
        let users: Vec<&Used<'_>> = used.iter().filter(|used| (feature.used)(used)).collect();
        if users.is_empty() {
            return None;
        }
        let actions: Vec<&str> = match feature.on {
            // What one statement allows on everything, no other has to.
            On::All => feature
                .actions
                .iter()
                .filter(|action| allowed.insert(**action))
                .copied()
                .collect(),
            _ => feature.actions.to_vec(),
        };
        let arns = match feature.on {
            On::Named { arns, .. } => users.into_iter().flat_map(arns).collect(),
            _ => BTreeSet::new(),
        };
        (!actions.is_empty()).then(|| statement(feature, &actions, &arns))
    });
    document(&statements.collect::<Vec<_>>())
}

/// The policy for everything that there is.
pub fn whole() -> Json {
    let statements = FEATURES.iter().map(|feature| {
        let example = match feature.on {
            On::Named { example, .. } => BTreeSet::from([example.to_owned()]),
            _ => BTreeSet::new(),
        };
        statement(feature, feature.actions, &example)
    });
    document(&statements.collect::<Vec<_>>())
}

fn document(statements: &[Json]) -> Json {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn statement(feature: &Feature, actions: &[&str], arns: &BTreeSet<String>) -> Json {
    let mut statement = json!({ "Sid": feature.sid, "Effect": "Allow", "Action": actions, "Resource": "*" });
    match feature.on {
        On::All => {}
        On::PassedRole => {
            statement["Condition"] =
                json!({ "StringEquals": { "iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"] } });
        }
        On::Named { .. } => statement["Resource"] = json!(arns),
    }
    statement
}

impl Used<'_> {
    fn is_builder(&self) -> bool {
        BUILDERS.contains(&self.component)
    }

    /// Does an option ask for anything?
    fn has(&self, option: &str) -> bool {
        match self.options.get(option) {
            None | Some(Json::Null | Json::Bool(false)) => false,
            Some(Json::String(text)) => !text.is_empty() && text != "0",
            Some(Json::Array(items)) => !items.is_empty(),
            Some(Json::Object(members)) => !members.is_empty(),
            Some(Json::Number(_) | Json::Bool(true)) => true,
        }
    }

    fn any(&self, options: &[&str]) -> bool {
        options.iter().any(|option| self.has(option))
    }

    fn text(&self, option: &str) -> Option<&str> {
        let text = self.options.get(option).and_then(Json::as_str);
        text.filter(|text| !text.is_empty())
    }

    fn communicator(&self) -> &str {
        self.text("communicator").unwrap_or("ssh")
    }

    fn needs_password(&self) -> bool {
        self.communicator() == "winrm" && !self.has("winrm_password")
    }

    /// As `run/key_pair.rs` decides.
    fn makes_key_pair(&self) -> bool {
        let other_login = self.any(&["ssh_agent_auth", "ssh_password"]) && !self.needs_password();
        let is_needed = self.needs_password() || self.communicator() == "ssh";
        is_needed && !other_login && !self.any(&["ssh_keypair_name", "ssh_private_key_file"])
    }

    fn role(&self) -> Option<String> {
        let role = self.options.get("assume_role")?.get("role_arn")?.as_str()?;
        (!role.is_empty()).then(|| role.to_owned())
    }

    /// The ARNs of the keys; a key that is named in another way is any key.
    fn keys(&self) -> Vec<String> {
        let mut names = Vec::new();
        names.extend(self.text("kms_key_id"));
        let of_regions = self.options.get("region_kms_key_ids").and_then(Json::as_object);
        names.extend(of_regions.into_iter().flat_map(Map::values).filter_map(Json::as_str));
        for devices in ["launch_block_device_mappings", "ami_block_device_mappings"] {
            let devices = self.options.get(devices).and_then(Json::as_array);
            let keys = devices
                .into_iter()
                .flatten()
                .filter_map(|device| device.get("kms_key_id"));
            names.extend(keys.filter_map(Json::as_str));
        }
        let named = names.into_iter().filter(|name| !name.is_empty());
        let is_key = |name: &&str| name.starts_with("arn:") && name.contains(":key/");
        named
            .map(|name| Some(name).filter(is_key).unwrap_or("*").to_owned())
            .collect()
    }

    /// What the option `name` names, as an ARN. A version or a label does not belong to it.
    fn named_arn(&self, service: &str, before: &str, after: &str) -> String {
        let name = self.text("name").unwrap_or("*");
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        let region = self.text("region").unwrap_or("*");
        let name = name.split(':').next().unwrap_or(name).trim_start_matches('/');
        format!("arn:*:{service}:{region}:*:{before}{name}{after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(component: &str, options: &Json) -> Vec<String> {
        let options = options.as_object().unwrap();
        let policy = policy(&[Used { component, options }]);
        let statements = policy["Statement"].as_array().unwrap();
        let actions = statements.iter().flat_map(|one| one["Action"].as_array().unwrap());
        actions.map(|action| action.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_feature_adds_its_actions_and_an_option_of_ones_own_takes_some_away() {
        let plain = actions("amazon-ebs", &json!({ "ami_name": "a" }));
        for action in [
            "ec2:RunInstances",
            "ec2:CreateKeyPair",
            "ec2:CreateSecurityGroup",
            "ec2:CreateImage",
        ] {
            assert!(plain.iter().any(|one| one == action), "{action}: {plain:?}");
        }
        for (options, added) in [
            (json!({ "ami_regions": ["us-west-2"] }), "ec2:CopyImage"),
            (json!({ "ami_users": ["123456789012"] }), "ec2:ModifyImageAttribute"),
            (
                json!({ "snapshot_users": ["123456789012"] }),
                "ec2:ModifySnapshotAttribute",
            ),
            (json!({ "communicator": "winrm" }), "ec2:GetPasswordData"),
            (json!({ "iam_instance_profile": "p" }), "iam:PassRole"),
            (json!({ "spot_price": "auto" }), "ec2:CreateFleet"),
            (
                json!({ "deprecate_at": "2030-01-01T00:00:00Z" }),
                "ec2:EnableImageDeprecation",
            ),
            (
                json!({ "fast_launch": { "enable_fast_launch": true } }),
                "ec2:EnableFastLaunch",
            ),
            (
                json!({ "kms_key_id": "alias/x", "encrypt_boot": true }),
                "kms:ReEncrypt*",
            ),
            (
                json!({ "assume_role": { "role_arn": "arn:aws:iam::1:role/x" } }),
                "sts:AssumeRole",
            ),
        ] {
            assert!(
                actions("amazon-ebs", &options).iter().any(|one| one == added),
                "{added}"
            );
            assert!(!plain.iter().any(|one| one == added), "{added}: {plain:?}");
        }
        for (options, gone) in [
            (json!({ "ssh_password": "p" }), "ec2:CreateKeyPair"),
            (json!({ "security_group_id": "sg-1" }), "ec2:CreateSecurityGroup"),
            (json!({ "skip_create_ami": true }), "ec2:CreateImage"),
            (json!({ "skip_region_validation": true }), "ec2:DescribeRegions"),
        ] {
            assert!(!actions("amazon-ebs", &options).iter().any(|one| one == gone), "{gone}");
        }
    }

    #[test]
    fn what_is_named_is_all_that_is_allowed() {
        let options = json!({ "name": "/images/base:3", "region": "us-east-1", "with_decryption": true });
        let used = Used {
            component: "amazon-parameterstore",
            options: options.as_object().unwrap(),
        };
        let policy = policy(&[used]);
        assert_eq!(
            policy["Statement"],
            json!([
                {
                    "Sid": "Parameters",
                    "Effect": "Allow",
                    "Action": ["ssm:GetParameter"],
                    "Resource": ["arn:*:ssm:us-east-1:*:parameter/images/base"]
                },
                { "Sid": "DecryptParametersAndSecrets", "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "*" }
            ])
        );
    }
}
