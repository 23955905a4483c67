//! Credentials that Vault's AWS secrets engine makes. <https://developer.hashicorp.com/vault/api-docs/secret/aws>

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use bakelite_net::vault::{self, VaultError};
use serde_json::{Map, Value as Json};

use crate::access::VaultAwsEngine;
use crate::sts::Maker;

/// The engine, and what is asked of it.
#[derive(Debug)]
pub(crate) struct VaultEngine {
    path: String,
    /// What is written to the path; without it the path is read.
    members: Option<Map<String, Json>>,
    environment: Arc<vault::Environment>,
}

/// Why the engine gives no credentials.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Vault itself gives nothing.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What it gives are no credentials of AWS.
    #[error("what Vault has at `{path}` has no `{member}`")]
    NotOfAws {
        /// The path.
        path: String,
        /// What is missing.
        member: &'static str,
    },
}

impl EngineError {
    /// What to do, where that is known.
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            Self::Vault(error) => error.help(),
            Self::NotOfAws { .. } => {
                Some("check `engine_name` and `name`: `vault list ENGINE/roles` lists the roles".into())
            }
        }
    }
}

impl VaultEngine {
    /// The engine of these options, at the server that the environment names.
    pub(crate) fn new(options: &VaultAwsEngine, environment: &vault::Environment) -> Self {
        let engine = options.engine_name.as_deref().unwrap_or("aws").trim_matches('/');
        let name = options.name.as_deref().unwrap_or_default();
        let members = options.role_arn.as_ref().map(|arn| {
            let ttl = options.ttl.as_ref().map(|ttl| ("ttl", ttl));
            let members = [("role_arn", arn)].into_iter().chain(ttl);
            members
                .map(|(name, value)| (name.to_owned(), Json::from(value.as_str())))
                .collect()
        });
        let kind = if members.is_some() { "sts" } else { "creds" };
        Self {
            path: format!("{engine}/{kind}/{name}"),
            members,
            environment: Arc::new(environment.clone()),
        }
    }
}

#[async_trait]
impl Maker for VaultEngine {
    type Error = EngineError;

    async fn make(&self) -> Result<Credentials, EngineError> {
        let secret = match &self.members {
            Some(members) => vault::write(&self.path, members.clone(), &self.environment).await?,
            None => vault::read(&self.path, &self.environment).await?,
        };
        let text = |name| {
            secret
                .data
                .get(name)
                .and_then(Json::as_str)
                .filter(|text| !text.is_empty())
        };
        let required = |member| {
            text(member).ok_or_else(|| EngineError::NotOfAws {
                path: self.path.clone(),
                member,
            })
        };
        let (key, secret_key) = (required("access_key")?, required("secret_key")?);
        let token = text("security_token")
            .or_else(|| text("session_token"))
            .map(str::to_owned);
        let end = (!secret.lease.is_zero()).then(|| SystemTime::now() + secret.lease);
        Ok(Credentials::new(key, secret_key, token, end, "Vault"))
    }
}
