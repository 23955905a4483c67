//! A local cloud that serves, seen by its owner: what it exports, calls with its keys, and instances with a way in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bakelite_test_support::context::Ran;
use bakelite_test_support::eventually::until;

use crate::host::Ground;
use crate::started::Started;

/// A client of the API with the standard library alone: `call()`, and what attacks are made of.
pub(crate) const CLIENT: &str = include_str!("scripts/client.py");
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A cloud that serves; it ends with the value.
pub(crate) struct Cloud<'a> {
    ground: &'a Ground,
    server: Started,
    /// The variables for its clients.
    exports: BTreeMap<String, String>,
}

impl<'a> Cloud<'a> {
    /// `local serve` with these flags, on ports that are free.
    pub(crate) fn serve(ground: &'a Ground, flags: &[&str]) -> Cloud<'a> {
        let mut arguments = vec!["local", "serve", "-listen", "127.0.0.1:0", "-ssh-port", "0"];
        arguments.extend(flags);
        Cloud::of(ground, ground.start(arguments))
    }

    /// The cloud that this command serves.
    pub(crate) fn of(ground: &'a Ground, mut server: Started) -> Cloud<'a> {
        let mut exports = BTreeMap::new();
        server.prints("what its clients need", TIMEOUT, |line| {
            let words = line.split([' ', ';', '\n']).filter(|word| word.starts_with("AWS_"));
            let pairs = words.filter_map(|word| word.split_once('='));
            exports.extend(pairs.map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned())));
            let all = [
                "AWS_ENDPOINT_URL",
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_REGION",
            ];
            all.iter().all(|name| exports.contains_key(*name)).then_some(())
        });
        Cloud {
            ground,
            server,
            exports,
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.exports["AWS_ENDPOINT_URL"]
    }

    /// The value of a variable that its owner has.
    pub(crate) fn export(&self, name: &str) -> &str {
        &self.exports[name]
    }

    /// All of them.
    pub(crate) fn exports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exports.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The process that serves.
    pub(crate) fn server(&self) -> &Started {
        &self.server
    }

    /// A Python program after the client's, run by the owner: answers how it ended.
    pub(crate) fn runs(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", &format!("{CLIENT}\n{program}")]).args(arguments);
        command.current_dir("/").env_clear().envs(self.exports());
        Started::of(command).end(TIMEOUT)
    }

    /// A call by the owner that must succeed: `parameters` are those of the Query protocol, answered is XML.
    #[track_caller]
    pub(crate) fn call(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut arguments = vec![action];
        arguments.extend(pairs.iter().map(String::as_str));
        self.runs(
            "print(succeeds('ec2', sys.argv[1], dict(a.split('=', 1) for a in sys.argv[2:])))",
            &arguments,
        )
        .succeeds()
    }

    /// Launches an instance that runs this as root when it boots, and that its owner can log in to.
    #[track_caller]
    pub(crate) fn launch(&self, user_data: &str) -> Instance<'_> {
        self.launch_with(user_data, &[])
    }

    /// The same, with these parameters besides.
    #[track_caller]
    pub(crate) fn launch_with(&self, user_data: &str, parameters: &[(&str, &str)]) -> Instance<'_> {
        let key = self.ground.context.root().join("instance.pem");
        if !key.exists() {
            let made = self.call("CreateKeyPair", &[("KeyName", "owner"), ("KeyType", "ed25519")]);
            let pem = between(&made, "<keyMaterial>", "</keyMaterial>")
                .replace("&#xA;", "\n")
                .replace("&#10;", "\n");
            self.ground.private_file(&key, &pem);
            // OpenSSH's client, which is run by the tester, takes no key of another user.
            if bakelite_test_support::tools::is_root() {
                std::os::unix::fs::chown(&key, Some(0), Some(0)).unwrap();
            }
        }
        let image = self.base_image();
        let data = self
            .runs(
                "print(base64.b64encode(sys.argv[1].encode()).decode(), end='')",
                &[user_data],
            )
            .succeeds();
        let own = [
            ("ImageId", image.as_str()),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("KeyName", "owner"),
            ("UserData", &data),
        ];
        let launched = self.call("RunInstances", &[&own, parameters].concat());
        let id = between(&launched, "<instanceId>", "</instanceId>").to_owned();
        let (address, port) = until("a running instance", TIMEOUT, || {
            let described = self.call("DescribeInstances", &[("InstanceId.1", &id)]);
            let address = between(&described, "<privateIpAddress>", "</privateIpAddress>").to_owned();
            let port = between(&described, "<key>bakelite:ssh-port</key><value>", "</value>").to_owned();
            (described.contains("<name>running</name>") && !port.is_empty()).then_some((address, port))
        });
        Instance {
            id,
            address,
            port,
            key,
            cloud: self,
        }
    }

    pub(crate) fn base_image(&self) -> String {
        let images = self.call(
            "DescribeImages",
            &[("Filter.1.Name", "name"), ("Filter.1.Value.1", "debian-12-amd64-*")],
        );
        between(&images, "<imageId>", "</imageId>").to_owned()
    }
}

/// An instance of a cloud.
pub(crate) struct Instance<'a> {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) port: String,
    key: PathBuf,
    cloud: &'a Cloud<'a>,
}

impl Instance<'_> {
    /// Runs a command in it as its first user, with the owner's key.
    pub(crate) fn ssh(&self, command: &str) -> Ran {
        let mut ssh = Command::new("ssh");
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["-F", "/dev/null", "-p", &self.port, "-i"]).arg(&self.key);
        ssh.arg(format!("admin@{}", self.address)).arg(command);
        Started::of(ssh).end(TIMEOUT)
    }

    /// Waits until a file is there.
    #[track_caller]
    pub(crate) fn has(&self, file: &str) {
        until(&format!("{file} in the instance"), TIMEOUT, || {
            (self.ssh(&format!("sudo test -e {file}")).code == Some(0)).then_some(())
        });
    }

    /// Makes an image of it while it runs; the cloud may refuse.
    pub(crate) fn image(&self, name: &str) -> Option<String> {
        let program =
            "print(call('ec2', 'CreateImage', dict(InstanceId=sys.argv[1], Name=sys.argv[2], NoReboot='true'))[1])";
        let answer = self.cloud.runs(program, &[&self.id, name]).succeeds();
        Some(between(&answer, "<imageId>", "</imageId>").to_owned()).filter(|id| !id.is_empty())
    }
}

/// What stands between two texts; empty when they are not there.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    rest.split_once(after).map_or("", |(found, _)| found)
}
