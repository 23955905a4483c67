//! ansible-local: real Ansible on the "instance", which is this machine behind OpenSSH's server.

use bakelite_test_support::sshd::Setup;
use bakelite_test_support::tools;
use serde_json::{Value, json};

use crate::bench::{Bench, mode};
use crate::galaxy::archives;

/// Ansible of the instance, where its environment is a test's own; not that of this machine's user.
fn program(bench: &Bench, name: &str) -> String {
    let environment: Vec<String> = bench
        .work
        .provisioning
        .run
        .environment
        .iter()
        .filter(|(variable, _)| variable.as_str() != "ANSIBLE_REMOTE_TEMP")
        .map(|(variable, value)| format!("{variable}={value}"))
        .collect();
    format!("env {} {}", environment.join(" "), tools::program(name).display())
}

async fn bench() -> Bench {
    Bench::new(Setup::default()).await
}

fn options(bench: &Bench, more: &Value) -> Value {
    let mut options = json!({
        "command": program(bench, "ansible-playbook"),
        "staging_directory": bench.work.path("remote/stag ing"),
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

async fn play(bench: &Bench, more: Value) -> Result<(), String> {
    bench.work.provision("ansible-local", options(bench, &more)).await
}

fn has(bench: &Bench, texts: &[&str]) {
    let said = bench.work.said();
    for text in texts {
        assert!(said.iter().any(|line| line.contains(text)), "{text}: {said:#?}");
    }
}

fn directory(bench: &Bench, name: &str, file: &str, text: &str) -> String {
    let path = bench.work.path(name);
    let file = format!("{name}/{file}");
    std::fs::create_dir_all(std::path::Path::new(&bench.work.path(&file)).parent().unwrap()).unwrap();
    bench.work.write(&file, text);
    path
}

fn debug(hosts: &str, expression: &str) -> String {
    format!("- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - debug: {{msg: \"shown {expression}\"}}\n")
}

#[tokio::test]
async fn a_playbook_is_played_with_all_that_belongs_to_it() {
    let bench = bench().await;
    let playbook = "
- hosts: web
  gather_facts: false
  roles: [greeting]
  tasks:
    - debug: {msg: 'shown {{ a }} {{ b }} of {{ packer_build_name }} {{ packer_builder_type }} {{ extra }}'}
    - command: echo ran
    - template: {src: page.j2, dest: page}
    - import_tasks: playbooks/shared/more.yml
    - include_role: {name: acme.tools.hello}
";
    let work = &bench.work;
    let options = json!({
        "playbook_file": work.write("play.yml", playbook),
        "playbook_dir": directory(&bench, "dir", "templates/page.j2", "page\n"),
        "role_paths": [directory(&bench, "my roles/greeting", "tasks/main.yml", "- debug: {msg: hello of a role}\n")],
        "collection_paths": [directory(&bench, "collections/ansible_collections", "acme/tools/roles/hello/tasks/main.yml",
            "- debug: {msg: hello of a collection}\n")],
        "playbook_paths": [directory(&bench, "plays/shared", "more.yml", "- debug: {msg: hello of an include}\n")],
        "group_vars": directory(&bench, "groups", "web.yml", "a: group\n"),
        "host_vars": directory(&bench, "hosts", "127.0.0.1.yml", "b: host\n"),
        "inventory_groups": ["web", "db"],
        "extra_arguments": ["-e", "'extra=\"one two\"'"],
    });
    if let Err(error) = play(&bench, options).await {
        panic!("{error}: {:#?}", bench.work.said());
    }
    has(
        &bench,
        &[
            "shown group host of web null one two",
            "hello of a role",
            "hello of a collection",
            "hello of an include",
        ],
    );
    assert_eq!(bench.work.read("remote/stag ing/page"), "page\n");
    assert_eq!(mode(bench.work.path("remote/stag ing/play.yml")), 0o644);
}

#[tokio::test]
async fn several_playbooks_are_played_in_order_wherever_they_are() {
    let bench = bench().await;
    let dir = directory(&bench, "dir", "sub/one.yml", &debug("all", "one"));
    let two = bench.work.write("two.yml", &debug("all", "two"));
    let files = json!({"playbook_dir": dir, "playbook_files": [two, format!("{dir}/sub/one.yml")]});
    play(&bench, files).await.unwrap();
    let said = bench.work.said();
    let at = |text: &str| said.iter().position(|line| line.contains(text)).unwrap();
    assert!(at("shown two") < at("shown one"));
    assert!(std::path::Path::new(&bench.work.path(&format!("remote/stag ing{two}"))).exists());
}

#[tokio::test]
async fn an_inventory_of_the_users_goes_over() {
    let bench = bench().await;
    let inventory = bench
        .work
        .write("my-hosts", "here ansible_connection=local own=theirs\n");
    let playbook = bench.work.write("play.yml", &debug("here", "{{ own }}"));
    play(&bench, json!({"playbook_file": playbook, "inventory_file": inventory}))
        .await
        .unwrap();
    has(&bench, &["shown theirs"]);
}

#[tokio::test]
async fn requirements_are_installed_on_the_instance() {
    let bench = bench().await;
    let (role, collection) = archives(&bench, "hello");
    let requirements = bench.work.write("requirements.yml", &format!(
        "roles:\n  - {{src: 'file://{role}', name: greeting}}\ncollections:\n  - {{name: '{collection}', type: file}}\n"
    ));
    let playbook = bench.work.write(
        "play.yml",
        "- hosts: all\n  gather_facts: false\n  roles: [greeting, acme.tools.hello]\n",
    );
    let options = |more: Value| {
        let mut options = json!({"playbook_file": playbook, "galaxy_file": requirements,
            "galaxy_command": program(&bench, "ansible-galaxy")});
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        options
    };
    let play = async |more: Value| {
        let played = play(&bench, options(more)).await;
        assert_eq!(played, Ok(()), "{:#?}", bench.work.said());
    };
    play(json!({})).await;
    has(&bench, &["\"hello\"", "\"hello of a collection\""]);
    assert_eq!(bench.work.names("remote/stag ing/galaxy_roles"), ["greeting"]);
    assert_eq!(
        bench.work.names("remote/stag ing/galaxy_collections"),
        ["ansible_collections"]
    );
    // What is there stays unless it is forced.
    archives(&bench, "changed");
    play(json!({})).await;
    has(&bench, &["\"hello\""]);
    play(json!({"galaxy_force_install": true})).await;
    has(&bench, &["\"changed\"", "\"changed of a collection\""]);
    let own = json!({"galaxy_roles_path": bench.work.path("remote/r"), "galaxy_collections_path": bench.work.path("remote/c")});
    play(own).await;
    has(&bench, &["\"changed\"", "\"changed of a collection\""]);
    assert_eq!(bench.work.names("remote/r"), ["greeting"]);
    assert!(bench.work.names("remote/c").contains(&"ansible_collections".to_owned()));
}

#[tokio::test]
async fn the_staging_directory_goes_when_it_shall_also_after_a_failure() {
    let bench = bench().await;
    let fine = bench.work.write("fine.yml", &debug("all", "it"));
    let failing = bench.work.write(
        "failing.yml",
        "- hosts: all\n  gather_facts: false\n  tasks: [command: 'false']\n",
    );
    play(&bench, json!({"playbook_file": fine})).await.unwrap();
    assert!(!bench.work.names("remote/stag ing").is_empty());
    play(&bench, json!({"playbook_file": fine, "clean_staging_directory": true}))
        .await
        .unwrap();
    assert_eq!(bench.work.names("remote"), Vec::<String>::new());
    let error = play(
        &bench,
        json!({"playbook_file": failing, "clean_staging_directory": true}),
    )
    .await
    .unwrap_err();
    assert!(error.ends_with("on the instance exited with status 2"), "{error}");
    assert_eq!(bench.work.names("remote"), Vec::<String>::new());
}

#[tokio::test]
async fn an_instance_without_ansible_says_so() {
    let bench = bench().await;
    let playbook = bench.work.write("play.yml", "");
    let without = json!({"playbook_file": playbook, "command": "nosuch-ansible"});
    let error = play(&bench, without).await.unwrap_err();
    assert!(
        error.starts_with("ansible-playbook could not be found on the instance"),
        "{error}"
    );
    let requirements = bench.work.write("requirements.yml", "- src: x\n");
    let galaxy = json!({"playbook_file": playbook, "galaxy_file": requirements, "galaxy_command": "nosuch-galaxy"});
    let error = play(&bench, galaxy).await.unwrap_err();
    assert!(
        error.starts_with("ansible-galaxy could not be found on the instance"),
        "{error}"
    );
}

#[tokio::test]
async fn the_command_is_one_word_after_the_other() {
    let mut bench = bench().await;
    let build_name = "it's \"web\"";
    bench.work.provisioning.rendering.build_name = build_name.into();
    bench
        .work
        .provisioning
        .data
        .insert("PackerHTTPAddr".into(), "10.0.0.1:80".into());
    let playbook = bench.work.write("play.yml", "");
    let teller = bench.work.write("teller", "for word; do echo \"[$word]\"; done\n");
    let command = format!("A=1 sh {teller}");
    play(
        &bench,
        json!({"playbook_file": playbook, "command": command, "extra_arguments": ["-v $((1+1))"]}),
    )
    .await
    .unwrap();
    let said = bench.work.said();
    let words: Vec<&String> = said.iter().filter(|line| line.starts_with('[')).collect();
    let staging = bench.work.path("remote/stag ing");
    assert_eq!(words[0], &format!("[{staging}/play.yml]"));
    assert_eq!(
        words[1..3],
        [
            "[--extra-vars]",
            "[packer_build_name=\"it's \\\"web\\\"\" packer_builder_type=null packer_http_addr=10.0.0.1:80]"
        ]
    );
    assert_eq!(words[3..8], ["[-v]", "[2]", "[-c]", "[local]", "[-i]"]);
    assert!(
        words[8].starts_with(&format!("[{staging}/packer-provisioner-ansible-local")),
        "{words:?}"
    );
}

#[tokio::test]
async fn a_staging_directory_of_our_own_leaves_nothing() {
    let bench = bench().await;
    let playbook = bench.work.write("play.yml", "");
    let shell = "pwd; sh -c :";
    let options = json!({"playbook_file": playbook, "command": shell, "clean_staging_directory": true});
    bench.work.provision("ansible-local", options).await.unwrap();
    let said = bench.work.said();
    let staging = said
        .iter()
        .find(|line| line.starts_with("/tmp/packer-provisioner-ansible-local/"))
        .unwrap();
    assert!(!std::path::Path::new(staging).exists());
}
