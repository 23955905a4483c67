//! AWS in a region, with the clients of its services. Whoever has the same access options gets the same [`Aws`], and with it the same
//! connections, credentials and watches; [`Aws::in_region`] answers it for another region.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig, identity::IdentityCache};
use aws_sdk_ec2::types::{Image, Instance, Snapshot, Volume};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;

use crate::access::{AccessOptions, Polling};
use crate::asked::Asked;
use crate::authorities::Authorities;
use crate::batch::Batch;
use crate::call::client;
use crate::credentials::{self, AccessError, Environment, Found, Profiles, Search, is_on, variable};
use crate::describe;
use crate::error::AwsError;
use crate::mfa::GivenCode;
use crate::retry::{self, Classifier};
use crate::sts::{self, Asker, Informant};
use crate::tag::Tags;
use crate::times::Times;
use crate::transport;
use crate::watch::{Pace, Watch};

/// Set by `--local`: the local cloud's state directory. Then its endpoint and credentials take the place of everything else.
pub const LOCAL: &str = "BAKELITE_LOCAL";

/// The region of the local cloud where none is named, and of AWS until the instance's own is known.
const USUAL_REGION: &str = "us-east-1";

/// AWS in one region, reached in one way.
pub struct Aws {
    common: Arc<Common>,
    region: String,
    endpoint: Option<String>,
    ec2: aws_sdk_ec2::Client,
    /// The same with fewer repetitions by the SDK.
    ec2_of_a_part: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
    classifier: SharedRetryClassifier,
    /// The same in other regions, as far as they were asked for.
    others: std::sync::Mutex<BTreeMap<String, Arc<Aws>>>,
    /// All instances that somebody waits for.
    pub instances: Watch<Instance>,
    /// All images that somebody waits for.
    pub images: Watch<Image>,
    /// All snapshots that somebody waits for.
    pub snapshots: Watch<Snapshot>,
    /// All volumes that somebody waits for.
    pub volumes: Watch<Volume>,
    /// Stops instances.
    pub stops: Batch<()>,
    /// Terminates instances. Nothing is repeated by it but by the SDK: whoever removes repeats that as a whole.
    pub(crate) terminations: Batch<()>,
    /// Sets the tags of what stays.
    tags: Batch<(), (Tags, Vec<String>)>,
    /// Removes the tags of temporary resources from what stays.
    untags: Batch<(), Vec<String>>,
    /// Volumes by the tokens of the instances that they were made with.
    pub(crate) volumes_by_token: Batch<Vec<Volume>>,
    /// The account's own images by their names.
    pub names: Batch<Vec<Image>>,
    /// What the bakes of the run ask alike in the region.
    pub asked: Asked,
}

/// What is the same in every region.
struct Common {
    profile: Option<String>,
    /// The endpoints that the environment or the profile gives services, by the name that its variables have.
    endpoints: BTreeMap<&'static str, String>,
    local: Option<String>,
    timeout: Option<Duration>,
    authorities: Option<Authorities>,
    /// Without region and endpoint.
    sdk: SdkConfig,
    /// How long states take in the account.
    times: Arc<Times>,
}

/// What this process makes once for equal options in equal environments. Whoever asks while it is being made waits for it alone.
struct Shared<T>(std::sync::Mutex<Vec<Known<T>>>);

struct Known<T> {
    options: AccessOptions,
    environment: Environment,
    made: Arc<OnceCell<T>>,
}

impl<T: Clone> Shared<T> {
    const fn new() -> Self {
        Self(std::sync::Mutex::new(Vec::new()))
    }

    /// What was made, or else is made now. What fails is made again by who asks next.
    async fn get<E>(
        &self,
        options: AccessOptions,
        environment: &Environment,
        make: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let made = self.cell(options, relevant(environment));
        made.get_or_try_init(|| make).await.cloned()
    }

    fn cell(&self, options: AccessOptions, environment: Environment) -> Arc<OnceCell<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = all
            .iter()
            .find(|known| known.options == options && known.environment == environment);
        if let Some(known) = same {
            return Arc::clone(&known.made);
        }
        let made = Arc::default();
        all.push(Known {
            options,
            environment,
            made: Arc::clone(&made),
        });
        made
    }
}

static REACHED: Shared<Arc<Aws>> = Shared::new();

/// Credentials, which are the same in every region: a code of an MFA device is good for one session.
static FOUND: Shared<Found> = Shared::new();

impl Aws {
    /// AWS as these options and this environment say. Equal ones share everything.
    pub async fn reach(options: &AccessOptions, environment: &Environment) -> Result<Arc<Self>, AccessError> {
        let make = Box::pin(async { Ok(Arc::new(Self::new(options, environment).await?)) });
        REACHED.get(options.clone(), environment, make).await
    }

    async fn new(options: &AccessOptions, environment: &Environment) -> Result<Self, AccessError> {
        let local = variable(environment, LOCAL).map(str::to_owned);
        // The local cloud knows one account: profiles, keys and roles of the template mean nothing there.
        let on_local = AccessOptions {
            region: options.region.clone(),
            aws_polling: options.aws_polling,
            ..AccessOptions::default()
        };
        let options = if local.is_some() { &on_local } else { options };
        let (common, region) = Common::load(options, environment, local).await?;
        Ok(Self::of(Arc::new(common), region, options.custom_endpoint_ec2.clone()))
    }

    /// AWS in a region. `endpoint` is EC2's there; without it the environment or AWS decides.
    fn of(common: Arc<Common>, region: String, endpoint: Option<String>) -> Self {
        let endpoint = endpoint.or_else(|| common.endpoints.get("EC2").cloned());
        let classifier = SharedRetryClassifier::new(Classifier::default());
        let at = common.at(&region, endpoint.clone());
        let ec2_of_a_part = client!(aws_sdk_ec2, retry::of_a_part(at.clone()), classifier.clone());
        let ec2 = client!(aws_sdk_ec2, at, classifier.clone());
        let apart = common.times.apart();
        Self {
            instances: Watch::new(
                describe::by_ids(
                    &ec2_of_a_part,
                    "instance-id",
                    |ec2, by| async move { describe::instances(&ec2, by).await },
                    Instance::instance_id,
                ),
                &common.times,
            ),
            images: Watch::new(
                describe::by_ids(
                    &ec2_of_a_part,
                    "image-id",
                    |ec2, by| async move { describe::images(&ec2, by).await },
                    Image::image_id,
                ),
                &common.times,
            ),
            snapshots: Watch::new(
                describe::by_ids(
                    &ec2_of_a_part,
                    "snapshot-id",
                    |ec2, by| async move { describe::snapshots(&ec2, by).await },
                    Snapshot::snapshot_id,
                ),
                &common.times,
            ),
            volumes: Watch::new(
                describe::by_ids(
                    &ec2_of_a_part,
                    "volume-id",
                    |ec2, by| async move { describe::volumes(&ec2, by).await },
                    Volume::volume_id,
                ),
                &common.times,
            ),
            stops: Batch::stops(&ec2, apart),
            terminations: Batch::terminations(&ec2_of_a_part, apart),
            tags: Batch::tags(&ec2, apart),
            untags: Batch::untags(&ec2, apart),
            volumes_by_token: Batch::volumes_by_token(&ec2_of_a_part, apart),
            names: Batch::images_by_name(&ec2, apart),
            asked: Asked::default(),
            ssm: client!(aws_sdk_ssm, common.of_service("SSM", &region), classifier.clone()),
            others: std::sync::Mutex::default(),
            common,
            region,
            endpoint,
            ec2,
            ec2_of_a_part,
            classifier,
        }
    }

    /// The same in another region: with the same credentials, connections and endpoints of the environment, but without
    /// `custom_endpoint_ec2`, which belongs to the build region.
    pub fn in_region(self: &Arc<Self>, region: &str) -> Arc<Self> {
        if region == self.region {
            return Arc::clone(self);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let there = || Arc::new(Self::of(Arc::clone(&self.common), region.to_owned(), None));
        Arc::clone(others.entry(region.to_owned()).or_insert_with(there))
    }

    /// What the clients have in common.
    #[cfg(test)]
    pub(crate) fn sdk(&self) -> &SdkConfig {
        &self.common.sdk
    }

    /// Sets tags of resources that stay.
    ///
    /// # Errors
    /// What EC2 answers.
    pub async fn tag(&self, resources: Vec<String>, tags: &Tags) -> Result<(), AwsError> {
        if resources.is_empty() || tags.is_empty() {
            return Ok(());
        }
        self.tags.call((tags.clone(), resources)).await.map(drop)
    }

    /// Removes the tags of temporary resources from resources that stay.
    ///
    /// # Errors
    /// What EC2 answers.
    pub async fn untag(&self, resources: Vec<String>) -> Result<(), AwsError> {
        self.untags.call(resources).await.map(drop)
    }

    /// EC2 in the region.
    pub fn ec2(&self) -> &aws_sdk_ec2::Client {
        &self.ec2
    }

    /// Secrets Manager in the region.
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        let config = self.common.of_service("SECRETS_MANAGER", &self.region);
        client!(aws_sdk_secretsmanager, config, self.classifier.clone())
    }

    /// EC2 in the region, for what is repeated as a whole: the SDK repeats its calls a few times only.
    pub(crate) fn ec2_of_a_part(&self) -> &aws_sdk_ec2::Client {
        &self.ec2_of_a_part
    }

    /// IAM of the account.
    pub fn iam(&self) -> aws_sdk_iam::Client {
        client!(
            aws_sdk_iam,
            self.common.of_service("IAM", &self.region),
            self.classifier.clone()
        )
    }

    /// The same for what is repeated as a whole.
    pub(crate) fn iam_of_a_part(&self) -> aws_sdk_iam::Client {
        let config = retry::of_a_part(self.common.of_service("IAM", &self.region));
        client!(aws_sdk_iam, config, self.classifier.clone())
    }

    /// EC2 Instance Connect in the region.
    pub fn instance_connect(&self) -> aws_sdk_ec2instanceconnect::Client {
        let config = self.common.of_service("EC2_INSTANCE_CONNECT", &self.region);
        client!(aws_sdk_ec2instanceconnect, config, self.classifier.clone())
    }

    /// Systems Manager in the region.
    pub fn ssm(&self) -> &aws_sdk_ssm::Client {
        &self.ssm
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether it is one of China's regions, which take tags only after a thing was made.
    pub fn is_in_china(&self) -> bool {
        self.region.starts_with("cn-")
    }

    /// The profile of the shared files that the template names.
    pub fn profile(&self) -> Option<&str> {
        self.common.profile.as_deref()
    }

    /// EC2's endpoint, when it is not AWS's own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The local cloud's state directory, when it is the local cloud.
    pub fn local(&self) -> Option<&str> {
        self.common.local.as_deref()
    }

    /// The certificates of those who vouch for AWS's servers; nothing when this machine's are believed.
    pub fn authorities(&self) -> Option<&[CertificateDer<'static>]> {
        self.common.authorities.as_ref().map(Authorities::certificates)
    }

    /// How long states take in the account.
    pub fn times(&self) -> &Arc<Times> {
        &self.common.times
    }

    /// The pace of a wait: `aws_polling` and the environment set its limit, else it is `limit`.
    pub fn pace(&self, usual_seconds: u64, limit: Duration) -> Pace {
        Pace::new(usual_seconds, self.common.timeout.unwrap_or(limit))
    }
}

impl Common {
    /// What these options and this environment say, with the region.
    async fn load(
        options: &AccessOptions,
        environment: &Environment,
        local: Option<String>,
    ) -> Result<(Self, String), AccessError> {
        let is_local = local.is_some();
        let profiles = Profiles::read(options, environment).await;
        let authorities = if is_local {
            None
        } else {
            Authorities::named(environment, &profiles).await?
        };
        let named = credentials::region(options, environment, &profiles);
        let region = named.clone().unwrap_or_else(|| USUAL_REGION.to_owned());
        let transport = transport::connector(environment, options.insecure_skip_tls_verify, authorities.as_ref());
        let http = transport::client(transport.clone());
        let config = ProviderConfig::without_region()
            .with_region(Some(Region::new(region.clone())))
            .with_http_client(http.clone());
        let sdk = sdk_config(options, environment, &profiles, &region, http);
        let at_sts = endpoint_of(sdk.clone().into_builder(), endpoint("STS", environment, &profiles)).build();
        let search = Search {
            options,
            environment,
            profiles: &profiles,
            config: &config,
            sts: &at_sts,
            given: GivenCode::new(options.mfa_code.as_deref()),
        };
        let run = Box::pin(search.run());
        let found = FOUND.get(options.of_credentials(), environment, run).await?;
        let region = match named {
            None if found.is_instance => search.instance_region().await,
            None if is_local => Some(region),
            named => named,
        };
        let region = region.ok_or_else(|| AccessError::NoRegion {
            profile: profiles.name.clone(),
        })?;
        let at_sts = at_sts.into_builder().region(Region::new(region.clone())).build();
        let asker = Asker {
            sts: sts::client(&at_sts, Some(found.provider.clone())),
            is_new: found.is_new,
        };
        let caller = OnceCell::new();
        if !is_local && !options.skip_credential_validation {
            // Nobody else has the cell yet.
            let _ = caller.set(Some(found.check(&asker).await?));
        }
        let informant = Informant {
            asker,
            decodes: options.decode_authorization_messages,
            caller,
        };
        let sdk = sdk
            .into_builder()
            .http_client(transport::informed(transport, informant))
            .credentials_provider(found.provider)
            .build();
        let services = ["EC2", "SSM", "SECRETS_MANAGER", "IAM", "EC2_INSTANCE_CONNECT"].into_iter();
        let common = Self {
            profile: options.profile.clone(),
            endpoints: services
                .filter_map(|service| Some((service, endpoint(service, environment, &profiles)?)))
                .collect(),
            local,
            timeout: waiting_limit(options.aws_polling, environment),
            times: Arc::new(Times::new(is_local)),
            authorities,
            sdk,
        };
        Ok((common, region))
    }

    /// The configuration of a client in a region.
    fn at(&self, region: &str, endpoint: Option<String>) -> SdkConfig {
        let config = self.sdk.clone().into_builder().region(Region::new(region.to_owned()));
        endpoint_of(config, endpoint).build()
    }

    /// That of a service whose endpoint the environment or the profile may name.
    fn of_service(&self, service: &str, region: &str) -> SdkConfig {
        self.at(region, self.endpoints.get(service).cloned())
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The variables that matter here, so that others do not keep two bakes from sharing.
fn relevant(environment: &Environment) -> Environment {
    let matters = |name: &str| {
        let others = ["HOME", LOCAL]
            .into_iter()
            .chain(bakelite_net::proxies::VARIABLES.iter().copied());
        name.starts_with("AWS_") || name.starts_with("VAULT_") || others.into_iter().any(|other| other == name)
    };
    environment
        .iter()
        .filter(|(name, _)| matters(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The endpoint that the environment, or else the profile, gives a service: of both, what is the service's own goes first.
fn endpoint(service: &str, environment: &Environment, profiles: &Profiles) -> Option<String> {
    if is_on(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") || profiles.is_on("ignore_configured_endpoint_urls") {
        return None;
    }
    let own = variable(environment, &format!("AWS_ENDPOINT_URL_{service}"));
    own.or_else(|| variable(environment, "AWS_ENDPOINT_URL"))
        .or_else(|| profiles.endpoint(service))
        .or_else(|| profiles.setting("endpoint_url"))
        .map(str::to_owned)
}

fn endpoint_of(
    mut builder: aws_types::sdk_config::Builder,
    endpoint: Option<String>,
) -> aws_types::sdk_config::Builder {
    builder.set_endpoint_url(endpoint);
    builder
}

/// What is the same for every client. Throttled and failed calls are repeated with growing pauses, at a pace that the service sets.
fn sdk_config(
    options: &AccessOptions,
    environment: &Environment,
    profiles: &Profiles,
    region: &str,
    http: SharedHttpClient,
) -> SdkConfig {
    // A variable that is `false` counts, too.
    let is_either_on = |name, of_profile| match variable(environment, name) {
        Some(_) => is_on(environment, name),
        None => profiles.is_on(of_profile),
    };
    let attempts = options.max_retries.filter(|attempts| *attempts > 0);
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .retry_config(retry::of_sdk(attempts.map(|attempts| attempts - 1)))
        .timeout_config(TimeoutConfig::builder().operation_timeout(retry::CALL_LIMIT).build())
        .identity_cache(IdentityCache::lazy().build())
        .time_source(aws_smithy_async::time::SystemTimeSource::new())
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .use_fips(is_either_on("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"))
        .use_dual_stack(is_either_on("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"))
        .http_client(http);
    builder.set_app_name(AppName::new(concat!("bakelite-", env!("CARGO_PKG_VERSION"))).ok());
    builder.build()
}

/// How long to wait for a state at most, as the template or the environment limits it.
fn waiting_limit(polling: Option<Polling>, environment: &Environment) -> Option<Duration> {
    let polling = polling.unwrap_or_default();
    let number = |name| variable(environment, name).and_then(|value| value.parse::<u32>().ok());
    let attempts = polling.max_attempts.or_else(|| number("AWS_MAX_ATTEMPTS"));
    let delay = polling.delay_seconds.or_else(|| number("AWS_POLL_DELAY_SECONDS"));
    if attempts.is_none() && delay.is_none() {
        return None;
    }
    // Half of the pair leaves the other half at the figure that its users know.
    let product = u64::from(attempts.unwrap_or(40)) * u64::from(delay.unwrap_or(5));
    Some(Duration::from_secs(product))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// Options whose credentials nobody is asked about.
    fn unchecked() -> AccessOptions {
        AccessOptions {
            skip_credential_validation: true,
            ..AccessOptions::default()
        }
    }

    const KEYS: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "SK"),
        ("AWS_REGION", "eu-west-1"),
    ];

    #[tokio::test]
    async fn equal_options_share_one_aws() {
        let environment = environment(&KEYS);
        let options = unchecked();
        let first = Aws::reach(&options, &environment).await.unwrap();
        let second = Aws::reach(&options, &environment).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let elsewhere = AccessOptions {
            region: Some("us-east-1".into()),
            ..options
        };
        let third = Aws::reach(&elsewhere, &environment).await.unwrap();
        assert_eq!((first.region(), third.region()), ("eu-west-1", "us-east-1"));
    }

    #[tokio::test]
    async fn another_region_has_the_same_credentials_and_no_endpoint_of_the_build_region() {
        let options = AccessOptions {
            custom_endpoint_ec2: Some("http://custom".into()),
            ..unchecked()
        };
        let here = Aws::reach(&options, &environment(&KEYS)).await.unwrap();
        let there = here.in_region("us-east-1");
        assert_eq!((there.region(), there.endpoint()), ("us-east-1", None));
        assert!(Arc::ptr_eq(&there, &here.in_region("us-east-1")));
        assert!(Arc::ptr_eq(&here, &here.in_region("eu-west-1")));
        let mut pairs = KEYS.to_vec();
        pairs.push(("AWS_ENDPOINT_URL", "http://all"));
        let here = Aws::reach(&unchecked(), &environment(&pairs)).await.unwrap();
        assert_eq!(here.in_region("us-east-1").endpoint(), Some("http://all"));
    }

    /// The error of an environment with shared files of this content.
    async fn unreachable(config: &str, more: &[(&str, &str)]) -> String {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config");
        std::fs::write(&file, config).unwrap();
        let file = file.display().to_string();
        let mut pairs = vec![
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials"),
            ("AWS_CONFIG_FILE", &file),
        ];
        pairs.extend(more);
        let environment: Environment = environment(&pairs);
        let error = Aws::reach(&unchecked(), &environment).await.unwrap_err();
        error.to_string().replace(&file, "CONFIG")
    }

    #[tokio::test]
    async fn missing_credentials_tell_what_was_tried() {
        insta::assert_snapshot!(unreachable("", &[]).await);
    }

    #[tokio::test]
    async fn a_profile_that_does_not_exist_ends_the_search() {
        assert_eq!(
            unreachable("[profile ci]\n", &[("AWS_PROFILE", "nope")]).await,
            "there is no profile `nope` in `/nonexistent/credentials` and `CONFIG`; `AWS_PROFILE` names it"
        );
    }

    #[tokio::test]
    async fn half_a_key_is_reported() {
        let error = unreachable("", &[("AWS_ACCESS_KEY_ID", "AK")]).await;
        let half = "`AWS_ACCESS_KEY_ID` is set, but `AWS_SECRET_ACCESS_KEY` is not";
        assert!(error.contains(half), "{error}");
    }

    /// On a machine of EC2 whose metadata service refuses, or in a container that may not ask it.
    #[tokio::test]
    async fn a_metadata_service_that_refuses_is_one_of_the_sources_that_were_tried() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(refusal).await;
            }
        });
        let more = [
            ("AWS_EC2_METADATA_DISABLED", "false"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()),
        ];
        let error = unreachable("", &more).await;
        assert!(error.starts_with("No AWS credentials found; tried: "), "{error}");
        assert!(
            error.contains("; Failed to load AWS credentials from the instance's role: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_profile_gives_credentials_and_region() {
        let home = tempfile::tempdir().unwrap();
        let (credentials, config) = (home.path().join("credentials"), home.path().join("config"));
        std::fs::write(
            &credentials,
            "[ci]\naws_access_key_id = AK\naws_secret_access_key = SK\n",
        )
        .unwrap();
        std::fs::write(&config, "[profile ci]\nregion = ap-south-1\n").unwrap();
        let environment = environment(&[
            ("AWS_SHARED_CREDENTIALS_FILE", &credentials.display().to_string()),
            ("AWS_CONFIG_FILE", &config.display().to_string()),
        ]);
        let options = AccessOptions {
            profile: Some("ci".into()),
            ..unchecked()
        };
        let aws = Aws::reach(&options, &environment).await.unwrap();
        assert_eq!((aws.region(), aws.profile()), ("ap-south-1", Some("ci")));
    }

    #[tokio::test]
    async fn a_services_own_endpoint_goes_before_the_common_one() {
        let environment = environment(&[("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_EC2", "http://b")]);
        let profiles = Profiles::read(&unchecked(), &environment).await;
        assert_eq!(endpoint("EC2", &environment, &profiles).as_deref(), Some("http://b"));
        assert_eq!(endpoint("STS", &environment, &profiles).as_deref(), Some("http://a"));
    }

    #[tokio::test]
    async fn a_profile_names_endpoints_and_their_kind() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("config");
        std::fs::write(
            &config,
            "[profile ci]\nservices = ours\nendpoint_url = http://all\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n\
             [services ours]\nec2 =\n  endpoint_url = http://ec2\nsecrets_manager =\n  endpoint_url = http://secrets\n\
             [profile none]\nendpoint_url = http://all\nignore_configured_endpoint_urls = true\n",
        )
        .unwrap();
        let config = config.display().to_string();
        let pairs = [
            ("AWS_CONFIG_FILE", config.as_str()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ];
        let of = |profile: &str| AccessOptions {
            profile: Some(profile.into()),
            ..unchecked()
        };
        let endpoints = async |profile: &str, more: &[(&str, &str)]| {
            let environment = environment(&[&pairs[..], more].concat());
            let profiles = Profiles::read(&of(profile), &environment).await;
            let services = ["EC2", "SECRETS_MANAGER", "SSM"];
            services.map(|service| endpoint(service, &environment, &profiles).unwrap_or_default())
        };
        assert_eq!(
            endpoints("ci", &[]).await,
            ["http://ec2", "http://secrets", "http://all"]
        );
        let of_environment = [("AWS_ENDPOINT_URL", "http://environment")];
        assert_eq!(endpoints("ci", &of_environment).await, ["http://environment"; 3]);
        assert_eq!(endpoints("none", &[]).await, [""; 3]);

        let kinds = async |more: &[(&str, &str)]| {
            let environment = environment(&[&pairs[..], &KEYS[2..], more].concat());
            let with_keys = AccessOptions {
                access_key: Some("AK".into()),
                secret_key: Some("SK".into()),
                ..of("ci")
            };
            let aws = Aws::reach(&with_keys, &environment).await.unwrap();
            (aws.sdk().use_fips(), aws.sdk().use_dual_stack())
        };
        assert_eq!(kinds(&[]).await, (Some(true), Some(true)));
        assert_eq!(
            kinds(&[("AWS_USE_FIPS_ENDPOINT", "false")]).await,
            (Some(false), Some(true))
        );
    }

    #[test]
    fn polling_limits_are_products() {
        let limits =
            |polling, pairs: &[(&str, &str)]| waiting_limit(polling, &environment(pairs)).map(|limit| limit.as_secs());
        assert_eq!(limits(None, &[]), None);
        assert_eq!(
            limits(
                Some(Polling {
                    max_attempts: Some(50),
                    delay_seconds: Some(30)
                }),
                &[]
            ),
            Some(1500)
        );
        assert_eq!(
            limits(None, &[("AWS_MAX_ATTEMPTS", "100"), ("AWS_POLL_DELAY_SECONDS", "3")]),
            Some(300)
        );
    }
}
