//! The rules of an amazon-ebs source, in the order in which they are reported.

use std::path::Path;

use bakelite_template::component::Complaint;

use super::options::Options;
use crate::{block_device, image, run};

/// Complains about options that contradict each other or cannot work.
pub(crate) fn check(options: &Options, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    options.access.check(complaints);
    image::check::check(&options.image, options.access.region.as_deref(), complaints);
    block_device::check(
        "launch_block_device_mappings",
        &options.volumes.launch_block_device_mappings,
        complaints,
    );
    run::check::check(&options.run, home, complaints);
    if let Some(fast_launch) = &options.fast_launch {
        let region = options.access.region.as_deref();
        let copies = options.image.copied_to(region.unwrap_or_default());
        image::fast_launch::check(fast_launch, region, &copies, complaints);
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
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
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
            (
                r#"{"instance_type": "m5.large", "enable_nitro_enclave": true, "spot_price": "auto"}"#,
                "`enable_nitro_enclave`",
            ),
            (r#"{"instance_type": null}"#, "`instance_type` or `spot_instance_types`"),
            (
                r#"{"spot_instance_types": ["m5.large"], "spot_price": "auto"}"#,
                "`spot_instance_types`",
            ),
            (
                r#"{"instance_type": null, "spot_instance_types": ["m5.large"]}"#,
                "on demand",
            ),
            (r#"{"spot_tags": {"a": "b"}}"#, "`spot_price`"),
            (r#"{"spot_tag": [{"key": "a"}], "spot_price": "0"}"#, "`spot_price`"),
            (r#"{"fleet_tags": {"a": "b"}}"#, "`spot_price`"),
            (r#"{"fleet_tag": [{"key": "a"}]}"#, "`spot_price`"),
            (r#"{"spot_price_auto_product": "Linux/UNIX"}"#, "deprecated"),
            (r#"{"spot_price": "auto", "ena_support": true}"#, "`ena_support`"),
            (r#"{"spot_price": "auto", "sriov_support": true}"#, "`sriov_support`"),
            (
                r#"{"instance_type": "t2.micro", "enable_unlimited_credits": true, "spot_price": "auto"}"#,
                "unlimited credits",
            ),
            (r#"{"enable_t2_unlimited": true}"#, "`enable_unlimited_credits`"),
            (
                r#"{"tenancy": "host", "placement": {"tenancy": "host"}}"#,
                "`placement.tenancy`",
            ),
            (
                r#"{"placement": {"host_id": "h-1", "host_resource_group_arn": "arn"}}"#,
                "`placement.host_resource_group_arn`",
            ),
            (
                r#"{"placement": {"host_id": "h-1", "tenancy": "dedicated"}}"#,
                "must be `host`",
            ),
            (r#"{"subnet_filter": {"random": true}}"#, "has no effect"),
            (r#"{"vpc_filter": {"filters": {"tag:Name": ""}}}"#, "`tag:Name`"),
            (
                r#"{"temporary_security_group_source_public_ip": true, "temporary_security_group_source_cidrs": ["10.0.0.0/8"]}"#,
                "no effect",
            ),
            (
                r#"{"region_kms_key_ids": {"eu-west-1": "alias/x"}, "encrypt_boot": true}"#,
                "`ami_regions`",
            ),
        ];
        for (more, wanted) in cases {
            let complaints = complaints(more);
            assert_eq!(complaints.len(), 1, "{more}: {complaints:?}");
            assert!(complaints[0].contains(wanted), "{more}: {complaints:?}");
        }
    }
}
