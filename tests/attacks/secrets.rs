//! Secrets of a bake: looked for in everything that it leaves and shows, however they are written there.

use std::collections::BTreeMap;
use std::path::Path;

use bakelite_test_support::clouds::signal;

use crate::cloud::Cloud;
use crate::host::{Ground, Host, TIMEOUT, WAITING};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("a_bake_that_uses_all_shows_no_secret", Needs::Nothing, everything),
    Attack("what_is_made_of_several_secrets_is_hidden", Needs::Nothing, derived),
    Attack("every_way_to_write_a_secret_is_hidden", Needs::Nothing, written),
    Attack("numbers_and_members_are_hidden", Needs::Nothing, numbers),
    Attack("what_is_quoted_is_hidden_before", Needs::Nothing, quoted),
    Attack("the_cut_of_an_endless_line_shows_no_half", Needs::Nothing, cut),
    Attack("parts_that_come_one_after_another_are_hidden", Needs::Nothing, parts),
    Attack("access_keys_of_a_template_are_hidden", Needs::Nothing, access_keys),
    Attack("a_kill_and_gc_leave_no_secret", Needs::Nothing, killed),
];

const PLAIN: &str = "AlphaSecret01xyz";
const SPECIAL: &str = "Be\"ta\\S<e>c&r+et/02='%";

/// A template without machines, whose one command on this machine is this, with secrets in variables and locals.
fn local(locals: &str, inline: &str) -> String {
    format!(
        r#"
variable "plain" {{
  sensitive = true
}}
variable "special" {{
  sensitive = true
}}
variable "number" {{
  type      = number
  sensitive = true
  default   = 867530904211
}}
variable "object" {{
  type      = object({{ user = string, list = list(string), number = number }})
  sensitive = true
  default   = {{ user = "EpsilonUser06", list = ["Delta05one"], number = 550066001122 }}
}}
locals {{
  {locals}
}}
source "null" "a" {{
  communicator = "none"
}}
build {{
  sources = ["source.null.a"]
  provisioner "shell-local" {{
    {inline}
  }}
}}
"#
    )
}

/// A place whose templates get these values for their variables.
fn ground(host: Host) -> Ground {
    host.ground()
        .with("PKR_VAR_plain", PLAIN)
        .with("PKR_VAR_special", SPECIAL)
}

/// Everything that commands of bakelite show about a template.
fn shown(ground: &Ground, template: &str) -> String {
    ground.context.template(template);
    let mut all = String::new();
    for arguments in [
        &["build", "t.pkr.hcl"][..],
        &["build", "-machine-readable", "t.pkr.hcl"],
        &["inspect", "t.pkr.hcl"],
        &["validate", "-json", "t.pkr.hcl"],
    ] {
        let ran = ground.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        all.extend([format!("\n# {arguments:?}\n"), ran.stdout, ran.stderr]);
    }
    all
}

/// None of these is in the text.
#[track_caller]
fn hidden(text: &str, fragments: &[&str]) {
    let found: Vec<String> = text
        .lines()
        .filter(|line| fragments.iter().any(|fragment| line.contains(fragment)))
        .map(|line| line.chars().take(300).collect())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(text.contains("<sensitive>"), "nothing was hidden: {text}");
}

/// S1 of the review.
fn derived(host: Host) {
    let locals = r#"
  parts    = split("S", var.plain)
  replaced = replace(var.plain, "Secret", "S-e-c-r-e-t")
  start    = substr(var.plain, 0, 8)
  json     = jsonencode({ a = var.special, b = var.plain, c = upper(var.plain) })
  both     = "${var.plain} ${upper(var.special)} ${strrev(var.plain)}"
  hash     = md5("${var.plain}${var.special}")
  twice    = base64encode(base64encode(var.plain))
"#;
    let inline = r#"inline = [
      "echo ${local.replaced}; echo ${local.start}; echo ${local.parts[0]} ${local.parts[1]}; echo ${local.twice}; echo ${local.hash}",
      "cat <<'END'\n${local.json}\n${local.both}\nEND",
    ]"#;
    let printed = shown(&ground(host), &local(locals, inline));
    let fragments = [
        "S-e-c-r-e-t",
        "AlphaSec",
        "ecret01xyz",
        "ALPHASECRET",
        "BE\"TA",
        "zyx10terceS",
        "Be\\\"ta",
        "UVd4d2FHRlRaV055WlhRd01YaDVl",
        "t01xyz",
    ];
    hidden(&printed, &fragments);
}

/// S2 of the review, and its relatives.
fn written(host: Host) {
    let ground = ground(host);
    ground.context.file("special", SPECIAL);
    let script = r#"
import base64, json, sys, urllib.parse
secret = open("special").read()
go = json.dumps(secret).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
print(secret); print(json.dumps({"a": secret})); print(go); print(urllib.parse.quote(secret, safe="")); print(urllib.parse.quote_plus(secret))
print(secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#39;"))
print("'" + secret.replace("'", "'\\''") + "'")
for offset in range(3):
    print(base64.b64encode(b"x" * offset + secret.encode() + b"yy").decode())
"#;
    ground.context.file("write.py", script);
    let inline = r#"inline = ["/usr/bin/python3 write.py; echo ${jsonencode({ a = 1 })} | tr -d 1"]"#;
    let printed = shown(&ground, &local("json = jsonencode(var.special)", inline));
    let fragments = [
        "Be\"ta",
        "Be\\\"ta",
        "S<e>c",
        "S\\u003ce",
        "%3Ce%3Ec",
        "S&lt;e",
        "r%2Bet",
        "QmUidGFcUzxlPmMmcitldC8w",
        "JlInRhXFM8ZT5jJnIrZXQvM",
        "CZSJ0YVxTPGU+YyZyK2V0Lz",
    ];
    hidden(&printed, &fragments);
}

/// S4 of the review.
fn numbers(host: Host) {
    let locals = "text = \"n ${var.number} m\"\n  more = var.number + 1\n  member = var.object.number\n  json = jsonencode(var.object)";
    let inline = r#"inline = ["echo ${var.number} ${local.more} ${var.object.number} ${var.object.user} ${var.object.list[0]} ${local.text} ${local.member}", "echo '${local.json}'"]"#;
    let printed = shown(&ground(host), &local(locals, inline));
    hidden(
        &printed,
        &[
            "867530904211",
            "867530904212",
            "550066001122",
            "EpsilonUser06",
            "Delta05one",
        ],
    );
}

/// S3 of the review.
fn quoted(host: Host) {
    let ground = ground(host);
    let locals = "yaml = yamlencode({ a = var.special })\n  json = jsonencode({ a = var.special })\n  nested = jsonencode({ b = jsonencode({ a = var.special }) })";
    let printed = shown(
        &ground,
        &local(
            locals,
            r#"inline = ["echo '${base64encode(local.nested)}' | base64 -d"]"#,
        ),
    );
    let mut console = ground.context.command_of("sh", ["-c", "printf 'variables\\nlocal.yaml\\nlocal.nested\\njsonencode(local.nested)\\n[var.special]\\n' | \"$0\" console t.pkr.hcl"]);
    console.arg(ground.command(["version"]).get_program());
    let asked = Started::of(console).end(TIMEOUT);
    hidden(
        &format!("{printed}{}{}", asked.stdout, asked.stderr),
        &["ta\\", "S<e>c", "S\\u003c", "c&r+et", "r+et/02"],
    );
}

/// S5 of the review: a line is cut somewhere when it does not end.
fn cut(host: Host) {
    let ground = ground(host);
    let script = "
import sys
w = sys.stdout.write
for size in (1 << 20, 1 << 16, 1 << 13):
    for before in range(1, 17):
        w('x' * (size - before) + 'Alpha' + 'Secret01xyz' + 'z' * 100 + '\\n')
w('y' * ((1 << 20) + (1 << 19)))
w('Alpha' + 'Secret01xyz')
w('y' * (1 << 20) + '\\n')
";
    ground.context.file("cut.py", script);
    ground.context.template(&local(
        "a = 1",
        r#"inline = ["echo ${var.plain}; /usr/bin/python3 cut.py"]"#,
    ));
    let printed = ground.run(["build", "t.pkr.hcl"]).succeeds();
    for fragment in ["AlphaS", "pha", "Secret", "01x", "xyz"] {
        let at = printed.find(fragment);
        assert!(
            at.is_none(),
            "{fragment}: {:?}",
            at.and_then(|at| printed.get(at.saturating_sub(20)..at + 20))
        );
    }
    assert!(printed.contains("<sensitive>"));
}

fn parts(host: Host) {
    let ground = ground(host);
    let script = "
import os
def say(text):
    os.write(1, text.encode())
for at in range(1, 16):
    secret = 'Alpha' + 'Secret01xyz'
    say('a ' + secret[:at]); say(secret[at:] + ' b\\n')
    say(secret + '\\r' + secret + '\\n')
";
    ground.context.file("parts.py", script);
    let printed = shown(
        &ground,
        &local("a = 1", r#"inline = ["echo ${var.plain}; /usr/bin/python3 parts.py"]"#),
    );
    hidden(&printed, &["Alpha", "Secret", "01xyz"]);
}

/// S7 of the review: the keys in a template are those of a cloud that checks them.
fn access_keys(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let keys = [cloud.export("AWS_ACCESS_KEY_ID"), cloud.export("AWS_SECRET_ACCESS_KEY")];
    // Where the cloud takes any keys, those of the attack.
    let keys = if keys[0] == "local" {
        ["AKIATMPLNU14ACCESS00", "NuTemplSecret14/secretkey"]
    } else {
        keys
    };
    let source = format!(
        "access_key = \"{}\"\n  secret_key = \"{}\"\n  skip_create_ami = true",
        keys[0], keys[1]
    );
    let template = crate::api::waiting(&source).replace(WAITING, &format!("echo said {} {}", keys[0], keys[1]));
    ground.context.template(&template);
    let mut command = ground.command(["build", "t.pkr.hcl"]);
    command.env("AWS_ENDPOINT_URL", cloud.endpoint());
    let printed = Started::of(command).end(TIMEOUT).succeeds();
    assert!(
        printed.contains("==> amazon-ebs.a: said <sensitive> <sensitive>\n"),
        "{printed}"
    );
}

/// What `leaks.py` finds of these secrets in these places.
fn leaks(ground: &Ground, secrets: &BTreeMap<&str, &str>, places: &[&Path]) -> Vec<String> {
    let list = ground.private_directory("looked-for").join("secrets.json");
    std::fs::write(&list, serde_json::to_string(secrets).unwrap()).unwrap();
    let mut command = std::process::Command::new("/usr/bin/python3");
    command
        .args(["-c", include_str!("scripts/leaks.py")])
        .arg(list)
        .args(places);
    let printed = Started::of(command).end(TIMEOUT).succeeds();
    assert!(printed.ends_with("looked\n"), "{printed}");
    printed
        .lines()
        .filter(|line| *line != "looked")
        .map(str::to_owned)
        .collect()
}

/// S6 of the review.
fn killed(host: Host) {
    let ground = ground(host);
    let template = local("a = 1", "inline = [\"echo ${var.plain}\"]").replace(
        "source \"null\" \"a\" {\n  communicator = \"none\"\n}",
        &crate::api::waiting("")
            .split("build {")
            .next()
            .unwrap()
            .replace("\"a\"", "\"b\""),
    );
    let template = template.replace("source.null.a", "source.amazon-ebs.b").replace(
        "provisioner \"shell-local\" {",
        "provisioner \"file\" {\n    content = var.special\n    destination = \"/tmp/special\"\n  }\n  provisioner \"shell-local\" {\n    environment_vars = [\"SPECIAL=${var.special}\"]\n    inline = [\"echo ${var.plain} > /dev/null; touch reached; sleep 60\"]\n  }\n  provisioner \"shell-local\" {",
    );
    ground.context.template(&template);
    let mut bake = ground.start(["build", "-local", "t.pkr.hcl"]);
    bake.makes(&ground.context.work().join("reached"), TIMEOUT);
    signal(bake.id(), "KILL");
    bake.kill();
    let _ = ground.run(["gc"]).succeeds();
    let secrets = BTreeMap::from([("plain", PLAIN), ("special", SPECIAL)]);
    let root = ground.context.root();
    let found = leaks(
        &ground,
        &secrets,
        &[
            &root.join("tmp"),
            &root.join("home"),
            &root.join("state/bakelite/journal"),
        ],
    );
    assert!(found.is_empty(), "{found:#?}");
    let left: Vec<_> = std::fs::read_dir(root.join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn everything(host: Host) {
    let ground = ground(host)
        .with("PKR_VAR_environment", "EtaEnv08secret")
        .with("PACKER_LOG", "trace")
        .with("PACKER_LOG_PATH", "log.txt");
    ground
        .context
        .file("secrets.pkrvars.hcl", "from_file = \"ThetaFile09secret\"\n");
    ground.context.file("rendered.tpl", "rendered ${s} here");
    ground.context.template(include_str!("scripts/everything.pkr.hcl"));
    let flags = [
        "build",
        "-local",
        "-log-events",
        "events.jsonl",
        "-timing",
        "-trace=trace.json",
        "-report=report.html",
        "-var-file",
        "secrets.pkrvars.hcl",
        "t.pkr.hcl",
    ];
    let ran = ground.run(flags);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let machine = ground.run(
        flags
            .into_iter()
            .take(2)
            .chain(["-machine-readable"])
            .chain(flags.into_iter().skip(4)),
    );
    assert_eq!(machine.code, Some(0), "{machine:?}");
    ground.context.file("FAIL", "");
    let failed = ground.run(flags);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let shown = ground.private_directory("shown");
    for (name, text) in [
        ("build", ran.stdout + &ran.stderr),
        ("build -machine-readable", machine.stdout + &machine.stderr),
        ("a build that fails", failed.stdout + &failed.stderr),
        ("-trace", ground.context.read("trace.json")),
        ("-report", ground.context.read("report.html")),
        ("-log-events", ground.context.read("events.jsonl")),
        ("PACKER_LOG_PATH", ground.context.read("log.txt")),
        ("command lines", ground.context.read("command-lines")),
    ] {
        std::fs::write(shown.join(name), text).unwrap();
    }
    let secrets = BTreeMap::from([
        ("plain", PLAIN),
        ("special", SPECIAL),
        ("a line of many", "Gamma03line1"),
        ("the last line of many", "Gamma03line3"),
        ("environment", "EtaEnv08secret"),
        ("var file", "ThetaFile09secret"),
        ("number", "867530904211"),
        ("element", "Delta05one"),
        ("member", "EpsilonUser06"),
        ("number of an object", "550066001122"),
        ("local", "ZetaLocal07"),
        ("part", "S-e-c-r-e-t"),
    ]);
    let work = ground.context.work();
    let root = ground.context.root();
    let places = [
        &shown,
        &work.join("journals"),
        &root.join("tmp"),
        &root.join("state/bakelite/journal"),
    ];
    let found = leaks(&ground, &secrets, &places.map(|place| place.as_path() as &Path));
    assert!(found.is_empty(), "{} leaks: {found:#?}", found.len());
    assert!(
        std::fs::read_dir(work.join("journals")).unwrap().count() > 0,
        "no journal was looked at"
    );
}
