//! Provenance of a whole bake, and `verify-attestation` as people type it.

use std::process::Command;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::sshd::{Setup, Sshd};
use bakelite_test_support::{test_context, tools};

/// A bake of the file `web.txt` whose provenance is signed.
const TEMPLATE: &str = r#"
variable "password" {
  type      = string
  sensitive = true
}
variable "pin" {
  type      = string
  sensitive = true
}
variable "region" {
  type = string
}
source "file" "web" {
  content = "a page"
  target  = "web.txt"
}
build {
  sources = ["source.file.web"]
  post-processor "provenance" {
    signing_mode   = "key"
    signer         = "key.pem"
    template       = "x-${var.password}"
    user_variables = {
      token = "x-${var.password}"
      loud  = upper(var.password)
      size  = "8"
    }
  }
}
"#;

fn baked() -> TestContext {
    let context = test_context!()
        .with("PKR_VAR_password", "hunter2x")
        .with("PKR_VAR_pin", "77")
        .with("PKR_VAR_region", "eu-west-1");
    context.template(TEMPLATE);
    let keys = "from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key\n\
         from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat\n\
         for name in ('', 'other'):\n\
         \x20   key = generate_private_key(SECP256R1())\n\
         \x20   open(name + 'key.pem', 'wb').write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))\n\
         \x20   open(name + 'pub.pem', 'wb').write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))\n";
    let mut python = Command::new(tools::program("python"));
    let made = python.args(["-c", keys]).current_dir(context.work()).status().unwrap();
    assert!(made.success());
    context.run(["build", "t.pkr.hcl"]).succeeds();
    context
}

fn payload(context: &TestContext) -> String {
    let read =
        "import base64, json; print(base64.b64decode(json.load(open('web.txt.provenance.json'))['payload']).decode())";
    let mut python = Command::new(tools::program("python"));
    let output = python.args(["-c", read]).current_dir(context.work()).run_to_end();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sensitive_values_are_not_in_the_statement() {
    let context = baked();
    let payload = payload(&context);
    let statement: serde_json::Value = serde_json::from_str(&payload).unwrap();
    let parameters = &statement["predicate"]["buildDefinition"]["externalParameters"];
    let redacted = "[sensitive value redacted]";
    let expected = serde_json::json!({
        "template": redacted,
        "userVariables": {"loud": redacted, "password": redacted, "pin": redacted, "region": "eu-west-1", "size": "8", "token": redacted},
    });
    assert_eq!(parameters, &expected);
    assert!(
        !payload.to_lowercase().contains("hunter2x") && !payload.contains("\"77\""),
        "{payload}"
    );
}

fn verify(context: &TestContext, arguments: &[&str]) -> Ran {
    context.run(["verify-attestation"].iter().chain(arguments))
}

#[test]
fn an_attestation_is_verified_on_the_command_line() {
    let context = baked();
    let file = "web.txt.provenance.json";
    let said = verify(&context, &["-verifier", "pub.pem", "-artifact=web.txt", file]).succeeds();
    insta::assert_snapshot!(said, @r"
    web.txt.provenance.json verified: the key has signed it
    predicate: https://slsa.dev/provenance/v1
    builder: https://packer.io/local-build
    subject: web.txt
    ");
    let both = [
        "-signing-mode=key",
        "-key=pub.pem",
        "-verifier=pub.pem",
        "-builder-id=https://packer.io/local-build",
        "-predicate-type",
        "https://slsa.dev/provenance/v1",
        file,
    ];
    let _ = verify(&context, &both).succeeds();
    let statement = payload(&context);
    context.file("bare.json", statement);
    let said = verify(&context, &["-signing-mode=none", "bare.json"]).succeeds();
    assert!(said.contains("is not signed: nothing proves who wrote it"), "{said}");
}

#[test]
fn each_way_of_failing_has_its_words() {
    let context = baked();
    let statement = payload(&context);
    context.file("bare.json", statement).file("other.txt", "another page");
    let file = "web.txt.provenance.json";
    let cases: &[(&[&str], &str)] = &[
        (&[file], "no key is given"),
        (
            &["-verifier=otherpub.pem", file],
            "none of its signatures was made by this key",
        ),
        (&["-verifier=nosuch.pem", file], "read key `"),
        (
            &["-verifier=web.txt", file],
            "it holds no PEM at all, and no public key",
        ),
        (
            &["-verifier=pub.pem", "-key=otherpub.pem", file],
            "mean the same, and they differ",
        ),
        (
            &["-verifier=awskms:///alias/x", file],
            "key management services are not supported",
        ),
        (
            &["-verifier=pub.pem", "nosuch.json"],
            "verify `nosuch.json`: No such file",
        ),
        (
            &["-verifier=pub.pem", "web.txt"],
            "it is neither a DSSE envelope nor an in-toto statement",
        ),
        (&["-verifier=pub.pem", "bare.json"], "it is not signed"),
        (&["-signing-mode=none", file], "it is signed, and no key is given"),
        (
            &["-signing-mode=none", "-verifier=pub.pem", file],
            "no signature is checked",
        ),
        (&["-signing-mode=kms", file], "signing mode `kms` is not supported"),
        (
            &["-signing-mode=keyless", file],
            "signing mode `keyless` is not supported",
        ),
        (&["-signing-mode=x", file], "`x` is no signing mode"),
        (
            &["-verifier=pub.pem", "-artifact=other.txt", file],
            "is none of its subjects: `web.txt`",
        ),
        (
            &["-verifier=pub.pem", "-predicate-type=x", file],
            "its predicate type is `https://slsa.dev/provenance/v1`, not `x`",
        ),
        (
            &["-verifier=pub.pem", "-builder-id=x", file],
            "its builder is `https://packer.io/local-build`, not `x`",
        ),
        (
            &["-verifier=pub.pem", "-source-uri=x", file],
            "its source is not there, not `x`",
        ),
        (&["-trusted-root-path=x", file], "-trusted-root-path is not supported: "),
        (&["-keyless-identity=x", file], "-keyless-identity is not supported: "),
        (
            &["-keyless-oidc-issuer=x", file],
            "-keyless-oidc-issuer is not supported: ",
        ),
        (&["-bundle=x", file], "-bundle is not supported: "),
        (&["-require-rekor", file], "-require-rekor is not supported: "),
        (&["-require-timestamp", file], "-require-timestamp is not supported: "),
    ];
    for (arguments, expected) in cases {
        let said = verify(&context, arguments).fails_with(1);
        assert!(
            said.starts_with("error: ") && said.contains(expected),
            "{arguments:?}: {said}"
        );
    }
}

/// An instance behind a real server, whose packages become an SBOM that the provenance carries.
#[test]
fn the_sbom_of_an_instance_is_attested() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sshd = runtime.block_on(Sshd::start(Setup::default()));
    let context = test_context!();
    context.template(&format!(
        r#"
source "null" "web" {{
  ssh_host             = "127.0.0.1"
  ssh_port             = {}
  ssh_username         = "{}"
  ssh_private_key_file = "{}"
}}
build {{
  sources = ["source.null.web"]
  provisioner "sbom" {{
    auto_generate = true
    destination   = "sbom.json"
  }}
  post-processors {{
    post-processor "artifice" {{
      files = ["sbom.json"]
    }}
    post-processor "provenance" {{
      sbom = true
    }}
  }}
}}
"#,
        sshd.address.port(),
        sshd.username,
        sshd.key_file.display()
    ));
    context.run(["build", "t.pkr.hcl"]).succeeds();
    let json = |name: &str| serde_json::from_str::<serde_json::Value>(&context.read(name)).unwrap();
    let attested = json("web.sbom.json.sbom.att.json");
    assert_eq!(attested["predicateType"], "https://cyclonedx.org/bom");
    assert_eq!(attested["predicate"], json("sbom.json"));
    assert_eq!(json("web.sbom.json.sbom.cdx.json"), json("sbom.json"));
    let arguments = [
        "-signing-mode=none",
        "-artifact=sbom.json",
        "web.sbom.json.provenance.json",
    ];
    let _ = verify(&context, &arguments).succeeds();
}

#[test]
fn what_is_not_supported_is_an_error_at_its_place() {
    let context = test_context!();
    let options = [
        "sbom_scan_path = \"/opt\"",
        "sbom_scope = \"squashed\"",
        "sbom_exclude = [\"./x\"]",
        "fulcio_url = \"https://f.example\"",
        "rekor_url = \"https://r.example\"",
        "trusted_root_path = \"root.json\"",
        "keyless_identity = \"me\"",
        "keyless_oidc_issuer = \"https://i.example\"",
        "upload_tlog = true",
        "signing_mode = \"kms\"",
    ];
    for option in options {
        context.template(&format!(
            "source \"null\" \"web\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.web\"]\n  \
             post-processor \"provenance\" {{\n    {option}\n  }}\n}}\n"
        ));
        let said = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
        let name = option.split(' ').next().unwrap();
        assert!(said.contains("t.pkr.hcl:7:") && said.contains(name), "{option}: {said}");
        assert!(
            said.contains("support") || said.contains("provisioner `sbom`"),
            "{option}: {said}"
        );
    }
}
