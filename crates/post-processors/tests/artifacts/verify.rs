//! Verifying attestations: ours, one of securesystemslib, and those that somebody has changed.

use bakelite_engine::error::Error;
use bakelite_post_processors::attestation::key::VerifyingKey;
use bakelite_post_processors::attestation::verify::{Expectations, Verified, verify};
use serde_json::{Value, json};

use crate::workbench::{Workbench, of_files, of_id};

const FILE: &str = "web.image.raw.provenance.json";

/// A bench with keys, and with the provenance of `image.raw` signed by one of them.
async fn signed(key: &str) -> Workbench {
    let bench = Workbench::new().with(&[
        ("CI_PROJECT_URL", "https://git.example/images"),
        ("CI_COMMIT_SHA", "c0ffee"),
        ("CI_COMMIT_REF_NAME", "main"),
    ]);
    bench.make_keys();
    bench.write("image.raw", "an image");
    let options = json!({"signing_mode": "key", "signer": bench.path(&format!("keys/{key}.pem"))});
    bench
        .process("provenance", options, &of_files(&["image.raw"]))
        .await
        .unwrap();
    bench
}

fn key(bench: &Workbench, name: &str) -> VerifyingKey {
    VerifyingKey::from_pem(&bench.read(&format!("keys/{name}.pem"))).unwrap()
}

fn check(bench: &Workbench, text: &str, by: Option<&str>, expectations: &Expectations) -> Result<Verified, String> {
    let key = by.map(|name| key(bench, name));
    verify(text, key.as_ref(), expectations, bench.directory.path()).map_err(|error| Error::from(error).report().text)
}

fn error(bench: &Workbench, text: &str, by: Option<&str>, expectations: &Expectations) -> String {
    check(bench, text, by, expectations).unwrap_err()
}

#[tokio::test]
async fn what_was_signed_is_verified_by_the_right_key_alone() {
    let bench = signed("p256.sec1").await;
    let text = bench.read(FILE);
    let verified = check(&bench, &text, Some("p256.pub"), &Expectations::default()).unwrap();
    assert_eq!(verified.subjects, ["image.raw"]);
    assert_eq!(verified.builder_id.as_deref(), Some("https://packer.io/local-build"));
    check(&bench, &text, Some("p256.pkcs8"), &Expectations::default()).unwrap();
    for other in ["p384.pub", "rsa.pub", "ed25519.pub"] {
        let error = error(&bench, &text, Some(other), &Expectations::default());
        assert!(
            error.starts_with("none of its signatures was made by this key (key id "),
            "{error}"
        );
    }
    assert!(error(&bench, &text, None, &Expectations::default()).contains("no key is given"));
}

#[tokio::test]
async fn a_changed_byte_is_noticed() {
    let bench = signed("ed25519.pkcs8").await;
    let envelope = bench.json(FILE);
    let by = Some("ed25519.pub");
    let other =
        json!({"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicateType": "x", "predicate": {}})
            .to_string();
    for (pointer, value) in [
        ("/payload", json!(base64(&other))),
        ("/signatures/0/sig", json!("AAAA")),
        ("/signatures/0/sig", json!("not base64")),
        ("/signatures", json!([])),
    ] {
        let mut changed = envelope.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let error = error(&bench, &changed.to_string(), by, &Expectations::default());
        assert!(error.starts_with("none of its signatures"), "{pointer}: {error}");
    }
    let mut typed = envelope.clone();
    typed["payloadType"] = json!("application/json");
    assert!(
        error(&bench, &typed.to_string(), by, &Expectations::default()).contains("its payload is `application/json`")
    );
    let twice = envelope
        .to_string()
        .replacen(",\"payload\":", ",\"payload\":\"AAAA\",\"payload\":", 1);
    assert_ne!(twice, envelope.to_string());
    for text in [
        &twice,
        "",
        "{",
        "[]",
        "{}",
        "{\"payloadType\": \"application/vnd.in-toto+json\"}",
    ] {
        let error = error(&bench, text, by, &Expectations::default());
        assert!(
            error.starts_with("it is neither a DSSE envelope nor an in-toto statement"),
            "{text}: {error}"
        );
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

#[tokio::test]
async fn it_must_be_about_something() {
    let bench = Workbench::new();
    let empty =
        json!({"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicateType": "x", "predicate": {}});
    let error = error(&bench, &empty.to_string(), None, &Expectations::default());
    assert_eq!(error, "it has no subject: it says nothing of any artifact");
}

#[tokio::test]
async fn it_must_say_what_is_expected() {
    let bench = signed("rsa.pkcs1").await;
    let text = bench.read(FILE);
    let run = |expectations: Expectations| check(&bench, &text, Some("rsa.pub"), &expectations);
    let given = |text: &str| Some(text.to_owned());
    let right = Expectations {
        predicate_type: given("https://slsa.dev/provenance/v1"),
        builder_id: given("https://packer.io/local-build"),
        source_uri: given("git+https://git.example/images@refs/heads/main"),
        artifact: given("image.raw"),
    };
    run(right).unwrap();
    run(Expectations {
        source_uri: given("git+https://git.example/images"),
        ..Expectations::default()
    })
    .unwrap();
    let wrong = [
        (
            Expectations {
                predicate_type: given("https://cyclonedx.org/bom"),
                ..Expectations::default()
            },
            "its predicate type is `https://slsa.dev/provenance/v1`, not `https://cyclonedx.org/bom`",
        ),
        (
            Expectations {
                builder_id: given("https://ci.example"),
                ..Expectations::default()
            },
            "its builder is `https://packer.io/local-build`, not `https://ci.example`",
        ),
        (
            Expectations {
                source_uri: given("git+https://git.example/image"),
                ..Expectations::default()
            },
            "its source is `git+https://git.example/images@refs/heads/main`, not `git+https://git.example/image`",
        ),
        (
            Expectations {
                artifact: given("ami-0aaa"),
                ..Expectations::default()
            },
            "`ami-0aaa` (no file of that name exists) is none of its subjects: `image.raw`",
        ),
    ];
    for (expectations, expected) in wrong {
        assert_eq!(run(expectations).unwrap_err(), expected);
    }
    bench.write("image.raw", "another image");
    let changed = run(Expectations {
        artifact: given("image.raw"),
        ..Expectations::default()
    })
    .unwrap_err();
    assert!(
        changed.starts_with("`image.raw` (SHA-256 ") && changed.ends_with("is none of its subjects: `image.raw`"),
        "{changed}"
    );
}

#[tokio::test]
async fn an_ami_is_found_by_each_of_its_names() {
    let bench = Workbench::new();
    let artifact = of_id("eu-west-1:ami-0aaa,us-east-1:ami-0bbb");
    bench.process("provenance", json!({}), &artifact).await.unwrap();
    let file = "web.mitchellh.amazonebs-eu-west-1_ami-0aaa_us-east-1_ami-0bbb.provenance.json";
    let about = |text: &str, artifact: &str| {
        let expectations = Expectations {
            artifact: Some(artifact.to_owned()),
            ..Expectations::default()
        };
        check(&bench, text, None, &expectations)
    };
    let text = bench.read(file);
    for name in [
        "ami-0aaa",
        "us-east-1:ami-0bbb",
        "eu-west-1:ami-0aaa,us-east-1:ami-0bbb",
        "mitchellh.amazonebs:eu-west-1:ami-0aaa,us-east-1:ami-0bbb",
    ] {
        about(&text, name).unwrap();
    }
    assert!(about(&text, "ami-0aa").is_err() && about(&text, "eu-west-1:ami-0bbb").is_err());
    let mut statement: Value = serde_json::from_str(&text).unwrap();
    statement["subject"][0]["digest"]["sha256"] = json!("00");
    assert!(
        about(&statement.to_string(), "ami-0aaa")
            .unwrap_err()
            .contains("has a digest that is not that of")
    );
    // Without the by-product the digest is computed.
    let mut statement: Value = serde_json::from_str(&text).unwrap();
    statement["predicate"]["runDetails"]
        .as_object_mut()
        .unwrap()
        .remove("byproducts");
    about(&statement.to_string(), "ami-0aaa").unwrap();
}

#[tokio::test]
async fn envelopes_of_others_are_verified() {
    let bench = Workbench::new();
    bench.make_keys();
    bench.write("image.raw", "an image");
    bench
        .process("provenance", json!({}), &of_files(&["image.raw"]))
        .await
        .unwrap();
    for name in ["ed25519", "p256", "p384", "rsa"] {
        let private = format!("keys/{name}.pkcs8.pem");
        let envelope = bench.python("attestations.py", &["sign", FILE, &private]).unwrap();
        let about = Expectations {
            artifact: Some("image.raw".into()),
            ..Expectations::default()
        };
        check(&bench, &envelope, Some(&format!("{name}.pub")), &about)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn an_unsigned_statement_proves_nothing_and_says_so() {
    let bench = Workbench::new();
    bench.make_keys();
    bench.write("image.raw", "an image");
    bench
        .process("provenance", json!({}), &of_files(&["image.raw"]))
        .await
        .unwrap();
    let text = bench.read(FILE);
    assert_eq!(
        error(&bench, &text, Some("p256.pub"), &Expectations::default()),
        "it is not signed: anybody may have written it"
    );
    check(&bench, &text, None, &Expectations::default()).unwrap();
    let old = text.replace("Statement/v1", "Statement/v0.1");
    assert!(error(&bench, &old, None, &Expectations::default()).contains("Statement/v0.1"));
}
