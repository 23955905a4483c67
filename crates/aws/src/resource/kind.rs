//! What a kind of temporary resource is: its name, how it is found by tags, how it is removed.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Tag};
use bakelite_engine::error::Explain;
use bakelite_engine::undo::{LOCAL, Resource, UndoMode};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::client::Aws;
use crate::error::AwsError;
use crate::made;
use crate::retry::ErrorClass;
use crate::tag::{self, Tags};
use crate::watch::WaitError;

/// The owner's name in the journal.
pub const OWNER: &str = "aws";

/// Finds resources of one kind.
type Find = for<'a> fn(&'a Scope<'a>, By<'a>) -> BoxFuture<'a, Result<Vec<Found>, AwsError>>;

/// A kind of temporary resource. Each has a file; [`super::KINDS`] lists them.
pub struct Kind {
    /// Its name in the journal and in output.
    pub name: &'static str,
    /// What is said before its id when its removal begins; empty where that is of no interest.
    pub(crate) removing: &'static str,
    /// Finds those that pass a filter.
    pub(crate) find: Find,
    /// Removes the one with this id; when it returns without error, the resource is certainly gone. One that is gone already is no error.
    pub(crate) remove: for<'a> fn(&'a Scope<'a>, &'a str) -> BoxFuture<'a, Result<(), RemoveError>>,
}

/// Where a resource is, and how its removal waits.
pub(crate) struct Scope<'a> {
    /// In the resource's region.
    pub(crate) aws: &'a Aws,
    pub(crate) mode: UndoMode,
    /// The resource; absent in a sweep.
    pub(crate) resource: Option<&'a Resource>,
}

/// What resources are found by.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// The token of a single one.
    Token(&'a str),
    /// The tag that everything of any run carries.
    AnyRun,
}

impl By<'_> {
    pub(crate) fn filter(self) -> Filter {
        match self {
            By::Token(token) => tag::by_token(token),
            By::AnyRun => tag::by_run_key(),
        }
    }
}

impl<'a> Scope<'a> {
    /// The region that AWS is reached in.
    pub(crate) fn new(aws: &'a Aws, mode: UndoMode, resource: Option<&'a Resource>) -> Self {
        Self { aws, mode, resource }
    }

    /// EC2 in the resource's region. A removal is repeated as a whole.
    pub(crate) fn ec2(&self) -> &Client {
        self.aws.ec2_of_a_part()
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.resource?.token.as_deref()
    }
}

/// A resource that was found.
pub(crate) struct Found {
    /// A key pair's is its name.
    pub(crate) id: String,
    pub(crate) tags: Tags,
}

impl Found {
    /// Absent when the answer names no id.
    pub(crate) fn new(id: Option<String>, tags: Option<Vec<Tag>>) -> Option<Self> {
        Some(Self {
            id: id?,
            tags: tag::read(&tags.unwrap_or_default()),
        })
    }

    /// How long ago a run made it; unknown when its tag does not tell.
    pub(crate) fn age(&self) -> Option<Duration> {
        let created: Timestamp = self.tags.get(tag::CREATED)?.parse().ok()?;
        Timestamp::now().duration_since(created).try_into().ok()
    }

    /// The resource that it is, with the run that made it and the time among its details.
    pub(crate) fn resource(self, kind: &Kind, aws: &Aws) -> Resource {
        let mut resource = kind.resource(aws, "");
        resource.token = self.tags.get(tag::TOKEN).cloned();
        resource.id = Some(self.id);
        for (name, key) in [("run", tag::RUN), ("created", tag::CREATED)] {
            if let Some(value) = self.tags.get(key) {
                resource = resource.detail(name, value);
            }
        }
        resource
    }
}

/// Why a resource of AWS could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// It did not go in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

impl RemoveError {
    /// The failed call, unless all calls worked.
    pub(crate) fn call(&self) -> Option<&AwsError> {
        match self {
            RemoveError::Aws(error) | RemoveError::Wait(WaitError::Aws(error)) => Some(error),
            RemoveError::Wait(_) => None,
        }
    }
}

impl Explain for RemoveError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            RemoveError::Aws(error) => error.help(),
            RemoveError::Wait(error) => error.help(),
        }
    }
}

/// A resource that does not exist is gone, unless it was made a moment ago.
pub(crate) fn unless_gone<T>(result: Result<T, AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) if error.class == ErrorClass::NotYet && !made::is_about_unsettled(&error.message) => Ok(()),
        result => result.map(drop),
    }
}

impl Kind {
    /// A resource of this kind that is about to be made. The token (a tag of its own, or its unique name) finds it when its id was lost.
    pub fn resource(&self, aws: &Aws, token: &str) -> Resource {
        let mut resource = Resource::new(OWNER, self.name)
            .token(token)
            .detail("region", aws.region());
        for (name, value) in [
            ("endpoint", aws.endpoint()),
            ("profile", aws.profile()),
            (LOCAL, aws.local()),
        ] {
            if let Some(value) = value {
                resource = resource.detail(name, value);
            }
        }
        resource
    }
}
