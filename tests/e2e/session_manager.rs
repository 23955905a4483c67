//! Bakes through Session Manager: no port is opened to the instance, and all of SSH goes over the data channel.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bakelite_test_support::clouds::{Cloud, Endpoint, signal};
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::eventually::{LIMIT, until};
use bakelite_test_support::inventory::{Inventory, aws};
use bakelite_test_support::signer::Request;
use bakelite_test_support::test_context;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::templates::ami;

/// A template whose instance is reached through Session Manager, with these lines in its source and its build.
fn template(source: &str, build: &str) -> String {
    let source = format!("ssh_interface = \"session_manager\"\niam_instance_profile = \"ssm\"\n{source}");
    ami("private", &source, build)
}

/// Ids of the sessions that are active.
fn sessions(endpoint: &Endpoint) -> String {
    let mut command = aws(endpoint);
    command.args(["ssm", "describe-sessions", "--state", "Active", "--output", "text"]);
    let output = command.args(["--query", "Sessions[].SessionId"]).run_to_end();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().replace("None", "")
}

#[test]
fn a_bake_needs_no_open_port_and_leaves_no_session() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    context.template(&template(
        "session_manager_port = 8123",
        r#"provisioner "shell" { inline = ["echo ${build.Host} ${build.ConnType}", "echo hello"] }"#,
    ));
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    for wanted in [
        "amazon-ebs.private: Session ID: local-",
        "amazon-ebs.private: localhost ssh\n",
        "amazon-ebs.private: hello\n",
    ] {
        assert!(output.contains(wanted), "{wanted} is not in {output}");
    }
    assert!(!output.contains("Authorizing access"), "{output}");
    assert_eq!(sessions(&cloud.endpoint), "");
    let after = Inventory::of(&cloud.endpoint);
    assert_eq!(after.images.len(), before.images.len() + 1);
    assert_eq!(after.temporary(), before.temporary());
    assert!(context.journals().is_empty());
}

#[test]
fn the_session_waits_until_the_agent_has_registered() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", "instance=0.5,boot=1"]);
    let context = context.on(&cloud);
    context.template(&template(
        "skip_create_ami = true",
        r#"provisioner "shell" { inline = ["echo hello"] }"#,
    ));
    let output = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert!(output.contains("amazon-ebs.private: hello\n"), "{output}");
}

#[test]
fn an_instance_without_an_agent_is_told_with_what_it_lacks() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0", "-latency", "boot=60"]);
    let before = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    context.template(&template(r#"ssh_timeout = "1s""#, ""));
    let output = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    assert!(output.contains("did not connect within 1s"), "{output}");
    assert!(output.contains("AmazonSSMManagedInstanceCore"), "{output}");
    assert_eq!(Inventory::of(&cloud.endpoint), before);
    assert!(context.journals().is_empty());
}

#[test]
fn a_killed_bake_leaves_its_session_to_gc() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let clean = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    let marker = context.work().join("reached");
    // The script outlives a bake that is killed: it ends when the pipe does.
    let pipe = context.work().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let wait = format!(
        r#"provisioner "shell-local" {{ inline = ["touch {}", "cat {}"] }}"#,
        marker.display(),
        pipe.display()
    );
    context.template(&template("", &wait));
    let held = File::options().read(true).write(true).open(&pipe).unwrap();
    let child = context.start(["build", "t.pkr.hcl"]);
    until("the provisioner", LIMIT, || marker.exists().then_some(()));
    assert_ne!(sessions(&cloud.endpoint), "");
    signal(child.id(), "KILL");
    drop(held);
    let _ = Ran::end_of(child);
    let collected = context.run(["gc"]).succeeds();
    assert!(collected.contains("session local-"), "{collected}");
    assert_eq!(sessions(&cloud.endpoint), "");
    assert_eq!(Inventory::of(&cloud.endpoint), clean);
    assert!(context.journals().is_empty());
}

/// A way to the cloud that cuts data channels. The cloud answers to its own address alone and says it in its answers: so calls are signed
/// anew on the way, and answers name this address instead.
struct Cutter {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    /// Cuts each of the first data channels after so many bytes from the client. Its threads end with the process.
    fn before(cloud: &Endpoint, after: usize, count: usize) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cutter = Cutter {
            address: listener.local_addr().unwrap(),
            cuts: Arc::default(),
        };
        let (cuts, cloud, own) = (Arc::clone(&cutter.cuts), cloud.clone(), cutter.address.to_string());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (cuts, cloud, own) = (Arc::clone(&cuts), cloud.clone(), own.clone());
                std::thread::spawn(move || {
                    let (head, body) = read_request(&client);
                    if head.starts_with("GET /v1/data-channel/") {
                        let limit = if cuts.load(Ordering::Relaxed) < count {
                            after
                        } else {
                            usize::MAX
                        };
                        channel(&client, &cloud, &head, &own, limit, &cuts);
                    } else {
                        call(&client, &cloud, &head, &body, &own);
                    }
                });
            }
        });
        cutter
    }
}

/// Reads one request.
fn read_request(mut client: &TcpStream) -> (String, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Passes a call of Systems Manager on.
fn call(mut client: &TcpStream, cloud: &Endpoint, head: &str, body: &str, own: &str) {
    let target = header(head, "x-amz-target").unwrap();
    let request = Request::new(cloud.address(), "POST", "/", body)
        .with("content-type", "application/x-amz-json-1.1")
        .with("x-amz-target", target)
        .signed(&cloud.key, "ssm", "us-east-1", std::time::SystemTime::now());
    let (head, body) = request.send(cloud.address());
    let body = body.replace(cloud.address(), own);
    let status = head.lines().next().unwrap();
    let answer = format!(
        "{status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).unwrap();
}

/// Passes a data channel on, until so many bytes have come from the client.
fn channel(client: &TcpStream, cloud: &Endpoint, head: &str, own: &str, limit: usize, cuts: &AtomicUsize) {
    let mut cloud_side = TcpStream::connect(cloud.address()).unwrap();
    cloud_side
        .write_all(head.replace(own, cloud.address()).as_bytes())
        .unwrap();
    let (back, front) = (cloud_side.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || carry(&back, &front, usize::MAX));
    if carry(client, &cloud_side, limit) {
        cuts.fetch_add(1, Ordering::Relaxed);
    }
}

/// Carries bytes until one side ends, or so many have passed: then `true`.
fn carry(mut from: &TcpStream, mut to: &TcpStream, limit: usize) -> bool {
    let mut passed = 0;
    let mut bytes = vec![0; 64 * 1024];
    let is_cut = loop {
        let Ok(length @ 1..) = from.read(&mut bytes) else {
            break false;
        };
        if to.write_all(&bytes[..length]).is_err() {
            break false;
        }
        passed += length;
        if passed > limit {
            break true;
        }
    };
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    is_cut
}

#[test]
fn ten_cut_data_channels_do_not_change_what_is_uploaded() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let cutter = Cutter::before(&cloud.endpoint, 2 << 20, 10);
    let context = context
        .on(&cloud)
        .with("AWS_ENDPOINT_URL_SSM", format!("http://{}", cutter.address));
    // Nothing that compression makes small.
    let mut state = 1_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(40 << 20)
    .collect();
    context.file("content", &content);
    let build = r#"
        provisioner "file" {
          source      = "content"
          destination = "/tmp/content"
        }
        provisioner "file" {
          direction   = "download"
          source      = "/tmp/content"
          destination = "back"
        }"#;
    context.template(&template("skip_create_ami = true", build));
    let _ = context.run(["build", "t.pkr.hcl"]).succeeds();
    assert_eq!(cutter.cuts.load(Ordering::Relaxed), 10);
    let back = std::fs::read(context.work().join("back")).unwrap();
    assert!(back == content, "the content has changed");
}

/// The template that a user of Packer has today is told what is missing before anything is made.
#[test]
fn without_a_profile_it_is_refused_in_the_template() {
    let context: TestContext = test_context!();
    context.template(&template("", "").replace("iam_instance_profile", "# iam_instance_profile"));
    let output = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
    assert!(
        output.contains("needs `iam_instance_profile` or `temporary_iam_instance_profile_policy_document`"),
        "{output}"
    );
}
