//! The key that the instance accepts: a temporary pair that EC2 makes, or one that the template names, or none.

use std::borrow::Cow;
use std::path::PathBuf;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{KeyType, ResourceType};
use bakelite_aws::call::call;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::key_pair::KEY_PAIR;
use bakelite_aws::retry::ErrorClass;
use bakelite_aws::tag::{self, Tags};
use bakelite_communicators::options::{self, CommunicatorOptions, Kind};
use bakelite_engine::bake::{BakeError, Handle};
use bakelite_engine::error::{Error, Explain};
use bakelite_engine::private_file;

use crate::cloud::Cloud;

/// The key that the instance accepts.
#[derive(Default)]
pub(crate) struct KeyPair {
    /// Its name in EC2.
    pub(crate) name: Option<String>,
    /// The private key (PEM), when EC2 made it.
    pub(crate) private_key: Option<String>,
    /// Undoes the temporary pair.
    pub(crate) handle: Option<Handle>,
}

/// Whether EC2 has to be asked for the password of a Windows instance, which it encrypts for the instance's key pair.
pub(crate) fn password_is_needed(options: &CommunicatorOptions) -> bool {
    options.kind() == Some(Kind::WinRm) && options.winrm_password.is_none()
}

/// Why there is no key pair, or not as the user wants it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyPairError {
    #[error("key pair `{name}` does not exist")]
    Missing { name: String },
    #[error("failed to save the private key as `{}`", path.display())]
    Save {
        path: PathBuf,
        #[source]
        cause: Error,
    },
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl Explain for KeyPairError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing { .. } => {
                Some("a key pair belongs to one region: check `ssh_keypair_name` and the region".into())
            }
            Self::Save { cause, .. } => cause.help().map(Cow::Borrowed),
            Self::Aws(error) => error.help(),
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        (!matches!(self, Self::Save { .. })).then_some("ssh_keypair_name".into())
    }
}

/// Makes sure that the key pair exists that the template names. Whoever may not look at it may still use it.
pub(crate) async fn exists(ec2: &Client, options: &CommunicatorOptions) -> Result<(), KeyPairError> {
    let Some(name) = &options.ssh_keypair_name else {
        return Ok(());
    };
    match call("DescribeKeyPairs", || ec2.describe_key_pairs().key_names(name).send()).await {
        Err(error) if error.is_not_found() => Err(KeyPairError::Missing { name: name.clone() }),
        Err(error) if error.is_denied() => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

/// Makes a temporary key pair, if the template leaves nothing else to log in with.
pub(crate) async fn make(cloud: &Cloud<'_>, options: &CommunicatorOptions, tags: &Tags) -> Result<KeyPair, BakeError> {
    let for_password = password_is_needed(options);
    let other_login = options.ssh_private_key_file.is_some()
        || !for_password && (options.ssh_agent_auth || options.ssh_password.is_some());
    let needs_one = for_password || options.kind() == Some(Kind::Ssh);
    if options.ssh_keypair_name.is_some() || other_login || !needs_one {
        return Ok(KeyPair {
            name: options.ssh_keypair_name.clone(),
            ..KeyPair::default()
        });
    }
    let temporary = cloud.temporary(&KEY_PAIR);
    let replaceable = options.temporary_key_pair_name.is_none();
    let name = options.temporary_key_pair_name.clone();
    let name = name.unwrap_or_else(|| format!("packer_{}", temporary.token));
    let kind = match options.temporary_key_pair_type {
        // EC2 encrypts passwords for RSA keys only.
        options::KeyType::Ed25519 if !for_password => KeyType::Ed25519,
        _ => KeyType::Rsa,
    };
    cloud.say(format!("Creating temporary keypair: {name}"));
    let tags = temporary.tags(tags);
    let call = create(cloud.ec2().clone(), name.clone(), kind, tags, replaceable);
    let made = cloud.create(temporary.detail("name", &name), call).await?;
    let bake = cloud.bake;
    if bake.run.debug {
        let path = bake.run.working_directory.join(format!("ec2_{}.pem", bake.source_name));
        let shown = path.display().to_string();
        let saved = private_file::save(&bake.creation(), &path, made.value.as_bytes()).await;
        saved.map_err(|cause| KeyPairError::Save { path, cause })?;
        cloud.say(format!("Private key saved for debugging: {shown}"));
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
    let specification = tag::specification(ResourceType::KeyPair, &tags);
    let request = ec2
        .create_key_pair()
        .key_name(&name)
        .key_type(kind)
        .tag_specifications(specification);
    let mut answer = call("CreateKeyPair", || request.clone().send()).await;
    if replaceable && answer.as_ref().is_err_and(|error| error.class == ErrorClass::Duplicate) {
        call("DeleteKeyPair", || ec2.delete_key_pair().key_name(&name).send()).await?;
        answer = call("CreateKeyPair", || request.clone().send()).await;
    }
    let private_key = answer?.key_material;
    let private_key = private_key.ok_or_else(|| AwsError::incomplete("CreateKeyPair", "private key"))?;
    Ok((name, private_key))
}
