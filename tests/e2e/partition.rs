//! A run on several machines: its parts, their manifests, and the examples of systems that distribute it.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::test_context;
use serde_json::{Value as Json, json};

/// Builds of these names, each with an entry in the manifest.
fn template(context: &TestContext, names: &[&str]) {
    let sources: Vec<String> = names
        .iter()
        .map(|name| format!("source \"null\" \"{name}\" {{\n  communicator = \"none\"\n}}\n"))
        .collect();
    let references: Vec<String> = names.iter().map(|name| format!("\"source.null.{name}\"")).collect();
    context.template(&format!(
        "variable \"manifest\" {{\n  default = \"manifest.json\"\n}}\n{}build {{\n  sources = [{}]\n  post-processor \"manifest\" {{\n    \
         output = var.manifest\n  }}\n}}\n",
        sources.concat(),
        references.join(", ")
    ));
}

fn names_in(manifest: &str) -> Vec<String> {
    let manifest: Json = serde_json::from_str(manifest).unwrap();
    let builds = manifest["builds"].as_array().unwrap().iter();
    builds.map(|build| build["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_parts_of_a_run_are_the_whole_and_their_manifests_become_one() {
    let names = ["api", "base", "cache", "db", "edge", "mail", "queue", "web"];
    let context = test_context!().with("CI_NODE_INDEX", "3").with("CI_NODE_TOTAL", "3");
    template(&context, &names);
    let mut written = Vec::new();
    for part in ["-partition=1/3", "-partition=2/3", "-partition=auto"] {
        let file = format!("part-{}.json", written.len());
        let output = context
            .run(["build", part, "-var", &format!("manifest={file}"), "t.pkr.hcl"])
            .succeeds();
        assert!(output.contains(" of 8 builds\n"), "{output}");
        if context.work().join(&file).exists() {
            written.push(file);
        }
    }
    let merge = ["manifest", "merge"]
        .into_iter()
        .chain(written.iter().map(String::as_str));
    let mut merged = names_in(&context.run(merge).succeeds());
    merged.sort();
    assert_eq!(merged, names, "each build is in one part");
    context.run(["build", "t.pkr.hcl"]).succeeds();
    assert_eq!(
        names_in(&context.read("manifest.json")).len(),
        names.len(),
        "the variables alone mean nothing"
    );
}

#[test]
fn a_part_without_builds_is_a_success() {
    let context = test_context!();
    template(&context, &["web"]);
    let parts: Vec<String> = (1..=3)
        .map(|part| {
            context
                .run(["build", &format!("-partition={part}/3"), "t.pkr.hcl"])
                .succeeds()
        })
        .collect();
    let empty = parts
        .iter()
        .filter(|output| output.ends_with("0 of 1 builds\n"))
        .count();
    assert_eq!(empty, 2, "{parts:?}");
}

#[test]
fn what_is_no_manifest_is_not_merged() {
    let context = test_context!();
    context.file("list.json", "[]").file("torn.json", "{\"builds\": [");
    for file in ["list.json", "torn.json", "missing.json"] {
        let said = context
            .run(["manifest", "merge", "-output=all.json", file])
            .fails_with(1);
        assert!(said.contains(file), "{said}");
        assert!(!context.work().join("all.json").exists());
    }
}

/// A file of examples/partition, as a value.
fn example(context: &TestContext, name: &str) -> Json {
    let path = format!("{}/examples/partition/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let extension = Path::new(name).extension().unwrap();
    let decode = if extension == "json" {
        "jsondecode"
    } else {
        "yamldecode"
    };
    context.file("example", text);
    let mut console = context.command(["console", "-config-type=hcl2"]);
    let mut child = console
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let expression = format!("jsonencode({decode}(file(\"example\")))\n");
    child.stdin.take().unwrap().write_all(expression.as_bytes()).unwrap();
    serde_json::from_str(&Ran::end_of(child).succeeds()).unwrap()
}

#[test]
fn the_example_of_aws_batch_is_valid() {
    let context = test_context!();
    let definition = example(&context, "aws-batch/job-definition.json");
    let container = &definition["containerProperties"];
    assert_eq!(definition["type"], "container");
    assert_eq!(
        (&container["command"][0], &container["command"][1]),
        (&json!("build"), &json!("-partition=auto"))
    );
    for resource in ["VCPU", "MEMORY"] {
        let required = container["resourceRequirements"].as_array().unwrap();
        assert!(
            required
                .iter()
                .any(|one| one["type"] == resource && one["value"].is_string()),
            "{required:?}"
        );
    }
    let job = example(&context, "aws-batch/submit-job.json");
    assert_eq!(job["jobDefinition"], definition["jobDefinitionName"]);
    assert!((2..=10_000).contains(&job["arrayProperties"]["size"].as_u64().unwrap()));
}

#[test]
fn the_example_of_kubernetes_is_valid() {
    let job = example(&test_context!(), "kubernetes/job.yaml");
    assert_eq!((&job["apiVersion"], &job["kind"]), (&json!("batch/v1"), &json!("Job")));
    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    let container = &pod["containers"][0];
    assert_eq!(container["args"][1], "-partition=auto");
    let parts = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "JOB_COMPLETIONS")
        .unwrap();
    assert_eq!(
        parts["value"].as_str().unwrap(),
        spec["completions"].to_string(),
        "as many parts as pods"
    );
    assert_eq!(container["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
}

#[test]
fn the_examples_of_ci_are_valid() {
    let context = test_context!();
    let gitlab = example(&context, "gitlab/.gitlab-ci.yml");
    assert!(gitlab["bake"]["parallel"].as_u64().unwrap() > 1);
    assert!(
        gitlab["bake"]["script"][0]
            .as_str()
            .unwrap()
            .contains("-partition=auto")
    );
    for job in ["bake", "manifest"] {
        assert!(
            gitlab["stages"].as_array().unwrap().contains(&gitlab[job]["stage"]),
            "{gitlab}"
        );
    }
    let github = example(&context, "github/bake.yml");
    let bake = &github["jobs"]["bake"];
    let parts: Vec<u64> = bake["strategy"]["matrix"]["part"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Json::as_u64)
        .collect();
    assert_eq!(parts, (1..=parts.len() as u64).collect::<Vec<_>>());
    let steps = bake["steps"].as_array().unwrap();
    let part = "-partition=${{ matrix.part }}/${{ strategy.job-total }}";
    assert!(
        steps
            .iter()
            .any(|step| step["run"].as_str().is_some_and(|run| run.contains(part))),
        "{steps:?}"
    );
    assert_eq!(github["jobs"]["manifest"]["needs"], "bake");
}
