//! The tags of what bakelite makes: every temporary thing carries the run's id and the time, so that a sweep finds it without the
//! journal, and a token of its own, so that it is found when the answer with its id was lost.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};

use crate::call::call;
use crate::error::AwsError;

/// The run that made it.
pub const RUN: &str = "bakelite:run";
/// When it was made (RFC 3339, UTC).
pub const CREATED: &str = "bakelite:created";
/// What finds this one thing when its id is not known.
pub const TOKEN: &str = "bakelite:token";
/// The local cloud's: the port of an instance's SSH server, since all of its instances share one address.
pub const SSH_PORT: &str = "bakelite:ssh-port";

/// Resources that EC2 takes in one call (EC2 API reference, `CreateTags` and `DeleteTags`).
const MOST_RESOURCES: usize = 1000;

/// Tags by key, as templates give them.
pub type Tags = BTreeMap<String, String>;

/// The tags of one temporary thing: the user's, with ours on top.
pub fn temporary(run: &str, token: &str, users: &Tags) -> Tags {
    let mut tags = users.clone();
    tags.insert(RUN.into(), run.into());
    tags.insert(
        CREATED.into(),
        jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    );
    tags.insert(TOKEN.into(), token.into());
    tags
}

/// Tags for the call that makes a thing.
pub fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(list(tags)))
        .build()
}

/// Tags as the API wants them.
pub fn list(tags: &Tags) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// Tags as the API answers them.
pub fn read(tags: &[Tag]) -> Tags {
    tags.iter()
        .map(|tag| {
            (
                tag.key().unwrap_or_default().to_owned(),
                tag.value().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// Sets tags of resources that exist.
///
/// # Errors
/// What EC2 answers.
pub async fn set(ec2: &Client, resources: Vec<String>, tags: &Tags) -> Result<(), AwsError> {
    if resources.is_empty() || tags.is_empty() {
        return Ok(());
    }
    for part in resources.chunks(MOST_RESOURCES) {
        let request = ec2.create_tags().set_resources(Some(part.to_vec()));
        let request = request.set_tags(Some(list(tags)));
        call("CreateTags", || request.clone().send()).await?;
    }
    Ok(())
}

/// Removes the tags of temporary resources from resources that stay.
///
/// # Errors
/// What EC2 answers.
pub(crate) async fn remove_temporary(ec2: &Client, resources: Vec<String>) -> Result<(), AwsError> {
    remove(ec2, resources, [RUN, CREATED, TOKEN]).await
}

/// Removes the tags with these keys.
///
/// # Errors
/// What EC2 answers.
pub async fn remove<'a>(
    ec2: &Client,
    resources: Vec<String>,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<(), AwsError> {
    let tags: Vec<_> = keys.into_iter().map(|key| Tag::builder().key(key).build()).collect();
    // Without a key it would remove all.
    if tags.is_empty() {
        return Ok(());
    }
    for part in resources.chunks(MOST_RESOURCES) {
        let request = ec2.delete_tags().set_resources(Some(part.to_vec()));
        let request = request.set_tags(Some(tags.clone()));
        call("DeleteTags", || request.clone().send()).await?;
    }
    Ok(())
}

/// Finds the one thing with this token.
pub fn by_token(token: &str) -> Filter {
    filter(&format!("tag:{TOKEN}"), token)
}

/// Finds what has one of these tokens.
pub(crate) fn by_tokens(tokens: Vec<String>) -> Filter {
    let filter = Filter::builder().name(format!("tag:{TOKEN}"));
    filter.set_values(Some(tokens)).build()
}

/// Finds everything that any run made.
pub fn by_run_key() -> Filter {
    filter("tag-key", RUN)
}

/// A filter of the Describe operations.
pub fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stand_on_top_of_the_users() {
        let users = Tags::from([("Name".into(), "web".into()), (RUN.into(), "forged".into())]);
        let tags = temporary("run-1", "token-1", &users);
        assert_eq!(tags.get(RUN).map(String::as_str), Some("run-1"));
        assert_eq!(tags.get(TOKEN).map(String::as_str), Some("token-1"));
        assert_eq!(tags.get("Name").map(String::as_str), Some("web"));
        assert_eq!(tags.len(), 4);
        assert_eq!(read(&list(&tags)), tags);
    }
}
