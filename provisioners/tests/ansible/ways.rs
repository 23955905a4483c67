//! The same playbook over every way to the instance, with every way to copy files.

use bakelite_communicators::connect::Target;
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::sshd::{Setup, Sshd};
use serde_json::{Value, json};

use crate::bench::{Bench, executable};
use crate::passwords::Door;

/// Options that make Ansible copy files like this.
fn by(method: &str, pipelining: bool) -> Value {
    json!({
        "ansible_env_vars": [format!("ANSIBLE_SSH_TRANSFER_METHOD={method}"), format!("ANSIBLE_PIPELINING={pipelining}")],
        // Nothing of this name: bakelite answers SFTP itself.
        "sftp_command": "/nonexistent/sftp-server",
    })
}

fn with(mut options: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_the_sftp_server_of_the_instance() {
    let bench = Bench::new(Setup::default()).await;
    let options = by("sftp", false);
    bench.play_all(with(options, &json!({"use_sftp": true}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_the_sftp_server_that_the_template_names() {
    let bench = Bench::new(Setup::default()).await;
    let script = executable(
        &bench,
        "my-sftp",
        "touch \"$HOME/served\"\nexec /usr/lib/openssh/sftp-server \"$@\"",
    );
    let command = format!("{script} -e");
    bench
        .copy(with(by("sftp", true), &json!({"sftp_command": command})))
        .await;
    assert!(bench.sshd().directory().join("served").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_sftp_of_our_own() {
    let bench = Bench::new(Setup {
        sftp: false,
        ..Setup::default()
    })
    .await;
    bench.copy(by("sftp", true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_to_an_instance_without_any_server_for_files() {
    // And no scp: what is there is what a communicator needs.
    let programs = vec![
        "sh", "cat", "tar", "mkdir", "chmod", "ls", "rm", "mv", "dd", "env", "sleep", "echo",
    ];
    let bench = Bench::new(Setup {
        sftp: false,
        programs: Some(programs),
        ..Setup::default()
    })
    .await;
    bench.play_all(with(by("smart", false), &json!({}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_the_scp_of_today() {
    let bench = Bench::new(Setup::default()).await;
    bench.copy(by("scp", false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_the_scp_of_old() {
    let bench = Bench::new(Setup::default()).await;
    let old = json!({"extra_arguments": ["--scp-extra-args=-O"]});
    bench.play_all(with(by("scp", false), &old)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_pipes() {
    let bench = Bench::new(Setup::default()).await;
    bench.copy(by("piped", true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn straight_with_the_key_of_the_user() {
    let bench = Bench::new(Setup::default()).await;
    bench
        .play_all(with(by("sftp", true), &json!({"use_proxy": false})))
        .await;
    // Ansible came itself.
    assert!(bench.sshd().connections() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn straight_with_a_key_that_only_the_builder_has() {
    let sshd = Sshd::start(Setup::default()).await;
    let target = Target {
        address: "127.0.0.1".into(),
        private_key: Some(sshd.private_key()),
        ..Target::default()
    };
    let options = json!({"ssh_port": sshd.address.port(), "ssh_username": sshd.username});
    let bench = Bench::with(sshd, &target, options).await;
    bench.copy(with(by("scp", false), &json!({"use_proxy": false}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn straight_past_a_bastion() {
    let bastion = Sshd::start(Setup::default()).await;
    let (port, key) = (bastion.address.port(), bastion.key_file.clone());
    let login = |sshd: &Sshd| {
        json!({"ssh_private_key_file": sshd.key_file, "ssh_bastion_host": "127.0.0.1", "ssh_bastion_port": port,
            "ssh_bastion_private_key_file": key})
    };
    let bench = Bench::logged_in(Setup::default(), login).await;
    // OpenSSH remembers a bastion in the home that the password file names, unless it is told another place.
    let known = format!("UserKnownHostsFile={}", bench.work.path("known_hosts"));
    executable(&bench, "ssh", &format!("exec /usr/bin/ssh -o {known} \"$@\""));
    let path = format!(
        "PATH={}:{}",
        bench.work.path(""),
        bench.work.provisioning.run.environment["PATH"]
    );
    let mut options = with(by("sftp", false), &json!({"use_proxy": false}));
    options["ansible_env_vars"].as_array_mut().unwrap().push(path.into());
    bench.copy(options).await;
    assert!(bastion.connections() > 1);
    assert!(!bench.work.read("known_hosts").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_openssh_cannot_go_the_adapter_is_used_and_that_is_said() {
    let mut bench = Bench::new(Setup::default()).await;
    bench
        .work
        .provisioning
        .data
        .insert("SSHOnlyHere".into(), "its bastion wants a password".into());
    bench
        .play(
            "- hosts: all\n  gather_facts: false\n  tasks: [command: echo ran]\n",
            json!({"use_proxy": false}),
        )
        .await
        .unwrap();
    let said = bench.work.said();
    assert!(
        said[0].starts_with("Ansible cannot connect to the instance itself (its bastion wants a password)"),
        "{said:?}"
    );
    assert_eq!(bench.sshd().connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn straight_with_an_agent() {
    let bench = Bench::new(Setup::default()).await;
    let socket = bench.work.path("agent");
    let mut agent = tokio::process::Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listens = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    eventually(LIMIT, "the agent listens", listens).await;
    let mut add = std::process::Command::new("ssh-add");
    add.arg("-q").arg(&bench.sshd().key_file).env("SSH_AUTH_SOCK", &socket);
    assert!(add.status().unwrap().success());
    let mut bench = bench;
    let data = &mut bench.work.provisioning.data;
    data.insert("SSHPrivateKeyFile".into(), "".into());
    data.insert("SSHAgentAuth".into(), "true".into());
    let options = json!({"use_proxy": false, "ansible_env_vars": [format!("SSH_AUTH_SOCK={socket}")]});
    bench
        .play(
            "- hosts: all\n  gather_facts: false\n  tasks: [command: echo ran]\n",
            options,
        )
        .await
        .unwrap();
    assert!(bench.sshd().connections() > 1);
    agent.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn straight_with_a_password() {
    let password = "it's {{ secret }} \"1\"";
    let door = Door::open(password).await;
    let target = Target {
        address: "127.0.0.1".into(),
        ..Target::default()
    };
    let options = json!({"ssh_port": door.port, "ssh_username": "baker", "ssh_password": password});
    let bench = Bench::with(Sshd::start(Setup::default()).await, &target, options).await;
    bench.copy(with(by("piped", true), &json!({"use_proxy": false}))).await;
    assert!(door.logins() > 1);
    assert_eq!(bench.sshd().connections(), 0);
}
