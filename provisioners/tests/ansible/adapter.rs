//! The proxy adapter as Ansible and OpenSSH's clients meet it: its keys and port, many sessions at once, streams in both directions.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bakelite_test_support::sshd::Setup;
use serde_json::json;

use crate::bench::Bench;

const NOTHING: &str = "- hosts: all\n  gather_facts: false\n  tasks: [raw: 'true']\n";

/// OpenSSH's client on its way through the adapter, as a function of a shell.
const THERE: &str = "there() { ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
                 -o IdentitiesOnly=yes -i {{ ansible_ssh_private_key_file }} -p {{ ansible_port }} \"$@\"; };";

/// A task of this machine that goes through the adapter with OpenSSH's client, as the shell's function `there`.
fn by_hand(script: &str) -> String {
    format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - shell: |\n        {THERE}\n        {script}\n      delegate_to: localhost\n      vars: {{ansible_connection: local}}\n      register: done\n    - debug: {{var: done.stdout_lines}}\n"
    )
}

async fn bench() -> Bench {
    Bench::new(Setup::default()).await
}

fn make_key(path: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", path])
        .status();
    assert!(made.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_be_of_rsa() {
    bench()
        .await
        .play(NOTHING, json!({"ansible_proxy_key_type": "RSA"}))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_of_the_users_is_checked() {
    let bench = bench().await;
    let key = bench.work.path("host_key");
    make_key(&key);
    let public = bench.work.read("host_key.pub");
    let port = free_port();
    let known = bench.work.write("known_hosts", &format!("[127.0.0.1]:{port} {public}"));
    let options = |known: &str| {
        json!({"ssh_host_key_file": key, "local_port": port,
            "ansible_ssh_extra_args": ["-o IdentitiesOnly=yes", format!("-o UserKnownHostsFile={known}")]})
    };
    bench.play(NOTHING, options(&known)).await.unwrap();
    let said = bench.work.said();
    let nobody = bench.play(NOTHING, options("/dev/null")).await.unwrap_err();
    assert!(nobody.ends_with("exit status 4"), "{nobody} {said:?}");
    assert!(
        bench
            .work
            .said()
            .iter()
            .any(|line| line.contains("Host key verification failed"))
    );
}

/// A port that was free a moment ago, with free ones after it in all likelihood.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_of_the_users_is_let_in_and_no_other() {
    let bench = bench().await;
    for name in ["mine", "other"] {
        make_key(&bench.work.path(name));
    }
    let options = |private: &str| {
        json!({"ssh_authorized_key_file": bench.work.path("mine.pub"),
            "extra_arguments": ["--private-key", bench.work.path(private)]})
    };
    bench.play(NOTHING, options("mine")).await.unwrap();
    let refused = bench.play(NOTHING, options("other")).await.unwrap_err();
    assert!(refused.ends_with("exit status 4"), "{refused}");
    assert!(bench.work.said().iter().any(|line| line.contains("Permission denied")));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_not_let_in() {
    let bench = bench().await;
    let script = "there -l {{ ansible_user }} 127.0.0.1 echo in; there -l somebody 127.0.0.1 echo in || echo out";
    bench.play(&by_hand(script), json!({"user": "me"})).await.unwrap();
    let said = bench.work.said().join("\n");
    assert!(said.contains("\"in\",\n        \"out\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_the_first_free_one_from_the_given_on() {
    let bench = bench().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let tasks = "- hosts: all\n  gather_facts: false\n  tasks: [debug: {var: ansible_port}]\n";
    bench.play(tasks, json!({"local_port": first})).await.unwrap();
    let said = bench.work.said();
    let port = said
        .iter()
        .find_map(|line| line.trim().strip_prefix("\"ansible_port\": "))
        .unwrap();
    let port: u16 = port.trim_matches('"').parse().unwrap();
    assert!(port > first && port < first + 10, "{first} {port}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_run_at_once_over_one_login() {
    let bench = bench().await;
    let line = "ansible_host={{ .Host }} ansible_port={{ .Port }} ansible_user={{ .User }}\n";
    let names = ["h0 ", "h1 ", "h2 ", "h3 ", "h4 ", "h5 ", "h6 ", "h7 "];
    let hosts: String = names.into_iter().flat_map(|name| [name, line]).collect();
    let tasks = "
- hosts: all
  gather_facts: false
  tasks:
    - raw: 'touch {{ remote }}/{{ inventory_hostname }}; while [ $(ls {{ remote }} | wc -l) -lt 8 ]; do sleep 0.05; done; echo all'
    - copy: {content: 'x', dest: '{{ remote }}/copied-{{ inventory_hostname }}'}
";
    bench
        .play(
            tasks,
            json!({"inventory_file_template": hosts, "extra_arguments": ["-f", "8"]}),
        )
        .await
        .unwrap();
    assert_eq!(bench.work.names("remote").len(), 16);
    assert_eq!(bench.sshd().connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn input_and_outputs_and_status_go_through() {
    let bench = bench().await;
    let big: Vec<u8> = (0..12_000_000_u32)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    std::fs::write(bench.work.path("big"), &big).unwrap();
    let script = format!(
        "there -l {{{{ ansible_user }}}} 127.0.0.1 cat < {0} > {0}.back; \
         there -tt -l {{{{ ansible_user }}}} 127.0.0.1 'echo out; echo err >&2; exit 7' 2> {0}.err; echo status $?",
        bench.work.path("big")
    );
    bench.play(&by_hand(&script), json!({})).await.unwrap();
    assert!(std::fs::read(bench.work.path("big.back")).unwrap() == big);
    assert_eq!(bench.work.read("big.err"), "err\n");
    let said = bench.work.said().join("\n");
    assert!(said.contains("\"out\",\n        \"status 7\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_and_what_cannot_be_written_is_said() {
    let bench = bench().await;
    let script = "there -l {{ ansible_user }} -s 127.0.0.1 nosuch && echo served; \
                  cp=\"scp -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
                  -i {{ ansible_ssh_private_key_file }} -P {{ ansible_port }}\"; \
                  for how in -O -s; do $cp $how /etc/hostname {{ ansible_user }}@127.0.0.1:/proc/nosuch 2>&1 || echo failed; \
                  $cp $how {{ ansible_user }}@127.0.0.1:/nosuch . 2>&1 || echo failed; done; echo end";
    bench
        .play(&by_hand(script), json!({"sftp_command": "/nosuch"}))
        .await
        .unwrap();
    let said = bench.work.said();
    assert_eq!(
        said.iter().filter(|line| line.contains("\"failed\"")).count(),
        4,
        "{said:#?}"
    );
    assert!(said.iter().all(|line| !line.contains("\"served\"")));
    assert!(
        said.iter()
            .any(|line| line.starts_with("`sftp_command` (`/nosuch`) cannot be run on the instance")),
        "{said:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_a_silent_command_holds_up_does_not_outlive_the_play() {
    let bench = bench().await;
    std::fs::write(bench.work.path("big"), vec![7; 12_000_000]).unwrap();
    let started = bench.work.path("remote/started");
    let script = format!(
        "there -l {{{{ ansible_user }}}} 127.0.0.1 'touch {started}; while [ -e {started} ]; do sleep 0.1; done' < {} >/dev/null 2>&1 & \
         while [ ! -e {started} ]; do sleep 0.05; done; sleep 0.5",
        bench.work.path("big"),
    );
    bench.play(&by_hand(&script), json!({})).await.unwrap();
    // The adapter holds on to the communicator as long as it does anything.
    let closed = async {
        while Arc::strong_count(&bench.work.provisioning.communicator) > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let closed = tokio::time::timeout(Duration::from_mins(1), closed).await;
    // It ends with its file, which goes with the test's directory at the latest: whoever logs in as root gets no signals.
    std::fs::remove_file(&started).unwrap();
    assert!(closed.is_ok());
}
