//! Servers that are not what they should be: OpenSSH's, with an SFTP server, a `tar` and commands of an attacker's own.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bakelite_test_support::eventually::{until, within};
use bakelite_test_support::sshd::{Setup, Sshd};
use tokio::runtime::Runtime;

use crate::host::{Host, TIMEOUT};
use crate::started::Started;
use crate::{Attack, Needs};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack("names_of_an_sftp_server_lead_nowhere", Needs::Nothing, sftp_names),
    Attack("links_of_an_sftp_server_lead_nowhere", Needs::Nothing, sftp_links),
    Attack("a_tar_stream_writes_nothing_elsewhere", Needs::Nothing, tar_names),
    Attack("modes_of_a_server_stay_within_the_umask", Needs::Nothing, modes),
    Attack("headers_of_a_tar_stream_take_no_memory", Needs::Nothing, tar_headers),
    Attack("links_of_a_tar_stream_take_no_memory", Needs::Nothing, tar_links),
    Attack(
        "output_that_nobody_reads_takes_no_memory",
        Needs::Nothing,
        unread_output,
    ),
    Attack("a_line_without_end_takes_no_memory", Needs::Nothing, endless_line),
    Attack(
        "an_sftp_answer_without_end_takes_no_memory",
        Needs::Nothing,
        sftp_memory,
    ),
];

/// More than any of these bakes needs, in MiB: that of a build without optimization has 60.
const MEMORY: u64 = 160;

/// A server whose SFTP and `tar` are an attacker's; the file `mode` in the server's directory selects the attack.
pub(crate) struct Evil {
    server: Sshd,
    /// The server lives in it.
    _runtime: Runtime,
}

impl Evil {
    pub(crate) fn start(mode: &str, target: &Path) -> Evil {
        let runtime = Runtime::new().unwrap();
        let config = "SetEnv HOME=%F PATH=%F/evil:/usr/bin:/bin\nSubsystem sftp /usr/bin/python3 %F/sftp.py";
        let setup = Setup {
            sftp: false,
            config: config.to_owned(),
            ..Setup::default()
        };
        let server = runtime.block_on(Sshd::start(setup));
        let directory = server.directory();
        let fill = |text: &str| {
            text.replace("@MODE@", mode)
                .replace("@TARGET@", &target.display().to_string())
        };
        std::fs::create_dir(directory.join("evil")).unwrap();
        // The shell is an honest one, and looks whether it is there.
        std::fs::create_dir(directory.join("src")).unwrap();
        std::fs::write(directory.join("sftp.py"), fill(include_str!("scripts/evil_sftp.py"))).unwrap();
        let tar = directory.join("evil/tar");
        std::fs::write(&tar, fill(include_str!("scripts/evil_tar.py"))).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&tar, executable).unwrap();
        Evil {
            server,
            _runtime: runtime,
        }
    }

    /// A template with a download of this from the server, by this method.
    pub(crate) fn download(&self, source: &str, method: &str) -> String {
        let source = source.replace("%F", &self.server.directory().display().to_string());
        let provisioner = format!(
            "provisioner \"file\" {{\n    direction = \"download\"\n    source = \"{source}\"\n    destination = \"into/\"\n  }}"
        );
        self.template(method, &provisioner)
    }

    /// A template that bakes on this server, with these lines in its source and this provisioner.
    fn template(&self, source: &str, provisioner: &str) -> String {
        format!(
            r#"
source "null" "a" {{
  ssh_host             = "127.0.0.1"
  ssh_port             = {}
  ssh_username         = "{}"
  ssh_private_key_file = "{}"
  {source}
}}
build {{
  sources = ["source.null.a"]
  {provisioner}
}}
"#,
            self.server.address.port(),
            self.server.username,
            self.server.key_file.display()
        )
    }
}

/// A line of a source: files move by SFTP alone.
pub(crate) const SFTP: &str = "ssh_file_transfer_method = \"sftp\"";

/// Every file and link below a directory but for one, with what is in it: what must be as before.
fn contents(directory: &Path, except: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path == except {
            continue;
        }
        if let Ok(to) = std::fs::read_link(&path) {
            found.insert(path, format!("link to {}", to.display()));
        } else if path.is_dir() {
            found.extend(contents(&path, except));
        } else {
            found.insert(
                path.clone(),
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
            );
        }
    }
    found
}

/// No link below the directory leads out of it.
fn no_way_out(directory: &Path) {
    let inside = directory.canonicalize().unwrap();
    for (path, content) in contents(directory, Path::new("")) {
        if let Some(to) = content.strip_prefix("link to ") {
            let leads = path.parent().unwrap().join(to);
            let leads = leads.canonicalize().unwrap_or(leads);
            assert!(
                leads.starts_with(&inside) && !to.starts_with('/'),
                "{} -> {to}",
                path.display()
            );
        }
    }
}

/// Downloads from a server that attacks in this way, by each of these methods; nothing but the destination may change.
fn stays_inside(host: Host, mode: &str, sources: &[&str], methods: &[&str]) {
    for source in sources {
        for method in methods {
            let ground = host.ground();
            let work = ground.context.work();
            let evil = Evil::start(mode, &work);
            let into = work.join("into");
            std::fs::create_dir(&into).unwrap();
            // `x/../..` leads out only where `x` is.
            std::fs::create_dir(into.join("x")).unwrap();
            ground.context.file("outside/precious", "as it was");
            ground.context.template(&evil.download(source, method));
            let before = contents(ground.context.root(), &into);
            let ran = ground.run(["build", "t.pkr.hcl"]);
            let shown = format!("{mode} {source} {method}: {ran:?}");
            let after = contents(ground.context.root(), &into);
            assert!(
                after == before,
                "{shown}: {:?}",
                after.iter().find(|(path, _)| !before.contains_key(*path))
            );
            no_way_out(&into);
            assert!(evil.server.connections() > 0, "{shown}: nothing was attacked");
        }
    }
}

fn sftp_names(host: Host) {
    stays_inside(host, "names", &["/var/log/*.log", "%F/src/", "%F/src"], &[SFTP, ""]);
}

fn sftp_links(host: Host) {
    stays_inside(host, "twice", &["%F/src/", "%F/src"], &[SFTP, ""]);
}

fn tar_names(host: Host) {
    stays_inside(host, "names", &["%F/src/"], &[""]);
}

fn modes(host: Host) {
    for method in ["", SFTP] {
        let ground = host.ground();
        let evil = Evil::start("modes", &ground.context.work());
        ground.context.template(&evil.download("%F/src/", method));
        let inner = ground.command(["build", "t.pkr.hcl"]);
        let mut words: Vec<PathBuf> = vec![
            "-c".into(),
            "umask 077 && exec \"$0\" \"$@\"".into(),
            inner.get_program().into(),
        ];
        words.extend(inner.get_args().map(PathBuf::from));
        let ran = Started::of(ground.context.command_of("sh", words)).end(TIMEOUT);
        // By SFTP, the directory comes with its name.
        let into = ground.context.work().join("into");
        let files = [into.join("open"), into.join("src/open")];
        let found = files.iter().find_map(|file| std::fs::metadata(file).ok());
        let mode = found
            .unwrap_or_else(|| panic!("{method}: no file came: {ran:?}"))
            .mode()
            & 0o7777;
        assert_eq!(
            mode & 0o7077,
            0,
            "{method}: a file that its server says is open to all has mode {mode:o} under umask 077"
        );
    }
}

/// The most memory that a bake has while it lasts, or until it has more than it should.
fn memory_of(mut bake: Started) -> (u64, String) {
    let mut most = 0;
    until("the end of the bake", Duration::from_mins(3), || {
        most = most.max(bake.peak().unwrap_or_default());
        (bake.has_ended() || most > MEMORY).then_some(())
    });
    if most > MEMORY {
        bake.kill();
    }
    let ran = bake.end(TIMEOUT);
    (most, format!("{ran:?}"))
}

/// Downloads from a server that attacks in this way, within bounds.
fn takes_no_memory(host: Host, mode: &str, method: &str) {
    let ground = host.ground();
    let evil = Evil::start(mode, &ground.context.work());
    ground.context.template(&evil.download("%F/src/", method));
    let (most, shown) = memory_of(ground.start(["build", "t.pkr.hcl"]));
    assert!(most < MEMORY, "{mode}: {most} MiB: {shown:.600}");
    assert!(evil.server.connections() > 0, "{shown}: nothing was attacked");
}

fn tar_headers(host: Host) {
    for mode in ["long-name", "long-link", "extended-header", "global-header"] {
        takes_no_memory(host, mode, "");
    }
}

fn tar_links(host: Host) {
    takes_no_memory(host, "many-links", "");
}

fn sftp_memory(host: Host) {
    for mode in ["long-packet", "endless-depth"] {
        takes_no_memory(host, mode, SFTP);
    }
}

/// 160 MiB, and a file that reports the progress.
const MUCH: &str = "touch begun; i=0; while [ $i -lt 160 ]; do head -c 1048576 /dev/zero | tr '\\\\0' A | fold -w 256; i=$((i+1)); echo $i > progress; done; touch finished";

/// Output waits for its reader. Here bakelite's output is not read.
fn unread_output(host: Host) {
    let ground = host.ground();
    let template = format!(
        "source \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {{\n    inline = [\"{MUCH}\"]\n  }}\n}}\n"
    );
    ground.context.template(&template);
    let mut command = ground.command(["build", "t.pkr.hcl"]);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut bake = command.spawn().unwrap();
    let work = ground.context.work();
    let progress = || std::fs::read_to_string(work.join("progress")).unwrap_or_default();
    // The script stops where the reader has stopped: nothing happens for a while. Or it ends, which it must not.
    let mut last = (progress(), std::time::Instant::now());
    let mut most = 0;
    until("a script that waits for its reader", Duration::from_secs(50), || {
        most = most.max(crate::started::peak(bake.id()).unwrap_or_default());
        let now = progress();
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        let begun = work.join("begun").exists();
        let waits = begun && last.1.elapsed() > Duration::from_secs(3);
        (waits || most > MEMORY || work.join("finished").exists()).then_some(())
    });
    let finished = work.join("finished").exists();
    // Once the output is read, the script goes on.
    let stopped_at = progress();
    let mut stdout = bake.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let goes_on = within(TIMEOUT, || (progress() != stopped_at).then_some(())).is_some();
    let _ = bake.kill();
    let _ = bake.wait();
    assert!(most < MEMORY, "{most} MiB of output wait for a reader");
    assert!(!finished, "the script did not wait");
    assert!(goes_on, "the script did not go on when its output was read");
}

fn endless_line(host: Host) {
    let ground = host.ground();
    ground.context.template(
        "source \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {\n    inline = [\"head -c 268435456 /dev/zero | tr '\\\\0' A\"]\n  }\n}\n",
    );
    let (most, shown) = memory_of(Started::silently(ground.command(["build", "t.pkr.hcl"])));
    assert!(most < MEMORY, "{most} MiB: {shown:.300}");
}
