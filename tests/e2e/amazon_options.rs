//! Every option of amazon-ebs, by what becomes of it: the calls that a bake makes, as they pass a recorder on their way to the local cloud.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bakelite_test_support::clouds::{Cloud, Endpoint, signal};
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::eventually::{LIMIT, until};
use bakelite_test_support::exchange::Exchange;
use bakelite_test_support::inventory::Inventory;
use bakelite_test_support::signer::Request;
use bakelite_test_support::test_context;

/// Records the requests to a cloud. It signs them anew: the cloud answers only to its own address.
pub(crate) struct Recorder {
    pub(crate) url: String,
    bodies: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
    answers: Answers,
}

/// Answers in place of the cloud's, each to the first request for its action that is no dry run.
type Answers = Arc<Mutex<Vec<(&'static str, u16, &'static str)>>>;

impl Recorder {
    pub(crate) fn before(cloud: &Cloud) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Recorder {
            url: format!("http://{}", listener.local_addr().unwrap()),
            bodies: Arc::default(),
            heads: Arc::default(),
            answers: Arc::default(),
        };
        let (cloud, bodies, heads, answers) = (
            cloud.endpoint.clone(),
            Arc::clone(&recorder.bodies),
            Arc::clone(&recorder.heads),
            Arc::clone(&recorder.answers),
        );
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (cloud, bodies, heads) = (cloud.clone(), Arc::clone(&bodies), Arc::clone(&heads));
                let answers = Arc::clone(&answers);
                std::thread::spawn(move || {
                    let client = client.unwrap();
                    let Some((head, body)) = read(&client) else { return };
                    bodies.lock().unwrap().push(decoded(&body));
                    heads.lock().unwrap().push(head.clone());
                    let (head, body) = answer(&answers, &body).unwrap_or_else(|| forward(&cloud, &head, &body));
                    let _ = (&client).write_all(format!("{head}\r\n\r\n{body}").as_bytes());
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        recorder
    }

    /// All requests so far: a line for each.
    pub(crate) fn requests(&self) -> String {
        self.bodies.lock().unwrap().join("\n")
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> String {
        self.heads.lock().unwrap().concat()
    }
}

/// The answer that stands in place of the cloud's, if there is one.
fn answer(answers: &Answers, body: &str) -> Option<(String, String)> {
    let mut answers = answers.lock().unwrap();
    let is_asked = |action: &str| body.starts_with(&format!("Action={action}&")) && !body.contains("DryRun=true");
    let at = answers.iter().position(|(action, ..)| is_asked(action))?;
    let (_, status, body) = answers.remove(at);
    let head = format!(
        "HTTP/1.1 {status} it\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}",
        body.len()
    );
    Some((head, body.to_owned()))
}

/// Reads one request: its head and its body.
fn read(client: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = header(&head, "content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Sends a request to the cloud, signed with its owner's key for the service that it is meant for.
fn forward(cloud: &Endpoint, head: &str, body: &str) -> (String, String) {
    let scope = header(head, "authorization").and_then(|value| value.split_once("Credential="));
    let scope: Vec<&str> = scope.map_or("", |(_, scope)| scope).split('/').collect();
    let mut request = Request::new(cloud.address(), "POST", "/", body);
    for name in ["content-type", "x-amz-target"] {
        if let Some(value) = header(head, name) {
            request = request.with(name, value);
        }
    }
    let signed = request.signed(&cloud.key, scope[3], scope[2], SystemTime::now());
    signed.send(cloud.address())
}

/// A form with its `%XX` decoded.
fn decoded(form: &str) -> String {
    let mut bytes = form.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next(), bytes.next()].map(|digit| char::from(digit.unwrap_or_default()));
            decoded.push(u8::from_str_radix(&String::from_iter(hex), 16).unwrap_or(b'%'));
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A template of one AMI with these lines in its source, beside its name.
fn template(source: &str) -> String {
    format!(
        "source \"amazon-ebs\" \"it\" {{\n  ami_name = \"baked\"\n  {source}\n}}\nbuild {{ sources = [\"source.amazon-ebs.it\"] }}\n"
    )
}

/// What most sources have in common.
pub(crate) const USUAL: &str = r#"
  region        = "us-east-1"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"
  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }
"#;

/// Bakes with these lines in the source, and answers how it ended and the requests that it made. The cloud may refuse what it does not
/// have; the request is what counts.
fn bake(source: &str) -> (Ran, String) {
    bake_answering(source, &[])
}

/// A context whose calls pass a recorder on their way to a local cloud.
fn recorded() -> (TestContext, Cloud, Recorder) {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let recorder = Recorder::before(&cloud);
    let context = context.on(&cloud).with("AWS_ENDPOINT_URL", &recorder.url);
    (context, cloud, recorder)
}

/// The same with answers in place of the cloud's.
fn bake_answering(source: &str, answers: &[(&'static str, u16, &'static str)]) -> (Ran, String) {
    bake_template(&template(source), answers)
}

/// The same with a template.
pub(crate) fn bake_template(text: &str, answers: &[(&'static str, u16, &'static str)]) -> (Ran, String) {
    let (context, _cloud, recorder) = recorded();
    *recorder.answers.lock().unwrap() = answers.to_vec();
    context.file("data", "#!/bin/sh\n").template(text);
    let ran = context.run(["build", "t.pkr.hcl"]);
    (ran, recorder.requests())
}

/// Everything that is wanted is in what was sent.
#[track_caller]
pub(crate) fn assert_sent((ran, requests): &(Ran, String), wanted: &[&str]) {
    for wanted in wanted {
        assert!(requests.contains(wanted), "{wanted} was not sent: {requests}\n{ran:?}");
    }
}

/// The first request for an action.
#[track_caller]
fn first<'a>(requests: &'a str, action: &str) -> &'a str {
    let mut all = requests.lines();
    all.find(|request| request.starts_with(&format!("Action={action}&")))
        .unwrap_or_else(|| panic!("{action} was not asked for: {requests}"))
}

#[test]
fn options_of_the_instance_are_parameters_of_its_launch() {
    let source = format!(
        r#"{USUAL}
        ebs_optimized               = true
        enable_nitro_enclave        = true
        iam_instance_profile        = "builder"
        skip_profile_validation     = true
        shutdown_behavior           = "terminate"
        availability_zone           = "us-east-1b"
        capacity_reservation_id     = "cr-1"
        user_data                   = "hello"
        run_tags                    = {{ Team = "{{{{ .BuildRegion }}}}" }}
        run_volume_tags             = {{ Kind = "scratch" }}
        run_tag {{
          key   = "Stage"
          value = "test"
        }}
        run_volume_tag {{
          name  = "Disk"
          value = "one"
        }}
        metadata_options {{
          http_endpoint               = "enabled"
          http_tokens                 = "required"
          http_put_response_hop_limit = 3
          instance_metadata_tags      = "enabled"
        }}
        placement {{
          host_id = "h-1"
          tenancy = "host"
        }}
        license_specifications {{
          license_configuration_request {{
            license_configuration_arn = "arn:license"
          }}
        }}
        launch_block_device_mappings {{
          device_name           = "/dev/sda1"
          delete_on_termination = true
          encrypted             = true
          iops                  = 4000
          throughput            = 200
          volume_type           = "gp3"
          volume_size           = 30
          kms_key_id            = "alias/disks"
          snapshot_id           = "snap-1"
        }}
        launch_block_device_mappings {{
          device_name = "/dev/sdb"
          no_device   = true
        }}
        launch_block_device_mappings {{
          device_name  = "/dev/sdc"
          virtual_name = "ephemeral0"
        }}"#
    );
    let (ran, requests) = bake(&source);
    assert!(!requests.contains("Action=GetInstanceProfile&"), "{requests}");
    assert_sent(
        &(ran, requests),
        &[
            "Action=RunInstances&",
            "&InstanceType=m5.large&",
            "&EbsOptimized=true",
            "&EnclaveOptions.Enabled=true",
            "&IamInstanceProfile.Name=builder",
            "&InstanceInitiatedShutdownBehavior=terminate",
            "&Placement.AvailabilityZone=us-east-1b",
            "&CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId=cr-1",
            "&UserData=aGVsbG8=",
            "Key=Team&TagSpecification.1.Tag.3.Value=us-east-1",
            "Key=Stage&TagSpecification.1.Tag.2.Value=test",
            "Key=Kind&TagSpecification.2.Tag.2.Value=scratch",
            "Key=Disk&TagSpecification.2.Tag.1.Value=one",
            "&TagSpecification.3.ResourceType=network-interface",
            "Key=Team&TagSpecification.3.Tag.2.Value=us-east-1",
            "&MetadataOptions.HttpEndpoint=enabled",
            "&MetadataOptions.HttpTokens=required",
            "&MetadataOptions.HttpPutResponseHopLimit=3",
            "&MetadataOptions.InstanceMetadataTags=enabled",
            "&Placement.HostId=h-1",
            "&Placement.Tenancy=host",
            "&LicenseSpecification.1.LicenseConfigurationArn=arn:license",
            "&BlockDeviceMapping.1.DeviceName=/dev/sda1",
            "&BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
            "&BlockDeviceMapping.1.Ebs.Encrypted=true",
            "&BlockDeviceMapping.1.Ebs.Iops=4000",
            "&BlockDeviceMapping.1.Ebs.Throughput=200",
            "&BlockDeviceMapping.1.Ebs.VolumeType=gp3",
            "&BlockDeviceMapping.1.Ebs.VolumeSize=30",
            "&BlockDeviceMapping.1.Ebs.KmsKeyId=alias/disks",
            "&BlockDeviceMapping.1.Ebs.SnapshotId=snap-1",
            "&BlockDeviceMapping.2.NoDevice=",
            "&BlockDeviceMapping.3.VirtualName=ephemeral0",
        ],
    );
}

#[test]
fn other_options_of_the_instance_are_parameters_of_its_launch() {
    let source = format!(
        r#"{}
        enable_unlimited_credits        = true
        capacity_reservation_preference = "open"
        tenancy                         = "dedicated"
        security_group_id               = "sg-3"
        user_data_file                  = "data""#,
        USUAL.replace("m5.large", "t3.micro")
    );
    assert_sent(
        &bake(&source),
        &[
            "&CreditSpecification.CpuCredits=unlimited",
            "&CapacityReservationSpecification.CapacityReservationPreference=open",
            "&Placement.Tenancy=dedicated",
            "&SecurityGroupId.1=sg-3",
            "&UserData=IyEvYmluL3NoCg==",
        ],
    );
    let groups = "\nsecurity_group_ids = [\"sg-0123456789abcdef0\", \"sg-0123456789abcdef1\"]\nplacement {\n host_resource_group_arn = \"arn:group\"\n}";
    let baked = bake(&format!("{USUAL}{groups}"));
    assert_sent(
        &baked,
        &[
            "Action=DescribeSecurityGroups&Version=2016-11-15&GroupId.1=sg-0123456789abcdef0&GroupId.2=sg-0123456789abcdef1",
            "&SecurityGroupId.2=sg-0123456789abcdef1",
            "&Placement.HostResourceGroupArn=arn:group",
            "&CapacityReservationSpecification.CapacityReservationPreference=none",
            "&DryRun=true",
        ],
    );
    let (ran, requests) = baked;
    assert!(!requests.contains("Action=CreateKeyPair"), "{requests}");
    assert!(
        ran.fails_with(1)
            .contains("no security group found: `sg-0123456789abcdef0`, `sg-0123456789abcdef1`")
    );
    let source = format!(
        "{}\nenable_t2_unlimited = true\ncapacity_reservation_group_arn = \"arn:reservations\"",
        USUAL.replace("m5.large", "t2.micro")
    );
    assert_sent(
        &bake(&source),
        &[
            "&CreditSpecification.CpuCredits=unlimited",
            "CapacityReservationTarget.CapacityReservationResourceGroupArn=arn:reservations",
        ],
    );
}

/// Answers to what a spot launch calls. The fleet gets no instance, so that the launch ends there.
const SPOT: [(&str, u16, &str); 3] = [
    (
        "CreateLaunchTemplate",
        200,
        "<CreateLaunchTemplateResponse><launchTemplate><launchTemplateId>lt-1</launchTemplateId></launchTemplate></CreateLaunchTemplateResponse>",
    ),
    (
        "CreateFleet",
        200,
        "<CreateFleetResponse><fleetId>fleet-1</fleetId><errorSet><item><launchTemplateAndOverrides><overrides>\
         <instanceType>m5a.large</instanceType></overrides></launchTemplateAndOverrides><errorCode>SpotMaxPriceTooLow</errorCode>\
         <errorMessage>too low</errorMessage></item></errorSet></CreateFleetResponse>",
    ),
    (
        "DeleteLaunchTemplate",
        200,
        "<DeleteLaunchTemplateResponse></DeleteLaunchTemplateResponse>",
    ),
];

#[test]
fn a_spot_instance_is_asked_for_by_a_launch_template_and_a_fleet() {
    let source = USUAL.replace(
        "instance_type = \"m5.large\"",
        "spot_instance_types = [\"m5.large\", \"m5a.large\"]",
    );
    let source = format!(
        r#"{source}
        spot_price               = "0.035"
        spot_price_auto_product  = "Linux/UNIX"
        spot_allocation_strategy = "price-capacity-optimized"
        spot_tags                = {{ Request = "{{{{ .BuildRegion }}}}" }}
        fleet_tags               = {{ Fleet = "one" }}
        spot_tag {{
          key   = "Kind"
          value = "spot"
        }}
        fleet_tag {{
          key   = "Use"
          value = "bake"
        }}"#
    );
    let baked = bake_answering(&source, &SPOT);
    assert_sent(
        &baked,
        &[
            "&LaunchTemplateData.InstanceMarketOptions.MarketType=spot&LaunchTemplateData.InstanceMarketOptions.SpotOptions.MaxPrice=0.035",
            "&TagSpecification.1.ResourceType=launch-template&",
            "Key=Kind&TagSpecification.1.Tag.1.Value=spot",
            "Key=Request&TagSpecification.1.Tag.2.Value=us-east-1",
            "&LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId=lt-1",
            "&LaunchTemplateConfigs.1.Overrides.1.InstanceType=m5.large",
            "&LaunchTemplateConfigs.1.Overrides.2.InstanceType=m5a.large",
            "&SpotOptions.AllocationStrategy=price-capacity-optimized",
            "&Type=instant",
            "&TagSpecification.1.ResourceType=fleet&",
            "Key=Fleet&TagSpecification.1.Tag.1.Value=one",
            "Key=Use&TagSpecification.1.Tag.2.Value=bake",
            "Action=DeleteLaunchTemplate&Version=2016-11-15&LaunchTemplateId=lt-1",
        ],
    );
    let (ran, requests) = baked;
    let output = ran.fails_with(1);
    assert!(output.contains("fleet `fleet-1` got no spot instance:"), "{output}");
    assert!(output.contains("- m5a.large: SpotMaxPriceTooLow: too low"), "{output}");
    assert!(output.contains("`spot_price_auto_product` is deprecated"), "{output}");
    // The launch was tried dry.
    let mut launches = requests.lines().filter(|line| line.starts_with("Action=RunInstances&"));
    assert!(launches.all(|line| line.contains("&DryRun=true")), "{requests}");
}

/// No capacity, as EC2 says so.
const FULL: (&str, u16, &str) = (
    "RunInstances",
    500,
    "<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code><Message>We currently do not have sufficient m5.large capacity in \
     the Availability Zone you requested (us-east-1a). You can get it in us-east-1b.</Message></Error></Errors></Response>",
);

#[test]
fn a_launch_without_capacity_is_tried_in_the_next_zone() {
    let source = format!("{USUAL}\nskip_create_ami = true");
    let (ran, requests) = bake_answering(&source, &[FULL, FULL]);
    let output = ran.succeeds();
    assert!(
        output.contains("No capacity for m5.large in the zone that EC2 chose: We currently"),
        "{output}"
    );
    assert!(output.contains("No capacity for m5.large in us-east-1b"), "{output}");
    let launches = requests
        .lines()
        .filter(|request| request.starts_with("Action=RunInstances&"));
    let launches: Vec<&str> = launches.filter(|request| !request.contains("DryRun=true")).collect();
    assert_eq!(launches.len(), 3, "{requests}");
    assert!(
        launches[2].contains("&Placement.AvailabilityZone=us-east-1c"),
        "{requests}"
    );
    let here = format!("{USUAL}\navailability_zone = \"us-east-1a\"");
    let (ran, requests) = bake_answering(&here, &[FULL]);
    assert!(ran.fails_with(1).contains("InsufficientInstanceCapacity"), "{requests}");
}

#[test]
fn a_temporary_instance_profile_is_made_and_removed() {
    let source = format!(
        r#"{USUAL}
        skip_create_ami = true
        temporary_iam_instance_profile_policy_document {{
          Version = "2012-10-17"
          Statement {{
            Effect   = "Allow"
            Action   = ["s3:GetObject"]
            Resource = ["*"]
          }}
        }}"#
    );
    let expected = [
        "CreateRole",
        "PutRolePolicy",
        "CreateInstanceProfile",
        "AddRoleToInstanceProfile",
        "RemoveRoleFromInstanceProfile",
        "DeleteInstanceProfile",
        "DeleteRolePolicy",
        "DeleteRole",
    ];
    let (ran, requests) = bake_answering(&source, &[]);
    let _ = ran.succeeds();
    let actions: Vec<&str> = requests
        .lines()
        .filter_map(|request| request.strip_prefix("Action=")?.split('&').next())
        .filter(|action| expected.contains(action))
        .collect();
    assert_eq!(actions, expected, "{requests}");
    assert!(
        requests.contains(
            r#"PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]}]}"#
        ),
        "{requests}"
    );
    assert!(requests.contains("&IamInstanceProfile.Name=packer-"), "{requests}");
}

#[test]
fn an_instance_profile_must_exist() {
    let missing = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>none</Message></Error></ErrorResponse>";
    let source = format!("{USUAL}\niam_instance_profile = \"nobody\"");
    let (ran, requests) = bake_answering(&source, &[("GetInstanceProfile", 404, missing)]);
    assert!(ran.fails_with(1).contains("instance profile `nobody` does not exist"));
    assert!(!requests.contains("Action=CreateSecurityGroup"), "{requests}");
}

#[test]
fn only_the_public_address_of_this_machine_is_admitted_where_that_is_asked_for() {
    let service = Exchange::play(&["HTTP/1.1 200 OK\n\n203.0.113.7\n"]);
    let (context, _cloud, recorder) = recorded();
    let context = context.with("BAKELITE_CHECKIP_URL", format!("http://{}", service.address));
    context.template(&template(&format!(
        "{USUAL}\nskip_create_ami = true\ntemporary_security_group_source_public_ip = true"
    )));
    let ran = context.run(["build", "t.pkr.hcl"]);
    assert_sent(&(ran, recorder.requests()), &["CidrIp=203.0.113.7/32"]);
}

/// The cloud has no IPv6: the launch that is tried dry is refused.
#[test]
fn ipv6_addresses_are_asked_for_with_the_launch() {
    let source = format!("{USUAL}\n  ipv6_address_count = 1\n");
    assert_sent(&bake(&source), &["&Ipv6AddressCount=1"]);
    let source = format!("{source}\n  associate_public_ip_address = true\n");
    assert_sent(&bake(&source), &["&NetworkInterface.1.Ipv6AddressCount=1"]);
}

#[test]
fn a_spot_launch_is_tried_dry_and_its_instance_is_not_rebooted() {
    let source = format!("{USUAL}\n  spot_price = \"auto\"\n  no_reboot = true\n");
    let (ran, requests) = bake(&source);
    let output = ran.succeeds();
    assert!(output.contains("is not rebooted (no_reboot)"), "{output}");
    let is_sent = |action: &str, parameters: &[&str]| {
        let mut of_action = requests
            .lines()
            .filter(|line| line.starts_with(&format!("Action={action}&")));
        of_action.any(|line| parameters.iter().all(|parameter| line.contains(parameter)))
    };
    let dry = [
        "&DryRun=true",
        "&InstanceMarketOptions.MarketType=spot",
        "&InstanceType=m5.large",
    ];
    assert!(is_sent("RunInstances", &dry), "{requests}");
    assert!(!requests.contains("InstanceInitiatedShutdownBehavior"), "{requests}");
    assert!(is_sent("CreateImage", &["&NoReboot=true"]), "{requests}");
}

#[test]
fn everything_that_is_missing_is_one_report() {
    let source = USUAL.replace("m5.large", "m9.huge").replace("jammy", "nowhere");
    let (ran, requests) = bake(&format!("{source}\n  ami_regions = [\"eu-nowhere-1\"]\n"));
    let output = ran.fails_with(1);
    for finding in [
        "3 problems:",
        "no AMI ",
        "instance type `m9.huge` does not exist in region `us-east-1`",
        "`eu-nowhere-1` is not a region that this account has enabled",
    ] {
        assert!(output.contains(finding), "{finding}: {output}");
    }
    assert!(!requests.contains("Action=CreateKeyPair&"), "{requests}");
}

#[test]
fn the_network_is_found_by_filters_or_named() {
    let filters = format!(
        r#"{USUAL}
        associate_public_ip_address           = true
        skip_create_ami                       = true
        temporary_security_group_source_cidrs = ["127.0.0.0/8", "2001:db8::/32"]
        vpc_filter {{
          filters = {{ is-default = "true" }}
        }}
        subnet_filter {{
          most_free = true
          filter {{
            name  = "default-for-az"
            value = "true"
          }}
        }}"#
    );
    assert_sent(
        &bake(&filters),
        &[
            "Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=is-default&Filter.1.Value.1=true",
            "Action=DescribeSubnets&Version=2016-11-15&Filter.1.Name=default-for-az&Filter.1.Value.1=true&Filter.2.Name=state&Filter.2.Value.1=available&Filter.3.Name=vpc-id",
            "&IpPermissions.1.IpRanges.1.CidrIp=127.0.0.0/8",
            "&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:db8::/32",
            "&NetworkInterface.1.AssociatePublicIpAddress=true",
            "&NetworkInterface.1.SubnetId=subnet-",
        ],
    );
    let random = format!(
        "{USUAL}\nskip_create_ami = true\nsubnet_filter {{\n random = true\n filters = {{ default-for-az = \"true\" }}\n}}\nsecurity_group_filter {{\n filters = {{ group-name = \"default\" }}\n filter {{\n name = \"ip-permission.protocol\"\n value = \"-1\"\n }}\n}}\nvpc_filter {{\n filter {{\n name = \"state\"\n value = \"available\"\n }}\n}}"
    );
    assert_sent(
        &bake(&random),
        &[
            "&SubnetId=subnet-",
            "Action=DescribeSecurityGroups&Version=2016-11-15&Filter.1.Name=group-name&Filter.1.Value.1=default",
            "&Filter.2.Name=ip-permission.protocol&Filter.2.Value.1=-1",
            "Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=state&Filter.1.Value.1=available",
        ],
    );
    let named = format!("{USUAL}\nvpc_id = \"vpc-1\"\nsubnet_id = \"subnet-1\"");
    assert_sent(&bake(&named), &["&SubnetId.1=subnet-1"]);
    let vpc = format!("{USUAL}\nvpc_id = \"vpc-0123456789abcdef0\"");
    let (ran, requests) = bake(&vpc);
    assert!(
        requests.contains("Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-0123456789abcdef0"),
        "{requests}"
    );
    assert!(ran.fails_with(1).contains("no VPC found: `vpc-0123456789abcdef0`"));
}

#[test]
fn options_of_the_image_are_parameters_of_its_creation_and_its_attributes() {
    let source = format!(
        r#"{USUAL}
        ami_description   = "of {{{{ .SourceAMIName }}}}"
        ami_users         = ["111111111111"]
        ami_groups        = ["all"]
        ami_org_arns      = ["arn:organization"]
        ami_ou_arns       = ["arn:unit"]
        snapshot_users    = ["222222222222"]
        snapshot_groups   = ["all"]
        imds_support      = "v2.0"
        ena_support       = true
        sriov_support     = true
        no_ephemeral      = true
        skip_ami_run_tags = true
        run_tags          = {{ Only = "instance" }}
        ami_virtualization_type = "hvm"
        ami_regions       = ["us-east-1"]
        tags              = {{ Release = "1" }}
        snapshot_tags     = {{ Disk = "root" }}
        tag {{
          key   = "Base"
          value = "{{{{ .SourceAMI }}}}"
        }}
        snapshot_tag {{
          key   = "Copy"
          value = "first"
        }}
        ami_block_device_mappings {{
          device_name = "/dev/sdz"
          volume_size = 7
        }}"#
    );
    let baked = bake(&source);
    assert_sent(
        &baked,
        &[
            "Action=ModifyInstanceAttribute&Version=2016-11-15&InstanceId=i-",
            "&SriovNetSupport.Value=simple",
            "&EnaSupport.Value=true",
            "Action=CreateImage&",
            "&Name=baked&",
            "&Description=of ubuntu/images/",
            "&BlockDeviceMapping.1.DeviceName=/dev/sdz",
            "&BlockDeviceMapping.1.Ebs.VolumeSize=7",
            "&BlockDeviceMapping.1.NoDevice=&BlockDeviceMapping.1.DeviceName=xvdca",
            ".Key=Release&",
            ".Key=Base&",
            "&LaunchPermission.Add.1.UserId=111111111111",
            "&LaunchPermission.Add.2.Group=all",
            "&LaunchPermission.Add.3.OrganizationArn=arn:organization",
            "&LaunchPermission.Add.4.OrganizationalUnitArn=arn:unit",
        ],
    );
    let image = first(&baked.1, "CreateImage");
    assert!(image.contains("Key=Release") && !image.contains("Key=Only"), "{image}");
}

/// The snapshot is none of the cloud's, which refuses the AMI; the request is what counts.
#[test]
fn devices_of_the_image_are_parameters_of_its_creation() {
    let source = format!(
        r#"{USUAL}
        ami_block_device_mappings {{
          device_name           = "/dev/sdz"
          delete_on_termination = true
          encrypted             = true
          kms_key_id            = "alias/disks"
          snapshot_id           = "snap-1"
          volume_size           = 7
          volume_type           = "gp3"
          iops                  = 3100
          throughput            = 130
        }}
        ami_block_device_mappings {{
          device_name = "/dev/sdy"
          no_device   = true
        }}
        ami_block_device_mappings {{
          device_name  = "/dev/sdx"
          virtual_name = "ephemeral1"
        }}"#
    );
    assert_sent(
        &bake(&source),
        &[
            "Action=CreateImage&",
            "&BlockDeviceMapping.1.DeviceName=/dev/sdz",
            "&BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
            "&BlockDeviceMapping.1.Ebs.Encrypted=true",
            "&BlockDeviceMapping.1.Ebs.KmsKeyId=alias/disks",
            "&BlockDeviceMapping.1.Ebs.SnapshotId=snap-1",
            "&BlockDeviceMapping.1.Ebs.VolumeSize=7",
            "&BlockDeviceMapping.1.Ebs.VolumeType=gp3",
            "&BlockDeviceMapping.1.Ebs.Iops=3100",
            "&BlockDeviceMapping.1.Ebs.Throughput=130",
            "&BlockDeviceMapping.2.NoDevice=&BlockDeviceMapping.2.DeviceName=/dev/sdy",
            "&BlockDeviceMapping.3.VirtualName=ephemeral1",
        ],
    );
}

#[test]
fn attributes_that_the_cloud_has_are_set_on_the_image_and_its_snapshots() {
    let source = format!(
        r#"{USUAL}
        snapshot_users  = ["222222222222"]
        snapshot_groups = ["all"]
        imds_support    = "v2.0"
        snapshot_tags   = {{ Disk = "root" }}
        snapshot_tag {{
          key   = "Copy"
          value = "first"
        }}"#
    );
    let baked = bake(&source);
    assert_sent(
        &baked,
        &[
            "&ImdsSupport.Value=v2.0",
            "&CreateVolumePermission.Add.1.UserId=222222222222",
            "&CreateVolumePermission.Add.2.Group=all",
            ".Key=Disk&",
            ".Key=Copy&",
        ],
    );
    let _ = baked.0.succeeds();
}

#[test]
fn an_ami_is_copied_to_its_regions_with_its_tags() {
    let source = format!(
        r#"{USUAL}
        ami_regions                    = ["us-east-1", "eu-west-1"]
        skip_region_validation         = true
        snapshot_copy_duration_minutes = 60
        ami_description                = "everywhere"
        tags                           = {{ Release = "1" }}"#
    );
    let (ran, requests) = bake(&source);
    let copy = first(&requests, "CopyImage").to_owned();
    assert_sent(
        &(ran, copy),
        &[
            "&SourceRegion=us-east-1",
            "&SourceImageId=ami-",
            "&Name=baked",
            "&Description=everywhere",
            "ClientToken=",
            "&SnapshotCopyCompletionDurationMinutes=60",
            "TagSpecification.1.ResourceType=image&",
            "TagSpecification.2.ResourceType=snapshot&",
            ".Key=Release&",
        ],
    );
    assert_eq!(requests.matches("Action=CopyImage&").count(), 1, "{requests}");
    assert!(!requests.contains("Action=DescribeRegions&"), "{requests}");
}

#[test]
fn the_volumes_of_the_launch_are_encrypted_where_that_saves_a_copy() {
    let source = format!("{USUAL}\nencrypt_boot = true\nkms_key_id = \"alias/home\"");
    assert_sent(
        &bake(&source),
        &[
            "Action=RunInstances&",
            ".Ebs.Encrypted=true",
            ".Ebs.KmsKeyId=alias/home",
        ],
    );
}

#[test]
fn an_ami_that_is_not_kept_is_an_intermediary_one_and_its_copies_have_their_own_keys() {
    let source = format!(
        r#"{USUAL}
        skip_save_build_region = true
        skip_region_validation = true
        encrypt_boot           = true
        ami_regions            = ["eu-west-1"]
        region_kms_key_ids     = {{ eu-west-1 = "alias/west" }}"#
    );
    let baked = bake(&source);
    assert_sent(
        &baked,
        &[
            "&Name=bakelite-",
            "Action=CopyImage&",
            "&Name=baked",
            "&Encrypted=true",
            "&KmsKeyId=alias/west",
        ],
    );
    let launch = first(&baked.1, "RunInstances");
    assert!(!launch.contains("Encrypted"), "{launch}");
}

#[test]
fn an_ami_is_deprecated_protected_and_launched_fast() {
    for (option, wanted) in [
        (
            "deprecate_at = \"2031-05-06T09:08:09+02:00\"",
            &["Action=EnableImageDeprecation&", "&DeprecateAt=2031-05-06T07:08:09Z"][..],
        ),
        (
            "deregistration_protection {\n with_cooldown = true\n}",
            &["Action=EnableImageDeregistrationProtection&", "&WithCooldown=true"],
        ),
        (
            "fast_launch {\n enable_fast_launch = true\n max_parallel_launches = 8\n target_resource_count = 3\n}",
            &[
                "Action=EnableFastLaunch&",
                "&MaxParallelLaunches=8",
                "&SnapshotConfiguration.TargetResourceCount=3",
            ],
        ),
        (
            "fast_launch {\n template_name = \"boot\"\n}",
            &["Action=DescribeLaunchTemplates&", "&LaunchTemplateName.1=boot"],
        ),
    ] {
        assert_sent(&bake(&format!("{USUAL}\n{option}")), wanted);
    }
}

#[test]
fn regions_are_looked_for_among_those_of_the_account() {
    let source = format!("{USUAL}\nami_regions = [\"eu-west-1\"]");
    assert_sent(&bake(&source), &["Action=DescribeRegions&"]);
}

#[test]
fn product_codes_are_an_attribute_of_the_image() {
    let source = format!("{USUAL}\nami_product_codes = [\"code-1\"]");
    assert_sent(&bake(&source), &["&Attribute=productCodes", "&ProductCode.1=code-1"]);
}

#[test]
fn an_image_of_the_same_name_is_replaced_when_that_is_allowed() {
    let (context, _cloud, recorder) = recorded();
    context.template(&template(USUAL));
    let _ = context.run(["build", "t.pkr.hcl"]).succeeds();
    let taken = context.run(["build", "t.pkr.hcl"]).fails_with(1);
    assert!(taken.contains("AMI name `baked` is taken by `ami-"), "{taken}");
    assert!(taken.contains("`force_deregister = true`"), "{taken}");
    context.template(&template(&format!(
        "{USUAL}\nforce_deregister = true\nforce_delete_snapshot = true"
    )));
    let _ = context.run(["build", "t.pkr.hcl"]).succeeds();
    let requests = recorder.requests();
    assert!(requests.contains("Action=DeregisterImage&"), "{requests}");
    assert!(requests.contains("Action=DeleteSnapshot&"), "{requests}");
}

#[test]
fn a_source_ami_is_found_by_id_or_filter() {
    let by_id = USUAL.split("source_ami_filter").next().unwrap();
    let (ran, requests) = bake(&format!("{by_id}\nsource_ami = \"ami-0123456789abcdef0\""));
    assert!(requests.contains("&ImageId.1=ami-0123456789abcdef0"), "{requests}");
    let failed = ran.fails_with(1);
    assert!(
        failed.contains("source AMI `ami-0123456789abcdef0` does not exist"),
        "{failed}"
    );
    assert!(
        failed.contains("-local-image ami-0123456789abcdef0=oci:IMAGE"),
        "{failed}"
    );
    let filter = USUAL.replace("ubuntu/images/*", "nobody/has/this/*");
    let filter = filter.replace("most_recent = true", "include_deprecated = true");
    let baked = bake(&filter);
    assert_sent(
        &baked,
        &["&IncludeDeprecated=true", "&Owner.1=099720109477", "Filter.1.Name=name"],
    );
    let failed = baked.0.fails_with(1);
    assert!(
        failed.contains("no AMI of 099720109477 matches name = `nobody/has/this/*"),
        "{failed}"
    );
    assert!(
        failed.contains("check the filters, the owners and the region"),
        "{failed}"
    );
}

#[test]
fn of_several_amis_the_newest_is_taken_only_where_that_is_asked_for() {
    let several = USUAL.replace("most_recent = true", "");
    let (ran, requests) = bake(&several);
    let failed = ran.fails_with(1);
    assert!(failed.contains("and only one can be the source AMI"), "{failed}");
    assert!(failed.contains("`most_recent = true` takes the newest"), "{failed}");
    assert!(!requests.contains("Action=RunInstances&"), "{requests}");
}

#[test]
fn an_ami_of_another_virtualization_type_is_refused_before_anything_is_made() {
    let source = format!("{USUAL}\nena_support = true\nami_virtualization_type = \"paravirtual\"");
    let (ran, requests) = bake(&source);
    let failed = ran.fails_with(1);
    assert!(
        failed.contains("its virtualization type is `hvm`, not `paravirtual`"),
        "{failed}"
    );
    assert!(!requests.contains("Action=CreateKeyPair&"), "{requests}");
}

#[test]
fn a_password_that_never_comes_is_waited_for_as_long_as_the_template_wants() {
    let source = format!(
        "{USUAL}\ncommunicator = \"winrm\"\nwinrm_username = \"Administrator\"\nwindows_password_timeout = \"10ms\""
    );
    let (ran, requests) = bake(&source);
    let failed = ran.fails_with(1);
    assert!(failed.contains("`windows_password_timeout`"), "{failed}");
    assert!(requests.contains("Action=GetPasswordData&"), "{requests}");
}

#[test]
fn a_call_is_attempted_as_often_as_the_template_wants() {
    let busy =
        "<Response><Errors><Error><Code>ServiceUnavailable</Code><Message>later</Message></Error></Errors></Response>";
    let attempts = |more: &str| {
        let source = format!("{USUAL}\nskip_create_ami = true\nskip_region_validation = true\n{more}");
        let (ran, requests) = bake_answering(&source, &[("CreateSecurityGroup", 503, busy)]);
        (ran.code, requests.matches("Action=CreateSecurityGroup&").count())
    };
    assert_eq!(attempts("max_retries = 2"), (Some(0), 2));
}

#[test]
fn a_bake_may_wait_for_its_session_and_for_its_instance_to_stop_itself() {
    let source = format!(
        "{USUAL}\nssh_interface = \"session_manager\"\niam_instance_profile = \"ssm\"\npause_before_ssm = \"10ms\"\nskip_create_ami = true"
    );
    let (ran, _) = bake(&source);
    let output = ran.succeeds();
    assert!(output.contains("Pausing 10ms before the session..."), "{output}");
    let source =
        format!("{USUAL}\ndisable_stop_instance = true\naws_polling {{\n max_attempts = 1\n delay_seconds = 1\n}}");
    let (ran, requests) = bake(&source);
    let failed = ran.fails_with(1);
    assert!(failed.contains("did not become stopped within 1 s"), "{failed}");
    assert!(
        failed.contains("`aws_polling { max_attempts, delay_seconds }`"),
        "{failed}"
    );
    assert!(!requests.contains("Action=StopInstances&"), "{requests}");
}

#[test]
fn credentials_region_and_endpoint_of_the_template_are_used() {
    let keys = format!(
        "{USUAL}\naccess_key = \"AKIATEMPLATE\"\nsecret_key = \"secret\"\ntoken = \"session-token\"\nmax_retries = 0\nskip_metadata_api_check = true"
    );
    let (context, _cloud, recorder) = recorded();
    context.template(&template(&format!("{keys}\nskip_create_ami = true")));
    let ran = context.run(["build", "t.pkr.hcl"]);
    let baked = (ran, recorder.heads());
    assert_sent(
        &baked,
        &[
            "Credential=AKIATEMPLATE/",
            "/us-east-1/ec2/aws4_request",
            "x-amz-security-token: session-token",
        ],
    );
    let _ = baked.0.succeeds();
    let role = format!(
        r#"{USUAL}
        assume_role {{
          role_arn         = "arn:aws:iam::123456789012:role/baker"
          duration_seconds = 900
          external_id      = "outside"
          policy           = "narrow"
          policy_arns      = ["arn:policy"]
          session_name     = "bake"
          tags             = {{ Project = "images" }}
          transitive_tag_keys = ["Project"]
        }}"#
    );
    assert_sent(
        &bake(&role),
        &[
            "Action=AssumeRole&",
            "&RoleArn=arn:aws:iam::123456789012:role/baker",
            "&DurationSeconds=900",
            "&ExternalId=outside",
            "&Policy=narrow",
            "&PolicyArns.member.1.arn=arn:policy",
            "&RoleSessionName=bake",
            "&Tags.member.1.Key=Project",
            "&TransitiveTagKeys.member.1=Project",
        ],
    );
}

#[test]
fn a_profile_of_a_file_of_the_template_is_used_at_an_endpoint_of_the_template() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let recorder = Recorder::before(&cloud);
    context.file(
        "keys",
        "[ci]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n",
    );
    let source = format!(
        "{USUAL}\nprofile = \"ci\"\nshared_credentials_file = \"keys\"\nskip_credential_validation = true\ncustom_endpoint_ec2 = \"{}\"",
        recorder.url
    );
    context.template(&template(&source));
    let _ = context.run(["build", "t.pkr.hcl"]).succeeds();
    let heads = recorder.heads();
    assert!(heads.contains("Credential=AKIAPROFILE/"), "{heads}");
}

#[test]
fn options_that_change_nothing_are_accepted() {
    let context = test_context!();
    context.template(&template(&format!(
        "{USUAL}\nskip_region_validation = true\nskip_profile_validation = true\nskip_credential_validation = true\nsession_manager_port = 8000"
    )));
    let _ = context.run(["validate", "t.pkr.hcl"]).succeeds();
}

/// What asks for nothing is accepted all the same.
#[test]
fn options_that_are_not_supported_are_refused_at_their_place() {
    let refused = ["block_duration_minutes = 60"];
    let context = test_context!();
    for line in refused {
        context.template(&template(&format!("{USUAL}\n{line}")));
        let output = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
        let option = line.split([' ', '=']).next().unwrap();
        assert!(output.contains("not supported"), "{line}: {output}");
        assert!(output.contains(option), "{line}: {output}");
    }
    context.template(&template(&format!(
        "{USUAL}\nencrypt_boot = false\nskip_save_build_region = false\nspot_price = \"0\"\nregion_kms_key_ids = {{}}"
    )));
    let _ = context.run(["validate", "t.pkr.hcl"]).succeeds();
}

#[test]
fn a_string_that_is_no_template_is_refused_before_it_is_rendered() {
    let context = test_context!();
    for (line, option) in [
        ("tags = { Name = \"{{ nonsense }}\" }", "`tags.Name`"),
        ("ami_description = \"{{ .SourceAMI\"", "`ami_description`"),
        (
            "run_tag {\n key = \"{{ nonsense }}\"\n value = \"x\"\n}",
            "`run_tag[0].key`",
        ),
    ] {
        context.template(&template(&format!("{USUAL}\n{line}")));
        let output = context.run(["validate", "t.pkr.hcl"]).fails_with(1);
        assert!(output.contains(option), "{line}: {output}");
        assert!(output.contains("template is not valid"), "{line}: {output}");
    }
}

/// What a killed bake leaves is found by its tags, without its journal.
#[test]
fn leftovers_are_found_by_their_tags() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let clean = Inventory::of(&cloud.endpoint);
    let context = context.on(&cloud);
    abandon(&context);
    let listed = context.run(["gc", "-sweep", "-older-than", "0s"]).succeeds();
    for kind in ["instance i-", "security-group sg-", "key-pair packer_"] {
        assert!(listed.contains(kind), "{kind} is not in {listed}");
    }
    let young = context.run(["gc", "-sweep"]).succeeds();
    assert!(!young.contains("instance i-"), "{young}");
    let _ = context.run(["gc", "-sweep", "-older-than", "0s", "-remove"]).succeeds();
    assert_eq!(Inventory::of(&cloud.endpoint), clean);
}

/// A bake that is killed while it provisions, and whose journal is lost.
fn abandon(context: &TestContext) {
    let marker = context.work().join("reached");
    let provisioner = format!(
        "provisioner \"shell-local\" {{\n inline = [\"touch {}\", \"sleep 60\"]\n }}",
        marker.display()
    );
    let text = template(USUAL);
    let source = text.split("build {").next().unwrap();
    context.template(&format!(
        "{source}build {{\n sources = [\"source.amazon-ebs.it\"]\n {provisioner}\n}}\n"
    ));
    let child = context.start(["build", "t.pkr.hcl"]);
    until("the provisioner", LIMIT, || marker.exists().then_some(()));
    signal(child.id(), "KILL");
    let _ = Ran::end_of(child);
    let journals = context.journals();
    assert!(!journals.is_empty());
    for journal in journals {
        std::fs::remove_file(journal).unwrap();
    }
}
