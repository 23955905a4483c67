//! The instance's security groups: those that the template names or finds, or a temporary one that lets the communicator in.

use std::sync::Arc;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType};
use bakelite_aws::class::{AwsError, ErrorClass};
use bakelite_aws::client::Aws;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::undo::ResourceKind;
use bakelite_communicators::options::Kind;
use bakelite_engine::bake::{Bake, BakeError, Handle};
use bakelite_engine::undo::Undo;

use crate::ebs::options::Options;
use crate::network::{self, Network};

/// The instance's security groups.
pub(crate) struct SecurityGroups {
    pub(crate) ids: Vec<String>,
    /// The temporary one's undo.
    pub(crate) handle: Option<Handle>,
}

/// Finds the groups that the template wants, or makes a temporary one.
pub(crate) async fn make(
    bake: &Bake,
    aws: &Arc<Aws>,
    undo: &Arc<dyn Undo>,
    options: &Options,
    network: &Network,
    tags: &Tags,
) -> Result<SecurityGroups, BakeError> {
    let named = options.security_groups();
    if !named.is_empty() {
        return Ok(SecurityGroups {
            ids: named,
            handle: None,
        });
    }
    if let Some(filter) = &options.security_group_filter {
        let ids = network::security_groups(aws.ec2(), filter, network.vpc_id.as_deref()).await?;
        return Ok(SecurityGroups { ids, handle: None });
    }
    let token = uuid::Uuid::now_v7().to_string();
    let name = format!("packer_{token}");
    bake.ui.say(format!("Creating temporary security group `{name}`..."));
    let resource = ResourceKind::SecurityGroup.resource(aws, &token).detail("name", &name);
    let tags = tag::temporary(&bake.run.id, &token, tags);
    let made = bake
        .create(
            Arc::clone(undo),
            resource,
            create(aws.ec2().clone(), name, network.vpc_id.clone(), tags),
        )
        .await?;
    let id = made.value;
    if options.communicator.kind() != Some(Kind::None) && !options.by_session_manager() {
        let port = i32::from(options.communicator.port());
        let sources = &options.temporary_security_group_source_cidrs;
        let everywhere = vec!["0.0.0.0/0".to_owned()];
        let sources = if sources.is_empty() { &everywhere } else { sources };
        bake.ui.say(format!(
            "Letting port {port} in from {} to the temporary security group...",
            sources.join(", ")
        ));
        authorize(aws.ec2(), &id, port, sources).await?;
    }
    Ok(SecurityGroups {
        ids: vec![id],
        handle: Some(made.handle),
    })
}

/// Makes the group; answers its id. One of that name that exists already is ours, with its answer lost.
async fn create(ec2: Client, name: String, vpc: Option<String>, tags: Tags) -> Result<(String, String), AwsError> {
    let request = ec2
        .create_security_group()
        .group_name(&name)
        .description("Temporary group of an image being baked")
        .set_vpc_id(vpc)
        .tag_specifications(tag::specification(ResourceType::SecurityGroup, &tags));
    let answer = request
        .send()
        .await
        .map_err(|error| AwsError::of("CreateSecurityGroup", &error));
    let id = match answer {
        Err(error) if error.class == ErrorClass::Duplicate => {
            let found = ec2
                .describe_security_groups()
                .filters(tag::filter("group-name", &name))
                .send()
                .await;
            let found = found.map_err(|error| AwsError::of("DescribeSecurityGroups", &error))?;
            found
                .security_groups()
                .first()
                .and_then(|group| group.group_id().map(str::to_owned))
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
    let answer = ec2
        .authorize_security_group_ingress()
        .group_id(id)
        .ip_permissions(permission.build())
        .send()
        .await;
    match answer.map_err(|error| AwsError::of("AuthorizeSecurityGroupIngress", &error)) {
        // The answer to the first try was lost.
        Err(error) if error.class == ErrorClass::Duplicate => Ok(()),
        answer => answer.map(drop),
    }
}
