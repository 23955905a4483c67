//! Logging in: agent, key files, the builder's key, password, keyboard-interactive, each as long as the server accepts the method.
//! Every key is tried, not only the first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bakelite_engine::terminal::ask;
use bakelite_engine::untrusted::visible;
use russh::client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse as Reply, Prompt};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};

use super::host_key::fingerprint;

/// Characters of a server's question that are shown.
const LONGEST_TEXT: usize = 4096;

/// How long a person may take to answer all questions.
const TYPING_LIMIT: Duration = Duration::from_mins(5);

/// What we can log in with.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    /// The user.
    pub(crate) username: String,
    /// The agent's socket, when its keys are to be tried.
    pub(crate) agent: Option<PathBuf>,
    /// Keys, each with what people know it by.
    pub(crate) keys: Vec<(String, Arc<PrivateKey>)>,
    /// A certificate for each of the keys.
    pub(crate) certificate: Option<Certificate>,
    /// The password.
    pub(crate) password: Option<String>,
    /// What the server asks is asked of the person at the terminal.
    pub(crate) interactive: bool,
}

impl Credentials {
    /// How long a login may take that takes `limit` without a person.
    pub(crate) fn timeout(&self, limit: Duration) -> Duration {
        if self.interactive { limit + TYPING_LIMIT } else { limit }
    }
}

/// Why the login failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The server accepts none of our credentials.
    #[error("login as `{username}` is refused; tried {tried}{}", accepted_methods(.accepts))]
    Refused {
        /// The user.
        username: String,
        /// What was tried.
        tried: String,
        /// The methods that the server accepts.
        accepts: String,
    },
    /// The connection broke meanwhile.
    #[error("connection ended while logging in as `{username}`")]
    Interrupted {
        /// The user.
        username: String,
        /// What the protocol failed with.
        #[source]
        cause: russh::Error,
    },
    /// The server's prompts cannot be shown: there is no terminal.
    #[error("failed to prompt at the terminal for the server's questions")]
    Terminal {
        /// What opening or reading the terminal failed with.
        #[source]
        cause: std::io::Error,
    },
    /// The SSH agent does not answer.
    #[error("failed to list the keys of the SSH agent at `{socket}`")]
    Agent {
        /// Path of its socket.
        socket: String,
        /// What the request failed with.
        #[source]
        cause: russh::keys::Error,
    },
}

/// Asks the person at the terminal what the server asks.
async fn ask_all(name: &str, instructions: &str, prompts: &[Prompt]) -> Result<Vec<String>, AuthError> {
    let mut answers = Vec::new();
    let mut heading = String::new();
    for text in [name, instructions].into_iter().filter(|text| !text.is_empty()) {
        heading.push_str(&printable(text));
        heading.push('\n');
    }
    for prompt in prompts {
        let question = format!("{}{}", std::mem::take(&mut heading), printable(&prompt.prompt));
        let answer = ask(&question, prompt.echo).await;
        answers.push(answer.map_err(|cause| AuthError::Terminal { cause })?);
    }
    Ok(answers)
}

/// A server's string without control characters of the terminal, of limited length.
fn printable(text: &str) -> String {
    visible(&text.chars().take(LONGEST_TEXT).collect::<String>()).into_owned()
}

fn accepted_methods(methods: &str) -> String {
    if methods.is_empty() {
        String::new()
    } else {
        format!("; the server accepts {methods}")
    }
}

/// One login under way.
struct Login<'a, H: Handler> {
    handle: &'a mut Handle<H>,
    username: &'a str,
    tried: Vec<String>,
    /// The methods that the server accepts next; all until it has listed them.
    accepts: Option<MethodSet>,
}

/// Logs in.
pub(crate) async fn log_in(handle: &mut Handle<impl Handler>, credentials: &Credentials) -> Result<(), AuthError> {
    let mut login = Login {
        handle,
        username: &credentials.username,
        tried: Vec::new(),
        accepts: None,
    };
    if login.try_all(credentials).await? {
        return Ok(());
    }
    if login.tried.is_empty() {
        // Some servers let everybody in; others list in the reply what they accept.
        let answer = login.handle.authenticate_none(login.username).await;
        if login.handle_reply(answer, "no credentials")? {
            return Ok(());
        }
    }
    let accepts = login.accepts.unwrap_or_else(MethodSet::empty);
    let accepts: Vec<&str> = accepts.iter().map(<&'static str>::from).collect();
    Err(AuthError::Refused {
        username: credentials.username.clone(),
        tried: login.tried.join(", "),
        accepts: accepts.join(", "),
    })
}

impl<H: Handler> Login<'_, H> {
    async fn try_all(&mut self, credentials: &Credentials) -> Result<bool, AuthError> {
        if credentials.interactive && self.keyboard_interactive(None).await? {
            return Ok(true);
        }
        if let Some(socket) = &credentials.agent
            && self.try_agent(socket).await?
        {
            return Ok(true);
        }
        for (name, key) in &credentials.keys {
            if self.takes(MethodKind::PublicKey) && self.try_key(name, key, credentials.certificate.as_ref()).await? {
                return Ok(true);
            }
        }
        let Some(password) = &credentials.password else {
            return Ok(false);
        };
        if self.takes(MethodKind::Password) {
            let answer = self.handle.authenticate_password(self.username, password).await;
            if self.handle_reply(answer, "password")? {
                return Ok(true);
            }
        }
        Ok(self.takes(MethodKind::KeyboardInteractive) && self.keyboard_interactive(Some(password)).await?)
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.accepts.as_ref().is_none_or(|methods| methods.contains(&method))
    }

    async fn try_key(
        &mut self,
        name: &str,
        key: &Arc<PrivateKey>,
        certificate: Option<&Certificate>,
    ) -> Result<bool, AuthError> {
        let name = format!("{name} ({} {})", key.algorithm(), fingerprint(key.public_key()));
        if let Some(certificate) = certificate {
            let answer = self
                .handle
                .authenticate_openssh_cert(self.username, Arc::clone(key), certificate.clone())
                .await;
            if self.handle_reply(answer, &format!("certificate for {name}"))? {
                return Ok(true);
            }
        }
        // Every server since 2016 takes SHA-2; only when it refuses the key is it worth knowing what else it would take.
        let with = |hash| PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
        let answer = self
            .handle
            .authenticate_publickey(self.username, with(Some(HashAlg::Sha512)))
            .await;
        if self.handle_reply(answer, &name)? {
            return Ok(true);
        }
        if !key.algorithm().is_rsa() || !self.takes(MethodKind::PublicKey) {
            return Ok(false);
        }
        let supported = self
            .handle
            .best_supported_rsa_hash()
            .await
            .map_err(|error| self.interrupted(error))?;
        let other = match supported {
            Some(Some(HashAlg::Sha512)) => return Ok(false),
            Some(hash) => hash,
            None => None,
        };
        let answer = self.handle.authenticate_publickey(self.username, with(other)).await;
        self.handle_reply(answer, &name)
    }

    async fn try_agent(&mut self, socket: &PathBuf) -> Result<bool, AuthError> {
        let unusable = |cause| AuthError::Agent {
            socket: socket.display().to_string(),
            cause,
        };
        let mut agent = AgentClient::connect_uds(socket).await.map_err(unusable)?;
        let identities = agent.request_identities().await.map_err(unusable)?;
        if identities.is_empty() {
            self.tried.push("the SSH agent, which has no keys".into());
        }
        for identity in identities {
            if !self.takes(MethodKind::PublicKey) {
                return Ok(false);
            }
            let hash = Some(HashAlg::Sha512);
            let (name, answer) = match identity {
                AgentIdentity::PublicKey { key, comment } => {
                    let hash = hash.filter(|_| key.algorithm().is_rsa());
                    let name = format!("agent key `{comment}` ({})", fingerprint(&key));
                    (
                        name,
                        self.handle
                            .authenticate_publickey_with(self.username, key, hash, &mut agent)
                            .await,
                    )
                }
                AgentIdentity::Certificate { certificate, comment } => {
                    let hash = hash.filter(|_| certificate.algorithm().is_rsa());
                    let name = format!("agent certificate `{comment}`");
                    (
                        name,
                        self.handle
                            .authenticate_certificate_with(self.username, certificate, hash, &mut agent)
                            .await,
                    )
                }
            };
            match answer {
                Ok(answer) => {
                    if self.handle_reply(Ok(answer), &name)? {
                        return Ok(true);
                    }
                }
                // The agent may decline one key, by asking its user, and still sign with the next.
                Err(error) => self
                    .tried
                    .push(format!("{name}, which the agent did not sign ({error})")),
            }
        }
        Ok(false)
    }

    /// Answers every question of the server by the password, or asks the person at the terminal.
    async fn keyboard_interactive(&mut self, password: Option<&str>) -> Result<bool, AuthError> {
        const MOST_ROUNDS: usize = 16;
        let mut reply = self
            .handle
            .authenticate_keyboard_interactive_start(self.username, None)
            .await;
        for _ in 0..MOST_ROUNDS {
            match reply.map_err(|error| self.interrupted(error))? {
                Reply::Success => return Ok(true),
                Reply::Failure {
                    remaining_methods,
                    partial_success,
                } => {
                    let failure = AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    };
                    return self.handle_reply(Ok(failure), "keyboard-interactive");
                }
                Reply::InfoRequest {
                    name,
                    instructions,
                    prompts,
                } => {
                    let answers = match password {
                        Some(password) => prompts.iter().map(|_| password.to_owned()).collect(),
                        None => ask_all(&name, &instructions, &prompts).await?,
                    };
                    reply = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                }
            }
        }
        self.tried
            .push("keyboard-interactive, whose prompts did not end".into());
        Ok(false)
    }

    /// Whether the server's reply to one attempt lets us in; notes what it accepts otherwise.
    fn handle_reply(&mut self, answer: Result<AuthResult, russh::Error>, name: &str) -> Result<bool, AuthError> {
        match answer.map_err(|error| self.interrupted(error))? {
            AuthResult::Success => Ok(true),
            AuthResult::Failure { remaining_methods, .. } => {
                self.tried.push(name.to_owned());
                if self.handle.is_closed() {
                    return Err(self.rejected());
                }
                self.accepts = Some(remaining_methods);
                Ok(false)
            }
        }
    }

    /// The server has hung up: after attempts that is its answer to them, as when it has counted too many.
    fn rejected(&self) -> AuthError {
        AuthError::Refused {
            username: self.username.to_owned(),
            tried: self.tried.join(", "),
            accepts: String::new(),
        }
    }

    fn interrupted(&self, cause: russh::Error) -> AuthError {
        AuthError::Interrupted {
            username: self.username.to_owned(),
            cause,
        }
    }
}
