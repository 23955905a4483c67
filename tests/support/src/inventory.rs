//! What is in a cloud, asked of its endpoint by the AWS CLI.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::clouds::Endpoint;
use crate::tools;

/// What a bake may leave behind: everything of these kinds that is not gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Instances that are not terminated.
    pub instances: BTreeSet<String>,
    /// Key pairs, by name.
    pub key_pairs: BTreeSet<String>,
    /// Security groups.
    pub security_groups: BTreeSet<String>,
    /// Volumes.
    pub volumes: BTreeSet<String>,
    /// Images of this account.
    pub images: BTreeSet<String>,
}

impl Inventory {
    /// Asks the endpoint. The five questions are asked at the same time.
    pub fn of(endpoint: &Endpoint) -> Inventory {
        let questions = [
            (
                "describe-instances",
                "Reservations[].Instances[?State.Name!='terminated'][].InstanceId",
                &["--no-paginate"][..],
            ),
            ("describe-key-pairs", "KeyPairs[].KeyName", &[]),
            (
                "describe-security-groups",
                "SecurityGroups[].GroupId",
                &["--no-paginate"],
            ),
            ("describe-volumes", "Volumes[].VolumeId", &["--no-paginate"]),
            ("describe-images", "Images[].ImageId", &["--owners", "self"]),
        ];
        let asked: Vec<_> = questions
            .iter()
            .map(|(question, query, more)| ask(endpoint, question, query, more))
            .collect();
        let mut answers = asked.into_iter().map(answer);
        let mut next = || answers.next().unwrap_or_default();
        Inventory {
            instances: next(),
            key_pairs: next(),
            security_groups: next(),
            volumes: next(),
            images: next(),
        }
    }

    /// The same without images: what must be as before, whatever was baked.
    #[must_use]
    pub fn temporary(mut self) -> Inventory {
        self.images.clear();
        self
    }
}

/// The AWS CLI on an endpoint.
pub fn aws(endpoint: &Endpoint) -> Command {
    let mut command = Command::new(tools::program("aws"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("LANG", "C.UTF-8");
    command
        .env("AWS_ENDPOINT_URL", &endpoint.url)
        .env("AWS_ACCESS_KEY_ID", &endpoint.key.id)
        .env("AWS_SECRET_ACCESS_KEY", &endpoint.key.secret);
    command
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_PAGER", "")
        .stdin(Stdio::null());
    command
}

fn ask(endpoint: &Endpoint, question: &str, query: &str, more: &[&str]) -> std::process::Child {
    let mut command = aws(endpoint);
    command
        .args(["ec2", question, "--output", "json", "--query", query])
        .args(more);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the AWS CLI can be started")
}

fn answer(asked: std::process::Child) -> BTreeSet<String> {
    let output = crate::ended::output_of(asked);
    assert!(
        output.status.success(),
        "the AWS CLI failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the AWS CLI answers a list of ids")
}
