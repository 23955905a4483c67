//! Ansible Galaxy on this machine, with roles and collections of this machine: the real one is somewhere else.

use std::process::Command;

use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::sshd::Setup;
use bakelite_test_support::tools;
use serde_json::json;

use crate::bench::Bench;

/// Makes an archive of a role that says `text`, and one of a collection with such a role; answers their paths.
pub(crate) fn archives(bench: &Bench, text: &str) -> (String, String) {
    let work = &bench.work;
    let task = format!("- debug: {{msg: \"{text}\"}}\n");
    std::fs::create_dir_all(work.path("src/role/tasks")).unwrap();
    std::fs::create_dir_all(work.path("src/role/meta")).unwrap();
    work.write("src/role/tasks/main.yml", &task);
    work.write(
        "src/role/meta/main.yml",
        "galaxy_info: {author: a, description: d, license: MIT, min_ansible_version: '2.9'}\ndependencies: []\n",
    );
    std::fs::create_dir_all(work.path("src/collection/roles/hello/tasks")).unwrap();
    work.write(
        "src/collection/galaxy.yml",
        "namespace: acme\nname: tools\nversion: 1.0.0\nreadme: README.md\nauthors: [a]\n",
    );
    work.write("src/collection/README.md", "x\n");
    work.write(
        "src/collection/roles/hello/tasks/main.yml",
        &task.replace(text, &format!("{text} of a collection")),
    );
    let role = work.path("role.tar.gz");
    run(Command::new("tar").args(["-czf", &role, "-C", &work.path("src"), "role"]));
    let galaxy = tools::program("ansible-galaxy");
    run(Command::new(galaxy)
        .args([
            "collection",
            "build",
            "--force",
            "--output-path",
            &work.path("src"),
            &work.path("src/collection"),
        ])
        .envs(work.provisioning.run.environment.iter()));
    (role, work.path("src/acme-tools-1.0.0.tar.gz"))
}

fn run(command: &mut Command) {
    let said = command.run_to_end();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  roles: [greeting, acme.tools.hello]
";

#[tokio::test]
async fn roles_and_collections_are_installed_where_they_shall_be_and_again_when_forced() {
    let bench = Bench::new(Setup::default()).await;
    let (role, collection) = archives(&bench, "hello");
    let requirements = format!(
        "roles:\n  - {{src: 'file://{role}', name: greeting}}\ncollections:\n  - {{name: '{collection}', type: file}}\n"
    );
    let options = |force: &str| {
        let mut options = json!({
            "galaxy_file": bench.work.write("requirements.yml", &requirements),
            "galaxy_command": tools::program("ansible-galaxy"),
            "roles_path": bench.work.path("home/.ansible/roles"),
            "collections_path": bench.work.path("home/.ansible/collections"),
        });
        if !force.is_empty() {
            options[force] = true.into();
        }
        options
    };
    let play = async |force: &str| {
        let played = bench.play(PLAYBOOK, options(force)).await;
        let said = bench.work.said();
        assert_eq!(played, Ok(()), "{said:#?}");
        said.join("\n")
    };
    let said = play("").await;
    assert!(
        said.contains("\"hello\"") && said.contains("\"hello of a collection\""),
        "{said}"
    );
    // What is there stays unless it is forced.
    archives(&bench, "changed");
    let said = play("").await;
    assert!(
        said.contains("\"hello\"") && said.contains("\"hello of a collection\""),
        "{said}"
    );
    let said = play("galaxy_force_install").await;
    assert!(
        said.contains("\"changed\"") && said.contains("\"changed of a collection\""),
        "{said}"
    );
    archives(&bench, "once more");
    let said = play("galaxy_force_with_deps").await;
    assert!(
        said.contains("\"once more\"") && said.contains("\"once more of a collection\""),
        "{said}"
    );
}

#[tokio::test]
async fn a_galaxy_that_fails_ends_it() {
    let bench = Bench::new(Setup::default()).await;
    let requirements = bench.work.write("requirements.yml", "- src: file:///nosuch.tar.gz\n");
    let options = json!({"galaxy_file": requirements, "galaxy_command": tools::program("ansible-galaxy")});
    let error = bench.play(PLAYBOOK, options).await.unwrap_err();
    assert!(
        error.contains("ansible-galaxy install -r") && error.ends_with("exited with status 1"),
        "{error}"
    );
    assert!(
        bench
            .work
            .said()
            .iter()
            .all(|line| !line.starts_with("Executing Ansible: "))
    );
}
