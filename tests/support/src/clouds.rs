//! Clouds for tests: our own, served by the binary, and Moto, which we did not write.

use std::fmt;
use std::process::{Command, Stdio};

use crate::context::TestContext;
use crate::server::Server;
use crate::signer::Key;

/// A cloud with an endpoint; it ends with the test.
pub struct Cloud {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its process.
    pub server: Server,
}

/// Where a cloud is, and the key that calls have to be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// The owner's.
    pub key: Key,
}

impl Endpoint {
    /// Reads the line of exports that `local serve` prints.
    pub fn of_exports(line: &str) -> Option<Endpoint> {
        let exports = line.strip_prefix("export ")?;
        let value = |name: &str| {
            let mut pairs = exports.split(' ').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
        };
        Some(Endpoint {
            url: value("AWS_ENDPOINT_URL")?,
            key: Key {
                id: value("AWS_ACCESS_KEY_ID")?,
                secret: value("AWS_SECRET_ACCESS_KEY")?,
                token: None,
            },
        })
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

impl Cloud {
    /// The local cloud, served by the binary with these flags.
    pub fn local(context: &TestContext, flags: &[&str]) -> Cloud {
        let mut arguments = vec!["local", "serve", "-listen", "127.0.0.1:0"];
        arguments.extend(flags);
        let mut command = context.command(arguments);
        let (server, endpoint) = Server::start(command.stderr(Stdio::inherit()), Endpoint::of_exports);
        Cloud { endpoint, server }
    }
}

/// A context whose binary talks to this cloud.
impl TestContext {
    /// Lets the binary use a cloud, with the owner's key.
    #[must_use]
    pub fn on(self, cloud: &Cloud) -> TestContext {
        self.with("AWS_ENDPOINT_URL", &cloud.endpoint.url)
            .with("AWS_ACCESS_KEY_ID", &cloud.endpoint.key.id)
            .with("AWS_SECRET_ACCESS_KEY", &cloud.endpoint.key.secret)
            .with("AWS_REGION", "us-east-1")
    }
}

/// Sends a signal to a process that the test started.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "signal {name} for process {process}"
    );
}
