//! Where the credentials come from: the template, the environment, the shared profile files, a web identity, the container's role,
//! the instance's role; with a role assumed on top when the template says so.

use std::collections::BTreeMap;
use std::path::Path;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{SdkConfig, meta::region::ProvideRegion as _};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_runtime::env_config::file::{Builder, EnvConfigFileKind, EnvConfigFiles};

use bakelite_engine::bake::BakeError;
use bakelite_engine::foreign::quoted;

use crate::access::{AccessOptions, AssumeRole};
use crate::authorities::BundleError;

/// Environment variables as the run sees them.
pub type Environment = BTreeMap<String, String>;

/// Why AWS cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Nothing has credentials.
    #[error("AWS credentials are nowhere to be found; tried: {}", tried.join("; "))]
    NoCredentials {
        /// What was tried, with what came of it.
        tried: Vec<String>,
    },
    /// Something should have credentials and does not.
    #[error("AWS credentials of {of} cannot be had: {why}")]
    BadCredentials {
        /// Where they should come from.
        of: String,
        /// What happened.
        why: String,
    },
    /// The file with the authorities cannot be used.
    #[error("use the authorities that {by} names, `{}`", file.display())]
    Bundle {
        /// What names it.
        by: String,
        /// The file.
        file: std::path::PathBuf,
        /// The cause.
        #[source]
        cause: BundleError,
    },
    /// There is no region.
    #[error(
        "AWS region is not known: neither `region`, `AWS_REGION`, `AWS_DEFAULT_REGION` nor profile `{profile}` has one"
    )]
    NoRegion {
        /// The profile that was looked into.
        profile: String,
    },
}

impl From<AccessError> for BakeError {
    fn from(error: AccessError) -> Self {
        BakeError::failed(error)
    }
}

/// The value of a variable, if it has one.
pub(crate) fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

/// The profile of the shared files that is meant.
pub(crate) fn profile_name<'a>(options: &'a AccessOptions, environment: &'a Environment) -> &'a str {
    options
        .profile
        .as_deref()
        .or_else(|| variable(environment, "AWS_PROFILE"))
        .unwrap_or("default")
}

/// The region: the template's, the environment's, the profile's.
pub(crate) async fn region(options: &AccessOptions, environment: &Environment) -> Result<String, AccessError> {
    let named = options.region.as_deref().filter(|region| !region.is_empty());
    let named = named
        .or_else(|| variable(environment, "AWS_REGION"))
        .or_else(|| variable(environment, "AWS_DEFAULT_REGION"));
    if let Some(region) = named {
        return Ok(region.to_owned());
    }
    let profile = profile_name(options, environment);
    let provider = ProfileFileRegionProvider::builder()
        .profile_name(profile)
        .profile_files(files(options, environment))
        .build();
    let region = provider.region().await;
    region
        .map(|region| region.to_string())
        .ok_or_else(|| AccessError::NoRegion {
            profile: profile.to_owned(),
        })
}

/// The credentials, before a role is assumed. They are fetched once here, so that missing ones are told in our words.
pub(crate) async fn base(
    options: &AccessOptions,
    environment: &Environment,
    config: &ProviderConfig,
) -> Result<SharedCredentialsProvider, AccessError> {
    if let (Some(key), Some(secret)) = (&options.access_key, &options.secret_key) {
        return Ok(SharedCredentialsProvider::new(Credentials::new(
            key,
            secret,
            options.token.clone(),
            None,
            "template",
        )));
    }
    let profile = profile_name(options, environment);
    let of_profile = ProfileFileCredentialsProvider::builder()
        .configure(config)
        .profile_name(profile)
        .profile_files(files(options, environment))
        .build();
    let mut tried = vec!["`access_key` and `secret_key` of the template: not given".to_owned()];
    if options.profile.is_none() {
        if let Some(credentials) = of_environment(environment) {
            return Ok(SharedCredentialsProvider::new(credentials));
        }
        tried.push("`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`: not set".into());
    }
    let name = format!("profile `{profile}`");
    if let Some(found) = attempt(&name, SharedCredentialsProvider::new(of_profile), &mut tried).await? {
        return Ok(found);
    }
    if options.profile.is_some() {
        return Err(AccessError::NoCredentials { tried });
    }
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(config).build();
    if let Some(found) = attempt("web identity", SharedCredentialsProvider::new(web_identity), &mut tried).await? {
        return Ok(found);
    }
    let container = EcsCredentialsProvider::builder().configure(config).build();
    if let Some(found) = attempt("container role", SharedCredentialsProvider::new(container), &mut tried).await? {
        return Ok(found);
    }
    let disabled =
        variable(environment, "AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled || options.skip_metadata_api_check == Some(true) {
        tried.push("instance role: metadata service not asked, as configured".into());
        return Err(AccessError::NoCredentials { tried });
    }
    let instance = ImdsCredentialsProvider::builder().configure(config).build();
    attempt("instance role", SharedCredentialsProvider::new(instance), &mut tried)
        .await?
        .ok_or(AccessError::NoCredentials { tried })
}

/// Tries one provider: its credentials, `None` when it has none (noted in `tried`), an error when it should have some.
async fn attempt(
    name: &str,
    provider: SharedCredentialsProvider,
    tried: &mut Vec<String>,
) -> Result<Option<SharedCredentialsProvider>, AccessError> {
    match provider.provide_credentials().await {
        Ok(_) => Ok(Some(provider)),
        Err(CredentialsError::CredentialsNotLoaded(_)) => {
            tried.push(format!("{name}: has none"));
            Ok(None)
        }
        // No metadata service at all: this is not an EC2 instance.
        Err(CredentialsError::ProviderTimedOut(_)) => {
            tried.push(format!("{name}: no answer"));
            Ok(None)
        }
        Err(error) => Err(AccessError::BadCredentials {
            of: name.to_owned(),
            // A `credential_process` or a server may have said anything.
            why: quoted(&bakelite_engine::chain_of(&error)),
        }),
    }
}

fn of_environment(environment: &Environment) -> Option<Credentials> {
    let key = variable(environment, "AWS_ACCESS_KEY_ID")?;
    let secret = variable(environment, "AWS_SECRET_ACCESS_KEY")?;
    let token = variable(environment, "AWS_SESSION_TOKEN").map(str::to_owned);
    Some(Credentials::new(key, secret, token, None, "environment"))
}

/// The shared files, where the template or the environment put them. Files of the environment may be missing, as the usual ones may.
pub(crate) fn files(options: &AccessOptions, environment: &Environment) -> EnvConfigFiles {
    let mut files = EnvConfigFiles::builder();
    if let Some(path) = &options.shared_credentials_file {
        files = files.with_file(EnvConfigFileKind::Credentials, in_home(path, environment));
    } else if let Some(path) = variable(environment, "AWS_SHARED_CREDENTIALS_FILE") {
        files = if_exists(files, EnvConfigFileKind::Credentials, in_home(path, environment));
    } else {
        files = files.include_default_credentials_file(true);
    }
    files = match variable(environment, "AWS_CONFIG_FILE") {
        Some(path) => if_exists(files, EnvConfigFileKind::Config, in_home(path, environment)),
        None => files.include_default_config_file(true),
    };
    files.build()
}

/// A file that is missing counts as an empty one; a set without any file would be a panic of the SDK.
fn if_exists(files: Builder, kind: EnvConfigFileKind, path: String) -> Builder {
    if Path::new(&path).exists() {
        files.with_file(kind, path)
    } else {
        files.with_contents(kind, "")
    }
}

/// A path, `~/` being the home folder.
pub(crate) fn in_home(path: &str, environment: &Environment) -> String {
    match (path.strip_prefix("~/"), variable(environment, "HOME")) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => path.to_owned(),
    }
}

/// The same credentials with a role assumed by them. `sdk` says how STS is reached.
pub(crate) async fn assume(
    role: &AssumeRole,
    arn: &str,
    sdk: &SdkConfig,
    base: SharedCredentialsProvider,
) -> SharedCredentialsProvider {
    let name = role
        .session_name
        .clone()
        .unwrap_or_else(|| format!("bakelite-{}", std::process::id()));
    let mut provider = AssumeRoleProvider::builder(arn).configure(sdk).session_name(name);
    if let Some(seconds) = role.duration_seconds {
        provider = provider.session_length(std::time::Duration::from_secs(seconds.into()));
    }
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id);
    }
    if let Some(policy) = &role.policy {
        provider = provider.policy(policy);
    }
    if !role.policy_arns.is_empty() {
        provider = provider.policy_arns(role.policy_arns.clone());
    }
    if !role.tags.is_empty() {
        provider = provider.tags(role.tags.clone());
    }
    SharedCredentialsProvider::new(provider.build_from_provider(base).await)
}
