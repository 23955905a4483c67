//! Where the credentials come from: the template, the environment, the shared profile files, a web identity, the container's role,
//! the instance's role; with a role assumed on top when the template says so.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{SdkConfig, meta::region::ProvideRegion as _};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_runtime::env_config::file::{Builder, EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};

use bakelite_engine::error::Explain;
use bakelite_engine::foreign::quoted;

use crate::access::{AccessOptions, AssumeRole};
use crate::authorities::BundleError;

/// Environment variables as the run sees them.
pub type Environment = BTreeMap<String, String>;

/// Why AWS cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Nothing has credentials.
    #[error("No AWS credentials found; tried: {}", tried.join("; "))]
    NoCredentials {
        /// What was tried, with what came of it.
        tried: Vec<String>,
    },
    /// A source is configured and fails.
    #[error("Failed to load AWS credentials from {of}: {why}")]
    BadCredentials {
        /// The source: "profile" and its name, "web identity".
        of: String,
        /// What happened.
        why: String,
    },
    /// The template or the environment names a profile that the shared files do not have.
    #[error("there is no profile `{profile}` in {files}; {by} names it")]
    NoProfile {
        /// The name.
        profile: String,
        /// The option or the variable that names it.
        by: &'static str,
        /// The files that were looked into.
        files: String,
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
        "No AWS region found: neither `region`, `AWS_REGION`, `AWS_DEFAULT_REGION` nor profile `{profile}` has one"
    )]
    NoRegion {
        /// The profile that was looked into.
        profile: String,
    },
}

impl Explain for AccessError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            AccessError::NoCredentials { .. } => Some(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a build with -local needs no credentials".into(),
            ),
            AccessError::NoProfile { .. } => Some("`aws configure list-profiles` lists the profiles that there are".into()),
            AccessError::NoRegion { .. } => Some("set `region` in the source, or AWS_REGION".into()),
            AccessError::BadCredentials { .. } | AccessError::Bundle { .. } => None,
        }
    }
}

/// The value of a variable, if it has one.
pub(crate) fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

/// The profile that the template or the environment names, or the default one.
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
    profile_exists(options, environment).await?;
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

/// A profile that is named must exist: the next source might be another account.
async fn profile_exists(options: &AccessOptions, environment: &Environment) -> Result<(), AccessError> {
    let (profile, by) = match (&options.profile, variable(environment, "AWS_PROFILE")) {
        (Some(profile), _) => (profile.as_str(), "`profile`"),
        (None, Some(profile)) => (profile, "`AWS_PROFILE`"),
        (None, None) => return Ok(()),
    };
    let home = Env::from_slice(&[("HOME", variable(environment, "HOME").unwrap_or_default())]);
    let files = files(options, environment);
    // Files that cannot be read are reported by the provider of their credentials.
    match profile::load(&Fs::real(), &home, &files, Some(profile.to_owned().into())).await {
        Ok(profiles) if profiles.get_profile(profile).is_none() => Err(AccessError::NoProfile {
            profile: profile.to_owned(),
            by,
            files: file_names(options, environment),
        }),
        _ => Ok(()),
    }
}

/// The shared files, for messages.
fn file_names(options: &AccessOptions, environment: &Environment) -> String {
    let credentials = options.shared_credentials_file.as_deref();
    let credentials = credentials.or_else(|| variable(environment, "AWS_SHARED_CREDENTIALS_FILE"));
    let config = variable(environment, "AWS_CONFIG_FILE");
    format!(
        "`{}` and `{}`",
        credentials.unwrap_or("~/.aws/credentials"),
        config.unwrap_or("~/.aws/config")
    )
}

/// The credentials, before a role is assumed. They are fetched once here, so that the error names every source that was tried.
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
        let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| variable(environment, name));
        let keys = (keys[0], keys[1]);
        if let (Some(key), Some(secret)) = keys {
            let token = variable(environment, "AWS_SESSION_TOKEN").map(str::to_owned);
            let credentials = Credentials::new(key, secret, token, None, "environment");
            return Ok(SharedCredentialsProvider::new(credentials));
        }
        tried.push(match keys {
            (Some(_), None) => "`AWS_ACCESS_KEY_ID` is set, but `AWS_SECRET_ACCESS_KEY` is not".into(),
            (None, Some(_)) => "`AWS_SECRET_ACCESS_KEY` is set, but `AWS_ACCESS_KEY_ID` is not".into(),
            _ => "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`: not set".into(),
        });
    }
    profile_exists(options, environment).await?;
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
    if disabled || options.skip_metadata_api_check {
        tried.push("instance role: the metadata service is turned off by configuration".into());
        return Err(AccessError::NoCredentials { tried });
    }
    let mut service = imds::Client::builder().configure(config);
    if let Some(url) = variable(environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        service = service.endpoint(url).map_err(|error| AccessError::BadCredentials {
            of: "`AWS_EC2_METADATA_SERVICE_ENDPOINT`".into(),
            why: bakelite_engine::chain_of(&*error),
        })?;
    }
    let instance = ImdsCredentialsProvider::builder()
        .configure(config)
        .imds_client(service.build())
        .build();
    // The last source: whatever the metadata service answers, the user needs to know what else there is.
    match attempt("instance role", SharedCredentialsProvider::new(instance), &mut tried).await {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => {}
        Err(error) => tried.push(error.to_string()),
    }
    Err(AccessError::NoCredentials { tried })
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
            // A `credential_process` or a server may print anything.
            why: quoted(&bakelite_engine::chain_of(&error)),
        }),
    }
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

/// A path, with `~/` as the home directory.
pub(crate) fn in_home(path: &str, environment: &Environment) -> String {
    match (path.strip_prefix("~/"), variable(environment, "HOME")) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => path.to_owned(),
    }
}

/// The credentials of a role that the base credentials assume. `sdk` is the way to STS.
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
