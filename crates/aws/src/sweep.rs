//! Leftovers found by their tags, for `bakelite gc` without a journal (another machine's, a deleted one).

use aws_sdk_ec2::types::Tag;
use bakelite_engine::undo::Resource;

use crate::class::AwsError;
use crate::client::Aws;
use crate::tag;
use crate::tagged::tagged;
use crate::undo::ResourceKind;

/// Everything in the region that a run of bakelite made and that still carries its tags, in the order in which it can be removed.
/// Details `run` and `created` tell which run and when: a run that still goes on has such things too.
pub async fn sweep(aws: &Aws) -> Result<Vec<Resource>, AwsError> {
    let mut found = Vec::new();
    for kind in ResourceKind::ALL {
        let tagged = tagged(kind, aws.ec2(), tag::by_run_key()).await?;
        let left = tagged.into_iter().filter(|tagged| !tagged.is_gone);
        found.extend(left.map(|tagged| resource(kind, aws, tagged.id, &tagged.tags)));
    }
    Ok(found)
}

fn resource(kind: ResourceKind, aws: &Aws, id: String, tags: &[Tag]) -> Resource {
    let tags = tag::read(tags);
    let token = tags.get(tag::TOKEN).cloned().unwrap_or_default();
    let mut resource = kind.resource(aws, &token);
    resource.token = Some(token).filter(|token| !token.is_empty());
    resource.id = Some(id);
    for (name, key) in [("run", tag::RUN), ("created", tag::CREATED)] {
        if let Some(value) = tags.get(key) {
            resource = resource.detail(name, value);
        }
    }
    resource
}
