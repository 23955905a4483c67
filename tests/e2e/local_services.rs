//! Templates that install, enable and start services, on the local cloud: what runs in the bake runs after its reboot and in its image.
#![expect(clippy::print_stderr, reason = "a test that cannot run on this machine says so")]

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::test_context;
use bakelite_test_support::tools::is_root;

use crate::templates::image_in;

/// A user without an account.
const PLAIN_USER: u32 = 64_777;
/// Fetches a page of the instance's own, for which it waits; or with a token what the metadata service has.
const FETCH: &str = r#"
import sys, time, urllib.request as r
def get(url, headers={}, method="GET"):
    return r.urlopen(r.Request(url, headers=headers, method=method), timeout=5).read().decode().strip()
if sys.argv[1].startswith("http"):
    for left in range(200):
        try: print(get(sys.argv[1])); break
        except OSError as error: time.sleep(0.1) if left < 199 else sys.exit(str(error))
else:
    base = "http://169.254.169.254/latest/"
    token = get(base + "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    print(get(base + sys.argv[1], {"X-aws-ec2-metadata-token": token}))
"#;
const UNIT: &str = "[Unit]\nDescription=Pages\nAfter=network-online.target\nWants=network-online.target\n\
    [Service]\nExecStart=/usr/bin/python3 -m http.server 80 --directory /srv/www\nRestart=on-failure\nPrivateTmp=yes\n\
    [Install]\nWantedBy=multi-user.target\n";

/// A template on Debian's AMI whose instance takes its user data from the file `user-data`.
fn template(source: &str, provisioners: &str) -> String {
    format!(
        r#"
        source "amazon-ebs" "web" {{
          region         = "us-east-1"
          instance_type  = "t3.micro"
          ami_name       = "web-{{{{timestamp}}}}"
          ssh_username   = "admin"
          metadata_options {{
            http_tokens = "required"
          }}
          {source}
        }}
        build {{
          sources = ["source.amazon-ebs.web"]
          {provisioners}
          post-processor "manifest" {{}}
        }}
        "#
    )
}

const DEBIAN: &str = r#"
    user_data_file = "user-data"
    source_ami_filter {
      filters     = { name = "debian-12-amd64-*" }
      owners      = ["136693071363"]
      most_recent = true
    }"#;

/// How the whole story is told: a service of the test's own, with user data, metadata, a reboot, and a launch of the image.
fn tell(context: &TestContext, run: &dyn Fn(&[&str]) -> Ran) {
    context.file("fetch.py", FETCH);
    context.file("web.service", UNIT);
    context.file(
        "user-data",
        "#!/bin/sh\nmkdir -p /srv/www\necho from user data > /srv/www/page\n",
    );
    context.template(&template(
        DEBIAN,
        r#"
        provisioner "file" {
          sources     = ["fetch.py", "web.service"]
          destination = "/tmp/"
        }
        provisioner "shell" {
          inline = [
            "cloud-init status --wait",
            "sudo install -m 644 /tmp/fetch.py /usr/local/lib/fetch.py",
            "sudo install -m 644 /tmp/web.service /etc/systemd/system/web.service",
            "python3 /usr/local/lib/fetch.py meta-data/instance-type | sudo tee -a /srv/www/page",
            "sudo systemctl daemon-reload",
            "sudo systemctl enable --now web",
            "systemctl is-active web",
          ]
        }
        provisioner "shell" {
          inline            = ["touch /dev/shm/before", "sudo reboot", "sleep 60"]
          expect_disconnect = true
        }
        provisioner "shell" {
          inline = [
            "test ! -e /dev/shm/before",
            "systemctl is-active web | sed 's/^/after the reboot: /'",
            "python3 /usr/local/lib/fetch.py http://127.0.0.1/page",
            "systemctl status web | grep Ignored",
          ]
        }
        "#,
    ));
    let output = run(&["build", "-local", "t.pkr.hcl"]).succeeds();
    for line in [
        "web: active\n",
        "web: after the reboot: active\n",
        "web: from user data\n",
        "web: t3.micro\n",
        "Ignored: PrivateTmp (without effect in the local cloud)\n",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    let image = image_in(context, "packer-manifest.json");
    let page = [
        "local",
        "run",
        &image,
        "--",
        "python3",
        "/usr/local/lib/fetch.py",
        "http://127.0.0.1/page",
    ];
    assert_eq!(run(&page).succeeds(), "from user data\nt3.micro\n");
    // And as the base of another bake.
    context.template(&template(
        &format!(r#"source_ami = "{image}" {} skip_create_ami = true"#, '\n'),
        r#"provisioner "shell" { inline = ["python3 /usr/local/lib/fetch.py http://127.0.0.1/page", "systemctl is-enabled web"] }"#,
    ));
    let output = run(&["build", "-local", "t.pkr.hcl"]).succeeds();
    assert!(
        output.contains("web: t3.micro\n") && output.contains("web: enabled\n"),
        "{output}"
    );
}

#[test]
fn a_service_runs_after_a_reboot_and_in_the_image() {
    let context = test_context!();
    tell(&context, &|arguments| context.run(arguments));
}

#[test]
fn a_service_runs_in_instances_of_a_plain_user() {
    if !is_root() {
        return eprintln!("not run: who runs the tests is a plain user, as in the test before");
    }
    let programs = tempfile::tempdir().unwrap();
    let binary = programs.path().join("bakelite");
    std::fs::set_permissions(programs.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_bakelite"), &binary).unwrap();
    let context = TestContext::new(&binary.display().to_string());
    for directory in ["", "home", "state", "tmp", "work"] {
        chown(context.root().join(directory), Some(PLAIN_USER), Some(PLAIN_USER)).unwrap();
    }
    tell(&context, &|arguments| {
        let own = context.command(arguments);
        let id = PLAIN_USER.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .arg(own.get_program())
            .args(own.get_args());
        command
            .env_clear()
            .envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(context.work());
        Ran::of(&mut command)
    });
}

/// Why nginx cannot be installed in an instance here; nothing when it can.
fn why_no_nginx() -> Option<&'static str> {
    let is_debian = std::fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.contains("ID=debian\n") && text.contains("VERSION_ID=\"12\""));
    if !is_debian || !Path::new("/etc/apt/sources.list.d/debian.sources").exists() {
        return Some("this machine is no Debian 12, whose packages an instance of its own root could take");
    }
    if !is_root() || !Path::new("/dev/net/tun").exists() {
        return Some("packages take root's ids and /dev/net/tun");
    }
    let timeout = Duration::from_secs(5);
    let reached = || -> std::io::Result<bool> {
        let address = ("deb.debian.org", 80)
            .to_socket_addrs()?
            .find(std::net::SocketAddr::is_ipv4);
        let address = address.ok_or(std::io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(
            b"HEAD /debian/dists/bookworm/InRelease HTTP/1.1\r\nHost: deb.debian.org\r\nConnection: close\r\n\r\n",
        )?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    (!reached().unwrap_or(false)).then_some("Debian's mirror (deb.debian.org) does not answer")
}

#[test]
fn nginx_is_installed_by_apt_and_serves_in_the_image() {
    if let Some(reason) = why_no_nginx() {
        return eprintln!("not run: {reason}");
    }
    let context = test_context!();
    context.file("fetch.py", FETCH);
    context.file(
        "user-data",
        "#!/bin/sh\nrm -f /etc/apt/apt.conf.d/50appstream /etc/apt/apt.conf.d/20packagekit\n",
    );
    context.file(
        "site.conf",
        "server { listen 8080; location / { return 200 \"served by nginx\\n\"; } }\n",
    );
    context.template(&template(
        DEBIAN,
        r#"
        provisioner "file" {
          sources     = ["fetch.py", "site.conf"]
          destination = "/tmp/"
        }
        provisioner "shell" {
          inline = [
            "cloud-init status --wait",
            "sudo apt-get -qq -o Acquire::http::Timeout=10 update",
            "sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nginx > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }",
            "sudo install -m 644 /tmp/fetch.py /usr/local/lib/fetch.py",
            "sudo install -m 644 /tmp/site.conf /etc/nginx/conf.d/site.conf",
            "sudo systemctl enable --now nginx",
            "sudo systemctl reload nginx",
            "python3 /usr/local/lib/fetch.py http://127.0.0.1:8080/",
          ]
        }
        provisioner "shell" {
          inline            = ["sudo reboot", "sleep 60"]
          expect_disconnect = true
        }
        provisioner "shell" {
          inline = ["python3 /usr/local/lib/fetch.py http://127.0.0.1:8080/", "systemctl is-active nginx | sed 's/^/after the reboot: /'"]
        }
        "#,
    ));
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    for line in ["web: served by nginx\n", "web: after the reboot: active\n"] {
        assert!(output.contains(line), "{line}: {output}");
    }
    let image = image_in(&context, "packer-manifest.json");
    let page = context.run([
        "local",
        "run",
        &image,
        "--",
        "python3",
        "/usr/local/lib/fetch.py",
        "http://127.0.0.1:8080/",
    ]);
    assert_eq!(page.succeeds(), "served by nginx\n");
}
