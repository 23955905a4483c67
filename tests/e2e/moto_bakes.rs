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

/// Groups of options that Moto has, too (it knows neither deprecation nor fast launch, and no spot request of a fleet's instance), and
/// what they leave as the AWS CLI reads it: a line for each question.
const GROUPS: &str = r#"
"$BAKELITE" build -parallel-builds=3 -only='*.copies,*.replaced,*.no-ami,*.sharing,*.tags,*.surrogate,*.volumes' "$GROUPS" > first 2>&1
image() {
  region=$1 name=$2
  shift 2
  aws --region "$region" ec2 describe-images --owners self --filters "Name=name,Values=group-$name" "$@"
}
here() { image us-east-1 "$@"; }
OLD=$(image eu-west-1 replaced --query 'Images[].ImageId')
"$BAKELITE" build -only='*.replaced' "$GROUPS" > second 2>&1
for region in us-east-1 eu-west-1 ap-south-1; do
  echo "$region: $(image "$region" copies --query 'Images[].State') $(image "$region" replaced --query 'Images[].State')"
done
test "$(image eu-west-1 replaced --query 'Images[].ImageId')" = "$OLD" || echo "replaced"
echo "no AMI: $(here no-ami --query 'Images[].ImageId')"
echo "surrogate: $(here surrogate --query 'Images[].BootMode')"
echo "tags:" $(here tags --query 'Images[].sort_by(Tags, &Key)[].[Key]')
SHARED=$(here sharing --query 'Images[].ImageId')
echo "shared:" $(aws ec2 describe-image-attribute --image-id "$SHARED" --attribute launchPermission --query 'LaunchPermissions[].[UserId || OrganizationArn || OrganizationalUnitArn]')
echo "volumes:" $(aws ec2 describe-volumes --query "Volumes[].[State, Size, Tags[?Key=='Name'].Value | [0]]")
"#;

#[test]
fn groups_of_options_leave_what_they_say() {
    let context = test_context!();
    let context = context
        .with("TOOLS", tools::directory().display().to_string())
        .with("BAKELITE", env!("CARGO_BIN_EXE_bakelite"))
        .with("GROUPS", crate::option_groups::directory().display().to_string());
    let script =
        format!("{BAKE_AND_ASK}{GROUPS}left | grep -v volumes > after\ngrep -v volumes before | cmp - after\n");
    let output = beside_moto(&context, &script).succeeds();
    let expected = "us-east-1: available available\neu-west-1: available available\nap-south-1: available available\nreplaced\n\
                    no AMI: \nsurrogate: uefi\ntags: Base Cost Made Owner\n\
                    shared: 111122223333 444455556666 arn:aws:organizations::111122223333:organization/o-1234567890 \
                    arn:aws:organizations::111122223333:ou/o-1234567890/ou-1234-12345678\nvolumes: available 2 data\n";
    assert_eq!(output, expected);
    assert!(context.journals().is_empty());
}
