//! What happened, afterwards: the log and the events of a failed bake have what a person looks for, and no secret.

use bakelite_test_support::test_context;
use regex::Regex;
use serde_json::Value as Json;

const TEMPLATE: &str = r#"
variable "password" {
  default   = "Tr0ub4dor-and-3"
  sensitive = true
}
source "amazon-ebs" "web" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "web"
  ssh_username  = "admin"
  user_data     = "password=${var.password}"
  source_ami_filter {
    owners      = ["136693071363"]
    most_recent = true
    filters = {
      name = "debian-12-amd64-*"
    }
  }
}
build {
  sources = ["source.amazon-ebs.web"]
  provisioner "file" {
    source      = "config"
    destination = "/tmp/config"
  }
}
"#;

#[test]
fn the_log_of_a_failed_bake_has_what_a_person_looks_for() {
    let context = test_context!()
        .with("PACKER_LOG", "debug")
        .with("PACKER_LOG_PATH", "log.txt");
    context.file("config", "secret: Tr0ub4dor-and-3").template(TEMPLATE);
    let flags = [
        "build",
        "-local",
        "-deny=CreateImage",
        "-log-events=events.jsonl",
        "t.pkr.hcl",
    ];
    let said = context.run(flags).fails_with(1);
    assert!(said.contains("UnauthorizedOperation"), "{said}");
    let log = context.read("log.txt");
    let uuid = "[0-9a-f]{8}-[0-9a-f-]{27}";
    for looked_for in [
        // Which run, of which version.
        format!(r#"run started run="{uuid}" version="\d"#),
        // A call that succeeded, and the one that did not.
        format!(
            r#"AWS call build="amazon-ebs.web" action="RunInstances" region="us-east-1" id="{uuid}" status=200 ms=\d+ attempt=1"#
        ),
        format!(
            r#"AWS call build="amazon-ebs.web" action="CreateImage" region="us-east-1" id="{uuid}" status=403 code="UnauthorizedOperation" ms=\d+ attempt=1"#
        ),
        // What was waited for, the connection and what went over it.
        r#"waiting for instance i-\w+ to become running build="amazon-ebs.web""#.into(),
        r#"host key of the server peer="admin@[^"]+" host_key="#.into(),
        r#"connected peer="admin@[^"]+" took="#.into(),
        r#"transfer of .+ started build="amazon-ebs.web""#.into(),
        // How it ended.
        r#"step finished build="amazon-ebs.web" step="image" took=\S+ ok=false"#.into(),
        r#"failed build="amazon-ebs.web" took=\S+ error="#.into(),
        r#"AWS call build="amazon-ebs.web" action="TerminateInstances""#.into(),
        r"Terminating the source AWS instance i-\w+".into(),
    ] {
        assert!(
            Regex::new(&looked_for).unwrap().is_match(&log),
            "{looked_for} is not in\n{log}"
        );
    }
    let events = context.read("events.jsonl");
    for secret in ["Tr0ub4dor-and-3", "VHIwdWI0ZG9yLWFuZC0z", "PRIVATE KEY", "Signature="] {
        assert!(!log.contains(secret) && !events.contains(secret), "{secret}");
    }
}

#[test]
fn events_are_appended_with_their_run_and_their_time() {
    let context = test_context!();
    context.template(
        "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n}\n",
    );
    for _ in 0..2 {
        context
            .run(["build", "-log-events=events.jsonl", "t.pkr.hcl"])
            .succeeds();
    }
    let events: Vec<Json> = context
        .read("events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut runs: Vec<&str> = events.iter().map(|event| event["run"].as_str().unwrap()).collect();
    runs.dedup();
    assert_eq!(runs.len(), 2, "{events:?}");
    let time = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$").unwrap();
    assert!(
        events.iter().all(|event| time.is_match(event["at"].as_str().unwrap())),
        "{events:?}"
    );
}
