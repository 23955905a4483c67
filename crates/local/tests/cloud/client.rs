//! A cloud of a test's own, and the smallest client that can call it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use bakelite_local::{ImageSource, Isolation, Latency, LocalCloud, LocalCloudOptions};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::signer::{Key, Request};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a state may take to come: far longer than it ever takes, so that only a hang fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running cloud with a directory of its own; all of it goes with this value.
pub(crate) struct TestCloud {
    runtime: Runtime,
    cloud: Option<LocalCloud>,
    directory: TempDir,
    pub(crate) api: Api,
}

impl TestCloud {
    pub(crate) fn start() -> TestCloud {
        TestCloud::with(Latency::default(), Vec::new())
    }

    pub(crate) fn with(latency: Latency, images: Vec<(String, ImageSource)>) -> TestCloud {
        TestCloud::of(|options| LocalCloudOptions {
            latency,
            images,
            ..options
        })
    }

    pub(crate) fn refusing(refusals: bakelite_local::Refusals) -> TestCloud {
        TestCloud::of(|options| LocalCloudOptions { refusals, ..options })
    }

    fn of(change: impl FnOnce(LocalCloudOptions) -> LocalCloudOptions) -> TestCloud {
        let directory = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let options = change(options(directory.path()));
        let cloud = runtime.block_on(LocalCloud::start(options)).unwrap();
        let api = Api::of(&cloud);
        TestCloud {
            runtime,
            cloud: Some(cloud),
            directory,
            api,
        }
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.directory.path()
    }

    /// Shuts the cloud down and starts another one on what it left.
    pub(crate) fn restart(&mut self) {
        self.runtime.block_on(self.cloud.take().unwrap().shutdown());
        let cloud = self.runtime.block_on(LocalCloud::start(options(self.directory.path())));
        let cloud = cloud.unwrap();
        self.api = Api::of(&cloud);
        self.cloud = Some(cloud);
    }

    /// Does something with the cloud itself.
    pub(crate) fn ask<T>(&self, ask: impl AsyncFnOnce(&LocalCloud) -> T) -> T {
        self.runtime.block_on(ask(self.cloud.as_ref().unwrap()))
    }
}

impl Drop for TestCloud {
    fn drop(&mut self) {
        if let Some(cloud) = self.cloud.take() {
            self.runtime.block_on(cloud.shutdown());
        }
        // Files of other user ids, made inside of machines, are not for a plain `remove_dir_all`.
        let _ = self.runtime.block_on(bakelite_local::reset(self.directory.path()));
    }
}

pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

pub(crate) fn options(directory: &Path) -> LocalCloudOptions {
    LocalCloudOptions {
        state_dir: directory.to_owned(),
        isolation: Isolation::Sandbox,
        limits: bakelite_local::Limits::default(),
        latency: Latency::default(),
        images: Vec::new(),
        pulls: bakelite_local::PullOptions {
            given_images_only: true,
            ..Default::default()
        },
        listen: ([127, 0, 0, 1], 0).into(),
        ssh_port: 0,
        refusals: bakelite_local::Refusals::default(),
        region: "us-east-1".to_owned(),
    }
}

/// Calls a cloud in one region.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) address: String,
    pub(crate) key: Key,
    pub(crate) region: String,
}

/// An answer's status and document.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Api {
    /// As the cloud's owner.
    pub(crate) fn of(cloud: &LocalCloud) -> Api {
        let key = cloud.access_key();
        Api::new(&cloud.endpoint(), &key.id, &key.secret)
    }

    pub(crate) fn new(endpoint: &str, id: &str, secret: &str) -> Api {
        Api {
            address: endpoint.strip_prefix("http://").unwrap().to_owned(),
            key: Key {
                id: id.to_owned(),
                secret: secret.to_owned(),
                token: None,
            },
            region: "us-east-1".to_owned(),
        }
    }

    /// With another key.
    pub(crate) fn with(&self, key: Key) -> Api {
        Api { key, ..self.clone() }
    }

    pub(crate) fn in_region(&self, region: &str) -> Api {
        Api {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    /// Calls an action of EC2; parameters are written as in a query string, and encoded here.
    pub(crate) fn call(&self, action: &str, parameters: &str) -> Answer {
        let form = format!("Action={action}&Version=2016-11-15&{}", encode(parameters));
        self.send("ec2", "POST /", &form)
    }

    /// Sends a form to a service.
    pub(crate) fn send(&self, service: &str, method_and_path: &str, form: &str) -> Answer {
        let request = self.request(method_and_path, form);
        self.deliver(&request.signed(&self.key, service, &self.region, SystemTime::now()))
    }

    /// A request that is not signed yet.
    pub(crate) fn request(&self, method_and_path: &str, form: &str) -> Request {
        let (method, path) = method_and_path.split_once(' ').unwrap();
        Request::new(&self.address, method, path, form).with("content-type", "application/x-www-form-urlencoded")
    }

    /// Calls an action of Systems Manager or Secrets Manager.
    pub(crate) fn json(&self, service: &str, target: &str, body: &str) -> Answer {
        let request = Request::new(&self.address, "POST", "/", body)
            .with("content-type", "application/x-amz-json-1.1")
            .with("x-amz-target", target);
        self.deliver(&request.signed(&self.key, service, &self.region, SystemTime::now()))
    }

    /// Sends a request as it is.
    pub(crate) fn deliver(&self, request: &Request) -> Answer {
        let (head, body) = request.send(&self.address);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, body }
    }

    /// Calls an action that must succeed.
    pub(crate) fn ok(&self, action: &str, parameters: &str) -> Answer {
        let answer = self.call(action, parameters);
        assert_eq!(answer.status, 200, "{action}: {}", answer.body);
        answer
    }

    /// Calls an action that must fail, and returns the error's code.
    pub(crate) fn error(&self, action: &str, parameters: &str) -> String {
        let answer = self.call(action, parameters);
        assert_ne!(answer.status, 200, "{action} {parameters}: {}", answer.body);
        answer.value("Code")
    }

    /// Returns the newest image of the catalogue that matches a name.
    pub(crate) fn image(&self, name: &str) -> String {
        let filter = format!("Owner.1=amazon&Filter.1.Name=name&Filter.1.Value.1={name}");
        let answer = self.ok("DescribeImages", &filter);
        answer.values("imageId").last().unwrap().clone()
    }

    /// Launches an instance of Debian and returns its id.
    pub(crate) fn launch(&self, parameters: &str) -> String {
        let image = self.image("debian-12-amd64-*");
        self.launch_image(&image, parameters)
    }

    pub(crate) fn launch_image(&self, image: &str, parameters: &str) -> String {
        let launch = format!("ImageId={image}&MinCount=1&MaxCount=1&InstanceType=t3.micro&{parameters}");
        self.ok("RunInstances", &launch).value("instanceId")
    }

    pub(crate) fn describe(&self, instance: &str) -> Answer {
        self.ok("DescribeInstances", &format!("InstanceId.1={instance}"))
    }

    pub(crate) fn state(&self, instance: &str) -> String {
        let answer = self.describe(instance);
        let (_, state) = answer.body.split_once("<instanceState>").unwrap();
        Answer {
            status: 200,
            body: state.to_owned(),
        }
        .value("name")
    }

    /// Waits until an instance is in a state.
    pub(crate) fn wait_for(&self, instance: &str, state: &str) {
        let start = Instant::now();
        while self.state(instance) != state {
            assert!(start.elapsed() < PATIENCE, "not {state}: {:?}", self.describe(instance));
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Makes a key pair and writes its private key into `directory`.
    pub(crate) fn key_pair(&self, name: &str, directory: &Path) -> PathBuf {
        use std::os::unix::fs::OpenOptionsExt as _;
        let answer = self.ok("CreateKeyPair", &format!("KeyName={name}&KeyType=ed25519"));
        let path = directory.join(format!("{name}.pem"));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create_new(true).write(true).mode(0o600).open(&path).unwrap();
        writeln!(file, "{}", answer.value("keyMaterial")).unwrap();
        path
    }

    /// Runs a command in an instance by OpenSSH's client and returns what it prints.
    pub(crate) fn ssh(&self, instance: &str, user: &str, key: &Path, command: &str) -> String {
        let output = self.ssh_output(instance, user, key, command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that may fail.
    pub(crate) fn ssh_output(&self, instance: &str, user: &str, key: &Path, command: &str) -> Output {
        let answer = self.describe(instance);
        let port = answer.body.split("<key>bakelite:ssh-port</key><value>").nth(1).unwrap();
        Command::new("ssh")
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-i"])
            .arg(key)
            .args(["-p", port.split('<').next().unwrap()])
            .args([&format!("{user}@{}", answer.value("ipAddress")), command])
            .run_to_end()
    }
}

impl Answer {
    /// Returns the text of the first element of that name.
    pub(crate) fn value(&self, name: &str) -> String {
        let first = self.values(name).into_iter().next();
        first.unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }

    /// Returns the texts of all elements of that name.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let texts = self.body.split(&open).skip(1);
        texts
            .filter_map(|rest| rest.split(&close).next())
            .map(str::to_owned)
            .collect()
    }
}

/// Encodes the values of `a=b&c=d`.
fn encode(parameters: &str) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.split('&').filter_map(|pair| pair.split_once('=')) {
        form.append_pair(name, value);
    }
    form.finish()
}
