//! `local serve` and its key: who gets to see it, and where it is not shown.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use bakelite_test_support::clouds::{Cloud, Endpoint, signal};
use bakelite_test_support::context::Ran;
use bakelite_test_support::server::Server;
use bakelite_test_support::{test_context, tools};

#[test]
fn exports_are_in_a_file_of_their_owner_while_it_serves() {
    let context = test_context!();
    // Whatever the umask lets others do.
    let words = ["-c", "umask 000; exec \"$0\" \"$@\""].map(std::ffi::OsString::from);
    let serve = context.command(["local", "serve", "-listen", "127.0.0.1:0", "-ssh-port", "0"]);
    let words = words
        .into_iter()
        .chain([serve.get_program().to_owned()])
        .chain(serve.get_args().map(Into::into));
    let mut command = context.command_of("sh", words);
    let (mut server, endpoint) = Server::start(command.stderr(Stdio::inherit()), Endpoint::of_exports);
    let state = context.root().join("state/bakelite/local");
    let file = state.join("serve.env");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&file), mode(&state)), (0o600, 0o700));
    assert!(std::fs::read_to_string(&file).unwrap().contains(&endpoint.key.secret));
    let script = ". \"$0\" && \"$1\" sts get-caller-identity --query UserId --output text";
    let aws = tools::program("aws");
    let who = Ran::of(&mut context.command_of(
        "sh",
        ["-c".as_ref(), script.as_ref(), file.as_os_str(), aws.as_os_str()],
    ));
    assert_eq!(who.succeeds().trim(), endpoint.key.id);
    signal(server.id(), "INT");
    server.wait();
    assert!(!file.exists());
}

#[test]
fn each_start_has_another_key_and_says_what_no_isolation_means() {
    let context = test_context!();
    let first = Cloud::local(&context, &["-ssh-port", "0"]);
    let second = Cloud::local(&context, &["-ssh-port", "0"]);
    assert_ne!(first.endpoint.key, second.endpoint.key);
    let mut child = context.command(["local", "serve", "-listen", "127.0.0.1:0", "-local-unisolated"]);
    let child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let exports = context.root().join("state/bakelite/local/serve.env");
    let of_second = std::fs::read_to_string(&exports).unwrap();
    while std::fs::read_to_string(&exports).unwrap_or_default() == of_second {
        std::thread::yield_now();
    }
    signal(child.id(), "INT");
    let said = Ran::end_of(child).stderr;
    assert!(
        said.contains("whoever has the secret access key runs any program on this machine as you"),
        "{said}"
    );
}

/// A script of a bake on the local cloud can use the cloud, and what it shows of the key is masked.
#[test]
fn the_key_of_a_bakes_own_cloud_is_masked() {
    let context = test_context!();
    let aws = tools::program("aws");
    context.template(&format!(
        r#"
        source "null" "a" {{ communicator = "none" }}
        build {{
          sources = ["source.null.a"]
          provisioner "shell-local" {{
            inline = ["env | tee seen", "{} ec2 describe-vpcs --query 'length(Vpcs)' --output text"]
          }}
        }}
        "#,
        aws.display()
    ));
    let log = context.work().join("log");
    let context = context
        .with("AWS_DEFAULT_REGION", "us-east-1")
        .with("PACKER_LOG", "trace")
        .with("PACKER_LOG_PATH", log.display().to_string());
    let output = context.run(["build", "-local", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("null.a: 1\n"), "{output}");
    let seen = context.read("seen");
    let secret = seen
        .lines()
        .find_map(|line| line.strip_prefix("AWS_SECRET_ACCESS_KEY="))
        .unwrap();
    assert_eq!(secret.len(), 40);
    assert!(output.contains("AWS_SECRET_ACCESS_KEY=<sensitive>"), "{output}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!output.contains(secret) && !log.contains(secret));
}
