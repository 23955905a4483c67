//! Credentials of registries, where Docker and Podman keep them: `auths` of `config.json`, and the programs that it names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bakelite_net::proxies::Environment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::OciError;

/// How long a helper may take: it may ask the user to unlock a keyring.
const HELPER_LIMIT: Duration = Duration::from_mins(1);
/// The user name under which a helper returns a token in place of a password.
const TOKEN_USER: &str = "<token>";

/// What a registry lets somebody in with.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that the registry's token server changes for another one.
    IdentityToken(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

/// Docker's configuration, as far as it is about credentials.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// Finds the credentials for a registry; `None` when there are none, which is the usual case of a public image.
pub async fn of(registry: &str, environment: &Environment) -> Result<Option<Credentials>, OciError> {
    let Some(path) = file(environment) else { return Ok(None) };
    let content = match tokio::fs::read(&path).await {
        Ok(content) => content,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(OciError::Config {
                path,
                why: error.to_string(),
            });
        }
    };
    // The parser's own message may quote a secret.
    let config: Config = serde_json::from_slice(&content).map_err(|error| OciError::Config {
        path: path.clone(),
        why: format!("line {} is not what Docker writes there", error.line()),
    })?;
    let helper = config
        .helpers
        .iter()
        .find(|(key, _)| names(key, registry))
        .map(|(_, helper)| helper.as_str());
    let helper = helper
        .or(Some(config.store.as_str()))
        .filter(|helper| !helper.is_empty());
    if let Some(helper) = helper
        && let Some(found) = ask(helper, registry, environment).await?
    {
        return Ok(Some(found));
    }
    match config.auths.iter().find(|(key, _)| names(key, registry)) {
        Some((_, entry)) => entry.credentials().map_err(|why| OciError::Config {
            path,
            why: format!("`auth` of {registry} {why}"),
        }),
        None => Ok(None),
    }
}

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
fn file(environment: &Environment) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let directory = set("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
    Some(directory?.join("config.json"))
}

/// Does a key of the configuration stand for a registry? Docker Hub's is a URL, `https://index.docker.io/v1/`, for historical reasons.
fn names(key: &str, registry: &str) -> bool {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let host = bare.split('/').next().unwrap_or(bare);
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    host.eq_ignore_ascii_case(registry)
}

impl Entry {
    fn credentials(&self) -> Result<Option<Credentials>, &'static str> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::IdentityToken(self.identitytoken.clone())));
        }
        if !self.username.is_empty() {
            return Ok(Some(Credentials::Password {
                user: self.username.clone(),
                password: self.password.clone(),
            }));
        }
        if self.auth.is_empty() {
            return Ok(None); // a helper has it, or had
        }
        let decoded = STANDARD.decode(self.auth.trim()).map_err(|_| "is not base64")?;
        let decoded = String::from_utf8(decoded).map_err(|_| "is not base64 of USER:PASSWORD")?;
        let (user, password) = decoded.split_once(':').ok_or("is not base64 of USER:PASSWORD")?;
        Ok(Some(Credentials::Password {
            user: user.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        }))
    }
}

/// Asks `docker-credential-NAME`, which knows Docker Hub by its old URL.
async fn ask(name: &str, registry: &str, environment: &Environment) -> Result<Option<Credentials>, OciError> {
    let program = format!("docker-credential-{name}");
    let failed = |why: String| OciError::Helper {
        program: program.clone(),
        registry: registry.to_owned(),
        why,
    };
    if name.contains('/') {
        return Err(failed("its name is not one".to_owned()));
    }
    let server = if registry == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        registry
    };
    let mut command = Command::new(&program);
    command.arg("get").env_clear().envs(environment).kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let asked = async {
        if let Some(mut input) = child.stdin.take() {
            // A helper that does not read has its reason, which its status tells.
            let _ = input.write_all(server.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = timeout(HELPER_LIMIT, asked)
        .await
        .map_err(|_| failed(format!("no answer within {} s", HELPER_LIMIT.as_secs())))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        // The protocol: this sentence on standard output means that there are none.
        let answer = String::from_utf8_lossy(&output.stdout);
        return if answer.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(output.status.to_string()))
        };
    }
    let helped: Helped = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is not JSON with `Username` and `Secret`".to_owned()))?;
    Ok(Some(if helped.username == TOKEN_USER {
        Credentials::IdentityToken(helped.secret)
    } else {
        Credentials::Password {
            user: helped.username,
            password: helped.secret,
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn environment(config: &str) -> (tempfile::TempDir, Environment) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let set = [
            ("DOCKER_CONFIG", directory.path().display().to_string()),
            ("PATH", format!("{}:/usr/bin:/bin", directory.path().display())),
        ];
        let environment = set.map(|(name, value)| (name.to_owned(), value)).into();
        (directory, environment)
    }

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[tokio::test]
    async fn credentials_are_found_by_the_registry() {
        let hub = STANDARD.encode("me:p:w");
        let config = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{hub}"}}, "r.example:5000": {{"username": "u", "password": "p"}},
                "t.example": {{"identitytoken": "t"}}, "empty.example": {{}}}}}}"#
        );
        let (_directory, environment) = environment(&config);
        assert_eq!(
            of("docker.io", &environment).await.unwrap(),
            Some(password("me", "p:w"))
        );
        assert_eq!(
            of("r.example:5000", &environment).await.unwrap(),
            Some(password("u", "p"))
        );
        assert_eq!(
            of("t.example", &environment).await.unwrap(),
            Some(Credentials::IdentityToken("t".to_owned()))
        );
        assert_eq!(of("r.example", &environment).await.unwrap(), None);
        assert_eq!(of("empty.example", &environment).await.unwrap(), None);
        assert_eq!(of("docker.io", &Environment::new()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn helpers_are_asked() {
        let (directory, environment) = environment(r#"{"credHelpers": {"r.example": "test"}, "credsStore": "test"}"#);
        let helper = directory.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread server\n[ $server = r.example ] || { echo credentials not found in native keychain; exit 1; }\n\
                      echo '{\"Username\": \"u\", \"Secret\": \"s\"}'\n";
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of("r.example", &environment).await.unwrap(), Some(password("u", "s")));
        assert_eq!(of("other.example", &environment).await.unwrap(), None);
    }

    #[tokio::test]
    async fn errors_quote_no_secret() {
        for config in [
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": {"r.example": {"auth": "hunter2%"}}}"#,
            r#"{"auths": {"r.example": {"auth": "aHVudGVyMg=="}}}"#,
        ] {
            let (_directory, environment) = environment(config);
            let error = of("r.example", &environment).await.unwrap_err();
            assert!(matches!(error, OciError::Config { .. }), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
