//! Session Manager's sessions: who gets to a data channel, and where it leads.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_ssm::session::{PortError, Resume, ResumeError, Session, Start};
use bakelite_ssm::socket::Network;
use bakelite_test_support::eventually::{LIMIT, until};
use base64::Engine as _;
use tokio::io::AsyncReadExt as _;

use crate::Test;
use crate::client::{Api, TestCloud, runtime};

pub(crate) const TESTS: &[Test] = &[
    (
        "lead_to_the_instance_and_not_to_this_machine",
        lead_to_the_instance_and_not_to_this_machine,
    ),
    ("need_their_token", need_their_token),
    ("are_opened_by_programs_only", are_opened_by_programs_only),
];

/// A managed instance.
fn launched(api: &Api) -> String {
    launched_with(api, "")
}

fn launched_with(api: &Api, parameters: &str) -> String {
    let id = api.launch(&format!("IamInstanceProfile.Name=p&{parameters}"));
    api.wait_for(&id, "running");
    until("the instance's agent", LIMIT, || {
        let answer = api.json("ssm", "AmazonSSM.DescribeInstanceInformation", "{}");
        answer.body.contains(&id).then_some(())
    });
    id
}

fn started(api: &Api, instance: &str, port: u16) -> Start {
    let input = format!(
        r#"{{"Target":"{instance}","DocumentName":"AWS-StartPortForwardingSession","Parameters":{{"portNumber":["{port}"]}}}}"#
    );
    let answer = api.json("ssm", "AmazonSSM.StartSession", &input);
    let value = |name: &str| {
        let (_, rest) = answer.body.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    Start {
        session: value("SessionId"),
        stream_url: value("StreamUrl"),
        token: value("TokenValue"),
    }
}

/// Nobody's session is resumed here.
struct Never;

#[async_trait]
impl Resume for Never {
    async fn resume(&self, _session: &str) -> Result<String, ResumeError> {
        Err(ResumeError::Gone)
    }
}

async fn open(start: &Start) -> Session {
    let network = Arc::new(Network::new(&BTreeMap::new()));
    Session::open(start, network, Arc::new(Never)).await.unwrap()
}

fn lead_to_the_instance_and_not_to_this_machine() {
    let cloud = TestCloud::start();
    // A service of the instance's own.
    let script = "#!/usr/bin/perl\nuse IO::Socket::INET; $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1:8080', Listen => 5); while ($c = $s->accept) { print $c 'of the instance'; close $c }";
    let script = base64::engine::general_purpose::STANDARD.encode(script);
    let id = launched_with(&cloud.api, &format!("UserData={script}"));
    // A service of this machine on all addresses, those of instances, too.
    let service = TcpListener::bind("0.0.0.0:0").unwrap();
    service.set_nonblocking(true).unwrap();
    let port = service.local_addr().unwrap().port();
    runtime().block_on(async {
        let session = open(&started(&cloud.api, &id, port)).await;
        let opened = session.stream().await.unwrap();
        assert_eq!(opened.answered.await, Ok(Err(PortError::Refused)));
        session.close().await;
        let session = open(&started(&cloud.api, &id, 22)).await;
        let mut opened = session.stream().await.unwrap();
        let mut greeting = [0; 8];
        opened.stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-2.0-");
        session.close().await;
        let session = open(&started(&cloud.api, &id, 8080)).await;
        let mut said = String::new();
        // It listens when its script has come that far.
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while said.is_empty() {
            assert!(
                std::time::Instant::now() < deadline,
                "the instance's own service was not reached"
            );
            let mut opened = session.stream().await.unwrap();
            if opened.answered.await == Ok(Ok(())) {
                opened.stream.read_to_string(&mut said).await.unwrap();
            }
        }
        assert_eq!(said, "of the instance");
        session.close().await;
    });
    assert!(service.accept().is_err(), "nobody has come by");
}

/// Opens a websocket by hand and says something; returns what comes until the cloud closes it.
fn said(api: &Api, start: &Start, more: &str, opening: &str) -> Vec<u8> {
    let path = start.stream_url.split_once("/v1/").unwrap().1;
    let mut stream = TcpStream::connect(&api.address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = format!(
        "GET /v1/{path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{more}\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        api.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    // One text of up to 64 KiB; a mask of zeros changes nothing.
    let length = u16::try_from(opening.len()).unwrap().to_be_bytes();
    let _ = stream.write_all(&[&[0x81, 0xfe], &length[..], &[0; 4], opening.as_bytes()].concat());
    let mut answer = Vec::new();
    if opening.is_empty() {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn opening(token: &str) -> String {
    format!(r#"{{"MessageSchemaVersion":"1.0","RequestId":"x","TokenValue":"{token}","ClientId":"x"}}"#)
}

fn need_their_token() {
    let cloud = TestCloud::start();
    let id = launched(&cloud.api);
    let (start, other) = (started(&cloud.api, &id, 22), started(&cloud.api, &id, 22));
    // The websocket opens and is closed without a word of the agent.
    for token in ["", "x", &other.token, &start.token[1..]] {
        let answer = said(&cloud.api, &start, "", &opening(token));
        assert!(
            answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"\r\n\r\n"),
            "{answer:?}"
        );
    }
    for junk in ["", "{}", "[[[[", "\u{0}"] {
        let answer = said(&cloud.api, &start, "", junk);
        assert!(answer.ends_with(b"\r\n\r\n"), "{answer:?}");
    }
    runtime().block_on(async {
        let session = open(&start).await;
        // A token is good once.
        let answer = said(&cloud.api, &start, "", &opening(&start.token));
        assert!(answer.ends_with(b"\r\n\r\n"), "{answer:?}");
        session.close().await;
    });
    let gone = said(&cloud.api, &start, "", &opening(&start.token));
    assert!(gone.starts_with(b"HTTP/1.1 404 "), "{gone:?}");
}

fn are_opened_by_programs_only() {
    let cloud = TestCloud::start();
    let id = launched(&cloud.api);
    let start = started(&cloud.api, &id, 22);
    assert!(
        start
            .stream_url
            .starts_with(&format!("ws://{}/v1/data-channel/", cloud.api.address))
    );
    for origin in [
        "null",
        "http://attacker.example",
        &format!("http://{}", cloud.api.address),
    ] {
        let answer = said(
            &cloud.api,
            &start,
            &format!("Origin: {origin}\r\n"),
            &opening(&start.token),
        );
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{answer:?}");
    }
}
