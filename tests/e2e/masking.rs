//! No secret is shown, written down or left behind, whatever a template, a script or a kill makes of it.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bakelite_test_support::clouds::signal;
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::test_context;

/// Variables of every kind, and what can be made of them.
const VARIABLES: &str = r#"
variable "plain" {
  type      = string
  sensitive = true
  default   = "AlphaSecret01xyz"
}
variable "special" {
  type      = string
  sensitive = true
  default   = "Be\"ta\\S<e>c&r+et/02=%"
}
variable "lines" {
  type      = string
  sensitive = true
  default   = "Gamma03line1\nGamma03line2"
}
variable "given" {
  type      = string
  sensitive = true
}
variable "number" {
  type      = number
  sensitive = true
  default   = 867530904211
}
variable "list" {
  type      = list(string)
  sensitive = true
  default   = ["Delta05one", "Delta05two"]
}
variable "object" {
  type      = object({ u = string, n = number })
  sensitive = true
  default   = { u = "EpsilonUser06", n = 550066001122 }
}
variable "open" {
  default = "open"
}
local "declared" {
  expression = "ZetaLocal07-${var.open}"
  sensitive  = true
}
locals {
  base64   = base64encode(var.plain)
  within   = base64encode("user:${var.special}")
  upper    = upper(var.plain)
  part     = substr(var.plain, 0, 8)
  url      = urlencode(var.special)
  json     = jsonencode({ a = var.special, b = var.plain, n = var.number })
  yaml     = yamlencode({ a = var.special })
  digest   = md5(var.plain)
  parts    = split("S", var.plain)
  around   = "pre-${var.plain}-post"
  replaced = replace(var.plain, "Secret", "S-e-c-r-e-t")
  reverse  = strrev(var.plain)
  text     = "${var.number}"
  sum      = var.number + 1
  joined   = join(",", [for s in var.list : upper(s)])
  chosen   = var.plain == "AlphaSecret01xyz" ? "chosen-by-a-secret" : "no"
}
"#;

const BUILD: &str = r#"
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    environment_vars = [
      "PLAIN=${var.plain}", "SPECIAL=${var.special}", "GIVEN=${var.given}", "JSON=${local.json}", "YAML=${local.yaml}",
      "URL=${local.url}", "LINES=${var.lines}", "WITHIN=${local.within}",
    ]
    inline = [
      "set +x",
      "printf '%s\\n' \"$PLAIN\" \"$SPECIAL\" \"$GIVEN\" \"$JSON\" \"$YAML\" \"$URL\" \"$LINES\" \"$WITHIN\"",
      "for s in \"$PLAIN\" \"$SPECIAL\" \"$GIVEN\"; do printf %s \"$s\" | base64 -w0; echo; printf 'x%s' \"$s\" | base64 -w0; echo",
      "printf 'xy%sz' \"$s\" | base64 -w0; echo; printf %s \"$s\" | od -An -v -tx1 | tr -d ' \\n'; echo; done",
      "echo ${local.upper} ${local.part} ${local.digest} ${local.around} ${local.replaced} ${local.text} ${local.sum} ${local.joined}",
      "echo ${local.reverse} ${local.declared} ${local.chosen} ${join(" ", local.parts)} ${local.base64}",
      "echo ${var.object.u} ${var.object.n} ${var.list[0]} ${upper(var.object.u)}",
      "echo to standard error $PLAIN ${var.number + 2} >&2",
      "tr '\\0' ' ' < /proc/$PPID/cmdline > argv.txt",
      "tr '\\0' ' ' < /proc/$$/cmdline >> argv.txt",
      "cat \"$XDG_STATE_HOME\"/bakelite/journal/* > journal.txt",
      "echo the end",
    ]
  }
  post-processor "shell-local" {
    environment_vars = ["PLAIN=${var.plain}"]
    inline           = ["echo $PLAIN"]
  }
}
"#;

/// What must not be found anywhere: secrets, parts of them, and what is made of them.
const FORBIDDEN: &[&str] = &[
    "AlphaSec",
    "Secret01",
    "ecret01xyz",
    "S-e-c-r-e-t",
    "-e-t01xyz",
    "ALPHASEC",
    "zyx10",
    "QWxwaGFTZWNy",
    "bHBoYVNlY3Jl",
    "scGhhU2VjcmV0",
    "416c7068615365",
    "S<e>c",
    "ta\\\\",
    "u003ce",
    "u0026r",
    "Be%22ta",
    "%2Bet%2F02",
    "QmUidGFcUzxl",
    "JlInRhXFM8",
    "4265227461",
    "Gamma03line",
    "EtaGiven08",
    "RXRhR2l2ZW4w",
    "8675309042",
    "550066001122",
    "Delta05",
    "DELTA05",
    "EpsilonUser06",
    "EPSILONUSER06",
    "ZetaLocal07",
    "chosen-by",
];

fn context(template: &str) -> TestContext {
    let context = test_context!().with("PKR_VAR_given", "EtaGiven08secret");
    context.template(template);
    context
}

#[track_caller]
fn shows_nothing(what: &str, text: &str) {
    for forbidden in FORBIDDEN {
        assert!(!text.contains(forbidden), "{what} shows {forbidden}:\n{text}");
    }
}

#[test]
fn no_secret_is_shown_by_any_command() {
    let context = context(&format!("{VARIABLES}{BUILD}")).with("PACKER_LOG", "1");
    let log = context.root().join("log.txt");
    let context = context.with("PACKER_LOG_PATH", log.display().to_string());
    let inspected = context.run(["inspect", "t.pkr.hcl"]).succeeds();
    assert!(
        inspected.contains("local.around: \"pre-<sensitive>-post\""),
        "{inspected}"
    );
    shows_nothing("inspect", &inspected);
    let built = context
        .run(["build", "-log-events", "events.jsonl", "t.pkr.hcl"])
        .succeeds();
    assert!(
        built.contains("the end") && built.contains("pre-<sensitive>-post"),
        "{built}"
    );
    shows_nothing("build", &built);
    shows_nothing("the events", &context.read("events.jsonl"));
    shows_nothing("the log", &fs::read_to_string(log).unwrap());
    let machine = context.run(["-machine-readable", "build", "t.pkr.hcl"]).succeeds();
    shows_nothing("build for machines", &machine);
}

#[test]
fn no_secret_is_in_arguments_of_processes_or_in_the_journal() {
    let context = context(&format!("{VARIABLES}{BUILD}"));
    context.run(["build", "t.pkr.hcl"]).succeeds();
    shows_nothing("the arguments", &context.read("argv.txt"));
    let journal = context.read("journal.txt");
    assert!(journal.contains("/packer-shell"), "{journal}");
    shows_nothing("the journal", &journal);
    assert!(left_in_tmp(&context).is_empty() && context.journals().is_empty());
}

#[test]
fn no_secret_is_shown_by_an_error_or_the_console() {
    for expression in [
        "tonumber(var.special)",
        "tonumber(local.upper)",
        "file(var.special)",
        "lookup({}, var.special)",
        "jsondecode(local.yaml)",
        "{ for x in [1, 2] : var.special => x }",
        "tomap({ a = var.special, b = [local.json] })",
        "regex(\"no\", local.json)",
        "[local.json, local.yaml, var.object, var.list, local.sum, local.replaced]",
        "jsonencode([local.json, local.replaced])",
    ] {
        let wrong = format!("{VARIABLES}local \"wrong\" {{\n  expression = {expression}\n}}\n{BUILD}");
        let context = context(&wrong);
        for arguments in [
            &["validate", "t.pkr.hcl"][..],
            &["validate", "-json", "t.pkr.hcl"],
            &["inspect", "t.pkr.hcl"],
        ] {
            let ran = context.run(arguments);
            shows_nothing(expression, &format!("{}{}", ran.stdout, ran.stderr));
        }
        let console = context.root().join("work/lines");
        fs::write(&console, format!("{expression}\n")).unwrap();
        let mut command = context.command(["console", "t.pkr.hcl"]);
        let ran = Ran::of(command.stdin(fs::File::open(&console).unwrap()));
        shows_nothing(expression, &format!("{}{}", ran.stdout, ran.stderr));
    }
}

#[cfg(feature = "amazon")]
#[test]
fn an_access_key_of_the_template_is_a_secret_also_in_complaints() {
    let context = test_context!();
    context.template(
        "source \"amazon-ebs\" \"x\" {\n  region = \"us-east-1\"\n  access_key = \"AKIATMPLNU14ACCESS00\"\n  secret_key = \"NuTemplSecret14/key\"\n  \
         token = \"XiTemplToken15==\"\n  instance_type = \"t3.micro\"\n  source_ami = \"ami-1\"\n  ssh_username = \"root\"\n  ami_name = \"an-image\"\n}\n\
         build {\n  sources = [\"source.amazon-ebs.x\"]\n  provisioner \"shell\" {\n    \
         scripts = [\"AKIATMPLNU14ACCESS00.sh\", \"NuTemplSecret14/key.sh\", \"XiTemplToken15==.sh\"]\n  }\n}\n",
    );
    let said = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    assert_eq!(
        said.matches("script `<sensitive>.sh` does not exist").count(),
        3,
        "{said}"
    );
    for secret in ["AKIATMPL", "NuTempl", "XiTempl"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn secrets_of_the_environment_are_masked() {
    let context = test_context!()
        .with("AWS_SECRET_ACCESS_KEY", "RhoAwsEnvSecret18key+/a")
        .with("AWS_SESSION_TOKEN", "SigmaEnvToken19");
    context.template(
        "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {\n    \
         inline = [\"echo key $AWS_SECRET_ACCESS_KEY token $AWS_SESSION_TOKEN\"]\n  }\n}\n",
    );
    let built = context.run(["build", "t.pkr.hcl"]).succeeds();
    // The token is too short to be one.
    assert!(built.contains("key <sensitive> token SigmaEnvToken19"), "{built}");
}

fn left_in_tmp(context: &TestContext) -> Vec<PathBuf> {
    let entries = fs::read_dir(context.root().join("tmp")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The script of a killed bake goes on; the pipe that it reads is what holds it, and what ends it.
#[test]
fn the_script_of_a_killed_bake_is_collected() {
    let context = context(
        r##"
variable "given" {
  type      = string
  sensitive = true
}
source "null" "a" {
  communicator = "none"
}
build {
  sources = ["source.null.a"]
  provisioner "shell-local" {
    inline = ["cat pipe", "# ${var.given}"]
  }
}
"##,
    );
    let _ = Ran::of(&mut context.command_of("mkfifo", ["pipe"])).succeeds();
    let child = context.start(["build", "t.pkr.hcl"]);
    // Waits for the script to open the other end.
    let pipe = OpenOptions::new()
        .write(true)
        .open(context.work().join("pipe"))
        .unwrap();
    signal(child.id(), "KILL");
    let _ = Ran::end_of(child);
    let left = left_in_tmp(&context);
    let [script] = left.as_slice() else {
        panic!("a script is left behind: {left:?}")
    };
    assert!(fs::read_to_string(script).unwrap().contains("EtaGiven08secret"));
    let listed = context.run(["gc", "-dry-run"]).succeeds();
    assert!(
        listed.starts_with(&format!("file {} of run ", real(script).display())),
        "{listed}"
    );
    let collected = context.run(["gc"]).succeeds();
    assert!(collected.ends_with(" is gone\n"), "{collected}");
    assert!(
        left_in_tmp(&context).is_empty() && context.journals().is_empty(),
        "{collected}"
    );
    drop(pipe);
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap()
}

/// A journal as a killed run leaves it, which wants a file removed.
fn plant(context: &TestContext, victim: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let directory = context.root().join("state/bakelite/journal");
    fs::create_dir_all(&directory).unwrap();
    let metadata = fs::metadata(victim).unwrap();
    let journal = directory.join("run\u{1b}[2J.jsonl");
    let lines = format!(
        "{{\"run\":{{\"format\":1,\"run\":\"r\\u001b[2J\"}}}}\n\
         {{\"intent\":{{\"entry\":0,\"resource\":{{\"owner\":\"this-machine\",\"kind\":\"file\",\"details\":{{\"path\":\"{}\"}}}}}}}}\n\
         {{\"made\":{{\"entry\":0,\"id\":\"{:x}-{:x}\"}}}}\n",
        real(victim).display(),
        metadata.dev(),
        metadata.ino()
    );
    fs::write(&journal, lines).unwrap();
    fs::set_permissions(&journal, Permissions::from_mode(0o600)).unwrap();
    journal
}

#[test]
fn gc_obeys_no_journal_that_somebody_else_may_have_written() {
    let context = test_context!();
    context.file("victim", "x");
    let victim = context.work().join("victim");
    let journal = plant(&context, &victim);
    fs::set_permissions(&journal, Permissions::from_mode(0o666)).unwrap();
    let said = context.run(["gc"]).fails_with(1);
    assert!(
        said.contains("others may write it (mode 666)") && !said.contains('\u{1b}'),
        "{said}"
    );
    // Only root can make one of somebody else; for other users the engine's test of journals has the case.
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&journal, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&journal, Some(65534), Some(65534)).unwrap();
        let said = context.run(["gc"]).fails_with(1);
        assert!(said.contains("it belongs to another user (uid 65534)"), "{said}");
    }
    assert!(victim.exists() && journal.exists());
}

/// The same journal of our own is obeyed, and no name in it moves the cursor.
#[test]
fn gc_obeys_a_journal_of_its_own_user() {
    let context = test_context!();
    context.file("victim", "x");
    let victim = context.work().join("victim");
    plant(&context, &victim);
    let said = context.run(["gc"]).succeeds();
    assert!(said.contains("of run r\\x1b[2J is gone"), "{said}");
    assert!(!victim.exists());
}

#[test]
fn what_is_kept_of_a_run_is_for_its_user_alone_whatever_the_umask() {
    let context = context(&format!("{VARIABLES}{BUILD}"));
    let state = context.root().join("state/bakelite");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    let binary = env!("CARGO_BIN_EXE_bakelite");
    let words = ["-c", "umask 000; exec \"$0\" build t.pkr.hcl", binary];
    let _ = Ran::of(&mut context.command_of("sh", words)).succeeds();
    for directory in [state.clone(), state.join("journal")] {
        let mode = fs::metadata(&directory).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", directory.display());
    }
}
