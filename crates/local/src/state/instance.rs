//! Instances: what they are, and the states that they go through.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::machine::RootId;
use crate::moment::Moment;
use crate::state::Tags;
use crate::xml::Element;

/// The tag that tells where an instance's SSH server listens when that is not port 22.
pub(crate) const SSH_PORT_TAG: &str = "bakelite:ssh-port";

/// The usual port of SSH, which needs no tag.
const SSH_PORT: u16 = 22;

/// An instance of one region, running or not; its machine, if it has one, belongs to the process that owns it.
#[expect(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "each is an attribute of its own in EC2's API, under this name"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) reservation_id: String,
    pub(crate) launch_index: usize,
    pub(crate) image_id: String,
    pub(crate) state: InstanceState,
    /// The state that follows by itself, and when; none while real work is under way or nothing is to come.
    pub(crate) next: Option<(InstanceState, Moment)>,
    /// Code and message of why it is in its state.
    pub(crate) state_reason: Option<(String, String)>,
    /// What of it the user caused and when, as `StateTransitionReason` has it.
    pub(crate) transition_reason: String,
    pub(crate) terminated: Option<Moment>,
    /// The process that runs it.
    pub(crate) owner: Option<String>,
    pub(crate) client_token: Option<String>,
    /// A digest of the request, to tell a repeated one from another one with the same token.
    pub(crate) request_digest: String,
    pub(crate) instance_type: String,
    pub(crate) key_name: Option<String>,
    pub(crate) authorized_keys: Vec<String>,
    pub(crate) launched: Moment,
    pub(crate) zone: String,
    pub(crate) tenancy: String,
    pub(crate) subnet_id: String,
    pub(crate) vpc_id: String,
    pub(crate) security_groups: Vec<String>,
    pub(crate) network_interface_id: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) ssh_port: u16,
    pub(crate) has_public_address: bool,
    pub(crate) architecture: String,
    pub(crate) boot_mode: Option<String>,
    pub(crate) root_device: String,
    pub(crate) root: RootId,
    /// Whether the machine's writable layer is still on disk.
    pub(crate) has_disk: bool,
    pub(crate) login_users: Vec<String>,
    /// Base64, as it came.
    pub(crate) user_data: Option<String>,
    pub(crate) instance_profile: Option<String>,
    pub(crate) is_spot: bool,
    /// The request that a spot instance came of.
    #[serde(default)]
    pub(crate) spot_request_id: Option<String>,
    pub(crate) monitoring: bool,
    pub(crate) ebs_optimized: bool,
    pub(crate) ena_support: bool,
    pub(crate) sriov_support: bool,
    pub(crate) source_dest_check: bool,
    pub(crate) termination_protection: bool,
    pub(crate) stop_protection: bool,
    pub(crate) shutdown_terminates: bool,
    pub(crate) enclave: bool,
    pub(crate) cpu_credits: Option<String>,
    pub(crate) metadata_options: MetadataOptions,
}

/// The instance's options for the metadata service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetadataOptions {
    pub(crate) http_tokens: String,
    pub(crate) http_endpoint: String,
    pub(crate) hop_limit: u16,
    pub(crate) instance_tags: String,
    pub(crate) http_protocol_ipv6: String,
}

/// The states of EC2's instance life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl InstanceState {
    /// Returns the low byte of the state's code.
    pub(crate) fn code(self) -> u16 {
        match self {
            InstanceState::Pending => 0,
            InstanceState::Running => 16,
            InstanceState::ShuttingDown => 32,
            InstanceState::Terminated => 48,
            InstanceState::Stopping => 64,
            InstanceState::Stopped => 80,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            InstanceState::Pending => "pending",
            InstanceState::Running => "running",
            InstanceState::ShuttingDown => "shutting-down",
            InstanceState::Terminated => "terminated",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
        }
    }

    /// Returns `<name><code/><name/></name>`.
    pub(crate) fn describe(self, name: &'static str) -> Element {
        Element::new(name).text("code", self.code()).text("name", self.name())
    }
}

impl Instance {
    /// Returns whether it is not on its way out and not gone.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, InstanceState::ShuttingDown | InstanceState::Terminated)
    }

    /// Returns whether it still holds what it uses: until it is terminated.
    pub(crate) fn exists(&self) -> bool {
        self.state != InstanceState::Terminated
    }

    pub(crate) fn public_address(&self) -> Option<Ipv4Addr> {
        let shown = self.has_public_address
            && matches!(
                self.state,
                InstanceState::Running | InstanceState::Stopping | InstanceState::ShuttingDown
            );
        shown.then_some(self.address)
    }

    pub(crate) fn private_address(&self) -> Option<Ipv4Addr> {
        self.exists().then_some(self.address)
    }

    /// Returns the hardware address of its network interface.
    pub(crate) fn mac_address(&self) -> String {
        let [one, two, three, four] = self.address.octets();
        format!("02:00:{one:02x}:{two:02x}:{three:02x}:{four:02x}")
    }

    /// Returns its tags, with the one that tells the SSH port.
    pub(crate) fn shown_tags(&self, tags: &Tags) -> Tags {
        let mut tags = tags.clone();
        if self.ssh_port != SSH_PORT && self.exists() {
            tags.insert(SSH_PORT_TAG.to_owned(), self.ssh_port.to_string());
        }
        tags
    }
}

/// Returns a running instance of the process `owner`, for tests.
#[cfg(test)]
pub(crate) fn example() -> Instance {
    let text = |text: &str| text.to_owned();
    Instance {
        id: text("i-0123456789abcdef0"),
        reservation_id: text("r-0123456789abcdef0"),
        launch_index: 0,
        image_id: text("ami-0123456789abcdef0"),
        state: InstanceState::Running,
        next: None,
        state_reason: None,
        transition_reason: String::new(),
        terminated: None,
        owner: Some(text("owner")),
        client_token: None,
        request_digest: String::new(),
        instance_type: text("t3.micro"),
        key_name: None,
        authorized_keys: Vec::new(),
        launched: Moment::parse("2026-11-21T08:00:00Z").unwrap(),
        zone: text("us-east-1a"),
        tenancy: text("default"),
        subnet_id: text("subnet-0123456789abcdef0"),
        vpc_id: text("vpc-0123456789abcdef0"),
        security_groups: Vec::new(),
        network_interface_id: text("eni-0123456789abcdef0"),
        address: Ipv4Addr::new(127, 64, 0, 4),
        ssh_port: SSH_PORT,
        has_public_address: true,
        architecture: text("x86_64"),
        boot_mode: None,
        root_device: text("/dev/xvda"),
        root: RootId(text("root")),
        has_disk: true,
        login_users: Vec::new(),
        user_data: None,
        instance_profile: None,
        is_spot: false,
        spot_request_id: None,
        monitoring: false,
        ebs_optimized: false,
        ena_support: true,
        sriov_support: true,
        source_dest_check: true,
        termination_protection: false,
        stop_protection: false,
        shutdown_terminates: false,
        enclave: false,
        cpu_credits: None,
        metadata_options: MetadataOptions {
            http_tokens: text("optional"),
            http_endpoint: text("enabled"),
            hop_limit: 1,
            instance_tags: text("disabled"),
            http_protocol_ipv6: text("disabled"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_than_22_shows_as_a_tag_until_the_end() {
        let shown = |instance: Instance| instance.shown_tags(&Tags::new()).get(SSH_PORT_TAG).cloned();
        let elsewhere = Instance {
            ssh_port: 2222,
            ..example()
        };
        assert_eq!(shown(example()), None);
        assert_eq!(shown(elsewhere.clone()).as_deref(), Some("2222"));
        assert_eq!(
            shown(Instance {
                state: InstanceState::Terminated,
                ..elsewhere
            }),
            None
        );
    }

    #[test]
    fn the_public_address_comes_with_running_and_goes_with_stopped() {
        let address = |state| Instance { state, ..example() }.public_address().is_some();
        assert!(!address(InstanceState::Pending));
        assert!(address(InstanceState::Running));
        assert!(address(InstanceState::Stopping));
        assert!(!address(InstanceState::Stopped));
        assert!(!address(InstanceState::Terminated));
        let hidden = Instance {
            has_public_address: false,
            ..example()
        };
        assert_eq!(hidden.public_address(), None);
    }
}
