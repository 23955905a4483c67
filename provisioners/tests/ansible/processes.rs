//! The process: what it is called with, what it says, and how it ends.

use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::sshd::Setup;
use serde_json::json;

use crate::bench::{Bench, executable};

async fn bench() -> Bench {
    Bench::new(Setup::default()).await
}

/// A program in place of Ansible's, which says what it was called with.
fn teller(bench: &Bench) -> String {
    executable(
        bench,
        "teller",
        "for word; do echo \"[$word]\"; done\nenv | grep ANSIBLE | sort",
    )
}

#[tokio::test]
async fn a_failed_playbook_fails_with_its_status() {
    let bench = bench().await;
    let error = bench
        .play(
            "- hosts: all\n  gather_facts: false\n  tasks: [raw: 'exit 3']\n",
            json!({}),
        )
        .await
        .unwrap_err();
    assert_eq!(error, "Error executing Ansible: Non-zero exit status: exit status 2");
}

#[tokio::test]
async fn a_lost_connection_makes_the_host_unreachable() {
    let bench = bench().await;
    let marker = bench.work.path("remote/started");
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks: [raw: 'touch {{ remote }}/started; sleep 1000']\n";
    let cut = async {
        eventually(LIMIT, "the task runs", || std::path::Path::new(&marker).exists()).await;
        bench.sshd().kill_sessions().await;
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        played = bench.play(playbook, json!({})) => played.unwrap_err(),
        () = cut => unreachable!(),
    };
    assert!(error.ends_with("exit status 4"), "{error}");
    let said = bench.work.said().join("\n");
    assert!(
        said.contains("UNREACHABLE") && said.contains("the connection to the instance was lost"),
        "{said}"
    );
}

#[tokio::test]
async fn a_play_that_is_dropped_ends_with_all_that_it_started() {
    let bench = bench().await;
    let pids = bench.work.path("remote/pids");
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - shell: 'echo $$ $PPID > {{ remote }}/pids.new; mv {{ remote }}/pids.new {{ remote }}/pids; sleep 1000'
      delegate_to: localhost
      vars: {ansible_connection: local}
";
    let started = async {
        eventually(LIMIT, "the task runs", || std::path::Path::new(&pids).exists()).await;
    };
    tokio::select! {
        played = bench.play(playbook, json!({})) => panic!("{played:?}"),
        () = started => {}
    }
    let said = std::fs::read_to_string(&pids).unwrap();
    let runs = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    let has_ended = || !said.split_whitespace().any(runs);
    eventually(LIMIT, "all that it started has ended", has_ended).await;
    assert_eq!(bench.work.names("tmp"), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_of_an_instance_ends_with_the_play() {
    let bench = bench().await;
    let pid = bench.work.path("remote/pid");
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks: [raw: 'echo $$ > {{ remote }}/new; mv {{ remote }}/new {{ remote }}/pid; while :; do echo x; sleep 0.05; done']\n";
    let started = async {
        eventually(LIMIT, "the task runs", || std::path::Path::new(&pid).exists()).await;
    };
    tokio::select! {
        played = bench.play(playbook, json!({})) => panic!("{played:?}"),
        () = started => {}
    }
    let pid = std::fs::read_to_string(&pid).unwrap().trim().to_owned();
    let has_ended = || !std::path::Path::new(&format!("/proc/{pid}")).exists();
    eventually(LIMIT, "the command has ended", has_ended).await;
}

#[tokio::test]
async fn arguments_and_environment_are_those_that_users_know() {
    let mut bench = bench().await;
    bench.work.provisioning.data.insert("SourceAMI".into(), "ami-1".into());
    let build_data = [("SourceAMI".to_owned(), "ami-1".to_owned())].into();
    bench.work.provisioning.rendering.set_build_data(build_data);
    let options = json!({"command": teller(&bench), "host_alias": "image",
        "extra_arguments": ["--tags", "{{ .SourceAMI }} {{ build `SourceAMI` }}"],
        "ansible_env_vars": ["ANSIBLE_ONE=1", "ANSIBLE_HOST_KEY_CHECKING=Maybe"]});
    bench.play("", options).await.unwrap();
    let said = bench.work.said();
    let word = |text: &str| {
        said.iter()
            .position(|line| line == text)
            .unwrap_or_else(|| panic!("{text}: {said:#?}"))
    };
    assert!(word("[packer_build_name=\"web\"]") < word("[packer_builder_type=null]"));
    assert!(word("[ami-1 ami-1]") < word("[-i]"));
    word("['-o IdentitiesOnly=yes']");
    word("ANSIBLE_ONE=1");
    word("ANSIBLE_HOST_KEY_CHECKING=Maybe");
    word("ANSIBLE_SCP_IF_SSH=True");
    let playbook = format!("[{}]", bench.work.path("play.yml"));
    assert!(word("[-i]") < word(&playbook));
    let shown = said
        .iter()
        .find(|line| line.starts_with("Executing Ansible: "))
        .unwrap();
    assert!(
        shown.contains("-e packer_builder_type=null") && shown.ends_with("play.yml"),
        "{shown}"
    );
}

#[tokio::test]
async fn sftp_and_a_host_key_of_ones_own_change_the_environment() {
    let bench = bench().await;
    let key = bench.sshd().key_file.clone();
    let options = json!({"command": teller(&bench), "use_sftp": true, "ssh_host_key_file": key});
    bench.play("", options).await.unwrap();
    let said = bench.work.said();
    assert!(
        said.iter()
            .all(|line| !line.starts_with("ANSIBLE_SCP_IF_SSH") && !line.starts_with("ANSIBLE_HOST_KEY"))
    );
}

#[tokio::test]
async fn secrets_are_neither_shown_nor_in_the_arguments() {
    let mut bench = bench().await;
    let data = &mut bench.work.provisioning.data;
    data.insert("ConnType".into(), "winrm".into());
    data.insert("Password".into(), "hunter2".into());
    data.insert("WinRMPassword".into(), "hunter3".into());
    let script = "for word; do echo \"[$word]\"; case $word in @*) cat ${word#@}; stat -c %a ${word#@};; esac; \
                  case $word in *inventory*|*provisioner*) cat $word;; esac; done";
    let program = executable(&bench, "teller", script);
    let options = json!({"command": program, "use_proxy": false, "ansible_winrm_use_http": true,
        "extra_arguments": ["-e", "x=hunter2", "-e", "my_secret=y"]});
    bench.play("", options).await.unwrap();
    let said = bench.work.said();
    let shown = said
        .iter()
        .find(|line| line.starts_with("Executing Ansible: "))
        .unwrap();
    assert!(
        shown.contains("x=***** -e my_secret=*****") && !shown.contains("hunter"),
        "{shown}"
    );
    assert!(
        said.contains(&"ansible_password: !unsafe \"hunter3\"".to_owned()) && said.contains(&"600".to_owned()),
        "{said:#?}"
    );
    assert!(said.contains(&"[ansible_winrm_scheme=http]".to_owned()));
    assert!(said.iter().any(|line| line.contains("ansible_connection=winrm")));
    assert!(said.iter().all(|line| !line.contains("[ansible_password")));
    assert_eq!(bench.work.names("tmp"), Vec::<String>::new());
}

#[tokio::test]
async fn output_comes_while_it_runs() {
    let bench = bench().await;
    let program = executable(
        &bench,
        "slow",
        "echo first\nwhile [ ! -e \"$GO\" ]; do sleep 0.02; done\necho second >&2",
    );
    let go = bench.work.path("go");
    let options = json!({"command": program, "ansible_env_vars": [format!("GO={go}")]});
    let seen = async {
        let is_first = || bench.work.said().contains(&"first".to_owned());
        eventually(LIMIT, "the first line", is_first).await;
        std::fs::write(&go, "").unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        played = bench.play("", options) => played.unwrap(),
        () = seen => unreachable!(),
    }
    assert_eq!(bench.work.said(), ["second"]);
}

#[tokio::test]
async fn the_version_is_asked_of_real_ansible() {
    let bench = bench().await;
    let options = bench.options("- hosts: all\n", &json!({"skip_version_check": false}));
    assert_eq!(crate::workbench::complaints("ansible", &options), []);
    let program = executable(&bench, "no-ansible", "echo hello");
    let wrong = bench.options("", &json!({"skip_version_check": false, "command": program}));
    let complaints = crate::workbench::complaints("ansible", &wrong);
    assert!(complaints[0].message.contains("prints no version"), "{complaints:?}");
}
