//! The `null` builder: runs provisioners on a machine that exists already, and makes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_communicators::options::{CommunicatorOptions, HostKeyPolicy, Kind};
use bakelite_engine::artifact::Artifact;
use bakelite_engine::bake::{Bake, BakeError};
use bakelite_engine::builder::Builder;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "null",
    "Runs provisioners on a machine that exists already, or with `communicator = \"none\"` on none at all.",
    Schema::of::<NullOptions>,
    Make::Builder(make),
);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NullOptions {
    #[serde(flatten)]
    communicator: CommunicatorOptions,
}

struct NullBuilder {
    options: CommunicatorOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Builder>> {
    let options: NullOptions = read_options(decoded, complaints)?;
    let options = options.communicator;
    options.check(decoded.home_directory.as_deref(), complaints);
    if options.kind() == Some(Kind::Ssh) {
        check_ssh(&options, complaints);
    }
    if options.kind() == Some(Kind::WinRm) {
        check_winrm(&options, complaints);
    }
    Some(Box::new(NullBuilder { options }))
}

/// There is no cloud that knows them: host and credentials must be in the template.
fn check_winrm(options: &CommunicatorOptions, complaints: &mut Vec<Complaint>) {
    let required = [
        ("winrm_host", &options.winrm_host),
        ("winrm_password", &options.winrm_password),
    ];
    for (name, given) in required {
        if given.is_none() {
            complaints.push(Complaint::error("", format!("`{name}` must be given")));
        }
    }
}

fn check_ssh(options: &CommunicatorOptions, complaints: &mut Vec<Complaint>) {
    if options.ssh_host.is_none() {
        complaints.push(
            Complaint::error("", "`ssh_host` must be given")
                .help("set it to the name or address of the machine, or set communicator = \"none\""),
        );
    }
    if options.ssh_host_key == HostKeyPolicy::Console {
        let complaint = Complaint::error(
            "ssh_host_key",
            "`ssh_host_key = \"console\"` needs a builder that can read a console",
        );
        complaints.push(complaint.help("give the fingerprint of the host key: `pin:SHA256:…`"));
    }
    let ways = [
        options.ssh_password.is_some(),
        options.ssh_private_key_file.is_some(),
        options.ssh_agent_auth,
    ];
    match ways.iter().filter(|way| **way).count() {
        1 => {}
        0 => complaints.push(Complaint::error(
            "",
            "one of `ssh_password`, `ssh_private_key_file` and `ssh_agent_auth` must be given",
        )),
        _ => complaints.push(Complaint::error(
            "",
            "only one of `ssh_password`, `ssh_private_key_file` and `ssh_agent_auth` may be given",
        )),
    }
}

#[async_trait]
impl Builder for NullBuilder {
    async fn bake(&self, bake: &Bake) -> Result<Artifact, BakeError> {
        let mut data = bake.data("Null");
        let target = Target::default();
        if self.options.kind() != Some(Kind::None) {
            data.extend(connection_data(&target, &self.options));
        }
        let connecting = async {
            connect(&target, &self.options, &bake.run, &bake.ui, bake.cancel.token())
                .await
                .map_err(BakeError::from)
        };
        let communicator = Box::pin(bake.step("connect", connecting)).await?;
        let provisioned = bake
            .step("provision", bake.provision(Arc::clone(&communicator), data.clone()))
            .await;
        // After a failure the error-cleanup-provisioner still needs the connection.
        if provisioned.is_ok() {
            communicator.close().await;
        }
        provisioned?;
        Ok(Artifact {
            builder_id: "fnoeding.null".into(),
            id: "Null".into(),
            files: None,
            description: "Did not export anything. This is the null builder".into(),
            data,
            state: BTreeMap::new(),
            destroy: None,
        })
    }
}
