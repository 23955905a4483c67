//! Another user of the machine, beside the API: what is in files, and the way into an instance.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use bakelite_test_support::clouds::signal;

use crate::api::waiting;
use crate::cloud::Cloud;
use crate::host::{Ground, Host, Other, TIMEOUT, WAITING};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("the_state_is_closed_under_any_umask", Needs::BothHostsAndRoot, state),
    Attack(
        "temporary_files_are_closed_under_any_umask",
        Needs::BothHostsAndRoot,
        temporary_files,
    ),
    Attack("an_instance_lets_in_its_key_alone", Needs::BothHostsAndRoot, ssh),
    Attack("no_secret_is_in_a_command_line", Needs::BothHostsAndRoot, command_lines),
    Attack("gc_obeys_no_journal_of_another_user", Needs::BothHostsAndRoot, journals),
    Attack(
        "gc_obeys_no_journal_that_another_user_may_write",
        Needs::BothHostsAndRoot,
        writable_journals,
    ),
];

/// The command where files are made with all permissions unless the program restricts them.
fn careless(ground: &Ground, arguments: &[&str]) -> Started {
    let inner = ground.command(arguments);
    let mut words: Vec<PathBuf> = vec!["-c".into(), "umask 000 && exec \"$0\" \"$@\"".into()];
    words.push(inner.get_program().into());
    words.extend(inner.get_args().map(PathBuf::from));
    Started::of(ground.context.command_of("sh", words))
}

/// What another user may read or write below a directory.
fn open_to_others(place: &std::path::Path) -> Vec<String> {
    let program = include_str!("scripts/look_around.py");
    let printed = Other::new().runs(program, &[("PLACE", &place.display().to_string())]);
    assert!(printed.ends_with("tried\n"), "{printed}");
    printed
        .lines()
        .filter(|line| *line != "tried")
        .map(str::to_owned)
        .collect()
}

fn state(host: Host) {
    let ground = host.ground();
    ground.open_to_others();
    let cloud = Cloud::of(
        &ground,
        careless(&ground, &["local", "serve", "-listen", "127.0.0.1:0", "-ssh-port", "0"]),
    );
    let instance = cloud.launch("#!/bin/sh\ntouch /var/tmp/done\n");
    instance.has("/var/tmp/done");
    instance.image("one").expect("an image");
    ground.context.template(&waiting(""));
    let mut bake = careless(&ground, &["build", "-local", "t.pkr.hcl"]);
    bake.makes(&ground.context.work().join("reached"), TIMEOUT);
    assert!(
        !ground.context.journals().is_empty(),
        "a bake in the middle has a journal"
    );
    let open = open_to_others(&ground.context.root().join("state"));
    // That there is a directory is no secret, what is in it is.
    let told: Vec<&String> = open.iter().filter(|line| *line != "READ /bakelite").collect();
    assert!(told.is_empty(), "another user may: {told:?}");
    drop((bake, cloud));
}

fn temporary_files(host: Host) {
    let ground = host.ground();
    ground.open_to_others();
    ground.context.template(&format!(
        "source \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {{\n    inline = [\"{WAITING}\"]\n  }}\n}}\n"
    ));
    let mut bake = careless(&ground, &["build", "t.pkr.hcl"]);
    bake.makes(&ground.context.work().join("reached"), TIMEOUT);
    let open = open_to_others(&ground.context.root().join("tmp"));
    assert!(open.is_empty(), "another user may: {open:?}");
    drop(bake);
}

fn ssh(host: Host) {
    let ground = host.ground();
    let cloud = Cloud::serve(&ground, &[]);
    let instance = cloud.launch("#!/bin/sh\ntrue\n");
    let other = Other::new();
    let program = "
import os, subprocess
home = os.environ['HOME']
subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', home + '/key'], check=True)
options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes', 'LogLevel=ERROR']
flags = [word for option in options for word in ('-o', option)]
for user in ('admin', 'root', 'nobody', ''):
    for more in (['-i', home + '/key'], ['-o', 'PreferredAuthentications=none'], ['-o', 'PreferredAuthentications=password,keyboard-interactive,hostbased']):
        target = [os.environ['ADDRESS'], '-l', user, '-p', os.environ['PORT']]
        ran = subprocess.run(['ssh', '-F', '/dev/null', *flags, *more, *target, 'echo got in'], capture_output=True, text=True, timeout=20)
        print('LET THROUGH' if ran.returncode != 255 or 'got in' in ran.stdout else 'refused', user, more, ran.stderr.strip())
print('tried')";
    let printed = other.runs(program, &[("ADDRESS", &instance.address), ("PORT", &instance.port)]);
    assert!(
        printed.contains("Permission denied") && !printed.contains("LET THROUGH"),
        "{printed}"
    );
}

fn command_lines(host: Host) {
    let ground = host.ground().with("PKR_VAR_password", "the-password-of-the-template");
    ground.context.template(
        &(waiting("run_tags = { T = var.password }") + "variable \"password\" {\n  sensitive = true\n}\n").replace(
            "inline = [\"touch",
            "env = { PASSWORD = var.password }\n    inline = [\"echo ${var.password}; touch",
        ),
    );
    let mut bake = ground.start(["build", "-local", "t.pkr.hcl"]);
    bake.makes(&ground.context.work().join("reached"), TIMEOUT);
    let look = "
import glob
for path in glob.glob('/proc/[0-9]*/cmdline'):
    try:
        line = open(path, 'rb').read().replace(b'\\0', b' ').decode('utf-8', 'replace')
    except OSError:
        continue
    if 'the-password-of-' + 'the-template' in line:
        print('SEEN', line)
print('tried')";
    let printed = Other::new().runs(look, &[]);
    assert_eq!(printed, "tried\n");
    ground.context.file("go", "");
    let _ = bake.end(TIMEOUT).succeeds();
}

/// The journal of a bake that was killed, with the path of a file of the owner's put in for what is to be removed.
fn poisoned(ground: &Ground) -> (PathBuf, PathBuf) {
    ground.context.template(&waiting(""));
    let mut bake = ground.start(["build", "-local", "t.pkr.hcl"]);
    bake.makes(&ground.context.work().join("reached"), TIMEOUT);
    signal(bake.id(), "KILL");
    bake.kill();
    let journal = ground.context.journals().remove(0);
    let victim = ground.context.root().join("victim");
    ground.private_file(&victim, "precious");
    let text = std::fs::read_to_string(&journal).unwrap();
    let details = format!("\"details\":{{\"private-key-file\":\"{}\",", victim.display());
    std::fs::write(&journal, text.replace("\"details\":{", &details)).unwrap();
    ground.give(&journal);
    (journal, victim)
}

fn journals(host: Host) {
    let ground = host.ground();
    let (journal, victim) = poisoned(&ground);
    // One that the owner can read, as the other user would want it.
    std::fs::set_permissions(&journal, Permissions::from_mode(0o644)).unwrap();
    Other::give(&journal);
    let ran = ground.run(["gc"]);
    assert!(
        victim.exists(),
        "another user's journal had a file of the owner removed: {ran:?}"
    );
    assert!(journal.exists(), "{ran:?}");
}

fn writable_journals(host: Host) {
    let ground = host.ground();
    let (journal, victim) = poisoned(&ground);
    std::fs::set_permissions(&journal, Permissions::from_mode(0o666)).unwrap();
    let ran = ground.run(["gc"]);
    assert!(
        victim.exists(),
        "a journal that everyone may write had a file removed: {ran:?}"
    );
}
