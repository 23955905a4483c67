//! The instance's security groups: those that the template names or finds, or a temporary one that admits the communicator.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType};
use bakelite_aws::call::call;
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::security_group::SECURITY_GROUP;
use bakelite_aws::retry::ErrorClass;
use bakelite_aws::tag::{self, Tags};
use bakelite_engine::bake::{BakeError, Handle};
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use super::filters::NetworkFilter;
use super::network::{self, Network};
use super::public_address;
use crate::cloud::Cloud;

/// Which security groups an instance has.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SecurityGroupOptions {
    /// The instance's existing security group.
    pub security_group_id: Option<String>,
    /// The instance's existing security groups.
    pub security_group_ids: Vec<String>,
    /// How the instance's existing security groups are found.
    pub security_group_filter: Option<NetworkFilter>,
    /// Networks (CIDR) that the temporary security group admits; default: all of IPv4, or of IPv6 with `ssh_interface = "ipv6"`.
    pub temporary_security_group_source_cidrs: Vec<String>,
    /// Admit only this machine's public address.
    pub temporary_security_group_source_public_ip: bool,
}

impl SecurityGroupOptions {
    /// Complains about options that contradict each other.
    pub(crate) fn check(&self, complaints: &mut Vec<Complaint>) {
        if self.security_group_id.is_some() && !self.security_group_ids.is_empty() {
            complaints.push(Complaint::error(
                "security_group_ids",
                "only one of `security_group_id` and `security_group_ids` can be given",
            ));
        }
        if self.temporary_security_group_source_public_ip && !self.temporary_security_group_source_cidrs.is_empty() {
            complaints.push(Complaint::warning(
                "temporary_security_group_source_public_ip",
                "`temporary_security_group_source_public_ip` has no effect beside `temporary_security_group_source_cidrs`",
            ));
        }
        if let Some(filter) = &self.security_group_filter {
            filter.check("security_group_filter", complaints);
        }
        for (index, source) in self.temporary_security_group_source_cidrs.iter().enumerate() {
            if source.parse::<ipnet::IpNet>().is_err() {
                complaints.push(Complaint::error(
                    format!("temporary_security_group_source_cidrs[{index}]"),
                    format!("`{source}` is not a network in CIDR notation (such as `198.51.100.0/24`)"),
                ));
            }
        }
    }

    /// The existing groups that are named by id.
    pub(crate) fn named(&self) -> Vec<String> {
        self.security_group_id
            .iter()
            .chain(&self.security_group_ids)
            .cloned()
            .collect()
    }
}

/// What a temporary group lets in.
#[derive(Clone, Copy)]
pub(crate) struct Admitted {
    /// The communicator's port.
    pub(crate) port: u16,
    /// It connects to the instance's IPv6 address.
    pub(crate) by_ipv6: bool,
}

/// The instance's security groups.
pub(crate) struct SecurityGroups {
    pub(crate) ids: Vec<String>,
    /// Undoes the temporary one.
    pub(crate) handle: Option<Handle>,
}

/// Finds the groups that the template names, or makes a temporary one that admits the communicator.
pub(crate) async fn make(
    cloud: &Cloud<'_>,
    options: &SecurityGroupOptions,
    network: &Network,
    admitted: Option<Admitted>,
    tags: &Tags,
) -> Result<SecurityGroups, BakeError> {
    let named = options.named();
    if !named.is_empty() {
        return Ok(SecurityGroups {
            ids: named,
            handle: None,
        });
    }
    let filter = options.security_group_filter.as_ref();
    if let Some(filter) = filter.filter(|filter| !filter.is_empty()) {
        let ids = network::security_groups(cloud.ec2(), filter, network.vpc_id.as_deref()).await?;
        cloud.say(format!("Security groups: {}", ids.join(", ")));
        return Ok(SecurityGroups { ids, handle: None });
    }
    let temporary = cloud.temporary(&SECURITY_GROUP);
    let name = format!("packer_{}", temporary.token);
    cloud.say(format!("Creating temporary security group for this instance: {name}"));
    let tags = temporary.tags(tags);
    let temporary = temporary.detail("name", &name);
    let call = create(cloud.ec2().clone(), name, network.vpc_id.clone(), tags);
    let made = cloud.create(temporary, call).await?;
    if let Some(admitted) = admitted {
        let sources = sources(cloud, options, admitted).await?;
        let (port, shown) = (admitted.port, sources.join(", "));
        cloud.say(format!(
            "Authorizing access to port {port} from {shown} in the temporary security group..."
        ));
        authorize(cloud.ec2(), &made.value, port.into(), &sources).await?;
    }
    Ok(SecurityGroups {
        ids: vec![made.value],
        handle: Some(made.handle),
    })
}

/// The networks that the temporary group admits.
async fn sources(
    cloud: &Cloud<'_>,
    options: &SecurityGroupOptions,
    admitted: Admitted,
) -> Result<Vec<String>, BakeError> {
    let given = &options.temporary_security_group_source_cidrs;
    if !given.is_empty() {
        return Ok(given.clone());
    }
    if options.temporary_security_group_source_public_ip {
        let address = public_address::find(&cloud.bake.run.environment).await?;
        cloud.say(format!("Public address of this machine: {address}"));
        return Ok(vec![ipnet::IpNet::from(address).to_string()]);
    }
    Ok(vec![if admitted.by_ipv6 { "::/0" } else { "0.0.0.0/0" }.to_owned()])
}

/// Makes the group; answers its id. One of that name that exists already is ours, with its answer lost.
async fn create(ec2: Client, name: String, vpc: Option<String>, tags: Tags) -> Result<(String, String), AwsError> {
    let request = ec2
        .create_security_group()
        .group_name(&name)
        .description("Temporary group of an image being baked")
        .set_vpc_id(vpc)
        .tag_specifications(tag::specification(ResourceType::SecurityGroup, &tags));
    let id = match call("CreateSecurityGroup", || request.clone().send()).await {
        Err(error) if error.class == ErrorClass::Duplicate => {
            let found = describe::security_groups(&ec2, vec![tag::filter("group-name", &name)]).await?;
            found.into_iter().find_map(|group| group.group_id)
        }
        answer => answer?.group_id,
    };
    let id = id.ok_or_else(|| AwsError::incomplete("CreateSecurityGroup", "group id"))?;
    Ok((id.clone(), id))
}

async fn authorize(ec2: &Client, id: &str, port: i32, sources: &[String]) -> Result<(), AwsError> {
    let mut permission = IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port);
    for source in sources {
        permission = if source.contains(':') {
            permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(source).build())
        } else {
            permission.ip_ranges(IpRange::builder().cidr_ip(source).build())
        };
    }
    let request = ec2.authorize_security_group_ingress().group_id(id);
    let request = request.ip_permissions(permission.build());
    match call("AuthorizeSecurityGroupIngress", || request.clone().send()).await {
        // The answer to the first try was lost.
        Err(error) if error.class == ErrorClass::Duplicate => Ok(()),
        answer => answer.map(drop),
    }
}
