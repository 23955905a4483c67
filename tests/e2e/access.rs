//! Credentials of this machine as the program itself looks for them, and the policy that `iam-policy` prints against the calls of a bake.

use std::collections::BTreeSet;

use bakelite_test_support::context::TestContext;
use bakelite_test_support::exchange::Exchange;
use bakelite_test_support::test_context;
use regex::Regex;

use crate::amazon_options::Recorder;
use crate::secrets::{create, on_the_local_cloud};

const CALLER: &str = "HTTP/1.1 200 OK\n\n<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
     <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ci</Arn><UserId>U</UserId><Account>123456789012</Account>\
     </GetCallerIdentityResult></GetCallerIdentityResponse>";
const DENIED: &str = "HTTP/1.1 403 Forbidden\n\n<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not \
     authorized to perform this operation.</Message></Error></Errors></Response>";

/// Asks for an AMI with credentials that nothing but the machine has; answers the error and what AWS was asked.
fn asks_for_an_ami(context: TestContext, config: &str) -> (String, Vec<String>) {
    let exchange = Exchange::play(&[CALLER, DENIED]);
    let context = context
        .with("AWS_ENDPOINT_URL_STS", format!("http://{}", exchange.address))
        .with("AWS_ENDPOINT_URL_EC2", format!("http://{}", exchange.address))
        .with("AWS_REGION", "eu-west-1");
    std::fs::create_dir_all(context.root().join("home/.aws")).unwrap();
    std::fs::write(context.root().join("home/.aws/config"), config).unwrap();
    context.template(
        "data \"amazon-ami\" \"a\" {\n  owners = [\"self\"]\n}\nsource \"null\" \"a\" {\n  communicator = \"none\"\n}\nbuild {\n  sources \
         = [\"source.null.a\"]\n}\n",
    );
    let error = context
        .run(["validate", "-evaluate-datasources", "t.pkr.hcl"])
        .fails_with(1);
    (error, exchange.asked())
}

#[test]
fn a_container_has_credentials() {
    let container = Exchange::play(&[
        "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"AccessKeyId\": \"OF_CONTAINER\", \"SecretAccessKey\": \"S\", \"Token\": \
         \"T\", \"Expiration\": \"2099-01-01T00:00:00Z\"}",
    ]);
    let context = test_context!()
        .with(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{}/creds", container.address),
        )
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in");
    let (error, asked) = asks_for_an_ami(context, "");
    assert!(container.asked()[0].contains("authorization: let-me-in\n"));
    for call in &asked {
        assert!(call.contains("credential=of_container/"), "{call}");
    }
    for part in [
        "IAM action `ec2:DescribeImages` is missing",
        "caller `arn:aws:iam::123456789012:user/ci`",
        "t.pkr.hcl:1",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_session_of_sso_has_credentials_until_it_ends() {
    let portal = Exchange::play(&[
        "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"roleCredentials\": {\"accessKeyId\": \"OF_SSO\", \"secretAccessKey\": \"S\", \
         \"sessionToken\": \"T\", \"expiration\": 4070908800000}}",
    ]);
    let config = "[default]\nsso_start_url = https://sso.test/start\nsso_region = eu-west-1\nsso_account_id = 123456789012\n\
        sso_role_name = baker\n";
    let context = test_context!().with("AWS_ENDPOINT_URL_SSO", format!("http://{}", portal.address));
    let cache = context.root().join("home/.aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    // The name is the SHA-1 of the start URL.
    std::fs::write(
        cache.join("c2e09b4fac288e7a35fb1a0f7b55446a509137e5.json"),
        r#"{"accessToken": "a-token", "expiresAt": "2099-01-01T00:00:00Z", "region": "eu-west-1", "startUrl": "https://sso.test/start"}"#,
    )
    .unwrap();
    let (_, asked) = asks_for_an_ami(context, config);
    assert!(asked[0].contains("credential=of_sso/"), "{}", asked[0]);
    let asked = portal.asked();
    assert!(
        asked[0].starts_with("GET /federation/credentials?") && asked[0].contains("x-amz-sso_bearer_token: a-token"),
        "{}",
        asked[0]
    );
    let context = test_context!().with("AWS_REGION", "eu-west-1");
    std::fs::create_dir_all(context.root().join("home/.aws")).unwrap();
    std::fs::write(context.root().join("home/.aws/config"), config).unwrap();
    context.template("data \"amazon-ami\" \"a\" {\n  owners = [\"self\"]\n}\n");
    let error = context
        .run(["validate", "-evaluate-datasources", "t.pkr.hcl"])
        .fails_with(1);
    assert!(
        error.contains("Failed to load AWS credentials from profile `default`: "),
        "{error}"
    );
}

/// The IAM actions of all calls that were recorded. JSON names the service, forms have its version.
fn actions_of(recorder: &Recorder) -> BTreeSet<String> {
    let target = Regex::new(r"(?i)x-amz-target: ([a-z]+)\.([A-Za-z]+)").unwrap();
    let query = Regex::new(r"(?m)^Action=([A-Za-z]+)&Version=([0-9-]+)").unwrap();
    let (heads, bodies) = (recorder.heads(), recorder.requests());
    let of_json = target.captures_iter(&heads);
    let of_json = of_json.map(|found| format!("{}:{}", found[1].to_lowercase(), &found[2]));
    let of_query = query.captures_iter(&bodies).map(|found| {
        let service = match &found[2] {
            "2016-11-15" => "ec2",
            "2011-06-15" => "sts",
            "2010-05-08" => "iam",
            other => panic!("which service has version {other}?"),
        };
        format!("{service}:{}", &found[1])
    });
    of_json.chain(of_query).collect()
}

fn policy_of(context: &TestContext, arguments: &[&str]) -> (serde_json::Value, BTreeSet<String>) {
    let printed = context
        .run(["iam-policy"].into_iter().chain(arguments.iter().copied()))
        .succeeds();
    let policy: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|one| one["Action"].as_array().unwrap());
    let actions = actions.map(|action| action.as_str().unwrap().to_owned()).collect();
    (policy, actions)
}

const TEMPLATE: &str = r#"
variable "users" {
  type    = list(string)
  default = ["123456789012"]
}
data "amazon-secretsmanager" "greeting" {
  region = "us-east-1"
  name   = "greeting"
}
source "amazon-ebs" "a" {
  region          = "us-east-1"
  instance_type   = "t3.micro"
  ami_name        = "made-here"
  ami_description = "a"
  ssh_username    = "admin"
  tags            = { Name = "a" }
  run_tags        = { Name = "a" }
  ami_users       = var.users
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }
}
source "null" "b" {
  communicator = "none"
}
build {
  sources = ["source.amazon-ebs.a", "source.null.b"]
  provisioner "shell" {
    only   = ["amazon-ebs.a"]
    inline = ["test ${data.amazon-secretsmanager.greeting.value} = hello"]
  }
}
"#;

#[test]
fn the_policy_of_a_template_has_what_it_uses() {
    let context = test_context!();
    context.template(TEMPLATE);
    let (policy, actions) = policy_of(&context, &["t.pkr.hcl"]);
    assert_eq!(policy["Version"], "2012-10-17");
    for action in [
        "ec2:RunInstances",
        "secretsmanager:GetSecretValue",
        "ec2:ModifyImageAttribute",
    ] {
        assert!(actions.contains(action), "{action}: {actions:?}");
    }
    let mut statements = policy["Statement"].as_array().unwrap().iter();
    assert_eq!(
        statements.find(|one| one["Sid"] == "Secrets").unwrap()["Resource"],
        serde_json::json!(["arn:*:secretsmanager:us-east-1:*:secret:greeting-*"])
    );
    let (_, without) = policy_of(&context, &["-except", "amazon-ebs.a", "t.pkr.hcl"]);
    assert!(!without.contains("ec2:RunInstances") && without.contains("secretsmanager:GetSecretValue"));
    let (_, unshared) = policy_of(&context, &["-var", "users=[]", "t.pkr.hcl"]);
    assert!(unshared.is_subset(&actions));
}

#[test]
fn the_policy_of_a_template_allows_every_call_of_its_bake() {
    let (cloud, context) = on_the_local_cloud();
    create(&context, "greeting", "hello");
    let recorder = Recorder::before(&cloud);
    let context = context.with("AWS_ENDPOINT_URL", &recorder.url);
    context.template(TEMPLATE);
    let (_, allowed) = policy_of(&context, &["t.pkr.hcl"]);
    assert!(recorder.requests().is_empty(), "{}", recorder.requests());
    context.run(["build", "t.pkr.hcl"]).succeeds();
    let mut called = actions_of(&recorder);
    assert!(
        called.contains("ec2:CreateImage") && called.contains("secretsmanager:GetSecretValue"),
        "{called:?}"
    );
    // Nobody needs a permission for it.
    called.remove("sts:GetCallerIdentity");
    let denied: Vec<_> = called.difference(&allowed).collect();
    assert!(denied.is_empty(), "{denied:?} of {called:?}");
}
