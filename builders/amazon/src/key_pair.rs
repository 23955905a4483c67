//! The key that the instance lets in: a temporary pair that EC2 makes, or one that the template names, or none.

use std::sync::Arc;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{KeyType, ResourceType};
use bakelite_aws::class::{AwsError, ErrorClass};
use bakelite_aws::client::Aws;
use bakelite_aws::tag::{self, Tags};
use bakelite_aws::undo::ResourceKind;
use bakelite_communicators::options::{CommunicatorOptions, Kind};
use bakelite_engine::bake::{Bake, BakeError, Handle};
use bakelite_engine::private_file;
use bakelite_engine::undo::Undo;

use crate::password;

/// The key that the instance lets in.
#[derive(Default)]
pub(crate) struct KeyPair {
    /// Its name in EC2.
    pub(crate) name: Option<String>,
    /// The private key (PEM), when EC2 made it.
    pub(crate) private_key: Option<String>,
    /// The temporary pair's undo.
    pub(crate) handle: Option<Handle>,
}

/// Makes a temporary key pair, if the template leaves nothing else to log in with.
pub(crate) async fn make(
    bake: &Bake,
    aws: &Arc<Aws>,
    undo: &Arc<dyn Undo>,
    options: &CommunicatorOptions,
    tags: &Tags,
) -> Result<KeyPair, BakeError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let named = given(&options.ssh_keypair_name);
    let for_password = password::is_needed(options);
    let other_way = given(&options.ssh_private_key_file).is_some()
        || !for_password && (options.ssh_agent_auth || given(&options.ssh_password).is_some());
    if named.is_some() || other_way || !(for_password || options.kind() == Some(Kind::Ssh)) {
        return Ok(KeyPair {
            name: named,
            ..KeyPair::default()
        });
    }
    let token = uuid::Uuid::now_v7().to_string();
    let ours = given(&options.temporary_key_pair_name);
    let replaceable = ours.is_none();
    let name = ours.unwrap_or_else(|| format!("packer_{token}"));
    let kind = match options.temporary_key_pair_type.as_deref() {
        // EC2 encrypts passwords for RSA keys only.
        Some(kind) if !for_password && kind.eq_ignore_ascii_case("ed25519") => KeyType::Ed25519,
        _ => KeyType::Rsa,
    };
    bake.ui.say(format!("Creating temporary key pair `{name}`..."));
    let resource = ResourceKind::KeyPair.resource(aws, &token).detail("name", &name);
    let tags = tag::temporary(&bake.run.id, &token, tags);
    let call = create(aws.ec2().clone(), name.clone(), kind, tags, replaceable);
    let made = bake.create(Arc::clone(undo), resource, call).await?;
    if bake.run.debug {
        let path = bake.run.working_folder.join(format!("ec2_{}.pem", bake.source_name));
        private_file::save(&bake.creation(), &path, made.value.as_bytes())
            .await
            .map_err(|cause| BakeError::failed(format!("save private key `{}`: {cause}", path.display())))?;
        bake.ui
            .say(format!("Private key saved for debugging: {}", path.display()));
    }
    Ok(KeyPair {
        name: Some(name),
        private_key: Some(made.value),
        handle: Some(made.handle),
    })
}

/// Makes the pair; answers its name and the private key. A pair of that name that exists already is one whose answer was lost, when
/// the name is ours alone: its private key is lost with the answer, so it is made anew.
async fn create(
    ec2: Client,
    name: String,
    kind: KeyType,
    tags: Tags,
    replaceable: bool,
) -> Result<(String, String), AwsError> {
    let request = ec2
        .create_key_pair()
        .key_name(&name)
        .key_type(kind)
        .tag_specifications(tag::specification(ResourceType::KeyPair, &tags));
    let mut answer = request
        .clone()
        .send()
        .await
        .map_err(|error| AwsError::of("CreateKeyPair", &error));
    if replaceable && answer.as_ref().is_err_and(|error| error.class == ErrorClass::Duplicate) {
        let deleted = ec2.delete_key_pair().key_name(&name).send().await;
        deleted.map_err(|error| AwsError::of("DeleteKeyPair", &error))?;
        answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("CreateKeyPair", &error));
    }
    let private_key = answer?.key_material;
    let private_key = private_key.ok_or_else(|| AwsError::incomplete("CreateKeyPair", "private key"))?;
    Ok((name, private_key))
}
