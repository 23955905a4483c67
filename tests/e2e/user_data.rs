//! User data on the local cloud.

use bakelite_test_support::test_context;

use crate::templates::{ami, image_in};

#[test]
fn a_template_waits_for_its_cloud_config() {
    let context = test_context!();
    let config = "#cloud-config\nntp: {}\nwrite_files:\n- {path: /opt/app/conf, content: written, permissions: '0600'}\n\
        - {path: /etc/systemd/system/app.service, content: \"[Service]\\nType=oneshot\\nExecStart=/bin/touch /opt/app/started\\n[Install]\\nWantedBy=multi-user.target\\n\"}\n\
        users:\n- default\n- {name: app, shell: /bin/sh}\nruncmd:\n- [sh, -c, 'cat /opt/app/conf > /opt/app/ran']\n";
    context.file("user-data", config);
    let template = ami(
        "configured",
        r#"user_data_file = "user-data""#,
        r#"
        provisioner "shell" {
          inline = [
            "while [ ! -f /var/lib/cloud/instance/boot-finished ]; do sleep 1; done",
            "cloud-init status --wait",
            "sudo systemctl enable --now app && ls /opt/app/started",
          ]
        }
        post-processor "manifest" {}
        "#,
    );
    context.template(&template);
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    for line in [
        "configured: status: done\n",
        "configured: /opt/app/started\n",
        "cloud-config: `ntp` is not supported by the local cloud and has no effect",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    let image = image_in(&context, "packer-manifest.json");
    let baked = context.run([
        "local",
        "run",
        &image,
        "--",
        "sh",
        "-c",
        "cat /opt/app/ran; systemctl is-enabled app; grep -c ^app: /etc/passwd",
    ]);
    assert_eq!(baked.succeeds(), "writtenenabled\n1\n");
    let waited = context.run(["local", "run", &image, "--", "cloud-init", "status", "--wait"]);
    assert_eq!(waited.succeeds(), "status: done\n");
}
