//! Flags, exit codes, and the name it is called by.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::test_context;

const NULL: &str = r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline = ["echo hello"]
  }
}
"#;

#[test]
fn one_dash_and_two_are_the_same() {
    let context = test_context!();
    context.template(NULL);
    for flag in ["-color=false", "--color=false"] {
        let output = context.run(["build", flag, "t.pkr.hcl"]).succeeds();
        assert!(output.contains("==> null.a: hello\n"), "{output}");
    }
}

#[test]
fn flags_after_the_template_are_refused() {
    let context = test_context!();
    context.template(NULL);
    let output = context.run(["build", "t.pkr.hcl", "-force"]).fails_with(1);
    assert!(output.contains("-force"), "{output}");
}

#[test]
fn exit_codes_tell_what_happened() {
    let context = test_context!();
    context
        .template(NULL)
        .file("bad.pkr.hcl", "source \"null\" \"a\" {\n")
        .file("ugly.pkr.hcl", "a  = 1\n");
    context.run(["validate", "t.pkr.hcl"]).succeeds();
    let error = context.run(["validate", "bad.pkr.hcl"]).fails_with(1);
    assert!(error.contains("bad.pkr.hcl:"), "{error}");
    let _ = context.run(["fmt", "-check", "ugly.pkr.hcl"]).fails_with(3);
    let _ = context.run(["frobnicate"]).fails_with(127);
    let _ = context.run::<&str>([]).fails_with(127);
}

/// A link of that name to the program.
fn packer(context: &TestContext) -> PathBuf {
    let link = context.root().join("packer");
    symlink(env!("CARGO_BIN_EXE_bakelite"), &link).unwrap();
    link
}

/// Machine-readable records without the time at the beginning of each.
fn without_times(records: &str) -> Vec<&str> {
    let records = records.lines().filter_map(|line| line.split_once(','));
    records.map(|(_, rest)| rest).collect()
}

#[test]
fn called_packer_it_is_the_same() {
    let context = test_context!();
    context.template(NULL);
    let ran = Ran::of(&mut context.command_of(packer(&context), ["build", "-color=false", "t.pkr.hcl"]));
    assert!(ran.succeeds().contains("==> null.a: hello\n"));
}

#[test]
fn a_missing_plugin_is_named_and_a_native_one_is_there() {
    let context = test_context!();
    let template = |name: &str, source: &str| {
        format!(
            "packer {{\n  required_plugins {{\n    {name} = {{\n      version = \">= 1.0.0\"\n      source  = \"{source}\"\n    }}\n  }}\n}}\n"
        )
    };
    context.template(&template("amazon", "github.com/hashicorp/amazon"));
    context.run(["init", "t.pkr.hcl"]).succeeds();
    context.template(&template("googlecompute", "github.com/hashicorp/googlecompute"));
    let warned = context.run(["init", "t.pkr.hcl"]);
    assert!(
        warned.stderr.contains("googlecompute") && warned.stderr.contains("t.pkr.hcl:3"),
        "{}",
        warned.stderr
    );
    assert_eq!(warned.code, Some(0), "builds that do not need it can be made");
}

#[test]
fn machine_readable_lines_name_the_artifact() {
    let context = test_context!();
    context.template(NULL);
    let output = context.run(["build", "-machine-readable", "t.pkr.hcl"]).succeeds();
    let artifact = output.lines().find(|line| line.ends_with(",null.a,artifact,0,id,Null"));
    assert!(artifact.is_some(), "{output}");
}

#[test]
fn help_is_a_command() {
    let context = test_context!();
    let help = context.run(["help", "build"]).succeeds();
    for flag in ["-parallel-builds", "-skip-enforcement", "-use-sequential-evaluation"] {
        assert!(help.contains(&format!("  {flag}")), "{flag}: {help}");
    }
    assert!(!help.contains("--"), "{help}");
    assert!(context.run(["help"]).succeeds().contains("-machine-readable"));
}

#[test]
fn a_flag_behind_the_template_is_told_from_one_that_does_not_exist() {
    let context = test_context!();
    let late = context.run(["build", ".", "-var", "a=b"]).fails_with(1);
    assert!(late.contains("flags come before the template"), "{late}");
    let unknown = context.run(["build", "-frob", "."]).fails_with(1);
    assert!(unknown.contains("'-frob'") && !unknown.contains("help:"), "{unknown}");
}

#[test]
fn flags_of_the_local_cloud_need_it() {
    let context = test_context!();
    context.template(NULL);
    let error = context.run(["build", "-latency", "ec2", "t.pkr.hcl"]).fails_with(1);
    assert!(error.contains("-latency is for the local cloud"), "{error}");
}

#[test]
fn what_validate_answers_is_a_record_for_machines() {
    let context = test_context!();
    context.template(NULL);
    let output = context.run(["validate", "-machine-readable", "t.pkr.hcl"]).succeeds();
    assert!(output.ends_with(",,ui,say,The configuration is valid.\n"), "{output}");
}

#[test]
fn a_script_that_fails_is_shown_with_its_place_in_the_template() {
    let context = test_context!();
    context.template(&NULL.replace("echo hello", "exit 3"));
    let error = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    assert!(error.contains("--> t.pkr.hcl:"), "{error}");
    assert!(
        error.contains(" | ") && error.contains("provisioner \"shell-local\" {"),
        "{error}"
    );
    let records = context.run(["build", "-machine-readable", "t.pkr.hcl"]).fails_with(1);
    let diagnostic = records.lines().find(|line| line.contains(",null.a,diagnostic,error,"));
    assert!(diagnostic.is_some_and(|line| line.contains(",t.pkr.hcl:")), "{records}");
}

#[test]
fn an_unknown_command_of_a_command_is_a_usage_error() {
    let context = test_context!();
    for arguments in [
        &["plugins"][..],
        &["plugins", "frob"],
        &["local"],
        &["build", "-x", "t"],
    ] {
        let _ = context.run(arguments).fails_with(1);
    }
    for arguments in [&["build", "-h"][..], &["plugins", "--help"], &["-h"], &["-version"]] {
        context.run(arguments).succeeds();
    }
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let context = test_context!();
    context.template(NULL);
    let flags = [
        "-force",
        "-force=f",
        "-color=true",
        "-color=0",
        "-parallel-builds",
        "-1",
    ];
    let arguments = ["build"].into_iter().chain(flags).chain(["t.pkr.hcl"]);
    let output = context.run(arguments).succeeds();
    assert!(output.contains("==> null.a: hello\n"), "{output}");
    let error = context.run(["build", "-force=maybe", "t.pkr.hcl"]).fails_with(1);
    assert!(error.contains("-force") && error.contains("maybe"), "{error}");
}

#[test]
fn a_legacy_template_becomes_hcl_that_bakes() {
    let context = test_context!();
    context.file(
        "old.json",
        r#"{"variables": {"word": "hello"},
            "builders": [{"type": "null", "name": "a", "communicator": "none"}],
            "provisioners": [{"type": "shell-local", "inline": ["echo {{user `word`}}"]}]}"#,
    );
    context.run(["hcl2_upgrade", "old.json"]).succeeds();
    let output = context.run(["build", "old.json.pkr.hcl"]).succeeds();
    assert!(output.contains("==> null.a: hello\n"), "{output}");
    context
        .run([
            "hcl2_upgrade",
            "-output-file",
            "new.pkr.hcl",
            "-with-annotations",
            "old.json",
        ])
        .succeeds();
    assert!(context.read("new.pkr.hcl").contains('#'));
    context.file("old.json", "{");
    let error = context.run(["hcl2_upgrade", "old.json"]).fails_with(1);
    assert!(error.contains("old.json:1:1"), "{error}");
    assert!(
        context.read("old.json.pkr.hcl").contains("shell-local"),
        "an upgrade that fails leaves what was there"
    );
}

#[test]
fn outdated_options_are_fixed_and_the_result_is_checked() {
    let context = test_context!();
    context.file(
        "old.json",
        r#"{"builders": [{"type": "null", "communicator": "none"}], "post-processors": [{"type": "manifest", "filename": "m.json"}]}"#,
    );
    let fixed = context.run(["fix", "old.json"]).succeeds();
    assert!(
        fixed.contains(r#""output": "m.json""#) && !fixed.contains("filename"),
        "{fixed}"
    );
    assert!(
        context.read("old.json").contains("filename"),
        "the file itself is not changed"
    );
    context.file("wrong.json", r#"{"builders": [{"type": "nill"}]}"#);
    let output = context.run(["fix", "wrong.json"]).fails_with(1);
    assert!(output.contains("`nill`"), "{output}");
    context.run(["fix", "-validate=false", "wrong.json"]).succeeds();
    context.file("broken.json", "{\n  \"builders\": [\n");
    let output = context.run(["fix", "broken.json"]).fails_with(1);
    assert!(output.contains("broken.json:"), "{output}");
}

#[test]
fn a_template_is_fixed_without_the_values_of_its_required_variables() {
    let context = test_context!();
    context.file(
        "old.json",
        r#"{"variables": {"secret": null}, "builders": [{"type": "null", "communicator": "none", "ssh_password": "{{user `secret`}}"}]}"#,
    );
    let fixed = context.run(["fix", "old.json"]).succeeds();
    assert!(fixed.contains(r#""secret": null"#), "{fixed}");
}

#[test]
fn what_scripts_ask_of_plugins_is_answered() {
    let context = test_context!();
    let installed = context.run(["plugins", "installed"]).succeeds();
    assert!(installed.contains("provisioner     shell-local\n"), "{installed}");
    context.template(
        "packer {\n  required_plugins {\n    amazon = {\n      version = \">= 1.0\"\n      source  = \"github.com/hashicorp/amazon\"\n    }\n  }\n}\n",
    );
    let required = context.run(["plugin", "required", "t.pkr.hcl"]).succeeds();
    assert!(
        required.starts_with("amazon github.com/hashicorp/amazon \">= 1.0\" built in"),
        "{required}"
    );
    let install = |version: &str| context.run(["plugins", "install", "github.com/hashicorp/amazon", version]);
    install("v1.8.2").succeeds();
    let _ = install("9.0.0").fails_with(1);
    let _ = context
        .run(["plugins", "install", "github.com/hashicorp/qemu"])
        .fails_with(1);
    let _ = context
        .run(["plugins", "remove", "github.com/hashicorp/amazon"])
        .fails_with(1);
}

#[test]
fn what_is_wrong_is_told_to_machines() {
    let context = test_context!();
    context.template("variable \"a\" {}\nvariable \"a\" {}\n");
    let ran = context.run(["validate", "-json", "t.pkr.hcl"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["valid"], false);
    assert_eq!(told["diagnostics"][0]["file"], "t.pkr.hcl");
    assert_eq!(told["diagnostics"][0]["region"]["startLine"], 2);
    assert_eq!(told["diagnostics"][0]["related"][0]["region"]["startLine"], 1);
    context.template(NULL);
    let told = context.run(["validate", "-json", "t.pkr.hcl"]).succeeds();
    assert!(told.contains(r#""valid": true"#), "{told}");
}

/// A secret, and what is made of it while planning and while baking.
const SECRET: &str = r#"
variable "password" {
  default   = "correct horse \"battery\""
  sensitive = true
}
locals {
  encoded = "x ${base64encode(var.password)} y"
}
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    env    = { PASSWORD = var.password }
    inline = [
      "echo \"$PASSWORD\"; echo ${local.encoded} | cut -d' ' -f2",
      "echo ${sha256("${var.password}${build.name}")} | cut -c1-64",
      "echo ${base64encode(upper(var.password))}; test ! -e FAIL",
    ]
  }
}
"#;

#[test]
fn no_secret_and_nothing_made_of_it_is_ever_shown() {
    let context = test_context!()
        .with("PACKER_LOG_PATH", "log.txt")
        .with("PACKER_LOG", "trace");
    context.template(SECRET);
    let leaks = [
        "correct horse",
        "battery",
        // base64 of the secret, SHA-256 of it, base64 of it in capitals
        "Y29ycmVjdCBob3JzZSAiYmF0dGVyeSI",
        "68e361d9f126eb3451",
        "Q09SUkVDVCBIT1JTRSAi",
    ];
    let check = |place: &str, text: &str| {
        assert!(text.contains("<sensitive>"), "{place}: {text}");
        for leak in leaks {
            assert!(!text.contains(leak), "{place} shows `{leak}`: {text}");
        }
    };
    check("build", &context.run(["build", "t.pkr.hcl"]).succeeds());
    let flags = ["build", "-machine-readable", "-log-events", "events.jsonl", "t.pkr.hcl"];
    check("-machine-readable", &context.run(flags).succeeds());
    check("-log-events", &context.read("events.jsonl"));
    check("PACKER_LOG_PATH", &context.read("log.txt"));
    check("inspect", &context.run(["inspect", "t.pkr.hcl"]).succeeds());
    context.file("FAIL", "");
    check("a failure", &context.run(["build", "t.pkr.hcl"]).fails_with(1));
}

#[test]
fn an_error_about_a_secret_does_not_show_it() {
    let context = test_context!();
    context.template(
        r#"
variable "password" {
  default   = "correct-horse"
  sensitive = true
}
locals {
  broken = parseint("zz ${var.password}", 10)
}
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline = ["echo ${local.broken}"]
  }
}
"#,
    );
    for flags in [&["validate"][..], &["validate", "-json"], &["build"]] {
        let error = context.run(flags.iter().copied().chain(["t.pkr.hcl"])).fails_with(1);
        let elsewhere = error.replace("default   = \"correct-horse\"", "");
        assert!(!elsewhere.contains("correct-horse"), "{error}");
    }
}

#[test]
fn a_log_is_written_when_asked_for() {
    let context = test_context!().with("PACKER_LOG", "1");
    context.template(NULL);
    let ran = context.run(["build", "t.pkr.hcl"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("step started"), "{}", ran.stderr);
    let silent = test_context!().with("PACKER_LOG", "0");
    silent.template(NULL);
    silent.run(["build", "t.pkr.hcl"]).succeeds();
}

#[test]
fn times_stand_before_every_message() {
    let context = test_context!().with("TZ", "UTC");
    context.template(NULL);
    let output = context.run(["build", "-timestamp-ui", "t.pkr.hcl"]).succeeds();
    let line = output.lines().find(|line| line.ends_with("==> null.a: hello")).unwrap();
    let time = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: ==>").unwrap();
    assert!(time.is_match(line), "{line}");
}

#[test]
fn what_functions_in_braces_make_of_a_secret_is_not_shown() {
    let context = test_context!();
    context.file(
        "t.json",
        r#"{
  "variables": { "password": "hunter2" },
  "sensitive-variables": ["password"],
  "builders": [{ "type": "null", "communicator": "none" }],
  "provisioners": [{ "type": "shell-local", "inline": ["echo said: {{ user `password` | upper }}"] }]
}"#,
    );
    let output = context.run(["build", "t.json"]).succeeds();
    assert!(output.contains("said: <sensitive>"), "{output}");
    assert!(!output.contains("HUNTER2"), "{output}");
}

#[test]
fn called_packer_its_version_is_what_scripts_parse() {
    let context = test_context!();
    let packer = packer(&context);
    let ran = |arguments: &[&str]| Ran::of(&mut context.command_of(&packer, arguments)).succeeds();
    for arguments in [&["version"][..], &["-v"], &["--version"], &["-version"]] {
        let shown = ran(arguments);
        assert!(shown.starts_with("Packer v1.16.0 (compatible: bakelite v"), "{shown}");
    }
    let records = ran(&["-machine-readable", "version"]);
    let records = without_times(&records);
    let [version, prerelease, commit, said] = records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(
        [version, prerelease, commit],
        [",version,1.16.0", ",version-prelease,", ",version-commit,"]
    );
    assert!(said.starts_with(",ui,say,Packer v1.16.0"), "{said}");
    assert!(context.run(["version"]).succeeds().starts_with("bakelite v"));
}

#[test]
fn what_is_wrong_with_a_template_is_one_record_and_one_more_for_each_error() {
    let context = test_context!();
    context.template(&NULL.replace("source.null.a", "source.null.b"));
    let ran = context.run(["validate", "-machine-readable", "t.pkr.hcl"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [message, diagnostic] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        message.contains(",,ui,error,error: there is no source `null.b`\\n"),
        "{message}"
    );
    assert!(
        diagnostic.contains(",,diagnostic,error,there is no source `null.b`,"),
        "{diagnostic}"
    );
    assert!(diagnostic.contains(",t.pkr.hcl:"), "{diagnostic}");
    let usage = context.run(["build", "-machine-readable", "-frob"]);
    assert_eq!((usage.code, usage.stderr.as_str()), (Some(1), ""));
    assert!(
        usage.stdout.contains(",,ui,error,error: unexpected argument '-frob'"),
        "{}",
        usage.stdout
    );
    assert_eq!(usage.stdout.lines().count(), 1, "{}", usage.stdout);
}

#[test]
fn inspect_has_records_of_what_a_legacy_template_holds() {
    let context = test_context!();
    context.file(
        "old.json",
        r#"{"variables": {"a": "1", "b": null}, "builders": [{"type": "null", "name": "x"}], "provisioners": [{"type": "shell-local"}]}"#,
    );
    let records = context.run(["inspect", "-machine-readable", "old.json"]).succeeds();
    let records = without_times(&records);
    for (record, message) in [
        (",template-variable,b,,1", ",ui,say,  b"),
        (",template-variable,a,1,0", ",ui,say,  a = 1"),
        (",template-builder,x,null", ",ui,say,  x (null)"),
        (",template-provisioner,shell-local", ",ui,say,  shell-local"),
    ] {
        let at = records.iter().position(|one| *one == record);
        assert_eq!(at.and_then(|at| records.get(at + 1)), Some(&message), "{records:?}");
    }
}

#[test]
fn inspect_asks_nobody_anything() {
    let context = test_context!();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    context.template(&format!(
        r#"
data "http" "a" {{
  url = "http://127.0.0.1:{port}/"
}}
data "amazon-ami" "b" {{
  region      = "us-east-1"
  owners      = ["self"]
  most_recent = true
  filters     = {{ name = "x" }}
}}
locals {{
  body  = "got ${{data.http.a.body}}"
  ami   = data.amazon-ami.b.id
  vault = vault("secret/data/x", "y")
}}
source "null" "a" {{
  communicator = "none"
}}
build {{
  sources = ["source.null.a"]
}}
"#
    ));
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut command = context.command(["inspect", "t.pkr.hcl"]);
    command
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("VAULT_ADDR", &endpoint)
        .env("VAULT_TOKEN", "t");
    let shown = Ran::of(&mut command).succeeds();
    for local in ["ami", "body", "vault"] {
        assert!(
            shown.contains(&format!("local.{local}: \"<unknown>\"\n")),
            "{local}: {shown}"
        );
    }
    assert!(shown.contains("      null.a\n"), "{shown}");
    let called = listener.accept().map(|(_, from)| from);
    assert!(called.is_err(), "{called:?}");
}

#[test]
fn what_is_wrong_with_a_fixed_template_names_its_file() {
    let context = test_context!();
    context.file("wrong.json", r#"{"builders": [{"type": "nill"}]}"#);
    let ran = context.run(["fix", "wrong.json"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("\"nill\""),
        "it is printed all the same: {}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("--> wrong.json (fixed):") && !ran.stderr.contains("<stdin>"),
        "{}",
        ran.stderr
    );
}

#[test]
fn completions_are_installed_once_and_removed() {
    let context = test_context!();
    let home = context.root().join("completing");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join(".bashrc"), "alias l=ls\n").unwrap();
    std::fs::write(home.join(".zshrc"), "").unwrap();
    let run = |flag: &str| {
        let mut command = context.command([flag]);
        command.env("HOME", &home).env_remove("SHELL");
        Ran::of(&mut command).succeeds()
    };
    let read = |name: &str| std::fs::read_to_string(home.join(name)).unwrap();
    run("-autocomplete-install");
    let installed = run("-autocomplete-install");
    assert!(
        installed.contains(".bashrc") && installed.contains(".zshrc"),
        "{installed}"
    );
    let bash = read(".bashrc");
    assert_eq!(
        (bash.lines().count(), bash.lines().next()),
        (2, Some("alias l=ls")),
        "{bash}"
    );
    let script = format!(
        "{bash}\ncomplete -p bakelite && COMP_LINE='bakelite inspe' {}",
        env!("CARGO_BIN_EXE_bakelite")
    );
    let shell = Command::new("bash").args(["-c", &script]).run_to_end();
    let shown = String::from_utf8_lossy(&shell.stdout).into_owned();
    assert!(shown.contains("complete -o default -C"), "{shown}");
    assert!(shown.ends_with("\ninspect\n"), "{shown}");
    assert!(read(".zshrc").starts_with("autoload -U +X bashcompinit && bashcompinit && complete "));
    run("-autocomplete-uninstall");
    assert_eq!(
        (read(".bashrc").as_str(), read(".zshrc").as_str()),
        ("alias l=ls\n", "")
    );
}

#[test]
fn help_has_groups_and_every_flag() {
    let context = test_context!();
    let build = context.run(["build", "-h"]).succeeds();
    let place = |what: &str| build.find(what).unwrap_or_else(|| panic!("no {what}: {build}"));
    for (heading, flag, next) in [
        ("\nOptions:\n", "-parallel-builds", "\nBuilds and variables:\n"),
        ("\nBuilds and variables:\n", "-var-file", "\nWithout effect:\n"),
        ("\nWithout effect:\n", "-skip-enforcement", "\nLocal cloud:\n"),
        ("\nLocal cloud:\n", "-latency", "\nEverywhere:\n"),
    ] {
        let (start, end) = (place(heading), place(next));
        assert!(
            build.get(start..end).is_some_and(|group| group.contains(flag)),
            "{flag}: {build}"
        );
    }
    for (command, flags) in [
        ("init", &["-upgrade", "-force", "-machine-readable"][..]),
        (
            "validate",
            &[
                "-evaluate-datasources",
                "-ignore-prerelease-plugins",
                "-machine-readable",
            ],
        ),
        ("console", &["-config-type", "-use-sequential-evaluation"]),
    ] {
        let help = context.run([command, "-h"]).succeeds();
        for flag in flags {
            assert!(help.contains(&format!("  {flag}")), "{command} {flag}: {help}");
        }
    }
}

#[test]
fn one_build_at_a_time_runs_in_the_order_of_the_template() {
    let context = test_context!();
    let names: Vec<String> = (0..12).rev().map(|number| format!("n{number}")).collect();
    let sources = names.iter().fold(String::new(), |text, name| {
        text + &format!("source \"null\" \"{name}\" {{\n  communicator = \"none\"\n}}\n")
    });
    let used: Vec<String> = names.iter().map(|name| format!("\"source.null.{name}\"")).collect();
    context.template(&format!("{sources}build {{\n  sources = [{}]\n}}\n", used.join(", ")));
    let output = context.run(["build", "-parallel-builds=1", "t.pkr.hcl"]).succeeds();
    let finished = regex::Regex::new(r"Build 'null\.(n\d+)' finished").unwrap();
    let order: Vec<&str> = finished
        .captures_iter(&output)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert_eq!(order, names, "{output}");
}

#[test]
fn hcl_on_standard_input_needs_its_flag_and_the_error_names_it() {
    let context = test_context!();
    let run = |flags: &[&str]| {
        let mut command = context.command(["validate"].iter().chain(flags).chain(&["-"]).copied());
        command.stdin(std::process::Stdio::piped());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), NULL.as_bytes()).unwrap();
        bakelite_test_support::ended::output_of(child)
    };
    let refused = run(&[]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && error.contains("`-config-type=hcl2`"),
        "{error}"
    );
    assert!(run(&["-config-type=hcl2"]).status.success());
}

#[test]
fn one_source_that_two_builds_name_is_one_artifact() {
    let context = test_context!();
    let twice = "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n}\n\
                 build {\n  sources = [\"source.null.a\"]\n}\nbuild {\n  name    = \"own\"\n  sources = [\"source.null.a\"]\n}\n";
    context.template(twice);
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert_eq!(output.matches("\n--> null.a: ").count(), 1, "{output}");
    assert_eq!(output.matches("\n--> own.null.a: ").count(), 1, "{output}");
    let records = context.run(["build", "-machine-readable", "t.pkr.hcl"]).succeeds();
    assert_eq!(records.matches(",null.a,artifact-count,1\n").count(), 1, "{records}");
}

#[test]
fn the_file_builder_makes_the_directories_of_its_target() {
    let context = test_context!();
    context.template(
        "source \"file\" \"a\" {\n  content = \"hello\"\n  target  = \"out/deep/a.txt\"\n}\nbuild {\n  sources = [\"source.file.a\"]\n}\n",
    );
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("--> file.a: Stored file: out/deep/a.txt"), "{output}");
    assert_eq!(context.read("out/deep/a.txt"), "hello");
}

#[test]
fn the_file_builder_copies_a_file_of_this_machine() {
    let context = test_context!();
    context.file("from.bin", [0, 159, 146, 150]);
    context.template(
        "source \"file\" \"a\" {\n  source = \"from.bin\"\n  target = \"to.bin\"\n}\nbuild {\n  sources = [\"source.file.a\"]\n}\n",
    );
    let _ = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert_eq!(
        std::fs::read(context.work().join("to.bin")).unwrap(),
        [0, 159, 146, 150]
    );
}

#[test]
fn an_unknown_value_in_environment_variables_is_no_missing_sign() {
    let context = test_context!();
    context.template(
        r#"
data "null" "d" {
  input = "x"
}
locals {
  line = "B=${data.null.d.output}"
}
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline           = ["echo $A $B $C"]
    environment_vars = ["A=${data.null.d.output}", local.line, replace("C-${data.null.d.output}", "-", "=")]
  }
}
"#,
    );
    context.run(["validate", "t.pkr.hcl"]).succeeds();
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("==> null.a: x x x\n"), "{output}");
    context.file(
        "t.json",
        r#"{"builders": [{"type": "null", "communicator": "none"}],
            "provisioners": [{"type": "shell-local", "inline": ["true"], "environment_vars": ["A={{build `ID`}}", "{{build `ID`}}"]}]}"#,
    );
    context.run(["validate", "t.json"]).succeeds();
}

#[test]
fn data_sources_of_an_upgraded_template_stand_before_its_locals() {
    let context = test_context!();
    context.file(
        "old.json",
        r#"{"variables": {"stamp": "{{isotime}}"},
            "builders": [{"type": "amazon-ebs", "ami_name": "n-{{user `stamp`}}-{{timestamp}}",
                          "source_ami_filter": {"owners": ["self"], "filters": {"name": "x"}, "most_recent": true}}]}"#,
    );
    let said = context.run(["hcl2_upgrade", "old.json"]).succeeds();
    assert!(said.starts_with("Successfully created old.json.pkr.hcl"), "{said}");
    let upgraded = context.read("old.json.pkr.hcl");
    let place = |what: &str| upgraded.find(what).unwrap_or_else(|| panic!("no {what}: {upgraded}"));
    assert!(place("\ndata \"amazon-ami\"") < place("\nlocals {"), "{upgraded}");
    assert!(place("\n  stamp = ") < place("\nsource \"amazon-ebs\""), "{upgraded}");
}

#[test]
fn the_console_of_a_legacy_template_says_what_fails_and_where() {
    let context = test_context!();
    context.file("t.json", r#"{"variables": {"a": "x"}, "builders": [{"type": "null"}]}"#);
    let asked = |line: &str| {
        context.file("line", line);
        let mut command = context.command(["console", "t.json"]);
        command.stdin(std::fs::File::open(context.work().join("line")).unwrap());
        Ran::of(&mut command)
    };
    assert_eq!(asked("{{ user `a` | upper }}").succeeds(), "X\n");
    for (line, why, column) in [
        ("a {{ uper `x` }}", "function `uper` is not defined", 6),
        ("{{ index }}", "`index`: an argument is missing", 4),
    ] {
        let ran = asked(line);
        assert_eq!(ran.code, Some(1));
        let place = format!("--> <console>:1:{column}");
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains(&place),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
}

/// A template with this in its source.
fn of_amazon(options: &str) -> String {
    format!(
        "source \"amazon-ebs\" \"a\" {{\n  region        = \"us-east-1\"\n  ami_name      = \"a-name\"\n  instance_type = \"t3.micro\"\n  \
         source_ami    = \"ami-12345678\"\n  ssh_username  = \"user\"\n{options}\n}}\nbuild {{\n  sources = [\"source.amazon-ebs.a\"]\n}}\n"
    )
}

#[test]
fn empty_options_of_the_amazon_builder_ask_for_nothing() {
    let context = test_context!();
    context.template(&of_amazon(
        "encrypt_boot = false\nkms_key_id = \"\"\nami_regions = []\nregion_kms_key_ids = {}\nspot_price = \"\"\n\
         block_duration_minutes = 0\nskip_save_build_region = false\nspot_tags = {}\ninsecure_skip_tls_verify = false\nmfa_code = \"\"\n\
         snapshot_copy_duration_minutes = 0\nssh_port = 0\nami_users = []\nfast_launch {\n  enable_fast_launch = false\n}\n",
    ));
    context.run(["validate", "t.pkr.hcl"]).succeeds();
}

#[test]
fn old_names_of_options_lead_to_fix() {
    let context = test_context!();
    let template = |more: &str| {
        format!(
            r#"{{"builders": [{{"type": "amazon-ebs", "region": "us-east-1", "ami_name": "{{{{clean_resource_name `a b`}}}}", "instance_type": "t3.micro",
                "source_ami": "ami-12345678", "ssh_username": "user", {more}}}]}}"#
        )
    };
    let old = template(r#""enhanced_networking": true, "ssh_private_ip": true, "ssh_wait_timeout": "1m""#);
    context.file("old.json", old.replace("clean_resource_name", "clean_ami_name"));
    let error = context.run(["validate", "old.json"]).fails_with(1);
    for help in [
        "it is called `ena_support` now; `bakelite fix`",
        "`ssh_interface = \"private_ip\"` has replaced it; `bakelite fix`",
        "`clean_ami_name` is called `clean_resource_name` now; `bakelite fix`",
    ] {
        assert!(error.contains(help), "{help}: {error}");
    }
    let fixed = context.run(["fix", "old.json"]).succeeds();
    context.file("fixed.json", &fixed);
    context.run(["validate", "fixed.json"]).succeeds();
}

#[test]
fn an_option_that_is_refused_is_reported_once() {
    let context = test_context!();
    let text = of_amazon("block_duration_minutes = 60");
    let used = "build {\n  name    = \"two\"\n  sources = [\"source.amazon-ebs.a\"]\n}\n";
    context.template(&(text + used));
    let error = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    assert_eq!(error.matches("error: ").count(), 1, "{error}");
}

#[test]
fn a_failed_provisioner_begins_the_line_that_scripts_look_for() {
    let context = test_context!();
    let failing = NULL.replace("echo hello", "exit 3");
    context.template(&failing);
    let output = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    assert!(
        output.contains("==> null.a: Provisioning step had errors\n"),
        "{output}"
    );
    let cleanup = "  error-cleanup-provisioner \"shell-local\" {\n    inline = [\"echo cleaned\"]\n  }\n}\n";
    context.template(&(failing.trim_end().trim_end_matches('}').to_owned() + cleanup));
    let output = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    let said = output.find("==> null.a: Provisioning step had errors: running the error-cleanup-provisioner");
    assert!(said.is_some() && said < output.find("==> null.a: cleaned"), "{output}");
}
