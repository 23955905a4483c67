//! Rules across the options of a launch. Every complaint names the options that it is about.

use std::path::{Path, PathBuf};

use bakelite_communicators::options::Kind;
use bakelite_template::component::Complaint;

use super::blocks::Tenancy;
use super::options::{RunOptions, SshInterface};
use super::password;
use super::placement::BURSTABLE;

/// The complaints in the making.
struct Check<'a> {
    options: &'a RunOptions,
    complaints: &'a mut Vec<Complaint>,
}

/// Complains about options that contradict each other or cannot work.
pub(crate) fn check(options: &RunOptions, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    options.source.check(complaints);
    options.network.check(complaints);
    options.security_groups.check(complaints);
    options.communicator.check(home, complaints);
    complaints.extend(password::check(
        &options.communicator,
        home,
        options.windows_password_timeout,
    ));
    let mut check = Check { options, complaints };
    check.keys();
    check.session_manager();
    check.user_data(home);
    check.types();
    check.spot();
    check.credits();
    check.reservation();
    check.placement();
    check.nitro();
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

    fn warn(&mut self, option: &str, message: impl Into<String>) {
        self.complaints.push(Complaint::warning(option, message));
    }

    fn types(&mut self) {
        let one = self.options.instance_type.is_some();
        let several = !self.options.spot_instance_types.is_empty();
        if !one && !several {
            self.error("", "`instance_type` or `spot_instance_types` must be given");
        }
        self.only_one_of(("instance_type", one), ("spot_instance_types", several));
        if several && !one && self.options.spot().is_none() {
            let message = "`spot_instance_types` without `spot_price` launches on demand, and tries the types in turn";
            self.warn("spot_instance_types", message);
        }
    }

    fn spot(&mut self) {
        let options = self.options;
        let is_spot = options.spot().is_some();
        for (option, is_given) in [
            (
                "fleet_tags",
                !options.fleet_tags.is_empty() || !options.fleet_tag.is_empty(),
            ),
            (
                "spot_tags",
                !options.spot_tags.is_empty() || !options.spot_tag.is_empty(),
            ),
        ] {
            if is_given && !is_spot {
                let message = format!("`{option}` are tags of a spot instance: `spot_price` must be given, too");
                self.error(option, message);
            }
        }
        if options.spot_price_auto_product.is_some() {
            let message =
                "`spot_price_auto_product` is deprecated and has no effect: `spot_price = \"auto\"` needs no product";
            self.warn("spot_price_auto_product", message);
        }
        if is_spot && (options.ena_support == Some(true) || options.sriov_support) {
            let message = "a spot instance (`spot_price`) cannot set `ena_support` or `sriov_support`: the source AMI must have them already";
            let option = if options.sriov_support {
                "sriov_support"
            } else {
                "ena_support"
            };
            self.error(option, message);
        }
    }

    fn credits(&mut self) {
        let options = self.options;
        if options.enable_t2_unlimited {
            let message = "`enable_t2_unlimited` is deprecated: its name is `enable_unlimited_credits` now";
            self.warn("enable_t2_unlimited", message);
        }
        let Some(kind) = options
            .instance_type
            .as_deref()
            .filter(|_| options.has_unlimited_credits())
        else {
            return;
        };
        let option = if options.enable_unlimited_credits {
            "enable_unlimited_credits"
        } else {
            "enable_t2_unlimited"
        };
        if !is_burstable(kind) {
            let message = format!("instances of type `{kind}` (`instance_type`) have no CPU credits");
            self.error(option, message);
        } else if kind.starts_with("t2.") && options.spot_price.is_some() {
            let message = format!(
                "a spot instance (`spot_price`) of type `{kind}` (`instance_type`) cannot have unlimited credits"
            );
            self.error(option, message);
        }
    }

    fn reservation(&mut self) {
        let options = self.options;
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

    fn placement(&mut self) {
        let options = self.options;
        let placement = options.placement.clone().unwrap_or_default();
        self.only_one_of(
            ("tenancy", options.tenancy.is_some()),
            ("placement.tenancy", placement.tenancy.is_some()),
        );
        let (host, group) = (placement.host_id.is_some(), placement.host_resource_group_arn.is_some());
        self.only_one_of(
            ("placement.host_id", host),
            ("placement.host_resource_group_arn", group),
        );
        if (host || group) && placement.tenancy.is_some_and(|tenancy| tenancy != Tenancy::Host) {
            let message = "`tenancy` must be `host` where `host_id` or `host_resource_group_arn` is given";
            self.error("placement.tenancy", message);
        }
    }

    fn nitro(&mut self) {
        let options = self.options;
        if !options.enable_nitro_enclave {
            return;
        }
        if options.spot_price.is_some() {
            let message = "a spot instance (`spot_price`) cannot have Nitro enclaves (`enable_nitro_enclave`)";
            self.error("enable_nitro_enclave", message);
        }
        if let Some(kind) = options.instance_type.as_deref().filter(|kind| is_burstable(kind)) {
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

fn is_burstable(kind: &str) -> bool {
    BURSTABLE.contains(&kind.split('.').next().unwrap_or_default())
}

/// A path of a template: `~` is the home directory, other relative paths are relative to `directory`.
pub(crate) fn local_path(path: &str, home: Option<&Path>, directory: &Path) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => directory.join(path),
    }
}
