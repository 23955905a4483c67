//! The same templates against parts that we did not write: Moto's EC2 and OpenSSH's server.

use std::path::{Path, PathBuf};

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::{test_context, tools};

use crate::templates::{learn, web_server};

/// Runs a shell script where Moto and sshd are (`tests/support/moto_target.sh`).
fn beside_moto(context: &TestContext, script: &str) -> Ran {
    assert!(
        tools::is_root(),
        "this test needs root, for a machine with OpenSSH's server and users of its own; leave it out with `--skip moto_bakes`"
    );
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/moto_target.sh");
    let scratch = context.root().join("moto");
    std::fs::create_dir(&scratch).unwrap();
    let tools: PathBuf = tools::directory();
    let context_arguments = [
        scratch.as_os_str(),
        tools.as_os_str(),
        "sh".as_ref(),
        "-euc".as_ref(),
        script.as_ref(),
    ];
    Ran::of(&mut context.command_of(target, context_arguments))
}

/// Bakes, then prints what Moto still has of everything temporary and whether the image is there.
const BAKE_AND_ASK: &str = r#"
export AWS_ENDPOINT_URL=http://127.0.0.1:5000 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 AWS_REGION=us-east-1
aws() { "$TOOLS/bin/aws" --output text "$@"; }
left() {
  echo "instances: $(aws ec2 describe-instances --query "Reservations[].Instances[?State.Name!='terminated'][].InstanceId")"
  echo "keys: $(aws ec2 describe-key-pairs --query 'KeyPairs[].KeyName')"
  echo "groups: $(aws ec2 describe-security-groups --query "SecurityGroups[?GroupName!='default'].GroupId")"
  echo "volumes: $(aws ec2 describe-volumes --query 'Volumes[].VolumeId')"
}
left > before
"#;

fn bakes_on_moto(context: TestContext, bake: &str) {
    let context = context
        .with("TOOLS", tools::directory().display().to_string())
        .with("BAKELITE", env!("CARGO_BIN_EXE_bakelite"));
    let script = format!("{BAKE_AND_ASK}{bake}\nleft > after\ncat before after\ncmp before after\n");
    let output = beside_moto(&context, &script).succeeds();
    assert!(output.contains("image: available"), "{output}");
    assert!(context.journals().is_empty());
}

#[test]
fn web_server_bakes_as_it_stands() {
    let context = test_context!();
    web_server(&context);
    bakes_on_moto(
        context,
        r#"
"$BAKELITE" build -var app_version=1.2.3 -var base_ami=ami-0ba5e0000000000a1 web-server.pkr.hcl
AMI=$(jq -r '.builds[-1].artifact_id' packer-manifest.json | cut -d: -f2)
echo "image: $(aws ec2 describe-images --image-ids "$AMI" --query 'Images[].State')"
"#,
    );
}

#[test]
fn learn_bakes_as_it_stands() {
    let context = test_context!();
    learn(&context);
    bakes_on_moto(
        context,
        r#"
cd images
"$BAKELITE" build image.pkr.hcl | tee output
cd ..
AMI=$(sed -n 's/^us-east-1: //p' images/output)
echo "image: $(aws ec2 describe-images --image-ids "$AMI" --query 'Images[].State')"
"#,
    );
}
