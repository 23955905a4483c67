//! Rules across the options of an amazon-ebs source. Every complaint names the options that it is about.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bakelite_communicators::options::Kind;
use bakelite_template::component::Complaint;

use super::options::Options;
use crate::{block_device, password};

/// The complaints in the making.
struct Check<'a> {
    options: &'a Options,
    /// Options whose value is not known while validating.
    unknown: &'a [String],
    complaints: &'a mut Vec<Complaint>,
}

/// Complains about options that do not go together, cannot work, or are not supported yet.
pub(crate) fn check(options: &Options, unknown: &[String], complaints: &mut Vec<Complaint>) {
    options.access.check(complaints);
    let mut check = Check {
        options,
        unknown,
        complaints,
    };
    check.ami();
    check.unsupported();
    block_device::check(
        "ami_block_device_mappings",
        &options.ami_block_device_mappings,
        check.complaints,
    );
    block_device::check(
        "launch_block_device_mappings",
        &options.launch_block_device_mappings,
        check.complaints,
    );
    options.communicator.check(None, check.complaints);
    check.keys();
    check.metadata();
    check.interface();
    check.source();
    check.user_data();
    check.security_groups();
    check.instance();
}

fn given(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

impl Check<'_> {
    fn error(&mut self, option: &str, message: impl Into<String>) {
        self.complaints.push(Complaint::error(option, message));
    }

    fn error_with_help(&mut self, option: &str, message: impl Into<String>, help: &str) {
        self.complaints.push(Complaint::error(option, message).help(help));
    }

    fn is_unknown(&self, option: &str) -> bool {
        self.unknown.iter().any(|path| {
            path == option
                || path
                    .strip_prefix(option)
                    .is_some_and(|rest| rest.starts_with(['.', '[']))
        })
    }

    /// The option, when given, must be one of these texts.
    fn one_of(&mut self, option: &str, value: Option<&String>, texts: &[&str]) {
        let Some(value) = value.map(String::as_str).filter(|value| !value.is_empty()) else {
            return;
        };
        if !texts.contains(&value) && !self.is_unknown(option) {
            let texts: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
            self.error(
                option,
                format!("`{option}` must be {}, not `{value}`", texts.join(" or ")),
            );
        }
    }

    fn ami(&mut self) {
        let options = self.options;
        let name = options.ami_name();
        if !self.is_unknown("ami_name") {
            let length = name.chars().count();
            if name.is_empty() {
                self.error("", "`ami_name` must be given");
            } else if !(3..=128).contains(&length) {
                self.error(
                    "ami_name",
                    format!("`ami_name` must have 3 to 128 characters, not {length}"),
                );
            }
            let allowed = |letter: char| letter.is_ascii_alphanumeric() || "()[] ./-'@_".contains(letter);
            if !name.chars().all(allowed) {
                let message = "`ami_name` may only have letters, digits, spaces and any of ()[]./-'@_";
                self.error_with_help(
                    "ami_name",
                    message,
                    "the function `clean_resource_name` of a legacy JSON template replaces what is not allowed",
                );
            }
        }
        self.one_of(
            "ami_virtualization_type",
            options.ami_virtualization_type.as_ref(),
            &["hvm", "paravirtual"],
        );
        self.one_of("imds_support", options.imds_support.as_ref(), &["v2.0"]);
        let encrypts = options.encrypt_boot == Some(true);
        if (given(options.kms_key_id.as_ref()) || !options.region_kms_key_ids.is_empty()) && !encrypts {
            let option = if given(options.kms_key_id.as_ref()) {
                "kms_key_id"
            } else {
                "region_kms_key_ids"
            };
            self.error(
                option,
                "`kms_key_id` and `region_kms_key_ids` need `encrypt_boot = true`",
            );
        }
        for (option, shared) in [
            ("ami_users", &options.ami_users),
            ("snapshot_users", &options.snapshot_users),
        ] {
            if encrypts && !shared.is_empty() && !given(options.kms_key_id.as_ref()) {
                self.error(option, format!("`{option}` cannot use what the default KMS key encrypts; give a `kms_key_id` (or `region_kms_key_ids`)"));
            }
        }
    }

    /// What is not supported yet, where only some values ask for it.
    fn unsupported(&mut self) {
        let options = self.options;
        let region = options.access.region.as_deref();
        let elsewhere = options.ami_regions.iter().any(|other| Some(other.as_str()) != region);
        let mut not_yet = |asked: bool, option: &str, what: &str| {
            if asked {
                self.error(option, format!("{what} not supported yet"));
            }
        };
        not_yet(elsewhere, "ami_regions", "copies to other regions are");
        not_yet(
            options.encrypt_boot == Some(true),
            "encrypt_boot",
            "encryption of the AMI is",
        );
        not_yet(
            options.skip_save_build_region == Some(true),
            "skip_save_build_region",
            "copies to other regions are",
        );
        not_yet(
            options.temporary_security_group_source_public_ip == Some(true),
            "temporary_security_group_source_public_ip",
            "finding this machine's address is",
        );
        let spot = options
            .spot_price
            .as_deref()
            .is_some_and(|price| !matches!(price, "" | "0"));
        not_yet(spot, "spot_price", "spot instances are");
        if spot && (options.ena_support == Some(true) || options.sriov_support == Some(true)) {
            self.error(
                "",
                "`ena_support` and `sriov_support` cannot be set for a spot instance, which is not stopped",
            );
        }
    }

    fn keys(&mut self) {
        let options = &self.options.communicator;
        if options.kind() == Some(Kind::Ssh)
            && given(options.ssh_keypair_name.as_ref())
            && !given(options.ssh_private_key_file.as_ref())
            && !options.ssh_agent_auth
        {
            self.error(
                "ssh_keypair_name",
                "`ssh_keypair_name` needs its private key: `ssh_private_key_file` or `ssh_agent_auth = true`",
            );
        }
        let password = password::check(options, self.options.windows_password_timeout);
        self.complaints.extend(password);
        let kind = options
            .temporary_key_pair_type
            .as_ref()
            .map(|kind| kind.to_ascii_lowercase());
        self.one_of("temporary_key_pair_type", kind.as_ref(), &["rsa", "ed25519"]);
        if options.temporary_key_pair_bits.is_some() {
            let message = "`temporary_key_pair_bits` has no effect: EC2 makes the key and chooses its size";
            self.complaints
                .push(Complaint::warning("temporary_key_pair_bits", message));
        }
    }

    fn metadata(&mut self) {
        let Some(metadata) = &self.options.metadata_options else {
            return;
        };
        self.one_of(
            "metadata_options.http_endpoint",
            metadata.http_endpoint.as_ref(),
            &["enabled", "disabled"],
        );
        self.one_of(
            "metadata_options.http_tokens",
            metadata.http_tokens.as_ref(),
            &["optional", "required"],
        );
        self.one_of(
            "metadata_options.instance_metadata_tags",
            metadata.instance_metadata_tags.as_ref(),
            &["enabled", "disabled"],
        );
        if metadata
            .http_put_response_hop_limit
            .is_some_and(|hops| hops != 0 && !(1..=64).contains(&hops))
        {
            self.error(
                "metadata_options.http_put_response_hop_limit",
                "`http_put_response_hop_limit` must be 1 to 64",
            );
        }
    }

    fn interface(&mut self) {
        let interface = self.options.ssh_interface.clone();
        self.one_of(
            "ssh_interface",
            interface.as_ref(),
            &[
                "public_ip",
                "private_ip",
                "public_dns",
                "private_dns",
                "ipv6",
                "session_manager",
            ],
        );
        if interface.as_deref() != Some("session_manager") {
            return;
        }
        if !given(self.options.iam_instance_profile.as_ref())
            && self.options.temporary_iam_instance_profile_policy_document.is_none()
        {
            let message = "`ssh_interface = \"session_manager\"` needs `iam_instance_profile` or `temporary_iam_instance_profile_policy_document`";
            self.error("ssh_interface", message);
        }
        if self.options.communicator.kind() == Some(Kind::WinRm) {
            self.error(
                "ssh_interface",
                "Session Manager (`session_manager`) carries SSH, not WinRM",
            );
        }
    }

    fn source(&mut self) {
        let options = self.options;
        if !given(options.source_ami.as_ref()) && options.source_ami_filter.is_none() && !self.is_unknown("source_ami")
        {
            self.error("", "`source_ami` or `source_ami_filter` must be given");
        }
        if let Some(filter) = &options.source_ami_filter
            && filter.owners.is_empty()
            && !given(options.source_ami.as_ref())
            && !self.is_unknown("source_ami_filter.owners")
        {
            let message = "`source_ami_filter` must name at least one of `owners`, so that nobody else's AMI passes";
            self.error_with_help("source_ami_filter", message, "`self`, `amazon`, or the account's id");
        }
        if options.instance_type().is_empty() && !self.is_unknown("instance_type") {
            self.error("", "`instance_type` (or `spot_instance_types`) must be given");
        }
    }

    fn user_data(&mut self) {
        let options = self.options;
        if given(options.user_data.as_ref()) && given(options.user_data_file.as_ref()) {
            self.error(
                "user_data_file",
                "only one of `user_data` and `user_data_file` can be given",
            );
        } else if let Some(file) = options.user_data_file.as_deref().filter(|file| !file.is_empty()) {
            let path = local_path(file, std::env::home_dir().as_deref(), Path::new(""));
            if !path.exists() && !self.is_unknown("user_data_file") {
                self.error("user_data_file", format!("file `{}` does not exist", path.display()));
            }
        }
    }

    fn security_groups(&mut self) {
        let options = self.options;
        if given(options.security_group_id.as_ref()) && !options.security_group_ids.is_empty() {
            self.error(
                "security_group_ids",
                "only one of `security_group_id` and `security_group_ids` can be given",
            );
        }
        for (index, source) in options.temporary_security_group_source_cidrs.iter().enumerate() {
            let option = format!("temporary_security_group_source_cidrs[{index}]");
            if !is_network(source) && !self.is_unknown(&option) {
                self.error(
                    &option,
                    format!("`{source}` is not a network (such as `198.51.100.0/24`)"),
                );
            }
        }
    }

    fn instance(&mut self) {
        let options = self.options;
        self.one_of(
            "shutdown_behavior",
            options.shutdown_behavior.as_ref(),
            &["stop", "terminate"],
        );
        self.one_of("tenancy", options.tenancy.as_ref(), &["default", "dedicated", "host"]);
        if let Some(placement) = &options.placement {
            self.one_of(
                "placement.tenancy",
                placement.tenancy.as_ref(),
                &["default", "dedicated", "host"],
            );
            if given(placement.tenancy.as_ref()) && given(options.tenancy.as_ref()) {
                self.error(
                    "placement.tenancy",
                    "only one of `tenancy` and `placement.tenancy` can be given",
                );
            }
        }
        self.one_of(
            "capacity_reservation_preference",
            options.capacity_reservation_preference.as_ref(),
            &["open", "none"],
        );
        if given(options.capacity_reservation_id.as_ref()) && given(options.capacity_reservation_group_arn.as_ref()) {
            let message = "only one of `capacity_reservation_id` and `capacity_reservation_group_arn` can be given";
            self.error("capacity_reservation_id", message);
        }
        let targeted =
            given(options.capacity_reservation_id.as_ref()) || given(options.capacity_reservation_group_arn.as_ref());
        if targeted && given(options.capacity_reservation_preference.as_ref()) {
            self.error(
                "capacity_reservation_preference",
                "`capacity_reservation_preference` does not go with a certain reservation",
            );
        }
        let family = options.instance_type().split('.').next().unwrap_or_default();
        let burstable = ["t2", "t3", "t3a", "t4g"].contains(&family);
        let unlimited = options.enable_unlimited_credits.or(options.enable_t2_unlimited) == Some(true);
        if unlimited && !burstable && !self.is_unknown("instance_type") {
            self.error(
                "enable_unlimited_credits",
                format!("instances of type `{}` have no CPU credits", options.instance_type()),
            );
        }
        if options.enable_nitro_enclave == Some(true) && burstable {
            self.error(
                "enable_nitro_enclave",
                format!("instances of type `{}` have no Nitro enclaves", options.instance_type()),
            );
        }
    }
}

/// `ADDRESS/BITS`
fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// A path of a template: `~` is the home folder, other relative paths are relative to `working_folder`.
pub(crate) fn local_path(path: &str, home: Option<&Path>, working_folder: &Path) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => working_folder.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(more: &str) -> Vec<String> {
        let mut json = serde_json::json!({
            "region": "us-east-1", "ami_name": "gold-ami", "instance_type": "t3.micro", "source_ami": "ami-12345678", "ssh_username": "ec2-user"
        });
        let more: serde_json::Value = serde_json::from_str(more).unwrap();
        for (name, value) in more.as_object().unwrap() {
            json[name] = value.clone();
        }
        let options: Options = serde_json::from_value(json).unwrap();
        let mut complaints = Vec::new();
        check(&options, &[], &mut complaints);
        complaints
            .into_iter()
            .map(|complaint| {
                format!(
                    "{}: {} {}",
                    complaint.option,
                    complaint.message,
                    complaint.help.unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn sound_options_pass() {
        for more in [
            "{}",
            r#"{"region": null}"#,
            r#"{"ami_name": "a-b_c.d/e (f) [g] 'h' @i"}"#,
            r#"{"source_ami": null, "source_ami_filter": {"owners": ["self"]}}"#,
            r#"{"ssh_keypair_name": "kp", "ssh_agent_auth": true}"#,
            r#"{"communicator": "winrm", "winrm_username": "A", "winrm_password": "p", "ssh_keypair_name": "kp"}"#,
            r#"{"imds_support": "v2.0", "ami_regions": ["us-east-1"], "spot_price": "0", "encrypt_boot": false}"#,
            r#"{"tag": [{"key": "a"}], "run_tag": [{"key": "c", "value": "d"}]}"#,
        ] {
            assert_eq!(complaints(more), Vec::<String>::new(), "{more}");
        }
    }

    #[test]
    fn each_complaint_names_its_options() {
        let cases = [
            (r#"{"ami_name": null}"#, "`ami_name`"),
            (r#"{"ami_name": "ab"}"#, "3 to 128"),
            (r#"{"ami_name": "café-ami"}"#, "clean_resource_name"),
            (r#"{"source_ami": null}"#, "`source_ami_filter`"),
            (
                r#"{"source_ami": null, "source_ami_filter": {"filters": {"name": "x"}}}"#,
                "`owners`",
            ),
            (r#"{"instance_type": null}"#, "`instance_type`"),
            (r#"{"ssh_username": null}"#, "`ssh_username`"),
            (r#"{"secret_key": "SK"}"#, "`access_key` and `secret_key`"),
            (r#"{"ssh_keypair_name": "kp"}"#, "`ssh_private_key_file`"),
            (r#"{"temporary_key_pair_type": "dsa"}"#, "`temporary_key_pair_type`"),
            (r#"{"ssh_interface": "carrier_pigeon"}"#, "carrier_pigeon"),
            (r#"{"ssh_interface": "session_manager"}"#, "`iam_instance_profile`"),
            (
                r#"{"ssh_interface": "session_manager", "iam_instance_profile": "p", "communicator": "winrm",
                    "winrm_username": "A", "winrm_password": "p"}"#,
                "carries SSH, not WinRM",
            ),
            (
                r#"{"communicator": "winrm", "winrm_username": "A", "ssh_keypair_name": "kp"}"#,
                "to decrypt the password",
            ),
            (
                r#"{"communicator": "winrm", "winrm_username": "A", "temporary_key_pair_type": "ed25519"}"#,
                "RSA keys only",
            ),
            (
                r#"{"communicator": "winrm", "winrm_username": "A", "windows_password_timeout": "-1s"}"#,
                "`windows_password_timeout`",
            ),
            (r#"{"metadata_options": {"http_tokens": "maybe"}}"#, "http_tokens"),
            (
                r#"{"metadata_options": {"http_put_response_hop_limit": 65}}"#,
                "http_put_response_hop_limit",
            ),
            (
                r#"{"user_data": "x", "user_data_file": "f"}"#,
                "`user_data` and `user_data_file`",
            ),
            (r#"{"user_data_file": "nosuch"}"#, "`nosuch` does not exist"),
            (
                r#"{"security_group_id": "sg-1", "security_group_ids": ["sg-2"]}"#,
                "`security_group_ids`",
            ),
            (
                r#"{"temporary_security_group_source_cidrs": ["1.2.3.4"]}"#,
                "temporary_security_group_source_cidrs",
            ),
            (r#"{"shutdown_behavior": "q"}"#, "`shutdown_behavior`"),
            (r#"{"tenancy": "zz"}"#, "`tenancy`"),
            (
                r#"{"capacity_reservation_preference": "maybe"}"#,
                "`capacity_reservation_preference`",
            ),
            (
                r#"{"capacity_reservation_id": "cr-1", "capacity_reservation_group_arn": "arn"}"#,
                "`capacity_reservation_group_arn`",
            ),
            (
                r#"{"instance_type": "m5.large", "enable_unlimited_credits": true}"#,
                "no CPU credits",
            ),
            (r#"{"enable_nitro_enclave": true}"#, "no Nitro enclaves"),
            (r#"{"imds_support": "v1.0"}"#, "`imds_support`"),
            (r#"{"kms_key_id": "nope"}"#, "`encrypt_boot = true`"),
            (r#"{"ami_regions": ["eu-west-1"]}"#, "not supported yet"),
            (r#"{"spot_price": "auto"}"#, "not supported yet"),
        ];
        for (more, wanted) in cases {
            let complaints = complaints(more);
            assert_eq!(complaints.len(), 1, "{more}: {complaints:?}");
            assert!(complaints[0].contains(wanted), "{more}: {complaints:?}");
        }
    }

    #[test]
    fn what_is_not_known_yet_is_not_complained_about() {
        let options: Options =
            serde_json::from_str(r#"{"ssh_username": "u", "instance_type": "x", "ami_name": "<unknown>"}"#).unwrap();
        let mut complaints = Vec::new();
        check(&options, &["ami_name".into(), "source_ami".into()], &mut complaints);
        assert_eq!(complaints, []);
    }
}
