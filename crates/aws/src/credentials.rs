//! Where the credentials come from: Vault, the template, the environment, a web identity, the shared profile files, the container's
//! role, the instance's role; with a role assumed on top when the template says so. A source that is configured and fails ends the
//! search: the next one may belong to another account.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::profile::{self, Profile, ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_runtime::env_config::file::{Builder, EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::property::PropertiesKey;
use aws_types::os_shim_internal::{Env, Fs};
use bakelite_engine::error::Explain;
use bakelite_engine::untrusted::quoted;

use crate::access::{AccessOptions, AssumeRole, VaultAwsEngine};
use crate::authorities::BundleError;
use crate::error::AwsError;
use crate::mfa::{Device, GivenCode};
use crate::sts::{self, Asker, Kept, Maker, Provided, Role, Session, StsError, WebIdentity};
use crate::vault_engine::{EngineError, VaultEngine};

/// The shared files, where nothing puts them elsewhere.
const CREDENTIALS_FILE: &str = "~/.aws/credentials";
const CONFIG_FILE: &str = "~/.aws/config";

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
        /// The source: "profile" and its name, "the instance's role".
        of: String,
        /// What happened.
        why: String,
    },
    /// STS gives none.
    #[error("Failed to load AWS credentials from {of}")]
    Sts {
        /// The source: "`assume_role`", "web identity", "profile" and its name.
        of: String,
        /// What happened.
        #[source]
        cause: StsError,
    },
    /// Vault gives none.
    #[error("Failed to load AWS credentials from `vault_aws_engine`")]
    Vault(#[source] EngineError),
    /// AWS does not accept them, or does not answer.
    #[error("Failed to check the AWS credentials from {of}")]
    Check {
        /// The source.
        of: String,
        /// What STS answered.
        #[source]
        cause: Box<AwsError>,
    },
    /// The template or the environment names a profile that the shared files do not have.
    #[error("there is no profile `{profile}` in {files}; {by} names it")]
    NoProfile {
        /// The name.
        profile: String,
        /// The option, the variable or the profile that names it.
        by: String,
        /// The files that were looked into.
        files: String,
    },
    /// There is a code for no device.
    #[error("`mfa_code` is given, and neither `mfa_serial` nor profile `{profile}` names the device")]
    NoDevice {
        /// The profile that was looked into.
        profile: String,
    },
    /// The file with the authorities cannot be used.
    #[error("failed to use the authorities that {by} names, `{}`", file.display())]
    Bundle {
        /// What names it.
        by: String,
        /// The file.
        file: PathBuf,
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
            AccessError::NoDevice { .. } => {
                Some("`aws iam list-mfa-devices` lists the serial numbers of a user's devices: set `mfa_serial`".into())
            }
            AccessError::NoRegion { .. } => Some("set `region` in the source, or AWS_REGION".into()),
            AccessError::Sts { cause, .. } => cause.help(),
            AccessError::Vault(error) => error.help().map(Cow::Owned),
            AccessError::Check { cause, .. } => cause.help(),
            AccessError::BadCredentials { why, .. } if why.contains("SSO") || why.contains("sso") => {
                Some("`aws sso login` with this profile begins a new session".into())
            }
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

/// Whether a variable is `true`.
pub(crate) fn is_on(environment: &Environment, name: &str) -> bool {
    variable(environment, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The first of these variables that has a value.
fn either<'a>(environment: &'a Environment, names: [&str; 2]) -> Option<&'a str> {
    names.into_iter().find_map(|name| variable(environment, name))
}

/// The profile that is meant, and what names it; nothing names the default one.
fn named_profile<'a>(options: &'a AccessOptions, environment: &'a Environment) -> Option<(&'a str, &'static str)> {
    let of = |name, by| Some((variable(environment, name)?, by));
    let of_template = options.profile.as_deref().map(|profile| (profile, "`profile`"));
    of_template
        .or_else(|| of("AWS_PROFILE", "`AWS_PROFILE`"))
        .or_else(|| of("AWS_DEFAULT_PROFILE", "`AWS_DEFAULT_PROFILE`"))
}

/// The shared files as they are read once, with the profile that is meant.
pub(crate) struct Profiles {
    set: Result<ProfileSet, String>,
    /// The profile that is meant.
    pub(crate) name: String,
    by: Option<&'static str>,
    files: EnvConfigFiles,
    /// The files, for messages.
    paths: String,
}

impl Profiles {
    /// Reads the files.
    pub(crate) async fn read(options: &AccessOptions, environment: &Environment) -> Self {
        let named = named_profile(options, environment);
        let name = named.map_or("default", |(name, _)| name).to_owned();
        let (files, paths) = files(options, environment);
        let set = profile::load(&Fs::real(), &Env::from_slice(&[]), &files, Some(name.clone().into())).await;
        Self {
            set: set.map_err(|error| quoted(&bakelite_engine::chain_of(&error))),
            name,
            by: named.map(|(_, by)| by),
            files,
            paths,
        }
    }

    /// A setting of the profile that is meant. Files that cannot be read are reported by who needs their credentials.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        let profile = self.set.as_ref().ok()?.get_profile(&self.name)?;
        profile.get(name).filter(|value| !value.is_empty())
    }

    /// A setting of the profile that is `true`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.setting(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The endpoint of a service in the section `[services NAME]` that the profile names.
    pub(crate) fn endpoint(&self, service: &str) -> Option<&str> {
        let key = PropertiesKey::builder()
            .section_key("services")
            .section_name(self.setting("services")?)
            .property_name(service.to_ascii_lowercase())
            .sub_property_name("endpoint_url")
            .build();
        let endpoint = self.set.as_ref().ok()?.other_sections().get(&key.ok()?)?;
        Some(endpoint.as_str()).filter(|endpoint| !endpoint.is_empty())
    }

    /// A profile that is named must exist: the next source might be another account's.
    pub(crate) fn named_exists(&self) -> Result<(), AccessError> {
        match (self.by, &self.set) {
            (Some(by), Ok(set)) if set.get_profile(&self.name).is_none() => {
                Err(self.missing(&self.name, by.to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn missing(&self, profile: &str, by: String) -> AccessError {
        AccessError::NoProfile {
            profile: profile.to_owned(),
            by,
            files: self.paths.clone(),
        }
    }
}

/// The error of a profile whose credentials cannot be used.
fn bad(profile: &str, why: impl Into<String>) -> AccessError {
    AccessError::BadCredentials {
        of: format!("profile `{profile}`"),
        why: why.into(),
    }
}

/// The region that the template, the environment or the profile names.
pub(crate) fn region(options: &AccessOptions, environment: &Environment, profiles: &Profiles) -> Option<String> {
    let named = options.region.as_deref();
    named
        .or_else(|| either(environment, ["AWS_REGION", "AWS_DEFAULT_REGION"]))
        .or_else(|| profiles.setting("region"))
        .map(str::to_owned)
}

/// Credentials that were found.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) provider: SharedCredentialsProvider,
    /// The source, for errors.
    pub(crate) of: String,
    /// A multi-factor device took part.
    has_device: bool,
    /// They are the instance's: so may be the region.
    pub(crate) is_instance: bool,
    /// A user that was made a moment ago is not known everywhere.
    pub(crate) is_new: bool,
}

impl Found {
    fn new(of: impl Into<String>, provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            of: of.into(),
            has_device: false,
            is_instance: false,
            is_new: false,
        }
    }

    fn keys(of: &str, credentials: Credentials) -> Self {
        Self::new(of, SharedCredentialsProvider::new(credentials))
    }

    /// What a maker makes, and makes again when it ends. The first are made here, so that the error names every source that was tried.
    async fn made<M: Maker>(of: impl Into<String>, maker: M) -> Result<Self, M::Error> {
        Ok(Self::new(of, SharedCredentialsProvider::new(Kept::of(maker).await?)))
    }

    /// The same of a call of STS.
    async fn of_sts(of: String, maker: impl Maker<Error = StsError>) -> Result<Self, AccessError> {
        let made = Self::made(of.as_str(), maker).await;
        made.map_err(|cause| AccessError::Sts { of, cause })
    }

    /// Who the caller is, which AWS tells whoever has valid credentials.
    pub(crate) async fn check(&self, asker: &Asker) -> Result<String, AccessError> {
        asker.caller().await.map_err(|cause| AccessError::Check {
            of: self.of.clone(),
            cause: Box::new(cause),
        })
    }
}

/// A search for credentials.
pub(crate) struct Search<'a> {
    pub(crate) options: &'a AccessOptions,
    pub(crate) environment: &'a Environment,
    pub(crate) profiles: &'a Profiles,
    /// What the SDK's own providers need.
    pub(crate) config: &'a ProviderConfig,
    /// The way to STS.
    pub(crate) sts: &'a SdkConfig,
    /// The code that the template gives.
    pub(crate) given: GivenCode,
}

impl Search<'_> {
    /// The credentials of the template's role, or those that it would be assumed with.
    pub(crate) async fn run(&self) -> Result<Found, AccessError> {
        let base = self.base().await?;
        if let Some((arn, role)) = self.options.role() {
            return self.template_role(arn, role, base).await;
        }
        let Some(device) = self.device(base.has_device, "a session")? else {
            return Ok(base);
        };
        let of = format!("{} with MFA", base.of);
        let asker = self.asker(&base);
        Found::of_sts(of, Session { asker, device }).await
    }

    async fn template_role(&self, arn: &str, role: &AssumeRole, base: Found) -> Result<Found, AccessError> {
        const BY: &str = "`assume_role`";
        let device = self.device(base.has_device, BY)?;
        let role = Role {
            asker: self.asker(&base),
            arn: arn.to_owned(),
            by: BY.into(),
            duration: role.duration_seconds,
            external_id: role.external_id.clone(),
            policy: role.policy.clone(),
            policy_arns: role.policy_arns.clone(),
            session: role.session_name.clone(),
            tags: role.tags.clone().into_iter().collect(),
            transitive_tag_keys: role.transitive_tag_keys.clone(),
            device,
        };
        let of = format!("{BY} with those of {}", base.of);
        Ok(Found {
            is_instance: base.is_instance,
            ..Found::of_sts(of, role).await?
        })
    }

    /// The device that is to prove who the user is, unless the profile's role has used it.
    fn device(&self, was_used: bool, purpose: &str) -> Result<Option<Device>, AccessError> {
        let serial = self.options.mfa_serial.as_deref();
        if was_used || (serial.is_none() && self.options.mfa_code.is_none()) {
            return Ok(None);
        }
        let serial = serial.or_else(|| self.profiles.setting("mfa_serial"));
        let serial = serial.ok_or_else(|| AccessError::NoDevice {
            profile: self.profiles.name.clone(),
        })?;
        Ok(Some(self.device_of(serial, purpose)))
    }

    fn device_of(&self, serial: &str, purpose: &str) -> Device {
        Device {
            serial: serial.to_owned(),
            purpose: purpose.to_owned(),
            given: self.given.clone(),
        }
    }

    fn asker(&self, found: &Found) -> Asker {
        Asker {
            sts: sts::client(self.sts, Some(found.provider.clone())),
            is_new: found.is_new,
        }
    }

    /// The first source that has some.
    async fn base(&self) -> Result<Found, AccessError> {
        let Self {
            options, environment, ..
        } = self;
        if let Some(engine) = options.vault() {
            return self.vault(engine).await;
        }
        if let (Some(key), Some(secret)) = (&options.access_key, &options.secret_key) {
            let credentials = Credentials::new(key, secret, options.token.clone(), None, "template");
            return Ok(Found::keys("the template", credentials));
        }
        let mut tried = vec!["`access_key` and `secret_key` of the template: not given".to_owned()];
        if options.profile.is_none() {
            if let Some(credentials) = keys(environment, &mut tried) {
                return Ok(Found::keys("the environment", credentials));
            }
            if let Some(found) = self.web_identity(&mut tried).await? {
                return Ok(found);
            }
        }
        self.profiles.named_exists()?;
        if let Some(found) = self.profile(&mut tried).await? {
            return Ok(found);
        }
        let next = self.machine(&mut tried).await?;
        next.ok_or(AccessError::NoCredentials { tried })
    }

    async fn vault(&self, engine: &VaultAwsEngine) -> Result<Found, AccessError> {
        let engine = VaultEngine::new(engine, self.environment);
        let found = Found::made("`vault_aws_engine`", engine).await;
        Ok(Found {
            is_new: true,
            ..found.map_err(AccessError::Vault)?
        })
    }

    async fn web_identity(&self, tried: &mut Vec<String>) -> Result<Option<Found>, AccessError> {
        let [file, role] = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"].map(|name| variable(self.environment, name));
        let (Some(file), Some(role)) = (file, role) else {
            tried.push(match file {
                Some(_) => "`AWS_WEB_IDENTITY_TOKEN_FILE` is set, but `AWS_ROLE_ARN` is not".into(),
                None => "`AWS_WEB_IDENTITY_TOKEN_FILE`: not set".into(),
            });
            return Ok(None);
        };
        let session = variable(self.environment, "AWS_ROLE_SESSION_NAME");
        let found = self.exchange(file, role, session, "`AWS_ROLE_ARN`", "the web identity");
        found.await.map(Some)
    }

    async fn exchange(
        &self,
        file: &str,
        role: &str,
        session: Option<&str>,
        by: &str,
        of: &str,
    ) -> Result<Found, AccessError> {
        let identity = WebIdentity {
            sts: sts::client(self.sts, None),
            token_file: in_home(file, self.environment).into(),
            role: role.to_owned(),
            by: by.to_owned(),
            session: session.map(str::to_owned),
        };
        Found::of_sts(of.to_owned(), identity).await
    }

    /// The credentials of the profile that is meant, with the roles that it assumes in turn.
    async fn profile(&self, tried: &mut Vec<String>) -> Result<Option<Found>, AccessError> {
        let profiles = self.profiles;
        let set = profiles.set.as_ref();
        let set = set.map_err(|why| bad(&profiles.name, why.as_str()))?;
        if set.get_profile(&profiles.name).is_none() {
            tried.push(format!("profile `{}`: not in {}", profiles.name, profiles.paths));
            return Ok(None);
        }
        let (roles, last) = chain(profiles, set)?;
        let found = match last {
            Last::Profile(profile) => self.of_profile(profile).await?,
            Last::Source(profile, source) => Some(self.named_source(profile, source).await?),
            Last::Machine => self.machine(tried).await?,
        };
        let Some(mut found) = found else {
            tried.push(format!("profile `{}`: has no credentials", profiles.name));
            return Ok(None);
        };
        for profile in roles.into_iter().rev() {
            found = self.profile_role(profile, found).await?;
        }
        Ok(Some(found))
    }

    /// What a profile has by itself.
    async fn of_profile(&self, profile: &Profile) -> Result<Option<Found>, AccessError> {
        let of = format!("profile `{}`", profile.name());
        if let Some(credentials) = static_keys(profile) {
            return Ok(Some(Found::keys(&of, credentials)));
        }
        if let (Some(file), Some(role)) = (profile.get("web_identity_token_file"), profile.get("role_arn")) {
            let session = profile.get("role_session_name");
            return self.exchange(file, role, session, &of, &of).await.map(Some);
        }
        let others = ["credential_process", "sso_session", "sso_start_url", "login_session"];
        if others.into_iter().all(|name| profile.get(name).is_none()) {
            return Ok(None);
        }
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(self.config)
            .profile_name(profile.name())
            .profile_files(self.profiles.files.clone())
            .build();
        match attempt(&of, provider).await? {
            Attempt::Found(found) => Ok(Some(found)),
            Attempt::Nothing(why) => Err(bad(profile.name(), why)),
        }
    }

    /// `credential_source` of a profile.
    async fn named_source(&self, profile: &Profile, source: &str) -> Result<Found, AccessError> {
        let mut tried = Vec::new();
        let found = match source.to_ascii_lowercase().as_str() {
            "environment" => {
                keys(self.environment, &mut tried).map(|credentials| Found::keys("the environment", credentials))
            }
            "ecscontainer" => self.container(&mut tried).await?,
            "ec2instancemetadata" => self.instance(&mut tried).await?,
            _ => {
                tried.push("it is none of `Environment`, `EcsContainer` and `Ec2InstanceMetadata`".into());
                None
            }
        };
        let why = || format!("`credential_source` is `{source}`: {}", tried.join("; "));
        found.ok_or_else(|| bad(profile.name(), why()))
    }

    /// The role of a profile on top of what its source has.
    async fn profile_role(&self, profile: &Profile, base: Found) -> Result<Found, AccessError> {
        let text = |name| {
            profile
                .get(name)
                .filter(|value: &&str| !value.is_empty())
                .map(str::to_owned)
        };
        let own = text("mfa_serial");
        let serial = self.options.mfa_serial.as_deref().filter(|_| own.is_some());
        let serial = serial.or(own.as_deref());
        let of = format!("profile `{}`", profile.name());
        let device = serial.map(|serial| self.device_of(serial, &of));
        let has_device = base.has_device || device.is_some();
        let role = Role {
            asker: self.asker(&base),
            arn: text("role_arn").unwrap_or_default(),
            by: of.clone(),
            duration: text("duration_seconds").and_then(|seconds| seconds.parse().ok()),
            external_id: text("external_id"),
            policy: None,
            policy_arns: Vec::new(),
            session: text("role_session_name"),
            tags: Vec::new(),
            transitive_tag_keys: Vec::new(),
            device,
        };
        Ok(Found {
            has_device,
            is_instance: base.is_instance,
            ..Found::of_sts(of, role).await?
        })
    }

    /// What this machine has: its container's role, else its instance's.
    async fn machine(&self, tried: &mut Vec<String>) -> Result<Option<Found>, AccessError> {
        match self.container(tried).await? {
            None => self.instance(tried).await,
            found => Ok(found),
        }
    }

    async fn container(&self, tried: &mut Vec<String>) -> Result<Option<Found>, AccessError> {
        let names = [
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        if either(self.environment, names).is_none() {
            tried.push(format!("`{}` and `{}`: not set", names[0], names[1]));
            return Ok(None);
        }
        let container = EcsCredentialsProvider::builder().configure(self.config).build();
        match attempt("the container's role", container).await? {
            Attempt::Found(found) => Ok(Some(found)),
            Attempt::Nothing(why) => Err(AccessError::BadCredentials {
                of: "the container's role".into(),
                why,
            }),
        }
    }

    async fn instance(&self, tried: &mut Vec<String>) -> Result<Option<Found>, AccessError> {
        let Some(service) = self.metadata()? else {
            let by = if self.options.skip_metadata_api_check {
                "`skip_metadata_api_check`"
            } else {
                "`AWS_EC2_METADATA_DISABLED`"
            };
            tried.push(format!("the instance's role: {by} turns the metadata service off"));
            return Ok(None);
        };
        let instance = ImdsCredentialsProvider::builder()
            .configure(self.config)
            .imds_client(service)
            .build();
        // The last source: whatever the metadata service answers, the user needs to know what else there is.
        match attempt("the instance's role", instance).await {
            Ok(Attempt::Found(found)) => Ok(Some(Found {
                is_instance: true,
                ..found
            })),
            Ok(Attempt::Nothing(why)) => {
                tried.push(format!("the instance's role: {why}"));
                Ok(None)
            }
            Err(error) => {
                tried.push(error.to_string());
                Ok(None)
            }
        }
    }

    /// The instance's metadata service, unless the template or the environment turns it off.
    fn metadata(&self) -> Result<Option<imds::Client>, AccessError> {
        if is_on(self.environment, "AWS_EC2_METADATA_DISABLED") || self.options.skip_metadata_api_check {
            return Ok(None);
        }
        let mut service = imds::Client::builder().configure(self.config);
        if let Some(url) = variable(self.environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            service = service.endpoint(url).map_err(|error| AccessError::BadCredentials {
                of: "`AWS_EC2_METADATA_SERVICE_ENDPOINT`".into(),
                why: bakelite_engine::chain_of(&*error),
            })?;
        }
        Ok(Some(service.build()))
    }

    /// The instance's region.
    pub(crate) async fn instance_region(&self) -> Option<String> {
        let service = self.metadata().ok()??;
        let provider = ImdsRegionProvider::builder()
            .configure(self.config)
            .imds_client(service)
            .build();
        Some(provider.region().await?.to_string())
    }
}

/// The environment's keys.
fn keys(environment: &Environment, tried: &mut Vec<String>) -> Option<Credentials> {
    let key = either(environment, ["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]);
    let secret = either(environment, ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]);
    if let (Some(key), Some(secret)) = (key, secret) {
        let token = variable(environment, "AWS_SESSION_TOKEN").map(str::to_owned);
        return Some(Credentials::new(key, secret, token, None, "environment"));
    }
    tried.push(match (key, secret) {
        (Some(_), None) => "`AWS_ACCESS_KEY_ID` is set, but `AWS_SECRET_ACCESS_KEY` is not".into(),
        (None, Some(_)) => "`AWS_SECRET_ACCESS_KEY` is set, but `AWS_ACCESS_KEY_ID` is not".into(),
        _ => "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`: not set".into(),
    });
    None
}

fn static_keys(profile: &Profile) -> Option<Credentials> {
    let text = |name| profile.get(name).filter(|value: &&str| !value.is_empty());
    let (key, secret) = (text("aws_access_key_id")?, text("aws_secret_access_key")?);
    let token = text("aws_session_token").map(str::to_owned);
    Some(Credentials::new(key, secret, token, None, "profile"))
}

/// Where a chain of roles begins.
enum Last<'a> {
    /// What this profile has by itself.
    Profile(&'a Profile),
    /// `credential_source` of this profile.
    Source(&'a Profile, &'a str),
    /// What the machine has.
    Machine,
}

/// The profiles whose roles are assumed, the last to be assumed first, and what the first is assumed with.
fn chain<'a>(profiles: &Profiles, set: &'a ProfileSet) -> Result<(Vec<&'a Profile>, Last<'a>), AccessError> {
    let mut roles: Vec<&Profile> = Vec::new();
    let mut name = profiles.name.as_str();
    loop {
        let by = roles
            .last()
            .map(|before| format!("`source_profile` of profile `{}`", before.name()));
        let profile = set.get_profile(name);
        let profile = profile.ok_or_else(|| profiles.missing(name, by.unwrap_or_default()))?;
        let is_source = !roles.is_empty();
        let is_role = profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none();
        if !is_role || (is_source && static_keys(profile).is_some()) {
            return Ok((roles, Last::Profile(profile)));
        }
        if roles.iter().any(|known| known.name() == name) {
            return Err(bad(name, "its `source_profile` leads back to it"));
        }
        roles.push(profile);
        match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(_), Some(_)) => {
                return Err(bad(
                    name,
                    "`source_profile` and `credential_source` cannot be given together",
                ));
            }
            (Some(source), None) if source == name => return Ok((roles, Last::Profile(profile))),
            (Some(source), None) => name = source,
            (None, Some(source)) => return Ok((roles, Last::Source(profile, source))),
            (None, None) if static_keys(profile).is_some() => return Ok((roles, Last::Profile(profile))),
            (None, None) => return Ok((roles, Last::Machine)),
        }
    }
}

/// What came of a provider of the SDK.
enum Attempt {
    Found(Found),
    /// It has none, for this reason.
    Nothing(String),
}

/// Asks a provider of the SDK once; an error when it should have some.
async fn attempt(of: &str, provider: impl ProvideCredentials + 'static) -> Result<Attempt, AccessError> {
    let provider = SharedCredentialsProvider::new(provider);
    match Found::made(of, Provided(provider)).await {
        Ok(found) => Ok(Attempt::Found(found)),
        // A `credential_process` or a server may print anything.
        Err(error @ CredentialsError::CredentialsNotLoaded(_)) => Ok(Attempt::Nothing(quoted(&sts::told(&error)))),
        // No metadata service at all: this is not an EC2 instance.
        Err(CredentialsError::ProviderTimedOut(_)) => Ok(Attempt::Nothing("no answer".into())),
        Err(error) => Err(AccessError::BadCredentials {
            of: of.to_owned(),
            why: quoted(&sts::told(&error)),
        }),
    }
}

/// The shared files, where the template or the environment put them, with their paths for messages. Files of the environment may be
/// missing, as the usual ones may.
fn files(options: &AccessOptions, environment: &Environment) -> (EnvConfigFiles, String) {
    let usual = |name, path| variable(environment, name).unwrap_or(path);
    let files = EnvConfigFiles::builder();
    let (files, credentials) = if let Some(path) = options.shared_credentials_file.as_deref() {
        let there = in_home(path, environment);
        (files.with_file(EnvConfigFileKind::Credentials, there), path)
    } else {
        let path = usual("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS_FILE);
        let there = in_home(path, environment);
        (if_exists(files, EnvConfigFileKind::Credentials, there), path)
    };
    let config = usual("AWS_CONFIG_FILE", CONFIG_FILE);
    let files = if_exists(files, EnvConfigFileKind::Config, in_home(config, environment));
    (files.build(), format!("`{credentials}` and `{config}`"))
}

/// A file that is missing counts as an empty one; a set without any file would be a panic of the SDK.
fn if_exists(files: Builder, kind: EnvConfigFileKind, path: String) -> Builder {
    if Path::new(&path).exists() {
        files.with_file(kind, path)
    } else {
        files.with_contents(kind, "")
    }
}

/// A path, with `~/` as the home directory and `$NAME` or `${NAME}` as variables of the environment.
pub(crate) fn in_home(path: &str, environment: &Environment) -> String {
    let path = match (path.strip_prefix("~/"), variable(environment, "HOME")) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => path.to_owned(),
    };
    let mut parts = path.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(part.len());
            part.split_at(end)
        });
        expanded.push_str(variable(environment, name).unwrap_or_default());
        expanded.push_str(rest);
    }
    expanded
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use bakelite_engine::chain_of;
    use bakelite_test_support::exchange::Exchange;

    use super::*;
    use crate::client::Aws;

    const ROLE: &str = "HTTP/1.1 200 OK\n\n<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>OF_ROLE</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    const SESSION: &str = "HTTP/1.1 200 OK\n\n<GetSessionTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetSessionTokenResult><Credentials><AccessKeyId>OF_SESSION</AccessKeyId><SecretAccessKey>S</SecretAccessKey>\
         <SessionToken>T</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></GetSessionTokenResult>\
         </GetSessionTokenResponse>";
    const WEB_IDENTITY: &str = "HTTP/1.1 200 OK\n\n<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>OF_TOKEN</AccessKeyId><SecretAccessKey>S</SecretAccessKey>\
         <SessionToken>T</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>";
    const CALLER: &str = "HTTP/1.1 200 OK\n\n<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ci</Arn><UserId>U</UserId><Account>123456789012</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>";
    const DENIED: &str = "HTTP/1.1 403 Forbidden\n\n<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender\
         </Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

    const UNKNOWN: &str = "HTTP/1.1 403 Forbidden\n\n<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender\
         </Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error>\
         </ErrorResponse>";

    fn options() -> AccessOptions {
        AccessOptions {
            region: Some("eu-west-1".into()),
            max_retries: Some(1),
            skip_credential_validation: true,
            ..AccessOptions::default()
        }
    }

    /// A home directory with these shared files, and an environment with these variables that looks into them.
    struct Home {
        directory: tempfile::TempDir,
        environment: Environment,
    }

    impl Home {
        fn new(config: &str, credentials: &str, variables: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join(".aws")).unwrap();
            std::fs::write(directory.path().join(".aws/config"), config).unwrap();
            std::fs::write(directory.path().join(".aws/credentials"), credentials).unwrap();
            let home = directory.path().display().to_string();
            let usual = [("HOME", home.as_str()), ("AWS_EC2_METADATA_DISABLED", "true")];
            let environment = usual.iter().chain(variables);
            let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Self {
                environment: environment.collect(),
                directory,
            }
        }

        fn path(&self) -> &Path {
            self.directory.path()
        }

        fn with(mut self, name: &str, value: impl Into<String>) -> Self {
            self.environment.insert(name.into(), value.into());
            self
        }

        /// The access key that calls are signed with.
        async fn key(&self, options: &AccessOptions) -> Result<String, AccessError> {
            let aws = Aws::reach(options, &self.environment).await?;
            let provider = aws.sdk().credentials_provider().unwrap();
            Ok(provider.provide_credentials().await.unwrap().access_key_id().to_owned())
        }

        async fn error(&self, options: &AccessOptions) -> String {
            let error = self.key(options).await.unwrap_err();
            let help = error.help().map(|help| format!("\nHELP {help}")).unwrap_or_default();
            let home = self.path().display().to_string();
            (chain_of(&error) + &help).replace(&home, "HOME")
        }
    }

    const PROFILES: &str = "[default]\naws_access_key_id = OF_DEFAULT\naws_secret_access_key = S\n\
        [ci]\naws_access_key_id = OF_CI\naws_secret_access_key = S\naws_session_token = T\n";

    #[tokio::test]
    async fn the_first_source_that_has_some_counts() {
        let exchange = Exchange::play(&[WEB_IDENTITY]);
        let token = tempfile::NamedTempFile::new().unwrap();
        let token = token.path().display().to_string();
        let (keys, others) = (
            [("AWS_ACCESS_KEY", "OF_ENVIRONMENT"), ("AWS_SECRET_KEY", "S")],
            [("AWS_DEFAULT_PROFILE", "ci")],
        );
        let endpoint = format!("http://{}", exchange.address);
        let identity = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/web"),
            ("AWS_ROLE_SESSION_NAME", "job"),
            ("AWS_ENDPOINT_URL_STS", &endpoint),
        ];
        let of_template = AccessOptions {
            access_key: Some("OF_TEMPLATE".into()),
            secret_key: Some("S".into()),
            profile: Some("ci".into()),
            ..options()
        };
        let of_profile = AccessOptions {
            profile: Some("ci".into()),
            ..options()
        };
        let all: Vec<(&str, &str)> = keys.into_iter().chain(identity).chain(others).collect();
        for (variables, options, expected) in [
            (all.as_slice(), of_template, "OF_TEMPLATE"),
            (&all, of_profile, "OF_CI"),
            (&all, options(), "OF_ENVIRONMENT"),
            (&all[2..], options(), "OF_TOKEN"),
            (&others, options(), "OF_CI"),
            (&[], options(), "OF_DEFAULT"),
        ] {
            let home = Home::new("", PROFILES, variables);
            assert_eq!(home.key(&options).await.unwrap(), expected);
        }
        let asked = exchange.asked();
        assert!(
            asked[0].contains("Action=AssumeRoleWithWebIdentity&") && asked[0].contains("RoleSessionName=job"),
            "{asked:?}"
        );
        assert!(!asked[0].contains("authorization: "), "{asked:?}");
    }

    #[tokio::test]
    async fn a_source_that_is_configured_and_fails_ends_the_search() {
        let home = Home::new("", PROFILES, &[]).with("AWS_WEB_IDENTITY_TOKEN_FILE", "~/nowhere");
        let home = home.with("AWS_ROLE_ARN", "arn:aws:iam::1:role/web");
        assert_eq!(
            home.error(&options()).await,
            "Failed to load AWS credentials from the web identity: failed to read the web identity's token in `HOME/nowhere`: No such \
             file or directory (os error 2)"
        );
        let of_profile = AccessOptions {
            profile: Some("nope".into()),
            ..options()
        };
        let home = Home::new(
            "",
            PROFILES,
            &[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S")],
        );
        assert_eq!(
            home.error(&of_profile).await,
            "there is no profile `nope` in `~/.aws/credentials` and `~/.aws/config`; `profile` names it\nHELP `aws configure \
             list-profiles` lists the profiles that there are"
        );
    }

    #[tokio::test]
    async fn the_template_names_the_credentials_file() {
        let home = Home::new("[profile ci]\nregion = ap-south-1\n", PROFILES, &[]).with("WHERE", "given");
        std::fs::write(
            home.path().join("given"),
            "[ci]\naws_access_key_id = OF_GIVEN\naws_secret_access_key = S\n",
        )
        .unwrap();
        let given = AccessOptions {
            shared_credentials_file: Some("~/$WHERE".into()),
            profile: Some("ci".into()),
            region: None,
            ..options()
        };
        assert_eq!(home.key(&given).await.unwrap(), "OF_GIVEN");
        let aws = Aws::reach(&given, &home.environment).await.unwrap();
        assert_eq!(aws.region(), "ap-south-1");
    }

    #[tokio::test]
    async fn a_process_of_a_profile_gives_credentials_or_ends_the_search() {
        let answer = r#"{"Version": 1, "AccessKeyId": "OF_PROCESS", "SecretAccessKey": "S"}"#;
        let config =
            format!("[default]\ncredential_process = echo '{answer}'\n[profile bad]\ncredential_process = false\n");
        let home = Home::new(&config, "", &[]);
        assert_eq!(home.key(&options()).await.unwrap(), "OF_PROCESS");
        let bad = home.with("AWS_PROFILE", "bad").error(&options()).await;
        assert!(
            bad.starts_with("Failed to load AWS credentials from profile `bad`: "),
            "{bad}"
        );
    }

    #[tokio::test]
    async fn a_role_is_assumed_with_everything_that_the_template_gives() {
        let exchange = Exchange::play(&[ROLE]);
        let home = Home::new("", PROFILES, &[]).with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let with_role = AccessOptions {
            assume_role: Some(AssumeRole {
                role_arn: Some("arn:aws:iam::1:role/baker".into()),
                duration_seconds: Some(7200),
                external_id: Some("ext".into()),
                policy: Some("{}".into()),
                policy_arns: vec!["arn:aws:iam::aws:policy/A".into(), "arn:aws:iam::aws:policy/B".into()],
                session_name: Some("job".into()),
                tags: BTreeMap::from([("team".into(), "images".into())]),
                transitive_tag_keys: vec!["team".into()],
            }),
            mfa_code: Some("123456".into()),
            mfa_serial: Some("GAHT1".into()),
            ..options()
        };
        assert_eq!(home.key(&with_role).await.unwrap(), "OF_ROLE");
        // Once for the check, the first use, and all that follow.
        assert_eq!(home.key(&with_role).await.unwrap(), "OF_ROLE");
        let asked = exchange.asked();
        let form = asked[0].split("\n\n").nth(1).unwrap();
        assert_eq!(
            form.split('&').collect::<Vec<_>>(),
            [
                "Action=AssumeRole",
                "Version=2011-06-15",
                "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fbaker",
                "RoleSessionName=job",
                "PolicyArns.member.1.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FA",
                "PolicyArns.member.2.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FB",
                "Policy=%7B%7D",
                "DurationSeconds=7200",
                "Tags.member.1.Key=team",
                "Tags.member.1.Value=images",
                "TransitiveTagKeys.member.1=team",
                "ExternalId=ext",
                "SerialNumber=GAHT1",
                "TokenCode=123456",
            ]
        );
    }

    #[tokio::test]
    async fn a_role_that_is_refused_names_the_cause_and_the_caller() {
        let exchange = Exchange::play(&[DENIED, CALLER]);
        let home = Home::new("", PROFILES, &[]).with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let with_role = AccessOptions {
            assume_role: Some(AssumeRole {
                role_arn: Some("arn:aws:iam::1:role/baker".into()),
                ..AssumeRole::default()
            }),
            ..options()
        };
        let error = home.error(&with_role).await;
        assert!(
            error.starts_with(
                "Failed to load AWS credentials from `assume_role` with those of profile `default`: role `arn:aws:iam::1:role/baker` of \
                 `assume_role` cannot be assumed by `arn:aws:iam::123456789012:user/ci`: `AssumeRole` answered `AccessDenied`: not \
                 authorized to perform: sts:AssumeRole"
            ),
            "{error}"
        );
        assert!(
            error.contains("HELP the role's trust policy must name arn:aws:iam::123456789012:user/ci"),
            "{error}"
        );
        exchange.asked();
    }

    #[tokio::test]
    async fn profiles_chain_roles_and_name_devices() {
        let exchange = Exchange::play(&[ROLE, ROLE]);
        let config = "[profile outer]\nrole_arn = arn:aws:iam::2:role/outer\nsource_profile = inner\nduration_seconds = 3600\n\
            [profile inner]\nrole_arn = arn:aws:iam::1:role/inner\nsource_profile = ci\nmfa_serial = arn:aws:iam::1:mfa/me\n\
            external_id = ext\nrole_session_name = job\n\
            [profile circle]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = back\n\
            [profile back]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = circle\n\
            [profile lost]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = nowhere\n\
            [profile odd]\nrole_arn = arn:aws:iam::1:role/a\ncredential_source = Moon\n";
        let home = Home::new(config, PROFILES, &[]).with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let profile = |name: &str| AccessOptions {
            profile: Some(name.into()),
            mfa_code: Some("123456".into()),
            ..options()
        };
        assert_eq!(home.key(&profile("outer")).await.unwrap(), "OF_ROLE");
        let asked = exchange.asked();
        for part in [
            "role%2Finner",
            "SerialNumber=arn%3Aaws%3Aiam%3A%3A1%3Amfa%2Fme",
            "TokenCode=123456",
            "ExternalId=ext",
            "RoleSessionName=job",
            "credential=of_ci/",
        ] {
            assert!(asked[0].contains(part), "{part}: {}", asked[0]);
        }
        for part in ["role%2Fouter", "DurationSeconds=3600", "credential=of_role/"] {
            assert!(asked[1].contains(part), "{part}: {}", asked[1]);
        }
        assert!(!asked[1].contains("TokenCode"), "{}", asked[1]);
        for (name, why) in [
            ("circle", "its `source_profile` leads back to it"),
            (
                "lost",
                "there is no profile `nowhere` in `~/.aws/credentials` and `~/.aws/config`; `source_profile` of profile `lost`",
            ),
            ("odd", "`credential_source` is `Moon`: it is none of `Environment`"),
        ] {
            let error = home.error(&profile(name)).await;
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn a_code_without_a_role_begins_a_session() {
        let exchange = Exchange::play(&[SESSION]);
        let home = Home::new("", PROFILES, &[]).with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let with_code = AccessOptions {
            mfa_code: Some("123456".into()),
            ..options()
        };
        let error = home.error(&with_code).await;
        assert!(
            error.starts_with(
                "`mfa_code` is given, and neither `mfa_serial` nor profile `default` names the device\nHELP "
            ),
            "{error}"
        );
        let with_both = AccessOptions {
            mfa_serial: Some("GAHT1".into()),
            ..with_code
        };
        assert_eq!(home.key(&with_both).await.unwrap(), "OF_SESSION");
        // The session is good everywhere.
        let elsewhere = AccessOptions {
            region: Some("us-west-2".into()),
            ..with_both
        };
        assert_eq!(home.key(&elsewhere).await.unwrap(), "OF_SESSION");
        let asked = exchange.asked();
        assert!(
            asked[0].ends_with(
                "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=43200&SerialNumber=GAHT1&TokenCode=123456"
            ),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn vault_makes_credentials() {
        const CREDS: &str = "HTTP/1.1 200 OK\n\n{\"lease_duration\": 3600, \"data\": {\"access_key\": \"OF_VAULT\", \"secret_key\": \"S\", \
             \"security_token\": null}}";
        const NOTHING: &str = "HTTP/1.1 404 Not Found\n\n{\"errors\": []}";
        const OF_PKI: &str = "HTTP/1.1 200 OK\n\n{\"data\": {\"certificate\": \"C\"}}";
        let exchange = Exchange::play(&[CREDS, CREDS, NOTHING, OF_PKI]);
        let home = Home::new("", "", &[]).with("VAULT_ADDR", format!("http://{}", exchange.address));
        let home = home.with("VAULT_TOKEN", "hvs.token");
        let engine = |role_arn: Option<&str>, name: &str| AccessOptions {
            vault_aws_engine: Some(VaultAwsEngine {
                name: Some(name.into()),
                role_arn: role_arn.map(str::to_owned),
                ttl: Some("15m".into()),
                engine_name: role_arn.map(|_| "cloud/aws".into()),
            }),
            ..options()
        };
        let role = "arn:aws:iam::1:role/baker";
        assert_eq!(home.key(&engine(None, "ci")).await.unwrap(), "OF_VAULT");
        assert_eq!(home.key(&engine(Some(role), "ci")).await.unwrap(), "OF_VAULT");
        let error = home.error(&engine(None, "nope")).await;
        assert_eq!(
            error,
            "Failed to load AWS credentials from `vault_aws_engine`: there is nothing at `aws/creds/nope` in Vault"
        );
        let error = home.error(&engine(None, "pki")).await;
        assert!(
            error.contains("what Vault has at `aws/creds/pki` has no `access_key`\nHELP "),
            "{error}"
        );
        let asked = exchange.asked();
        assert!(asked[0].starts_with("GET /v1/aws/creds/ci HTTP/1.1\n"), "{}", asked[0]);
        assert!(
            asked[1].starts_with("PUT /v1/cloud/aws/sts/ci HTTP/1.1\n"),
            "{}",
            asked[1]
        );
        assert!(
            asked[1].ends_with(&format!("{{\"role_arn\":\"{role}\",\"ttl\":\"15m\"}}")),
            "{}",
            asked[1]
        );
    }

    #[tokio::test]
    async fn a_role_waits_until_the_user_that_vault_made_is_known() {
        const CREDS: &str = "HTTP/1.1 200 OK\n\n{\"data\": {\"access_key\": \"OF_VAULT\", \"secret_key\": \"S\"}}";
        let exchange = Exchange::play(&[CREDS, UNKNOWN, ROLE]);
        let home = Home::new("", "", &[]).with("VAULT_ADDR", format!("http://{}", exchange.address));
        let home = home.with("VAULT_TOKEN", "hvs.token");
        let home = home.with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let with_role = AccessOptions {
            vault_aws_engine: Some(VaultAwsEngine {
                name: Some("ci".into()),
                ..VaultAwsEngine::default()
            }),
            assume_role: Some(AssumeRole {
                role_arn: Some("arn:aws:iam::1:role/baker".into()),
                ..AssumeRole::default()
            }),
            ..options()
        };
        assert_eq!(home.key(&with_role).await.unwrap(), "OF_ROLE");
        let asked = exchange.asked();
        for asked in &asked[1..] {
            assert!(
                asked.contains("Action=AssumeRole") && asked.contains("credential=of_vault/"),
                "{asked}"
            );
        }
    }

    #[tokio::test]
    async fn credentials_are_checked_before_they_are_used() {
        let exchange = Exchange::play(&[UNKNOWN]);
        let home = Home::new("", PROFILES, &[]).with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let checked = AccessOptions {
            skip_credential_validation: false,
            ..options()
        };
        let error = home.error(&checked).await;
        assert!(
            error.starts_with(
                "Failed to check the AWS credentials from profile `default`: `GetCallerIdentity` answered `InvalidClientTokenId`"
            ),
            "{error}"
        );
        exchange.asked();
    }

    #[tokio::test]
    async fn a_mistyped_region_is_named_at_once() {
        let home = Home::new("", PROFILES, &[]);
        let mistyped = AccessOptions {
            region: Some("us-est-1".into()),
            skip_credential_validation: false,
            max_retries: None,
            ..options()
        };
        let error = tokio::time::timeout(Duration::from_secs(20), home.error(&mistyped))
            .await
            .unwrap();
        assert!(
            error.contains("`GetCallerIdentity` failed: connection to sts.us-est-1.amazonaws.com:443 failed: ")
                && error.contains("HELP check that `us-est-1` is a region of AWS"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_denied_call_names_its_caller_and_what_the_denial_means() {
        const DENIAL: &str = "HTTP/1.1 403 Forbidden\n\n<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not \
             authorized to perform this operation. Encoded authorization failure message: abc-_DEF</Message></Error></Errors></Response>";
        const DECODED: &str = "HTTP/1.1 200 OK\n\n<DecodeAuthorizationMessageResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <DecodeAuthorizationMessageResult><DecodedMessage>{\"allowed\":false}</DecodedMessage></DecodeAuthorizationMessageResult>\
             </DecodeAuthorizationMessageResponse>";
        let exchange = Exchange::play(&[DENIAL, CALLER, DECODED]);
        let home = Home::new("", PROFILES, &[]).with("AWS_ENDPOINT_URL", format!("http://{}", exchange.address));
        let decoding = AccessOptions {
            decode_authorization_messages: true,
            ..options()
        };
        let aws = Aws::reach(&decoding, &home.environment).await.unwrap();
        let denied = aws.ec2().describe_regions().send().await.unwrap_err();
        let error = AwsError::of("DescribeRegions", &denied);
        assert_eq!(
            error.to_string(),
            "`DescribeRegions` answered `UnauthorizedOperation`: You are not authorized to perform this operation. {\"allowed\":false} \
             (not allowed, IAM action `ec2:DescribeRegions` is missing, caller `arn:aws:iam::123456789012:user/ci`)"
        );
        assert_eq!(
            error.help().unwrap(),
            "allow `ec2:DescribeRegions` in the IAM policy of `arn:aws:iam::123456789012:user/ci`; `bakelite iam-policy TEMPLATE` \
             prints the policy that a template needs"
        );
        let asked = exchange.asked();
        assert!(
            asked[2].contains("Action=DecodeAuthorizationMessage") && asked[2].ends_with("EncodedMessage=abc-_DEF")
        );
    }
}
