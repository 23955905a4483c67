//! Bakes over WinRM. There is no Windows here: the tests' WS-Man server stands in for it.

use bakelite_test_support::test_context;
use bakelite_test_support::wsman::{Process, Setup, Windows, WsMan};
use tokio::runtime::Runtime;

/// `hostname`, which prints a name.
async fn machine(process: Process) -> u32 {
    if process.command_line != "hostname" {
        return 1;
    }
    process.stdout.line("BAKED").await;
    0
}

#[test]
fn a_bake_over_winrm_uploads_and_shows_no_password() {
    let runtime = Runtime::new().unwrap();
    let windows = Windows::new(machine);
    let disk = std::sync::Arc::clone(&windows.disk);
    let server = runtime.block_on(WsMan::start(Setup::default(), windows));
    let context = test_context!();
    context.template(&format!(
        r#"
        source "null" "windows" {{
          communicator   = "winrm"
          winrm_host     = "127.0.0.1"
          winrm_port     = {}
          winrm_username = "Administrator"
          winrm_password = "correct horse"
          winrm_use_ntlm = true
        }}
        build {{
          sources = ["source.null.windows"]
          provisioner "file" {{
            content     = "${{build.Host}} ${{build.User}} ${{build.ConnType}}"
            destination = "C:/told.txt"
          }}
          provisioner "shell-local" {{ inline = ["echo ${{build.WinRMPassword}}"] }}
        }}
        "#,
        server.address.port()
    ));
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert_eq!(disk.read("C:/told.txt").unwrap(), b"127.0.0.1 Administrator winrm");
    assert!(output.contains("null.windows: Connected to WinRM!"), "{output}");
    assert!(!output.contains("correct horse"), "{output}");
    assert_eq!(server.open_shells(), 0);
}

#[test]
fn the_null_builder_needs_a_host_and_a_password_for_winrm() {
    let context = test_context!();
    context.template(
        r#"
        source "null" "windows" {
          communicator   = "winrm"
          winrm_username = "Administrator"
        }
        build { sources = ["source.null.windows"] }
        "#,
    );
    let output = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    for wanted in ["`winrm_host` must be given", "`winrm_password` must be given"] {
        assert!(output.contains(wanted), "{wanted} is not in {output}");
    }
}

#[cfg(feature = "amazon")]
#[test]
fn the_password_of_an_instance_is_waited_for_as_long_as_the_template_says() {
    use bakelite_test_support::clouds::Cloud;
    use bakelite_test_support::inventory::Inventory;

    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    // No instance of the local cloud runs Windows: so it never has a password.
    context.template(
        r#"
        source "amazon-ebs" "windows" {
          region                   = "us-east-1"
          ami_name                 = "windows"
          instance_type            = "t3.micro"
          communicator             = "winrm"
          winrm_username           = "Administrator"
          windows_password_timeout = "1s"
          source_ami_filter {
            filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
            owners      = ["099720109477"]
            most_recent = true
          }
        }
        build { sources = ["source.amazon-ebs.windows"] }
        "#,
    );
    let output = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    assert!(output.contains("Creating temporary keypair"), "{output}");
    assert!(
        output.contains("Waiting for the password of the instance..."),
        "{output}"
    );
    assert!(
        output.contains("EC2 had no password of instance") && output.contains("within 1s"),
        "{output}"
    );
    assert_eq!(Inventory::of(&cloud.endpoint), before);
    assert!(context.journals().is_empty());
}
