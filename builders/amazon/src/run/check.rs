//! Rules across the options of a launch. Every complaint names the options that it is about.

use std::path::{Path, PathBuf};

use bakelite_communicators::options::Kind;
use bakelite_template::component::Complaint;

use super::options::{RunOptions, SshInterface};
use super::password;

/// The complaints in the making.
struct Check<'a> {
    options: &'a RunOptions,
    complaints: &'a mut Vec<Complaint>,
}

/// Complains about options that contradict each other or cannot work.
pub(crate) fn check(options: &RunOptions, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    options.source.check(complaints);
    options.security_groups.check(complaints);
    options.communicator.check(home, complaints);
    complaints.extend(password::check(&options.communicator, options.windows_password_timeout));
    let mut check = Check { options, complaints };
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
