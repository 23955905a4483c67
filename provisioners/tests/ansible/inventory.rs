//! The inventory as real Ansible reads it.

use bakelite_test_support::sshd::Setup;
use serde_json::json;

use crate::bench::Bench;

async fn bench() -> Bench {
    Bench::new(Setup::default()).await
}

fn showing(hosts: &str, expression: &str) -> String {
    format!("- hosts: {hosts}\n  gather_facts: false\n  tasks: [debug: {{msg: \"shown {expression}\"}}]\n")
}

fn has(said: &[String], text: &str) {
    assert!(said.iter().any(|line| line.contains(text)), "{text}: {said:#?}");
}

#[tokio::test]
async fn groups_and_the_host_have_their_names() {
    let bench = bench().await;
    let options = json!({"groups": ["web", "db"], "empty_groups": ["none"], "host_alias": "image", "user": "me"});
    let expression = "{{ inventory_hostname }} {{ group_names | sort | join('+') }} {{ groups['none'] | length }} {{ ansible_user }}";
    bench.play(&showing("web", expression), options).await.unwrap();
    has(&bench.work.said(), "shown image db+web 0 me");
}

#[tokio::test]
async fn variables_beside_the_inventory_are_found() {
    let bench = bench().await;
    for (directory, file, text) in [
        ("host_vars", "default.yml", "a: host"),
        ("group_vars", "web.yml", "b: group"),
    ] {
        std::fs::create_dir_all(bench.work.path(&format!("inventory/{directory}"))).unwrap();
        bench.work.write(&format!("inventory/{directory}/{file}"), text);
    }
    let options = json!({"inventory_directory": bench.work.path("inventory"), "groups": ["web"]});
    bench.play(&showing("all", "{{ a }} {{ b }}"), options).await.unwrap();
    has(&bench.work.said(), "shown host group");
    assert_eq!(bench.work.names("inventory").len(), 2);
}

#[tokio::test]
async fn an_inventory_can_be_kept() {
    let bench = bench().await;
    std::fs::create_dir(bench.work.path("inventory")).unwrap();
    let options = json!({"inventory_directory": bench.work.path("inventory"), "keep_inventory_file": true});
    bench.play(&showing("all", "it"), options).await.unwrap();
    let names = bench.work.names("inventory");
    assert!(
        names.len() == 1 && names[0].starts_with("packer-provisioner-ansible"),
        "{names:?}"
    );
    let text = bench.work.read(&format!("inventory/{}", names[0]));
    assert!(
        text.starts_with("default ansible_host=127.0.0.1 ansible_user=bakelite-nobody ansible_port="),
        "{text}"
    );
}

#[tokio::test]
async fn the_line_of_the_host_can_be_the_templates_own() {
    let bench = bench().await;
    let line = "{{ .HostAlias }} ansible_host={{ .Host }} ansible_user={{ .User }} ansible_port={{ .Port }} own=line\n";
    bench
        .play(&showing("all", "{{ own }}"), json!({"inventory_file_template": line}))
        .await
        .unwrap();
    has(&bench.work.said(), "shown line");
}

#[tokio::test]
async fn an_inventory_of_the_users_is_used_as_it_is() {
    let bench = bench().await;
    let inventory = bench
        .work
        .write("hosts", "somewhere ansible_host=192.0.2.1 own=theirs\n");
    bench
        .play(&showing("somewhere", "{{ own }}"), json!({"inventory_file": inventory}))
        .await
        .unwrap();
    has(&bench.work.said(), "shown theirs");
    assert!(bench.work.path("hosts") == inventory && std::path::Path::new(&inventory).exists());
}

#[tokio::test]
async fn straight_the_user_is_the_communicators() {
    let bench = bench().await;
    let user = bench.sshd().username.clone();
    bench
        .play(&showing("all", "{{ ansible_user }}"), json!({"use_proxy": false}))
        .await
        .unwrap();
    has(&bench.work.said(), &format!("shown {user}"));
}
