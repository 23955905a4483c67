//! The provenance post-processor: what it writes, and what in-toto's and securesystemslib's own code make of that.

use std::process::Command;

use bakelite_engine::artifact::Artifact;
use bakelite_test_support::ended::RunToEnd as _;
use serde_json::{Value, json};

use crate::workbench::{Workbench, complaints, of_files, of_id};

/// The provenance of one file `out/image.raw`.
async fn statement(bench: &Workbench, options: Value) -> Value {
    bench.write("out/image.raw", "an image");
    bench
        .process("provenance", options, &of_files(&["out/image.raw"]))
        .await
        .unwrap();
    bench.json("out/web.image.raw.provenance.json")
}

#[tokio::test]
async fn a_statement_of_files_is_as_in_toto_wants_it() {
    let bench = Workbench::new().with(&[("PKR_VAR_region", "eu-west-1"), ("HOME", "/root")]);
    bench.write("out/image.raw", "an image");
    bench.write("out/notes <1>.txt", "notes");
    let options = json!({"template": "web.pkr.hcl", "only_builds": ["null.web"], "user_variables": {"size": "8"},
        "build_type": "https://acme.example/bake/v1", "source_uri": "git+https://git.example/images"});
    let artifact = of_files(&["out/image.raw", "out/notes <1>.txt"]);
    let processed = bench.process("provenance", options, &artifact).await.unwrap();
    assert!(processed.keep_input && processed.must_keep_input);
    assert_eq!(processed.artifact.unwrap().files, artifact.files);
    assert_eq!(bench.said(), ["Wrote out/web.image.raw.provenance.json"]);

    let file = "out/web.image.raw.provenance.json";
    insta::assert_snapshot!(bench.read(file).replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let checked = bench.python("attestations.py", &["statement", file]).unwrap();
    assert_eq!(checked.trim_end_matches('\n'), bench.read(file));
    assert!(!bench.read(file).ends_with('\n'));
    let mut names = bench.names("out");
    names.retain(|name| !name.starts_with("web.image"));
    assert_eq!(names, ["image.raw", "notes <1>.txt"], "nothing temporary is left");
}

#[tokio::test]
async fn a_statement_of_an_ami_is_about_its_identity() {
    let bench = Workbench::new();
    let artifact = of_id("eu-west-1:ami-0aaa,us-east-1:ami-0bbb");
    bench.process("provenance", json!({}), &artifact).await.unwrap();
    let file = "web.mitchellh.amazonebs-eu-west-1_ami-0aaa_us-east-1_ami-0bbb.provenance.json";
    insta::assert_snapshot!(bench.read(file).replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    bench.python("attestations.py", &["statement", file]).unwrap();
    let nothing = bench.process("provenance", json!({}), &of_id("")).await.err().unwrap();
    assert_eq!(
        nothing,
        "failed to attest the artifact of `mitchellh.amazonebs`: it has neither files nor an id"
    );
}

#[tokio::test]
async fn every_kind_of_key_signs_what_others_verify() {
    let bench = Workbench::new();
    bench.make_keys();
    let keys = [
        "ed25519.pkcs8",
        "p256.pkcs8",
        "p256.sec1",
        "p384.pkcs8",
        "p384.sec1",
        "rsa.pkcs8",
        "rsa.pkcs1",
    ];
    for (index, key) in keys.into_iter().enumerate() {
        let public = format!("keys/{}.pub.pem", key.split('.').next().unwrap());
        let option = if index % 2 == 0 { "signer" } else { "key" };
        let mut options = json!({"signing_mode": "key", "verifier": bench.path(&public)});
        options[option] = json!(bench.path(&format!("keys/{key}.pem")));
        let envelope = statement(&bench, options).await;
        assert_eq!(
            envelope.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["payloadType", "payload", "signatures"]
        );
        let file = "out/web.image.raw.provenance.json";
        let payload = bench.python("attestations.py", &["verify", file, &public]).unwrap();
        assert!(
            payload.starts_with(r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"image.raw""#),
            "{key}: {payload}"
        );
        let sum = Command::new("sha256sum").arg(bench.path(&public)).run_to_end();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(
            envelope["signatures"][0]["keyid"],
            sum.split(' ').next().unwrap(),
            "{key}"
        );
    }
}

#[tokio::test]
async fn what_the_verifier_does_not_verify_is_not_written() {
    let bench = Workbench::new();
    bench.make_keys();
    bench.write("image.raw", "an image");
    let options = json!({"signing_mode": "key", "signer": bench.path("keys/p256.sec1.pem"), "verifier": bench.path("keys/ed25519.pub.pem")});
    let failed = bench.process("provenance", options, &of_files(&["image.raw"])).await;
    let error = failed.err().unwrap();
    assert!(
        error.contains("; nothing is written\nhelp: `verifier` must be"),
        "{error}"
    );
    assert_eq!(bench.names("."), ["image.raw", "keys", "tmp"]);
}

#[tokio::test]
async fn it_can_be_switched_off_and_sent_elsewhere() {
    let bench = Workbench::new();
    bench.write("image.raw", "an image");
    let artifact = of_files(&["image.raw"]);
    bench
        .process("provenance", json!({"provenance": false}), &artifact)
        .await
        .unwrap();
    assert_eq!(bench.names("."), ["image.raw", "tmp"]);
    let options = json!({"provenance": true, "output_dir": "new/deep"});
    bench.process("provenance", options, &artifact).await.unwrap();
    assert_eq!(bench.names("new/deep"), ["web.image.raw.provenance.json"]);
    for (file, written) in [
        ("web", "web.provenance.json"),
        ("web.raw", "web.raw.provenance.json"),
        ("website.raw", "web.website.raw.provenance.json"),
    ] {
        bench.write(file, "x");
        bench
            .process("provenance", json!({"output_dir": "named"}), &of_files(&[file]))
            .await
            .unwrap();
        assert!(
            bench.names("named").contains(&written.to_owned()),
            "{:?}",
            bench.names("named")
        );
    }
    let missing = bench
        .process("provenance", json!({}), &of_files(&["nosuch"]))
        .await
        .err()
        .unwrap();
    assert!(
        missing.starts_with("failed to compute the SHA-256 sum of `") && missing.contains("nosuch"),
        "{missing}"
    );
    let directory = bench
        .process("provenance", json!({}), &of_files(&["tmp"]))
        .await
        .err()
        .unwrap();
    assert!(directory.contains("Is a directory"), "{directory}");
}

#[tokio::test]
async fn ci_systems_say_who_bakes_and_from_where() {
    type Variables = &'static [(&'static str, &'static str)];
    let cases: &[(Variables, [&str; 3])] = &[
        (
            &[
                (
                    "GITHUB_WORKFLOW_REF",
                    "acme/images/.github/workflows/bake.yml@refs/heads/main",
                ),
                ("GITHUB_RUN_ID", "77"),
                ("GITHUB_REPOSITORY", "acme/images"),
                ("GITHUB_SHA", "c0ffee"),
                ("BUILD_ID", "never"),
            ],
            [
                "acme/images/.github/workflows/bake.yml@refs/heads/main",
                "77",
                "git+https://github.com/acme/images",
            ],
        ),
        (
            &[
                ("CI_JOB_URL", "https://gitlab.com/acme/images/-/jobs/5"),
                ("CI_PIPELINE_ID", "6"),
                ("CI_PROJECT_URL", "https://gitlab.com/acme/images"),
                ("CI_COMMIT_SHA", "c0ffee"),
                ("CI_COMMIT_REF_NAME", "main"),
            ],
            [
                "https://gitlab.com/acme/images/-/jobs/5",
                "6",
                "git+https://gitlab.com/acme/images@refs/heads/main",
            ],
        ),
        (
            &[("BUILD_URL", "https://me:pw@ci.example/8"), ("BUILD_ID", "8")],
            ["https://ci.example/8", "8", ""],
        ),
        (&[], ["https://packer.io/local-build", "run-id", ""]),
    ];
    for (variables, [builder, invocation, source]) in cases {
        let bench = Workbench::new().with(variables);
        let predicate = statement(&bench, json!({})).await["predicate"].clone();
        assert_eq!(predicate["runDetails"]["builder"]["id"], *builder);
        assert_eq!(predicate["runDetails"]["metadata"]["invocationId"], *invocation);
        let dependency = &predicate["buildDefinition"]["resolvedDependencies"][0];
        assert_eq!(dependency["uri"].as_str().unwrap_or_default(), *source);
        assert_eq!(
            dependency["digest"]["gitCommit"]
                .as_str()
                .unwrap_or_default()
                .is_empty(),
            source.is_empty()
        );
    }
}

#[tokio::test]
async fn git_says_where_the_template_comes_from() {
    let bench = Workbench::new();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(arguments);
        let output = command.current_dir(bench.directory.path()).run_to_end();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let uri = async || {
        let statement = statement(&bench, json!({})).await;
        statement["predicate"]["buildDefinition"]["resolvedDependencies"][0].clone()
    };
    git(&["init", "-q", "-b", "trunk"]);
    assert_eq!(uri().await, Value::Null, "there is no commit yet");
    git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let root = bench.directory.path().canonicalize().unwrap();
    assert_eq!(
        uri().await,
        json!({"uri": format!("git+file://{}@refs/heads/trunk", root.display()), "digest": {"gitCommit": commit}})
    );
    git(&[
        "remote",
        "add",
        "origin",
        "https://me:t0ken@git.example/acme/images.git",
    ]);
    assert_eq!(
        uri().await["uri"],
        "git+https://git.example/acme/images.git@refs/heads/trunk"
    );
    git(&["checkout", "-q", "--detach"]);
    assert_eq!(uri().await["uri"], "git+https://git.example/acme/images.git");
    let named = statement(&bench, json!({"source_uri": "git+https://mirror.example/images"})).await;
    assert_eq!(
        named["predicate"]["buildDefinition"]["resolvedDependencies"][0],
        json!({"uri": "git+https://mirror.example/images", "digest": {"gitCommit": commit}})
    );
}

#[tokio::test]
async fn an_sbom_of_the_instance_is_attested() {
    let bench = Workbench::new();
    bench.make_keys();
    let document = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1});
    let spdx = json!({"spdxVersion": "SPDX-2.3", "name": "instance"});
    let mut artifact: Artifact = of_id("eu-west-1:ami-0aaa");
    let error = bench
        .process("provenance", json!({"sbom": true}), &artifact)
        .await
        .err()
        .unwrap();
    assert!(
        error.contains("no provisioner of this build made one\nhelp: add `provisioner \"sbom\""),
        "{error}"
    );
    assert_eq!(
        bench.names("."),
        ["keys", "tmp"],
        "nothing is written when something is missing"
    );

    artifact
        .state
        .insert("sbom.cyclonedx".into(), json!({"document": document, "sha256": "x"}));
    let error = bench
        .process("provenance", json!({"sbom": true, "sbom_format": "spdx"}), &artifact)
        .await
        .err()
        .unwrap();
    assert!(error.contains("in the format `spdx`"), "{error}");
    let options = json!({"sbom": true, "sbom_format": "cyclonedx", "signing_mode": "key", "signer": bench.path("keys/ed25519.pkcs8.pem")});
    bench.process("provenance", options, &artifact).await.unwrap();
    let stem = "web.mitchellh.amazonebs-eu-west-1_ami-0aaa";
    assert_eq!(bench.json(&format!("{stem}.sbom.cdx.json")), document);
    let attestation = format!("{stem}.sbom.att.json");
    let payload = bench
        .python("attestations.py", &["verify", &attestation, "keys/ed25519.pub.pem"])
        .unwrap();
    let statement: Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(statement["predicateType"], "https://cyclonedx.org/bom");
    assert_eq!(
        (&statement["predicate"], &statement["subject"][0]["name"]),
        (&document, &json!("mitchellh.amazonebs:eu-west-1:ami-0aaa"))
    );

    artifact.state = [("sbom.spdx".to_owned(), json!({"document": spdx}))].into();
    bench
        .process("provenance", json!({"sbom": true}), &artifact)
        .await
        .unwrap();
    assert_eq!(bench.json(&format!("{stem}.sbom.spdx.json")), spdx);
    assert_eq!(bench.json(&attestation)["predicateType"], "https://spdx.dev/Document");
}

#[test]
fn options_that_do_not_go_together_are_errors_before_the_bake() {
    let bench = Workbench::new();
    bench.make_keys();
    let key = |name: &str| bench.path(&format!("keys/{name}.pem"));
    let signed = |name: &str| complaints("provenance", &json!({"signing_mode": "key", "signer": key(name)})).join("; ");
    assert_eq!(signed("ed25519.pkcs8"), "");
    assert!(
        signed("p256.locked8").contains("protected by a passphrase"),
        "{}",
        signed("p256.locked8")
    );
    assert!(
        signed("p256.locked1").contains("protected by a passphrase"),
        "{}",
        signed("p256.locked1")
    );
    assert!(
        signed("short.pkcs8").contains("its RSA key has 1024 bits"),
        "{}",
        signed("short.pkcs8")
    );
    assert!(
        signed("ed448.pkcs8").contains("is no key of Ed25519"),
        "{}",
        signed("ed448.pkcs8")
    );
    assert!(
        signed("p256.pub").contains("it holds a `PUBLIC KEY`, and no private key"),
        "{}",
        signed("p256.pub")
    );
    assert!(signed("nosuch").contains("No such file"), "{}", signed("nosuch"));
    bench.write("keys/text.pem", "not a key");
    assert!(signed("text").contains("no PEM at all"), "{}", signed("text"));
    let bad_verifier = json!({"signing_mode": "key", "signer": key("p256.sec1"), "verifier": key("text")});
    assert!(complaints("provenance", &bad_verifier)[0].starts_with("verifier: `"));

    let cases = [
        (
            json!({"signing_mode": "key"}),
            "signing_mode: `signer` must be given to sign with a key",
        ),
        (
            json!({"signer": key("p256.sec1")}),
            "signer: a key is given, but `signing_mode` does not ask for a signature",
        ),
        (
            json!({"key": key("p256.sec1"), "signing_mode": "none"}),
            "key: a key is given, but `signing_mode` does not ask for a signature",
        ),
        (
            json!({"verifier": key("p256.pub")}),
            "verifier: a verifier is given, but `signing_mode` does not ask for a signature",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(complaints("provenance", &options)[0], expected, "{options}");
    }
    let both = json!({"signing_mode": "key", "signer": key("p256.sec1"), "key": key("p256.pkcs8")});
    assert_eq!(
        complaints("provenance", &both),
        ["key: `key` means the same as `signer`, and they differ"]
    );
    let kms = json!({"signing_mode": "key", "signer": "hashivault://x"});
    assert!(complaints("provenance", &kms)[0].contains("key management service"));
    assert!(complaints("provenance", &json!({"upload_tlog": false, "signing_mode": "none"})).is_empty());
}
