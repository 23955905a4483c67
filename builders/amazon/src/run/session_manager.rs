//! Session Manager as the connection to the instance: a session is started, SSH runs through its data channel, and it is terminated with
//! the bake. No port is opened, here or in a security group, and no plugin is needed.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_aws::call::call;
use bakelite_aws::client::Aws;
use bakelite_aws::credentials::Environment;
use bakelite_aws::error::AwsError;
use bakelite_aws::resource::session::{INSTANCE, SESSION};
use bakelite_aws::retry::{ErrorClass, Tries};
use bakelite_aws::ssm::{self, StartedSession};
use bakelite_communicators::dial::{Dial, DialError, Stream};
use bakelite_engine::bake::{BakeError, Creation, Handle};
use bakelite_engine::clock::{Paused, pause};
use bakelite_engine::error::Explain;
use bakelite_engine::events::Ui;
use bakelite_engine::undo::Undo;
use bakelite_net::trust::Trust;
use bakelite_ssm::session::{Resume, ResumeError, Session, SessionError, Start};
use bakelite_ssm::socket::Network;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;

/// How long to wait for the agent when the template sets no `ssh_timeout`.
const USUAL_LIMIT: Duration = Duration::from_mins(5);

/// The way to one port of an instance. A session that ended is followed by another one with the next connection.
pub(crate) struct SessionManager {
    aws: Arc<Aws>,
    undo: Arc<dyn Undo>,
    creation: Creation,
    ui: Ui,
    instance: String,
    port: u16,
    limit: Duration,
    network: Arc<Network>,
    /// A key that the instance does not have: it is pushed before each connection.
    login: Option<Login>,
    running: Mutex<Option<Running>>,
}

/// A key that EC2 Instance Connect lets in for a minute.
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) public_key: String,
}

/// A session that was started, and its undo.
struct Running {
    session: Session,
    handle: Handle,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// The agent has not registered.
    #[error("the SSM agent of {instance} did not connect within {limit:?}")]
    NotConnected {
        instance: String,
        limit: Duration,
        #[source]
        cause: AwsError,
    },
    /// Nobody waits for the session any more.
    #[error("the start of a session was cancelled")]
    GivenUp,
    /// The call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// Why the data channel of a session cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the data channel of session `{session}`")]
struct ChannelError {
    session: String,
    #[source]
    cause: SessionError,
}

impl Explain for ChannelError {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.cause.help()
    }
}

impl Explain for StartError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::NotConnected { cause, .. } | Self::Aws(cause) => cause.help(),
            Self::GivenUp => None,
        }
    }
}

impl SessionManager {
    /// The way to a port, with a session that is there: waits until the agent has registered.
    pub(crate) async fn reach(
        cloud: &Cloud<'_>,
        instance: &str,
        port: u16,
        limit: Option<Duration>,
        login: Option<Login>,
    ) -> Result<Arc<Self>, BakeError> {
        let way = Self {
            aws: Arc::clone(&cloud.aws),
            undo: Arc::clone(&cloud.undo),
            creation: cloud.bake.creation(),
            ui: cloud.bake.ui.clone(),
            instance: instance.to_owned(),
            port,
            limit: limit.unwrap_or(USUAL_LIMIT),
            network: Arc::new(network(&cloud.aws, &cloud.bake.run.environment)),
            login,
            running: Mutex::default(),
        };
        let running = way.start().await?;
        *way.running.lock().await = Some(running);
        Ok(Arc::new(way))
    }

    async fn start(&self) -> Result<Running, BakeError> {
        self.ui
            .say(format!("Starting a Session Manager session to {}...", self.instance));
        let token = uuid::Uuid::now_v7().to_string();
        let resource = SESSION.resource(&self.aws, &token).detail(INSTANCE, &self.instance);
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        let wanted = Wanted {
            instance: self.instance.clone(),
            port: self.port,
            token,
            limit: self.limit,
            given_up,
        };
        let call = start(Arc::clone(&self.aws), wanted);
        let made = self.creation.create(Arc::clone(&self.undo), resource, call).await?;
        let StartedSession { id, stream_url, token } = made.value;
        self.ui.say(format!("Session ID: {id}"));
        let start = Start {
            session: id.clone(),
            stream_url,
            token,
        };
        let resume: Arc<dyn Resume> = Arc::new(Resumption(Arc::clone(&self.aws)));
        match Session::open(&start, Arc::clone(&self.network), resume).await {
            Ok(session) => Ok(Running {
                session,
                handle: made.handle,
            }),
            Err(cause) => {
                // Else it is terminated at the end of the bake, with a report.
                let _ = made.handle.destroy().await;
                Err(ChannelError { session: id, cause }.into())
            }
        }
    }

    /// Makes the instance accept the key for the connection to come.
    async fn push_key(&self) -> Result<(), AwsError> {
        let Some(Login { user, public_key }) = &self.login else {
            return Ok(());
        };
        let client = self.aws.instance_connect();
        let request = client.send_ssh_public_key().instance_id(&self.instance);
        let request = request.instance_os_user(user).ssh_public_key(public_key);
        call("SendSSHPublicKey", || request.clone().send()).await.map(drop)
    }

    /// Ends the session.
    pub(crate) async fn close(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.session.close().await;
            let _ = running.handle.destroy().await;
        }
    }
}

#[async_trait]
impl Dial for SessionManager {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        // One at a time: the others would only do the same.
        let mut running = self.running.lock().await;
        let ended = running.as_ref().and_then(|running| running.session.end());
        if let Some(end) = ended
            && let Some(old) = running.take()
        {
            self.ui
                .error(format!("Session Manager: {}", bakelite_engine::chain_of(&*end)));
            let _ = old.handle.destroy().await;
        }
        let session = match running.as_ref() {
            Some(running) => &running.session,
            None => &running.insert(self.start().await.map_err(io::Error::other)?).session,
        };
        self.push_key().await.map_err(io::Error::other)?;
        let opened = session.stream().await.map_err(io::Error::other)?;
        // SSH's server speaks first, so the answer comes before anything is said.
        match opened.answered.await {
            Ok(Err(error)) => Err(io::Error::other(error).into()),
            _ => Ok(Box::new(opened.stream)),
        }
    }

    /// Waiting for the agent has its own limit.
    fn limit(&self) -> Duration {
        self.limit + Duration::from_mins(1)
    }
}

/// The session to start.
struct Wanted {
    instance: String,
    port: u16,
    token: String,
    /// How long to wait for the agent.
    limit: Duration,
    /// The call runs to its end, but nobody waits for the agent any more.
    given_up: CancellationToken,
}

/// Starts a session, as soon as the agent has registered.
async fn start(aws: Arc<Aws>, wanted: Wanted) -> Result<(String, StartedSession), StartError> {
    let mut tries = Tries::within(wanted.limit);
    loop {
        let cause = match ssm::start(aws.ssm(), &wanted.instance, wanted.port, &wanted.token).await {
            Ok(session) => return Ok((session.id.clone(), session)),
            Err(cause) if cause.class == ErrorClass::NotYet => cause,
            Err(error) => return Err(error.into()),
        };
        let Some(length) = tries.after(cause.class) else {
            let Wanted { instance, limit, .. } = wanted;
            return Err(StartError::NotConnected { instance, limit, cause });
        };
        if pause(length, &wanted.given_up).await == Paused::Cancelled {
            return Err(StartError::GivenUp);
        }
    }
}

struct Resumption(Arc<Aws>);

#[async_trait]
impl Resume for Resumption {
    async fn resume(&self, session: &str) -> Result<String, ResumeError> {
        match ssm::resume(self.0.ssm(), session).await {
            Ok(token) => token.ok_or(ResumeError::Gone),
            Err(error) => Err(ResumeError::Failed(error.into())),
        }
    }
}

/// This machine's way to the data channel, trusting whom AWS's other clients trust.
fn network(aws: &Aws, environment: &Environment) -> Network {
    let network = Network::new(environment);
    match aws.authorities() {
        Some(authorities) => network.trusting(Trust::Only(authorities.to_vec())),
        None => network,
    }
}
