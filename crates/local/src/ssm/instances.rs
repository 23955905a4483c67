//! Which instances Systems Manager knows: those whose agent has registered, and their machines.

use serde::Deserialize;
use serde_json::{Value, json};

use super::unsupported;
use crate::api_error::ApiError;
use crate::call::JsonCall;
use crate::cloud::Cloud;
use crate::machine::Machine;
use crate::moment::Moment;
use crate::state::instance::{Instance, InstanceState};

/// The version of the agents here: of those that multiplex without keepalive.
pub(crate) const AGENT_VERSION: &str = "3.3.1957.0";

/// An instance whose agent is there.
pub(super) struct Managed {
    pub(super) machine: Machine,
}

impl Managed {
    /// Finds the agent of an instance. As on AWS it is only there when the instance has a profile, with whose credentials it registers,
    /// and has booted.
    pub(super) fn of(cloud: &Cloud, region: &str, id: &str) -> Result<Managed, ApiError> {
        let not_connected = || ApiError::new("TargetNotConnected", format!("{id} is not connected."));
        let found = cloud.read(region, |region| region.instance(id).ok().cloned())?;
        let instance = found.filter(is_managed).ok_or_else(not_connected)?;
        cloud.check_owner(&instance)?;
        // Whoever holds it is starting or stopping the machine.
        let machine = cloud
            .slot(id)
            .try_lock()
            .ok()
            .and_then(|slot| slot.as_ref().map(|running| running.machine.clone()));
        let machine = machine.filter(Machine::is_running).ok_or_else(not_connected)?;
        Ok(Managed { machine })
    }
}

fn is_managed(instance: &Instance) -> bool {
    instance.state == InstanceState::Running && instance.instance_profile.is_some()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInstanceInformation {
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default, rename = "MaxResults")]
    _max_results: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Filter {
    key: String,
    values: Vec<String>,
}

pub(super) fn describe_instance_information(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: DescribeInstanceInformation = call.input()?;
    if let Some(other) = input
        .filters
        .iter()
        .find(|filter| !matches!(filter.key.as_str(), "InstanceIds" | "PingStatus"))
    {
        return Err(unsupported(&format!(
            "filter `{}` in DescribeInstanceInformation",
            other.key
        )));
    }
    let region = &call.credential.region;
    let instances = call.cloud.read(region, |region| {
        region
            .instances
            .values()
            .filter(|one| is_managed(one))
            .cloned()
            .collect::<Vec<_>>()
    })?;
    let passes = |instance: &Instance| {
        input.filters.iter().all(|filter| {
            let value = if filter.key == "InstanceIds" {
                instance.id.as_str()
            } else {
                "Online"
            };
            filter.values.iter().any(|wanted| wanted == value)
        })
    };
    let online = instances
        .iter()
        .filter(|instance| passes(instance))
        .filter(|instance| Managed::of(call.cloud, region, &instance.id).is_ok());
    let list: Vec<Value> = online.map(describe).collect();
    Ok(json!({ "InstanceInformationList": list }))
}

fn describe(instance: &Instance) -> Value {
    json!({
        "InstanceId": instance.id,
        "PingStatus": "Online",
        "LastPingDateTime": Moment::now().seconds(),
        "AgentVersion": AGENT_VERSION,
        "IsLatestVersion": true,
        "PlatformType": "Linux",
        "ResourceType": "EC2Instance",
        "IPAddress": instance.address.to_string(),
    })
}
