//! AWS as one bake uses it: what is made through it is undone at the end of the bake.

use std::sync::Arc;

use aws_sdk_ec2::Client;
use bakelite_aws::access::AccessOptions;
use bakelite_aws::client::Aws;
use bakelite_aws::made;
use bakelite_aws::resource::Kind;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::undo::AwsUndo;
use bakelite_engine::bake::{Bake, BakeError, Made};
use bakelite_engine::undo::{Resource, Undo};

/// AWS as one bake uses it.
#[derive(Clone)]
pub(crate) struct Cloud<'a> {
    pub(crate) bake: &'a Bake,
    pub(crate) aws: Arc<Aws>,
    pub(crate) undo: Arc<dyn Undo>,
}

/// A temporary resource that is about to be made.
pub(crate) struct Temporary {
    /// What finds it when the answer with its id is lost.
    pub(crate) token: String,
    resource: Resource,
    run: String,
}

impl<'a> Cloud<'a> {
    /// Reaches AWS as these options say, as a step of the bake.
    pub(crate) async fn reach(bake: &'a Bake, access: &AccessOptions) -> Result<Self, BakeError> {
        let reach = async { Ok(Aws::reach(access, &bake.run.environment).await?) };
        let aws = bake.step("reach AWS", reach).await?;
        let undo = AwsUndo::of(&aws);
        Ok(Self { bake, aws, undo })
    }

    pub(crate) fn ec2(&self) -> &Client {
        self.aws.ec2()
    }

    /// The same in another region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        Self {
            aws: self.aws.in_region(region),
            ..self.clone()
        }
    }

    pub(crate) fn say(&self, text: impl Into<String>) {
        self.bake.ui.say(text.into());
    }

    /// A resource of this kind that is about to be made.
    pub(crate) fn temporary(&self, kind: &Kind) -> Temporary {
        self.temporary_as(kind, &uuid::Uuid::now_v7().to_string())
    }

    /// The same with a token that another one has too, since both have the same name.
    pub(crate) fn temporary_as(&self, kind: &Kind, token: &str) -> Temporary {
        Temporary {
            resource: kind.resource(&self.aws, token),
            token: token.to_owned(),
            run: self.bake.run.id.clone(),
        }
    }

    /// Makes it by a call that answers its id and what else the caller needs.
    pub(crate) async fn create<T, E>(
        &self,
        temporary: Temporary,
        call: impl Future<Output = Result<(String, T), E>> + Send + 'static,
    ) -> Result<Made<T>, BakeError>
    where
        T: Send + 'static,
        E: Into<BakeError> + Send + 'static,
    {
        let undo = Arc::clone(&self.undo);
        let call = async move {
            let (id, value) = call.await?;
            made::note(&id);
            Ok::<_, E>((id, value))
        };
        self.bake.create(undo, temporary.resource, call).await
    }
}

impl Temporary {
    /// The same with one more detail in the journal.
    pub(crate) fn detail(mut self, name: &str, value: &str) -> Self {
        self.resource = self.resource.detail(name, value);
        self
    }

    /// The user's tags, with those by which it is found on top.
    pub(crate) fn tags(&self, users: &Tags) -> Tags {
        tag::temporary(&self.run, &self.token, users)
    }
}
