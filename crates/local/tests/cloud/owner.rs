//! The API has an owner: whoever has not the key of the cloud that runs can do nothing, and keep nobody from anything.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use bakelite_test_support::signer::{Key, Request};

use crate::Test;
use crate::client::{Answer, Api, TestCloud};
use crate::sharing::Other;

pub(crate) const TESTS: &[Test] = &[
    ("only_the_right_key_is_welcome", only_the_right_key_is_welcome),
    ("services_refuse_in_their_own_words", services_refuse_in_their_own_words),
    (
        "nothing_of_a_request_can_be_changed",
        nothing_of_a_request_can_be_changed,
    ),
    ("what_is_wanted_has_to_be_signed", what_is_wanted_has_to_be_signed),
    ("requests_are_good_for_five_minutes", requests_are_good_for_five_minutes),
    (
        "signatures_in_the_query_are_refused",
        signatures_in_the_query_are_refused,
    ),
    ("other_hosts_are_not_served", other_hosts_are_not_served),
    ("temporary_keys_need_their_token", temporary_keys_need_their_token),
    (
        "half_open_connections_keep_nobody_out",
        half_open_connections_keep_nobody_out,
    ),
    ("parameters_are_bounded", parameters_are_bounded),
    ("bodies_are_bounded", bodies_are_bounded),
];

const FORM: &str = "Action=DescribeInstances&Version=2016-11-15";

/// A call that is right.
fn signed(api: &Api) -> Request {
    api.request("POST /", FORM)
        .signed(&api.key, "ec2", "us-east-1", SystemTime::now())
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.value("Code"))
}

fn auth_failure() -> (u16, String) {
    (401, "AuthFailure".to_owned())
}

fn only_the_right_key_is_welcome() {
    let cloud = TestCloud::start();
    let (api, others) = (&cloud.api, TestCloud::start());
    assert_eq!(api.deliver(&signed(api)).status, 200);
    assert_ne!(api.key, others.api.key);
    // What every key was good for before.
    let unsigned = api.request("POST /", FORM).with(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=evil/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00",
    );
    assert_eq!(refused(&api.deliver(&unsigned)), auth_failure());
    let wrong = |id: &str, secret: &str| Key {
        id: id.to_owned(),
        secret: secret.to_owned(),
        token: None,
    };
    for key in [
        wrong("local", "local"),
        wrong(&api.key.id, "local"),
        wrong(&api.key.id, ""),
        wrong(&others.api.key.id, &api.key.secret),
        others.api.key.clone(),
        Key {
            token: Some("token".to_owned()),
            ..api.key.clone()
        },
    ] {
        assert_eq!(refused(&api.with(key).call("DescribeInstances", "")), auth_failure());
    }
}

fn services_refuse_in_their_own_words() {
    let cloud = TestCloud::start();
    let unknown = cloud.api.with(Key {
        id: "AKIDNOBODY".to_owned(),
        ..cloud.api.key.clone()
    });
    let guessing = cloud.api.with(Key {
        secret: "local".to_owned(),
        ..cloud.api.key.clone()
    });
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    let of_sts = |api: &Api| refused(&api.send("sts", "POST /", form));
    assert_eq!(of_sts(&unknown), (403, "InvalidClientTokenId".to_owned()));
    assert_eq!(of_sts(&guessing), (403, "SignatureDoesNotMatch".to_owned()));
    for (service, target) in [
        ("ssm", "AmazonSSM.DescribeInstanceInformation"),
        ("secretsmanager", "secretsmanager.GetSecretValue"),
    ] {
        for (api, code) in [
            (&unknown, "UnrecognizedClientException"),
            (&guessing, "InvalidSignatureException"),
        ] {
            let answer = api.json(service, target, "{}");
            assert_eq!(answer.status, 400);
            assert!(
                answer.body.contains(&format!("\"__type\":\"{code}\"")),
                "{}",
                answer.body
            );
        }
        let unsigned = Request::new(&cloud.api.address, "POST", "/", "{}").with("x-amz-target", target);
        let answer = cloud.api.deliver(&unsigned);
        assert!(
            answer.body.contains("MissingAuthenticationTokenException"),
            "{}",
            answer.body
        );
    }
}

fn nothing_of_a_request_can_be_changed() {
    let cloud = TestCloud::start();
    let api = &cloud.api;
    let mut changed = signed(api);
    changed.body = changed.body.replace("DescribeInstances", "DescribeKeyPairs");
    let mut with_query = signed(api);
    with_query.path = "/?x=1".into();
    let mut as_get = signed(api);
    as_get.method = "GET".into();
    let other_type = signed(api).changed("content-type", "text/plain");
    for request in [changed, with_query, as_get, other_type] {
        assert_eq!(refused(&api.deliver(&request)), auth_failure(), "{request:?}");
    }
    let get = format!("GET /?{FORM}&InstanceId.1=i-0123456789abcdef0");
    let mut elsewhere = api
        .request(&get, "")
        .signed(&api.key, "ec2", "us-east-1", SystemTime::now());
    assert_eq!(api.deliver(&elsewhere).value("Code"), "InvalidInstanceID.NotFound");
    elsewhere.path = elsewhere.path.replace("def0", "def1");
    assert_eq!(refused(&api.deliver(&elsewhere)), auth_failure());
    // The action of a service with JSON is in a header.
    let other_action = Request::new(&api.address, "POST", "/", r#"{"SecretId":"x"}"#)
        .with("x-amz-target", "secretsmanager.GetSecretValue")
        .signed(&api.key, "secretsmanager", "us-east-1", SystemTime::now())
        .changed("x-amz-target", "secretsmanager.DeleteSecret");
    assert!(api.deliver(&other_action).body.contains("InvalidSignatureException"));
    // The scope of one service is none of another.
    let of_sts = api
        .request("POST /", FORM)
        .signed(&api.key, "sts", "us-east-1", SystemTime::now());
    let header = &of_sts
        .headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap()
        .1;
    let as_ec2 = of_sts
        .clone()
        .changed("authorization", &header.replace("/sts/", "/ec2/"));
    assert_eq!(refused(&api.deliver(&as_ec2)), auth_failure());
}

fn what_is_wanted_has_to_be_signed() {
    let cloud = TestCloud::start();
    let api = &cloud.api;
    let added = signed(api).with("x-amz-target", "AmazonSSM.StartSession");
    let answer = api.deliver(&added);
    assert_eq!(refused(&answer), auth_failure());
    assert!(answer.body.contains("have to be signed"), "{}", answer.body);
    let harmless = signed(api).with("user-agent", "x").with("accept", "*/*");
    assert_eq!(api.deliver(&harmless).status, 200);
    // A digest that somebody claims is none of the body that came.
    let claimed = api
        .request("POST /", FORM)
        .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        .signed(&api.key, "ec2", "us-east-1", SystemTime::now());
    assert_eq!(refused(&api.deliver(&claimed)), auth_failure());
}

fn requests_are_good_for_five_minutes() {
    let cloud = TestCloud::start();
    let api = &cloud.api;
    let (now, minute) = (SystemTime::now(), Duration::from_mins(1));
    let at = |service: &str, form: &str, time| {
        api.deliver(&api.request("POST /", form).signed(&api.key, service, "us-east-1", time))
    };
    for near in [now - 4 * minute, now + 4 * minute] {
        assert_eq!(at("ec2", FORM, near).status, 200);
    }
    for far in [now - 6 * minute, now + 6 * minute, now - 60 * 24 * 400 * minute] {
        assert_eq!(refused(&at("ec2", FORM, far)), (400, "RequestExpired".to_owned()));
        let form = "Action=GetCallerIdentity&Version=2011-06-15";
        let answer = at("sts", form, far);
        assert_eq!(refused(&answer), (403, "SignatureDoesNotMatch".to_owned()));
        assert!(answer.body.contains("Signature expired"), "{}", answer.body);
    }
    // A signature of another day under today's date.
    let old = api
        .request("POST /", FORM)
        .signed(&api.key, "ec2", "us-east-1", now - 60 * 24 * minute);
    let new = signed(api);
    let date = &new.headers.iter().find(|(name, _)| name == "x-amz-date").unwrap().1;
    assert_eq!(refused(&api.deliver(&old.changed("x-amz-date", date))), auth_failure());
}

fn signatures_in_the_query_are_refused() {
    let cloud = TestCloud::start();
    let query = format!("GET /?{FORM}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00");
    let answer = cloud.api.deliver(&cloud.api.request(&query, ""));
    assert_eq!(refused(&answer), auth_failure());
    assert!(
        answer.body.contains("signatures in the query are not supported"),
        "{}",
        answer.body
    );
}

fn other_hosts_are_not_served() {
    let cloud = TestCloud::start();
    let api = &cloud.api;
    let port = api.address.rsplit_once(':').unwrap().1;
    let of = |host: &str| Api {
        address: host.to_owned(),
        ..api.clone()
    };
    // A page whose name was pointed here, even one that had the key; a replay of what was signed for another cloud.
    let other = TestCloud::start();
    for host in [&format!("attacker.example:{port}"), &other.api.address, "127.0.0.1"] {
        let request = signed(&of(host));
        let (head, body) = request.send(&api.address);
        assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
        assert!(body.contains(&api.address), "{body}");
    }
    let (head, _) = signed(&other.api).changed("host", &api.address).send(&api.address);
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    let (head, _) = signed(&of(&format!("localhost:{port}"))).send(&api.address);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let channel = Request::new(&format!("attacker.example:{port}"), "GET", "/v1/data-channel/x", "");
    assert!(channel.send(&api.address).0.starts_with("HTTP/1.1 421 "));
}

fn temporary_keys_need_their_token() {
    let cloud = TestCloud::start();
    let role = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::123456789012:role/x&RoleSessionName=s";
    let session = "Action=GetSessionToken&Version=2011-06-15";
    for form in [role, session] {
        let answer = cloud.api.send("sts", "POST /", form);
        let key = Key {
            id: answer.value("AccessKeyId"),
            secret: answer.value("SecretAccessKey"),
            token: Some(answer.value("SessionToken")),
        };
        cloud.api.with(key.clone()).ok("DescribeInstances", "");
        for token in [None, Some("x".to_owned())] {
            let without = cloud.api.with(Key { token, ..key.clone() });
            assert_eq!(refused(&without.call("DescribeInstances", "")), auth_failure());
        }
    }
    let long = "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=129601";
    assert_eq!(cloud.api.send("sts", "POST /", long).value("Code"), "ValidationError");
}

fn half_open_connections_keep_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let cloud = Other::with_files(directory.path(), 256);
    let mut held = Vec::new();
    for _ in 0..320 {
        let mut stream = TcpStream::connect(&cloud.api.address).unwrap();
        // Some are closed at once.
        let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n");
        held.push(stream);
    }
    cloud.api.ok("DescribeInstances", "");
    let id = cloud.api.launch("");
    cloud.api.wait_for(&id, "running");
    cloud.api.ok("TerminateInstances", &format!("InstanceId.1={id}"));
    cloud.api.wait_for(&id, "terminated");
}

fn parameters_are_bounded() {
    let cloud = TestCloud::start();
    let dotted: Vec<String> = (0..40_000)
        .map(|number| format!("{number:x}.1.2.3.4.5.6.7.8.9"))
        .collect();
    let answer = cloud.api.send("ec2", "POST /", &dotted.join("&"));
    assert_eq!(refused(&answer), (400, "MalformedQueryString".to_owned()));
}

fn bodies_are_bounded() {
    let cloud = TestCloud::start();
    let form = format!("{FORM}&x={}", "x".repeat(1 << 20));
    assert_eq!(
        refused(&cloud.api.send("ec2", "POST /", &form)),
        (413, "RequestEntityTooLarge".to_owned())
    );
    // Whoever has no key is refused before the body is there.
    let unsigned = cloud.api.request("POST /", &form);
    assert_eq!(
        refused(&cloud.api.deliver(&unsigned)),
        (403, "MissingAuthenticationToken".to_owned())
    );
    let json = format!(r#"{{"SecretId":"{}"}}"#, "x".repeat(1 << 18));
    let answer = cloud.api.json("secretsmanager", "secretsmanager.GetSecretValue", &json);
    assert!(answer.body.contains("SerializationException"), "{}", answer.body);
}
