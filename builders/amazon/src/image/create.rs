//! An AMI of an instance or of snapshots: its creation and its tags.

use std::sync::Arc;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::SdkError;
use aws_sdk_ec2::operation::create_image::builders::CreateImageFluentBuilder;
use aws_sdk_ec2::operation::create_image::{CreateImageError, CreateImageOutput};
use aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder;
use aws_sdk_ec2::types::{BlockDeviceMapping, ResourceType, TagSpecification};
use bakelite_aws::call::{call, once, without_retries};
use bakelite_aws::client::Aws;
use bakelite_aws::describe;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::image::{IMAGE, snapshot_ids};
use bakelite_aws::retry::ErrorClass;
use bakelite_aws::tag::{self, Tags};
use bakelite_engine::bake::{BakeError, Made};

use super::ami::{Ami, Created, Pending, available};
use super::imaging::Imaging;
use crate::cloud::{Cloud, Temporary};

/// A request that makes an AMI, without its name and tags.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a bake")]
enum Request {
    /// Of an instance.
    Create(CreateImageFluentBuilder),
    /// Of snapshots. It tags no snapshots: those were tagged when they were made.
    Register(RegisterImageFluentBuilder),
}

impl Imaging<'_> {
    /// Makes the AMI of the instance, which is stopped unless it is a spot instance, with these devices on top of the instance's own.
    pub(crate) async fn create(&self, instance: &str, devices: Vec<BlockDeviceMapping>) -> Result<Pending, BakeError> {
        let description = self.texts.description.clone();
        if self.is_running {
            self.cloud.say(if self.options.no_reboot {
                "The spot instance runs while the AMI is made, and is not rebooted (no_reboot)"
            } else {
                "The spot instance is rebooted by EC2 while the AMI is made; `no_reboot = true` avoids that"
            });
        }
        let request = self
            .cloud
            .ec2()
            .create_image()
            .instance_id(instance)
            .set_no_reboot(self.options.no_reboot.then_some(true))
            .set_description((!description.is_empty()).then_some(description))
            .set_block_device_mappings((!devices.is_empty()).then_some(devices));
        let is_encrypted = self.is_encrypted(instance).await?;
        let what = format!("instance {instance}");
        self.make(Request::Create(request), is_encrypted, &what).await
    }

    /// Makes the AMI of snapshots, which are encrypted or not.
    pub(crate) async fn register(
        &self,
        request: RegisterImageFluentBuilder,
        is_encrypted: bool,
    ) -> Result<Pending, BakeError> {
        let description = self.texts.description.clone();
        let request = request.set_description((!description.is_empty()).then_some(description));
        self.make(Request::Register(request), is_encrypted, "snapshots").await
    }

    /// Makes an AMI. Where it does not stay, or is not encrypted as the template wants it, it is an intermediary one without the
    /// template's name.
    async fn make(&self, request: Request, is_encrypted: bool, what: &str) -> Result<Pending, BakeError> {
        let Self { cloud, options, .. } = self;
        let needs_copy = options.encrypt_boot == Some(true) && !is_encrypted;
        let created = if options.skip_save_build_region || needs_copy {
            Created::Intermediary
        } else {
            Created::Final
        };
        let temporary = cloud.temporary(&IMAGE);
        let (name, kind) = match created {
            Created::Final => (options.ami_name.clone(), ""),
            Created::Intermediary => (format!("bakelite-{}", temporary.token), "intermediary "),
        };
        if created == Created::Final {
            self.make_room(cloud).await?;
        }
        cloud.say(format!("Creating {kind}AMI {name} from {what}..."));
        let tags = self.specifications(cloud, &temporary);
        let call = request.send(Arc::clone(&cloud.aws), name, tags, temporary.token.clone());
        let Made { value, handle } = cloud.create(temporary, call).await?;
        let (id, snapshots_tagged) = value;
        cloud.say(format!("AMI: {id}"));
        Ok(Pending {
            id,
            created,
            handle,
            snapshots_tagged,
        })
    }

    /// Waits until the AMI of the build region can be used.
    pub(crate) async fn available(&self, pending: Pending) -> Result<Ami, BakeError> {
        Ok(Ami {
            aws: Arc::clone(&self.cloud.aws),
            image: available(&self.cloud, &pending.id).await?,
            handle: pending.handle,
            snapshots_tagged: pending.snapshots_tagged,
        })
    }

    /// Whether all volumes of the instance, and with them its AMI, are encrypted as `encrypt_boot` wants it.
    async fn is_encrypted(&self, instance: &str) -> Result<bool, BakeError> {
        if !self.encrypted_at_launch {
            return Ok(false);
        }
        let attached = tag::filter("attachment.instance-id", instance);
        match describe::volumes(self.cloud.ec2(), attached).await {
            Ok(volumes) => Ok(!volumes.is_empty() && volumes.iter().all(|volume| volume.encrypted() == Some(true))),
            // A copy is encrypted in any case.
            Err(error) if error.is_denied() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The tags that the call which makes an AMI sends; none in China, whose regions take tags only afterwards.
    pub(crate) fn specifications(&self, there: &Cloud<'_>, temporary: &Temporary) -> Option<Vec<TagSpecification>> {
        let (image, snapshot) = (
            temporary.tags(&self.image_tags()),
            temporary.tags(&self.snapshot_tags()),
        );
        (!there.aws.is_in_china()).then(|| {
            vec![
                tag::specification(ResourceType::Image, &image),
                tag::specification(ResourceType::Snapshot, &snapshot),
            ]
        })
    }

    fn image_tags(&self) -> Tags {
        self.with_run_tags(&self.texts.ami_tags)
    }

    fn snapshot_tags(&self) -> Tags {
        self.with_run_tags(&self.texts.snapshot_tags)
    }

    /// The tags of the instance with these on top.
    fn with_run_tags(&self, tags: &Tags) -> Tags {
        let run_tags = self.run_tags.iter().filter(|_| !self.options.skip_ami_run_tags);
        let all = run_tags.chain(tags);
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Tags the AMI and its snapshots as far as the call that made them did not.
    pub(crate) async fn tag(&self, ami: &Ami) -> Result<(), BakeError> {
        let (image, tags) = (self.image_tags(), self.snapshot_tags());
        let snapshots = snapshot_ids(&ami.image);
        self.report_tags(ami.id(), &image, &snapshots, &tags);
        let has = tag::read(ami.image.tags());
        if image.iter().any(|(key, value)| has.get(key) != Some(value)) {
            ami.aws.tag(vec![ami.id().to_owned()], &image).await?;
        }
        if !ami.snapshots_tagged {
            ami.aws.tag(snapshots, &tags).await?;
        }
        Ok(())
    }

    /// Removes the tags of temporary resources from the AMI and its snapshots: they stay.
    pub(crate) async fn untag(&self, ami: &Ami) -> Result<(), BakeError> {
        let all = std::iter::once(ami.id().to_owned()).chain(snapshot_ids(&ami.image));
        Ok(ami.aws.untag(all.collect()).await?)
    }

    fn report_tags(&self, ami: &str, image: &Tags, snapshots: &[String], of_snapshots: &Tags) {
        let report = |tags: &Tags| {
            for (key, value) in tags {
                self.cloud.say(format!("Adding tag: \"{key}\": \"{value}\""));
            }
        };
        if !image.is_empty() {
            self.cloud.say(format!("Tagging AMI: {ami}"));
            report(image);
        }
        if !of_snapshots.is_empty() {
            for snapshot in snapshots {
                self.cloud.say(format!("Tagging snapshot: {snapshot}"));
            }
            report(of_snapshots);
        }
    }
}

impl Request {
    /// Makes the call; answers the id, and whether the snapshots got the tags, which not every endpoint can: the first call with them is
    /// made once, and one that fails on the server's side is repeated without. When the name is taken by an AMI with our token, an
    /// earlier answer was lost: that one is it.
    async fn send(
        self,
        aws: Arc<Aws>,
        name: String,
        mut tags: Option<Vec<TagSpecification>>,
        token: String,
    ) -> Result<(String, (String, bool)), AwsError> {
        let mut tags_snapshots = tags.is_some();
        let mut answer = None;
        match &self {
            Request::Register(_) => retain_image_tags(&mut tags),
            Request::Create(request) if tags_snapshots => {
                let request = request.clone().name(&name).set_tag_specifications(tags.clone());
                let mut first = None;
                let ask = async {
                    let answer = once("CreateImage", alone(request)).await.map(|answer| answer.image_id);
                    let accepts = !answer.as_ref().is_err_and(is_refused);
                    first = Some(answer);
                    Ok::<_, AwsError>(accepts)
                };
                // What the endpoint answers the first bake holds for all.
                tags_snapshots = aws.asked.once("CreateImage with tags of snapshots".into(), ask).await?;
                if !tags_snapshots {
                    retain_image_tags(&mut tags);
                }
                let is_final = |error: &AwsError| error.class == ErrorClass::Duplicate;
                answer = first.filter(|first| first.as_ref().err().is_none_or(is_final));
            }
            Request::Create(_) => {}
        }
        let answer = match answer {
            Some(answer) => answer,
            None => self.repeated(&name, tags).await,
        };
        let (id, operation) = match answer {
            Err(error) if error.class == ErrorClass::Duplicate => {
                let found = describe::own_images(aws.ec2(), tag::by_token(&token)).await?;
                let operation = error.operation;
                (
                    Some(found.into_iter().find_map(|image| image.image_id).ok_or(error)?),
                    operation,
                )
            }
            answer => (answer?, "CreateImage"),
        };
        let id = id.ok_or_else(|| AwsError::incomplete(operation, "image id"))?;
        Ok((id.clone(), (id, tags_snapshots)))
    }

    async fn repeated(&self, name: &str, tags: Option<Vec<TagSpecification>>) -> Result<Option<String>, AwsError> {
        match self.clone() {
            Request::Create(request) => {
                let request = request.name(name).set_tag_specifications(tags);
                let answer = call("CreateImage", || request.clone().send()).await?;
                Ok(answer.image_id)
            }
            Request::Register(request) => {
                let request = request.name(name).set_tag_specifications(tags);
                let answer = call("RegisterImage", || request.clone().send()).await?;
                Ok(answer.image_id)
            }
        }
    }
}

/// The call without the repetitions of the SDK.
async fn alone(
    request: CreateImageFluentBuilder,
) -> Result<CreateImageOutput, SdkError<CreateImageError, HttpResponse>> {
    request.customize().config_override(without_retries()).send().await
}

/// Whether an endpoint cannot tag snapshots of an AMI in the making: it says so, or fails.
fn is_refused(error: &AwsError) -> bool {
    error.class == ErrorClass::Unavailable || error.message.contains("taggable")
}

fn retain_image_tags(tags: &mut Option<Vec<TagSpecification>>) {
    if let Some(tags) = tags {
        tags.retain(|tags| tags.resource_type() == Some(&ResourceType::Image));
    }
}
