//! User data at the first boot, what tells its end, and units that are enabled without systemd.

use bakelite_test_support::eventually::{LIMIT, until};

use crate::Test;
use crate::ground::{Running, ground, minimal_root, text};
use bakelite_local::machine::{BaseRoot, Ended, RootId};

pub(crate) const TESTS: &[Test] = &[
    ("cloud_config_is_done_once", cloud_config_is_done_once),
    (
        "packages_are_installed_by_what_the_root_has",
        packages_are_installed_by_what_the_root_has,
    ),
    (
        "an_image_boots_for_the_first_time_again",
        an_image_boots_for_the_first_time_again,
    ),
    ("failures_are_reported", failures_are_reported),
    (
        "a_reboot_in_the_middle_finishes_the_boot",
        a_reboot_in_the_middle_finishes_the_boot,
    ),
    ("keys_of_user_data_may_log_in", keys_of_user_data_may_log_in),
    ("user_data_starts_a_service", user_data_starts_a_service),
    (
        "units_are_enabled_without_a_systemctl",
        units_are_enabled_without_a_systemctl,
    ),
];

fn start_on(root: &RootId, user_data: &str) -> Running {
    let mut spec = ground().spec(root);
    spec.user_data = Some(user_data.into());
    ground().start_with(spec)
}

fn start(user_data: &str) -> Running {
    start_on(&ground().host, user_data)
}

fn snapshot(machine: &Running) -> RootId {
    ground()
        .runtime
        .block_on(ground().machines.snapshot(&machine.spec.id))
        .unwrap()
}

fn is_on_console(machine: &Running, line: &str) {
    until("a line on the console", LIMIT, || {
        text(&machine.machine.console_output()).contains(line).then_some(())
    });
}

fn cloud_config_is_done_once() {
    let machine = start(
        "#cloud-config\nhostname: web\nmounts: []\nbootcmd:\n- echo boot > /root/order\nwrite_files:\n\
         - {path: /opt/new/file, content: aGkK, encoding: b64, permissions: '0750'}\n\
         - {path: /root/order, content: \"file\\n\", append: true}\n\
         - {path: /home/deploy/mine, content: x, owner: 'deploy:staff', defer: true}\n\
         users:\n- default\n- name: deploy\n  gecos: The deployer\n  groups: staff, builders\n  shell: /bin/sh\n\
         runcmd:\n- [sh, -c, 'echo run $(hostname) $INSTANCE_ID >> /root/order']\n- echo shown && id -un\n",
    );
    assert_eq!(machine.output("ec2-user", "cloud-init status --wait"), "status: done");
    let id = &machine.spec.id;
    assert_eq!(
        machine.output("root", "cat /root/order; hostname"),
        format!("boot\nfile\nrun web {id}\nweb")
    );
    assert_eq!(
        machine.output("root", "cat /opt/new/file; stat -c %a /opt/new/file"),
        "hi\n750"
    );
    assert_eq!(
        machine.output(
            "root",
            "grep ^deploy: /etc/passwd | cut -d: -f5-; grep ^builders: /etc/group | cut -d: -f4"
        ),
        "The deployer:/home/deploy:/bin/sh\ndeploy"
    );
    if machine.has_users() {
        assert_eq!(
            machine.output("root", "stat -c %U:%G /home/deploy/mine"),
            "deploy:staff"
        );
    }
    is_on_console(
        &machine,
        "user data: cloud-config: `mounts` is not supported by the local cloud and has no effect",
    );
    is_on_console(&machine, "shown\nroot\n");
    let in_log = || {
        machine
            .run("root", "grep shown /var/log/cloud-init-output.log")
            .status
            .success()
    };
    until("the output in the log", LIMIT, || in_log().then_some(()));
    machine.stop();
    let spec = machine.spec.clone();
    let again = ground()
        .runtime
        .block_on(ground().machines.restart(&spec.id, spec.clone()))
        .unwrap();
    let again = Running::again(ground(), machine, again);
    assert_eq!(
        again.output("root", "cloud-init status --wait; grep -c run /root/order; hostname"),
        "status: done\n1\nweb"
    );
}

fn packages_are_installed_by_what_the_root_has() {
    for (manager, expected) in [
        ("apt-get", "update\ndist-upgrade\ninstall nginx curl=8\n"),
        ("dnf", "-y makecache\n-y upgrade\n-y install nginx curl-8\n"),
        ("apk", "update\nupgrade\nadd nginx curl=8\n"),
    ] {
        let root = ground().scratch(&format!("packages-{manager}"));
        minimal_root(&root);
        let options = "-o Dpkg::Options::=--force-confold -y ";
        let program = format!("#!/bin/sh\nline=\"$*\"\necho \"${{line#{options}}}\" >> /root/calls\n");
        std::fs::write(root.join("bin").join(manager), program).unwrap();
        std::fs::set_permissions(
            root.join("bin").join(manager),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let base = ground()
            .runtime
            .block_on(ground().machines.base(&BaseRoot::Directory(root)))
            .unwrap();
        let config = "#cloud-config\npackage_update: true\npackage_upgrade: true\npackages: [nginx, [curl, '8']]\n";
        let machine = start_on(&base, config);
        assert_eq!(
            machine.output("root", "cloud-init status --wait"),
            "status: done",
            "{manager}"
        );
        assert_eq!(machine.output("root", "cat /root/calls") + "\n", expected, "{manager}");
    }
}

fn an_image_boots_for_the_first_time_again() {
    let first = start("");
    assert_eq!(
        first.output("root", "cloud-init status --wait; ls /var/lib/cloud/instances"),
        format!("status: done\n{}", first.spec.id)
    );
    first.stop();
    let second = start_on(
        &snapshot(&first),
        "#!/bin/sh\nwhile [ ! -e /root/go ]; do sleep 0.1; done\necho ran > /root/ran\n",
    );
    assert_eq!(second.refuses("test -e /var/lib/cloud/instance/boot-finished"), "");
    assert!(second.refuses("cloud-init status && false").contains("status: running"));
    assert_eq!(
        second.output("root", "touch /root/go; cloud-init status --wait; cat /root/ran"),
        "status: done\nran"
    );
}

fn failures_are_reported() {
    let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/x-shellscript\n\n\
        #!/bin/sh\nexit 3\n--B\nContent-Type: text/cloud-config\n\nusers: [\n--B\nContent-Type: text/x-shellscript\n\n\
        #!/no/such/shell\n--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho last > /root/last\n--B--\n";
    let machine = start(message);
    assert_eq!(machine.refuses("cloud-init status --wait"), "status: error\n");
    assert_eq!(machine.output("root", "cat /root/last"), "last");
    for line in [
        "user data: cloud-config: ",
        "user data: `part-001` failed: exit status 3",
        "user data: `part-003` failed: No such file",
    ] {
        is_on_console(&machine, line);
    }
}

fn a_reboot_in_the_middle_finishes_the_boot() {
    let machine = start("#!/bin/sh\necho begun >> /root/begun\nreboot\nsleep 1000\n");
    let is_finished = || {
        machine
            .run("root", "test -e /var/lib/cloud/instance/boot-finished")
            .status
            .success()
    };
    until("the end of the boot", LIMIT, || is_finished().then_some(()));
    assert_eq!(machine.output("root", "cat /root/begun"), "begun");
}

fn keys_of_user_data_may_log_in() {
    let mut spec = ground().spec(&ground().host);
    let key = spec.authorized_keys.remove(0);
    spec.user_data =
        Some(format!("#cloud-config\nssh_authorized_keys:\n- {key}\nusers:\n- default\n- name: deploy\n").into());
    let machine = ground().start_with(spec);
    let logged_in = || machine.run("deploy", "true").status.success();
    until("a user of user data", LIMIT, || logged_in().then_some(()));
    assert_eq!(
        machine.output(
            "root",
            "cloud-init status --wait; grep -c . /home/ec2-user/.ssh/authorized_keys"
        ),
        "status: done\n3"
    );
}

fn user_data_starts_a_service() {
    let machine = start(
        "#cloud-config\nwrite_files:\n- path: /etc/systemd/system/web.service\n  content: |\n    [Service]\n    ExecStart=/bin/sleep 1000\n\
         \x20   [Install]\n    WantedBy=multi-user.target\nruncmd:\n- systemctl enable --now web\n",
    );
    assert_eq!(machine.output("root", "cloud-init status --wait"), "status: done");
    assert_eq!(
        machine.output(
            "root",
            "readlink /etc/systemd/system/multi-user.target.wants/web.service; systemctl is-active web"
        ),
        "/etc/systemd/system/web.service\nactive"
    );
    let output = machine.run("root", "systemctl poweroff");
    assert_eq!(machine.ended(&output), Ended::ByItself);
}

fn units_are_enabled_without_a_systemctl() {
    let root = ground().scratch("units");
    minimal_root(&root);
    let units = root.join("usr/lib/systemd/system");
    std::fs::create_dir_all(&units).unwrap();
    let unit =
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\nAlias=www.service\nAlso=web.socket\n";
    std::fs::write(units.join("web.service"), unit).unwrap();
    std::fs::write(units.join("web.socket"), "[Install]\nWantedBy=sockets.target\n").unwrap();
    let base = ground()
        .runtime
        .block_on(ground().machines.base(&BaseRoot::Directory(root)))
        .unwrap();
    let machine = ground().start_on(&base);
    machine.output("root", "systemctl enable web");
    assert_eq!(
        machine.output(
            "root",
            "cd /etc/systemd/system; readlink */web.service www.service */web.socket; systemctl is-enabled web"
        ),
        "/usr/lib/systemd/system/web.service\n/usr/lib/systemd/system/web.service\n/usr/lib/systemd/system/web.socket\nenabled"
    );
    machine.output("root", "systemctl disable web && systemctl mask web");
    assert_eq!(machine.refuses("systemctl is-enabled web"), "masked\n");
    machine.output("root", "systemctl unmask web");
    assert_eq!(machine.refuses("systemctl is-enabled web"), "disabled\n");
    assert!(
        machine
            .refuses("systemctl enable none")
            .contains("none.service does not exist")
    );
}
