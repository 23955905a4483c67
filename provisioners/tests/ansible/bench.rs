//! A bake with an instance, in which Ansible sees nothing of the tester's home.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_communicators::options::CommunicatorOptions;
use bakelite_test_support::sshd::{Setup, Sshd};
use bakelite_test_support::tools;
use serde_json::{Value, json};

use crate::workbench::Workbench;

/// A playbook with what Ansible does to files, in both directions.
const PLAYBOOK: &str = r"
- hosts: all
  gather_facts: false
  tasks:
    - command: echo ran
      register: ran
    - file: {path: '{{ remote }}/directory', state: directory, mode: '0750'}
    - copy: {src: source.bin, dest: '{{ remote }}/directory/copied it.bin', mode: '0640'}
    - template: {src: page.j2, dest: '{{ remote }}/directory/page'}
    - fetch: {src: '{{ remote }}/directory/page', dest: fetched/, flat: true}
    - debug: {msg: 'said {{ ran.stdout }} to {{ packer_build_name }} of {{ packer_builder_type }}'}
";

/// One with the least of it.
const COPY: &str = r"
- hosts: all
  gather_facts: false
  tasks:
    - copy: {src: source.bin, dest: '{{ remote }}/directory/copied it.bin', mode: '0640'}
";

pub(crate) struct Bench {
    pub(crate) work: Workbench,
}

impl Bench {
    pub(crate) async fn new(setup: Setup) -> Bench {
        Self::logged_in(setup, |sshd| json!({"ssh_private_key_file": sshd.key_file})).await
    }

    /// With these options of the communicator besides address and user.
    pub(crate) async fn logged_in(setup: Setup, login: impl Fn(&Sshd) -> Value) -> Bench {
        let sshd = Sshd::start(setup).await;
        let mut json = login(&sshd);
        json["ssh_port"] = sshd.address.port().into();
        if json["ssh_username"].is_null() {
            json["ssh_username"] = sshd.username.clone().into();
        }
        let target = Target {
            address: "127.0.0.1".into(),
            ..Target::default()
        };
        Self::with(sshd, &target, json).await
    }

    pub(crate) async fn with(sshd: Sshd, target: &Target, options: Value) -> Bench {
        let mut work = Workbench::alone();
        let home = work.path("home");
        std::fs::create_dir(&home).unwrap();
        let tools = tools::program("");
        let environment = [
            ("HOME", home.clone()),
            // Modules that are killed leave their files there.
            ("TMPDIR", home.clone()),
            ("USER", "bakelite-nobody".into()),
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display())),
            ("LC_ALL", "C.UTF-8".into()),
            ("ANSIBLE_HOME", format!("{home}/.ansible")),
            (
                "ANSIBLE_PYTHON_INTERPRETER",
                tools.join("python3").display().to_string(),
            ),
            ("ANSIBLE_REMOTE_TEMP", work.path("remote-tmp")),
            // A socket's path is short.
            ("ANSIBLE_SSH_CONTROL_PATH_DIR", format!("{home}/cp")),
        ];
        let environment: BTreeMap<String, String> = environment
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        work.provisioning.run.environment = Arc::new(environment);
        work.provisioning.run.home_directory = Some(home.into());
        let options: CommunicatorOptions = serde_json::from_value(options).unwrap();
        let provisioning = &mut work.provisioning;
        let connected = connect(
            target,
            &options,
            &provisioning.run,
            &provisioning.ui,
            &provisioning.cancel,
        )
        .await;
        provisioning.communicator = connected.unwrap();
        provisioning.data = connection_data(target, &options);
        work.sshd = Some(sshd);
        work.said();
        Bench { work }
    }

    pub(crate) fn sshd(&self) -> &Sshd {
        self.work.sshd.as_ref().unwrap()
    }

    /// Ansible with a playbook of this text and more options.
    pub(crate) async fn play(&self, playbook: &str, more: Value) -> Result<(), String> {
        let options = self.options(playbook, &more);
        self.work.provision("ansible", options).await
    }

    pub(crate) fn options(&self, playbook: &str, more: &Value) -> Value {
        let mut options = json!({
            "playbook_file": self.work.write("play.yml", playbook),
            "command": tools::program("ansible-playbook"),
            "skip_version_check": true,
            "extra_arguments": ["-e", format!("remote={}", self.work.path("remote"))],
        });
        for (name, value) in more.as_object().unwrap() {
            match (name.as_str(), value) {
                ("extra_arguments", Value::Array(more)) => options[name].as_array_mut().unwrap().extend(more.clone()),
                _ => options[name] = value.clone(),
            }
        }
        options
    }

    /// Plays what every way must be able to, and looks at what it did.
    pub(crate) async fn play_all(&self, more: Value) {
        self.work.write("page.j2", "page of {{ inventory_hostname }}\n");
        let said = self.copying(PLAYBOOK, more).await;
        assert!(
            said.iter().any(|line| line.contains("said ran to web of null")),
            "{said:#?}"
        );
        assert_eq!(mode(self.work.path("remote/directory")), 0o750);
        assert_eq!(self.work.read("fetched/page"), "page of default\n");
    }

    /// Only copies a file there: each task takes Ansible half a second.
    pub(crate) async fn copy(&self, more: Value) {
        std::fs::create_dir(self.work.path("remote/directory")).unwrap();
        self.copying(COPY, more).await;
    }

    /// Plays a playbook that copies a file, and looks at that; answers what it said.
    async fn copying(&self, playbook: &str, more: Value) -> Vec<String> {
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(self.work.path("source.bin"), &content).unwrap();
        if let Err(error) = self.play(playbook, more).await {
            panic!("{error}: {:#?}\n{}", self.work.said(), self.sshd().log());
        }
        let said = self.work.said();
        let copied = self.work.path("remote/directory/copied it.bin");
        assert!(std::fs::read(&copied).unwrap() == content);
        assert_eq!(mode(&copied), 0o640);
        let warnings: Vec<&String> = said.iter().filter(|line| line.contains("mechanism failed")).collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(self.work.names("tmp"), Vec::<String>::new());
        said
    }
}

pub(crate) fn mode(path: impl AsRef<Path>) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A script of the tester's that can be run.
pub(crate) fn executable(bench: &Bench, name: &str, script: &str) -> String {
    let path = bench.work.write(name, &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}
