//! Rules across the options of an amazon-ebs source. Every complaint names the options that it is about.

use std::path::{Path, PathBuf};

use bakelite_communicators::options::Kind;
use bakelite_template::component::Complaint;

use super::options::{Options, SshInterface};
use crate::{block_device, password};

/// The complaints in the making.
struct Check<'a> {
    options: &'a Options,
    complaints: &'a mut Vec<Complaint>,
}

/// Complains about options that contradict each other or cannot work.
pub(crate) fn check(options: &Options, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    options.access.check(complaints);
    options.source.check(complaints);
    options.security_groups.check(complaints);
    options.communicator.check(home, complaints);
    for (option, devices) in [
        ("ami_block_device_mappings", &options.ami_block_device_mappings),
        ("launch_block_device_mappings", &options.launch_block_device_mappings),
    ] {
        block_device::check(option, devices, complaints);
    }
    complaints.extend(password::check(&options.communicator, options.windows_password_timeout));
    let mut check = Check { options, complaints };
    check.ami();
    check.keys();
    check.session_manager();
    check.user_data(home);
    check.placement();
    check.instance_type();
    check.metadata();
}

impl Check<'_> {
    fn error(&mut self, option: &str, message: impl Into<String>) {
        self.complaints.push(Complaint::error(option, message));
    }

    /// Complains about the second of two options that are both given.
    fn only_one_of(&mut self, first: (&str, bool), second: (&str, bool)) {
        if first.1 && second.1 {
            let message = format!("only one of `{}` and `{}` can be given", first.0, second.0);
            self.error(second.0, message);
        }
    }

    fn ami(&mut self) {
        let options = self.options;
        let length = options.ami_name.chars().count();
        if !(3..=128).contains(&length) {
            self.error(
                "ami_name",
                format!("`ami_name` must have 3 to 128 characters, not {length}"),
            );
        }
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "()[] ./-'@_".contains(letter);
        if !options.ami_name.chars().all(allowed) {
            let message = "`ami_name` may only contain letters, digits, spaces and any of ()[]./-'@_";
            let help = "the function `clean_resource_name` of a legacy JSON template replaces what is not allowed";
            self.complaints.push(Complaint::error("ami_name", message).help(help));
        }
        let region = options.access.region.as_deref();
        if options.ami_regions.iter().any(|other| Some(other.as_str()) != region) {
            let message = "copies to other regions (`ami_regions`, `region_kms_key_ids`) are not supported yet";
            self.error("ami_regions", message);
        }
    }

    fn keys(&mut self) {
        let options = &self.options.communicator;
        let has_key = options.ssh_private_key_file.is_some() || options.ssh_agent_auth;
        if options.kind() == Some(Kind::Ssh) && options.ssh_keypair_name.is_some() && !has_key {
            self.error(
                "ssh_keypair_name",
                "`ssh_keypair_name` needs its private key: `ssh_private_key_file` or `ssh_agent_auth = true`",
            );
        }
        if options.temporary_key_pair_bits.is_some() {
            let message = "`temporary_key_pair_bits` has no effect: EC2 makes the key and chooses its size";
            self.complaints
                .push(Complaint::warning("temporary_key_pair_bits", message));
        }
    }

    fn session_manager(&mut self) {
        let options = self.options;
        if options.ssh_interface != Some(SshInterface::SessionManager) {
            return;
        }
        if options.iam_instance_profile.is_none() && options.temporary_iam_instance_profile_policy_document.is_none() {
            let message = "`ssh_interface = \"session_manager\"` needs `iam_instance_profile` or `temporary_iam_instance_profile_policy_document`";
            self.error("ssh_interface", message);
        }
        if options.communicator.kind() == Some(Kind::WinRm) {
            let message = "`ssh_interface = \"session_manager\"` carries SSH, not WinRM (`communicator`)";
            self.error("ssh_interface", message);
        }
    }

    fn user_data(&mut self, home: Option<&Path>) {
        let options = self.options;
        self.only_one_of(
            ("user_data", options.user_data.is_some()),
            ("user_data_file", options.user_data_file.is_some()),
        );
        if let (Some(file), None) = (&options.user_data_file, &options.user_data) {
            let path = local_path(file, home, Path::new(""));
            if !path.exists() {
                self.error("user_data_file", format!("file `{}` does not exist", path.display()));
            }
        }
    }

    fn placement(&mut self) {
        let options = self.options;
        let of_placement = options.placement.as_ref().and_then(|placement| placement.tenancy);
        self.only_one_of(
            ("tenancy", options.tenancy.is_some()),
            ("placement.tenancy", of_placement.is_some()),
        );
        let id = options.capacity_reservation_id.is_some();
        let group = options.capacity_reservation_group_arn.is_some();
        self.only_one_of(
            ("capacity_reservation_group_arn", group),
            ("capacity_reservation_id", id),
        );
        if (id || group) && options.capacity_reservation_preference.is_some() {
            self.error(
                "capacity_reservation_preference",
                "`capacity_reservation_preference` cannot be given together with a certain reservation",
            );
        }
    }

    fn instance_type(&mut self) {
        let options = self.options;
        let kind = &options.instance_type;
        let family = kind.split('.').next().unwrap_or_default();
        let burstable = ["t2", "t3", "t3a", "t4g"].contains(&family);
        if options.has_unlimited_credits() && !burstable {
            let message = format!("instances of type `{kind}` (`instance_type`) have no CPU credits");
            self.error("enable_unlimited_credits", message);
        }
        if options.enable_nitro_enclave && burstable {
            let message = format!("instances of type `{kind}` (`instance_type`) have no Nitro enclaves");
            self.error("enable_nitro_enclave", message);
        }
    }

    fn metadata(&mut self) {
        let metadata = self.options.metadata_options.as_ref();
        let hops = metadata.and_then(|metadata| metadata.http_put_response_hop_limit);
        if hops.is_some_and(|hops| hops != 0 && !(1..=64).contains(&hops)) {
            self.error(
                "metadata_options.http_put_response_hop_limit",
                "`http_put_response_hop_limit` must be 1 to 64",
            );
        }
    }
}

/// A path of a template: `~` is the home directory, other relative paths are relative to `directory`.
pub(crate) fn local_path(path: &str, home: Option<&Path>, directory: &Path) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => directory.join(path),
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
        check(&options, None, &mut complaints);
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
            (r#"{"ami_name": "ab"}"#, "3 to 128"),
            (r#"{"ami_name": "café-ami"}"#, "clean_resource_name"),
            (r#"{"source_ami": null}"#, "`source_ami_filter`"),
            (
                r#"{"source_ami": null, "source_ami_filter": {"filters": {"name": "x"}}}"#,
                "`owners`",
            ),
            (r#"{"ssh_username": null}"#, "`ssh_username`"),
            (r#"{"secret_key": "SK"}"#, "`access_key` and `secret_key`"),
            (r#"{"ssh_keypair_name": "kp"}"#, "`ssh_private_key_file`"),
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
            (
                r#"{"capacity_reservation_id": "cr-1", "capacity_reservation_group_arn": "arn"}"#,
                "`capacity_reservation_group_arn`",
            ),
            (
                r#"{"instance_type": "m5.large", "enable_unlimited_credits": true}"#,
                "no CPU credits",
            ),
            (r#"{"enable_nitro_enclave": true}"#, "no Nitro enclaves"),
            (r#"{"ami_regions": ["eu-west-1"]}"#, "not supported yet"),
        ];
        for (more, wanted) in cases {
            let complaints = complaints(more);
            assert_eq!(complaints.len(), 1, "{more}: {complaints:?}");
            assert!(complaints[0].contains(wanted), "{more}: {complaints:?}");
        }
    }
}
