//! Clouds for tests: our own, served by the binary, and Moto, which we did not write.

use std::process::{Command, Stdio};

use crate::context::TestContext;
use crate::server::Server;

/// A cloud with an endpoint; it ends with the test.
pub struct Cloud {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    _server: Server,
}

impl Cloud {
    /// The local cloud, served by the binary with these flags.
    pub fn local(context: &TestContext, flags: &[&str]) -> Cloud {
        let mut arguments = vec!["local", "serve", "-listen", "127.0.0.1:0"];
        arguments.extend(flags);
        let mut command = context.command(arguments);
        let (server, endpoint) = Server::start(command.stderr(Stdio::inherit()), |line| {
            let (_, rest) = line.split_once("AWS_ENDPOINT_URL=")?;
            rest.split(' ').next().map(str::to_owned)
        });
        Cloud {
            endpoint,
            _server: server,
        }
    }
}

/// A context whose binary talks to this cloud.
impl TestContext {
    /// Lets the binary use a cloud, with keys that mean nothing.
    #[must_use]
    pub fn on(self, cloud: &Cloud) -> TestContext {
        self.with("AWS_ENDPOINT_URL", cloud.endpoint.clone())
            .with("AWS_ACCESS_KEY_ID", "test")
            .with("AWS_SECRET_ACCESS_KEY", "test")
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
