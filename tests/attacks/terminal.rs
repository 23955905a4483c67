//! Output of others is data: it drives no terminal, forges no line of bakelite's own, and is no template.

use std::path::Path;
use std::process::Command;

use crate::host::{Ground, Host};
use crate::peers::{Evil, SFTP};
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack(
        "output_drives_no_terminal_through_a_pipe",
        Needs::Nothing,
        through_a_pipe,
    ),
    Attack("output_drives_no_terminal", Needs::Nothing, at_a_terminal),
    Attack("output_forges_no_line", Needs::Nothing, forged_lines),
    Attack(
        "output_forges_no_line_for_machines",
        Needs::Nothing,
        forged_machine_lines,
    ),
    Attack("messages_of_a_server_drive_no_terminal", Needs::Nothing, messages),
    Attack("names_of_files_drive_no_terminal", Needs::Nothing, file_names),
    Attack("names_of_images_are_no_templates", Needs::Nothing, image_names),
];

/// What makes a terminal do something else than showing text, and that bakelite itself has no use for. Colours pass.
const COMMANDS: &[(&str, &[u8])] = &[
    ("OSC", b"\x1b]"),
    ("DCS", b"\x1bP"),
    ("APC", b"\x1b_"),
    ("PM", b"\x1b^"),
    ("SOS", b"\x1bX"),
    ("RIS", b"\x1bc"),
    ("DECALN", b"\x1b#8"),
    ("SCS", b"\x1b(0"),
    ("DECSC", b"\x1b7"),
    ("clear", b"\x1b[2J"),
    ("home", b"\x1b[H"),
    ("clear history", b"\x1b[3J"),
    ("report", b"\x1b[6n"),
    ("attributes", b"\x1b[c"),
    ("alternate screen", b"\x1b[?1049"),
    ("window", b"\x1b[8;1;1t"),
    ("region", b"\x1b[1;31r"),
    ("up by five", b"\x1b[5A"),
    ("half a sequence", b"\x1b[S"),
    ("C1 CSI", b"\xc2\x9b"),
    ("C1 OSC", b"\xc2\x9d"),
    ("C1 NEL", b"\xc2\x85"),
    ("C1 ST", b"\xc2\x9c"),
    ("raw C1", b"\x9b2J"),
    ("BEL", b"\x07"),
    ("BS", b"\x08"),
    ("NUL", b"\0"),
    ("DEL", b"\x7f"),
    ("VT", b"\x0b"),
    ("FF", b"\x0c"),
    ("SO", b"\x0e"),
    ("ENQ", b"\x05"),
    ("bidi", b"\xe2\x80\xae"),
    ("isolate", b"\xe2\x81\xa6"),
];

/// Nothing of [`COMMANDS`] is in what was shown.
#[track_caller]
fn drives_nothing(shown: &[u8]) {
    let contains = |command: &[u8]| shown.windows(command.len()).any(|window| window == command);
    let through: Vec<&str> = COMMANDS
        .iter()
        .filter(|(_, command)| contains(command))
        .map(|(name, _)| *name)
        .collect();
    assert!(through.is_empty(), "reaches the terminal: {}", through.join(", "));
}

/// A bake whose script prints it all.
fn saying(ground: &Ground) {
    ground.context.file("say.py", include_str!("scripts/say.py"));
    ground.context.template(
        "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {\n    inline = [\"/usr/bin/python3 say.py\"]\n  }\n}\n",
    );
}

/// Everything that a command writes, bytes as they are.
fn bytes_of(mut command: Command) -> Vec<u8> {
    // The deadline is `timeout`'s: it is bytes that are compared here.
    let inner = std::mem::replace(&mut command, Command::new("timeout"));
    command
        .arg("60")
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(inner.get_current_dir().unwrap_or(Path::new("/")));
    let output = command.output().unwrap();
    [output.stdout, output.stderr].concat()
}

/// The same at a terminal of its own.
fn bytes_at_a_terminal(ground: &Ground, arguments: &str) -> Vec<u8> {
    let own = ground.command(["version"]);
    let line = format!("{} {arguments}", own.get_program().to_string_lossy());
    let mut command = ground.context.command_of("script", ["-qec", &line, "/dev/null"]);
    command.env("TERM", "xterm");
    bytes_of(command)
}

/// All that was printed is readable.
#[track_caller]
fn is_shown(shown: &[u8]) {
    let text = String::from_utf8_lossy(shown);
    for word in [
        "SHOWN-title",
        "SHOWN-clipboard",
        "SHOWN-clear",
        "SHOWN-c1",
        "SHOWN-nul",
        "SHOWN-bidi",
        "SHOWN-FORGED",
    ] {
        assert!(text.contains(word), "{word} is not shown: {text:.2000}");
    }
}

fn through_a_pipe(host: Host) {
    let ground = host.ground();
    saying(&ground);
    let shown = bytes_of(ground.command(["build", "t.pkr.hcl"]));
    is_shown(&shown);
    drives_nothing(&shown);
}

fn at_a_terminal(host: Host) {
    let ground = host.ground();
    saying(&ground);
    for flags in ["build t.pkr.hcl", "build -color=false t.pkr.hcl"] {
        let shown = bytes_at_a_terminal(&ground, flags);
        is_shown(&shown);
        drives_nothing(&shown);
    }
}

fn forged_lines(host: Host) {
    let ground = host.ground();
    saying(&ground);
    let shown = bytes_of(ground.command(["build", "-color=false", "t.pkr.hcl"]));
    let text = String::from_utf8_lossy(&shown).into_owned();
    // Where a terminal begins a line.
    let lines = text.split(['\n', '\r', '\u{85}', '\u{b}', '\u{c}']);
    let forged: Vec<&str> = lines
        .filter(|line| line.contains("FORGED") && !line.starts_with("==> null.a: "))
        .collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert!(
        !text.contains("\u{1b}[1A") && !text.contains("\u{1b}[1G"),
        "the cursor goes where the script wants it"
    );
}

fn forged_machine_lines(host: Host) {
    let ground = host.ground();
    saying(&ground);
    let printed = ground
        .run(["build", "-machine-readable", "-log-events", "events.jsonl", "t.pkr.hcl"])
        .succeeds();
    for line in printed.split(['\n', '\r']).filter(|line| line.contains("FORGED")) {
        let fields: Vec<&str> = line.split(',').collect();
        assert!(
            fields.len() > 2 && fields[0].parse::<u64>().is_ok_and(|time| time > 1234),
            "{line}"
        );
        assert_eq!(fields[2], "ui", "{line}");
    }
    for line in ground.context.read("events.jsonl").lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
}

fn messages(host: Host) {
    let ground = host.ground();
    let evil = Evil::start("message", &ground.context.work());
    ground.context.template(&evil.download("/remote/src/", SFTP));
    for shown in [
        bytes_of(ground.command(["build", "t.pkr.hcl"])),
        bytes_at_a_terminal(&ground, "build t.pkr.hcl"),
    ] {
        drives_nothing(&shown);
        assert!(
            String::from_utf8_lossy(&shown).contains("errored"),
            "{}",
            String::from_utf8_lossy(&shown)
        );
    }
}

fn file_names(host: Host) {
    let ground = host.ground();
    let evil = Evil::start("names-with-escapes", &ground.context.work());
    for method in [SFTP, ""] {
        ground.context.template(&evil.download("%F/src/", method));
        drives_nothing(&bytes_of(ground.command(["build", "t.pkr.hcl"])));
    }
}

/// An image of another account has a name with a template in it. It is used where templates are.
fn image_names(host: Host) {
    let ground = host.ground();
    ground
        .context
        .file("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    ground.context.template(
        r#"
source "amazon-ebs" "a" {
  region          = "us-east-1"
  ami_name        = "aaaa"
  instance_type   = "t3.micro"
  communicator    = "none"
  skip_create_ami = true
  source_ami_filter {
    filters     = { name = "foreign*" }
    owners      = ["self"]
    most_recent = true
  }
}
build {
  sources = ["source.amazon-ebs.a"]
  provisioner "shell-local" {
    environment_vars = ["NAME=${build.SourceAMIName}"]
    inline           = ["echo \"named $NAME\"", "echo 'inline ${build.SourceAMIName}'"]
  }
}
"#,
    );
    for name in [
        "foreign {{ isotime }}",
        "foreign {{ build `ID` }}",
        "foreign {{ uuid }}{{ pwd }}",
        "foreign {{",
    ] {
        let image = format!("{name}=root");
        let printed = ground
            .run(["build", "-local", "-local-image", &image, "t.pkr.hcl"])
            .succeeds();
        for place in ["named", "inline"] {
            assert!(
                printed.contains(&format!("==> amazon-ebs.a: {place} {name}\n")),
                "{place}: {printed}"
            );
        }
    }
}
