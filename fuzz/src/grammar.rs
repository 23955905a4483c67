//! Texts made by the grammar: expressions and templates that mean something, or nearly.

use std::fmt::Write as _;

use fastrand::Rng;

/// Values and names that expressions begin with.
const ATOMS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2.5",
    "1e3",
    "1e-7",
    "1e19000",
    "007",
    "9007199254740993",
    "\"\"",
    "\"a\"",
    "\"10\"",
    "\"true\"",
    "\"é\\u0301\"",
    "\"a,b\"",
    "\"${\"",
    "\"$${x}\"",
    "\"%%{\"",
    "[]",
    "{}",
    "[1, \"a\", null]",
    "{ a = 1, b = [2] }",
    "var.text",
    "var.number",
    "var.list",
    "var.map",
    "var.secret",
    "var.unknown",
    "var.nothing",
    "var.set",
    "var.nested",
    "var",
    "local.a",
    "path.root",
    "nope",
    "x",
    "v",
    "\"2020-02-29T12:30:00Z\"",
    "\"10.0.0.0/8\"",
    "\"aGVsbG8=\"",
    "\"(a)(?P<n>b)?\"",
    "\"[1, {\\\"a\\\": 1e5}]\"",
    "\"a: [1, yes]\\n\"",
    "<<E\n  a\n   ${1}\nE\n",
    "<<-E\n\t  a\n   b\n  E\n",
];

const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||"];

const TYPES: &[&str] = &[
    "string",
    "number",
    "bool",
    "any",
    "list(string)",
    "set(number)",
    "map(any)",
    "object({ a = optional(string, 1) })",
    "tuple([bool])",
];

/// An expression, at most so deep.
pub fn expression(rng: &mut Rng, functions: &[&str], depth: usize, out: &mut String) {
    let inner = |rng: &mut Rng, out: &mut String| expression(rng, functions, depth.saturating_sub(1), out);
    let choice = if depth == 0 { 0 } else { rng.usize(0..16) };
    match choice {
        0..3 => out.push_str(pick(rng, ATOMS)),
        3..7 => {
            out.push_str(pick(rng, functions));
            out.push('(');
            for place in 0..rng.usize(0..4) {
                if place > 0 {
                    out.push_str(", ");
                }
                inner(rng, out);
            }
            if rng.u8(..) < 16 {
                out.push_str("...");
            }
            out.push(')');
        }
        7 => {
            inner(rng, out);
            let _ = write!(out, " {} ", pick(rng, OPERATORS));
            inner(rng, out);
        }
        8 => {
            inner(rng, out);
            out.push_str(" ? ");
            inner(rng, out);
            out.push_str(" : ");
            inner(rng, out);
        }
        9 => {
            out.push('[');
            for _ in 0..rng.usize(0..4) {
                inner(rng, out);
                out.push_str(", ");
            }
            out.push(']');
        }
        10 => {
            out.push_str("{ ");
            for _ in 0..rng.usize(0..4) {
                out.push_str(pick(rng, &["a", "b", "\"c\"", "(x)", "(1 + 1)", "if", "a-b"]));
                out.push_str(pick(rng, &[" = ", " : "]));
                inner(rng, out);
                out.push_str(", ");
            }
            out.push('}');
        }
        11 => for_expression(rng, &inner, out),
        12 => {
            out.push('(');
            inner(rng, out);
            out.push(')');
            out.push_str(pick(
                rng,
                &[
                    "[0]", "[*]", ".*.a", ".a", ".0", "[\"a\"]", "[*].a[0]", "[x]", "[-1]", ".a.b",
                ],
            ));
        }
        13 => template(rng, &inner, out),
        14 => {
            out.push_str(pick(rng, &["-", "!", "--", "!!"]));
            inner(rng, out);
        }
        _ => {
            out.push_str("convert(");
            inner(rng, out);
            let _ = write!(out, ", {})", pick(rng, TYPES));
        }
    }
}

/// Writes an expression.
type Inner<'i> = dyn Fn(&mut Rng, &mut String) + 'i;

fn for_expression(rng: &mut Rng, inner: &Inner<'_>, out: &mut String) {
    out.push_str(pick(
        rng,
        &["[for v in ", "[for k, v in ", "{for k, v in ", "{for x in "],
    ));
    inner(rng, out);
    out.push_str(" : ");
    inner(rng, out);
    if rng.bool() {
        out.push_str(" => ");
        inner(rng, out);
        out.push_str(pick(rng, &["", "..."]));
    }
    if rng.bool() {
        out.push_str(" if ");
        inner(rng, out);
    }
    out.push_str(pick(rng, &["]", "}"]));
}

fn template(rng: &mut Rng, inner: &Inner<'_>, out: &mut String) {
    out.push('"');
    for _ in 0..rng.usize(1..4) {
        out.push_str(pick(
            rng,
            &[
                "a ",
                "${",
                "${~ ",
                "%{ if ",
                "%{ for v in ",
                "%{~ else ~}",
                "%{ endif }",
                "%{ endfor }",
                "\\n",
            ],
        ));
        inner(rng, out);
        out.push_str(pick(rng, &["}", " ~}", ""]));
    }
    out.push('"');
}

const BLOCKS: &[&str] = &[
    "variable \"a\"",
    "variables",
    "locals",
    "local \"b\"",
    "source \"null\" \"a\"",
    "source \"file\" \"f\"",
    "build",
    "provisioner \"shell-local\"",
    "post-processor \"manifest\"",
    "post-processors",
    "dynamic \"provisioner\"",
    "content",
    "validation",
    "data \"null\" \"d\"",
    "packer",
    "required_plugins",
    "source \"source.null.a\"",
    "error-cleanup-provisioner \"shell-local\"",
    "hcp_packer_registry",
];

const ATTRIBUTES: &[&str] = &[
    "a",
    "b",
    "default",
    "type",
    "condition",
    "error_message",
    "sensitive",
    "expression",
    "sources",
    "name",
    "communicator",
    "inline",
    "only",
    "except",
    "override",
    "pause_before",
    "timeout",
    "max_retries",
    "keep_input_artifact",
    "for_each",
    "labels",
    "iterator",
    "required_version",
    "input",
    "target",
    "content",
    "ssh_port",
    "description",
    "environment_vars",
];

/// The body of a block or of a file, at most so deep.
pub fn body(rng: &mut Rng, functions: &[&str], depth: usize, out: &mut String) {
    for _ in 0..rng.usize(1..5) {
        if depth > 0 && rng.usize(0..3) > 0 {
            let _ = writeln!(out, "{} {{", pick(rng, BLOCKS));
            body(rng, functions, depth - 1, out);
            out.push_str("}\n");
        } else {
            let _ = write!(out, "{} = ", pick(rng, ATTRIBUTES));
            match rng.usize(0..6) {
                0 => out.push_str(pick(rng, TYPES)),
                1 => out.push_str("[\"source.null.a\", \"null.a\"]"),
                2 => out.push_str("\"{{ build_name | upper }} {{ if eq 1 1 }}x{{ end }}\""),
                _ => expression(rng, functions, 3, out),
            }
            out.push('\n');
        }
    }
}

const KEYS: &[&str] = &[
    "builders",
    "provisioners",
    "post-processors",
    "variables",
    "sensitive-variables",
    "type",
    "name",
    "communicator",
    "inline",
    "only",
    "except",
    "override",
    "pause_before",
    "max_retries",
    "a",
    "//",
    "_x",
    "min_packer_version",
    "source",
    "null",
    "build",
    "sources",
    "locals",
    "variable",
    "default",
    "target",
    "content",
    "error-cleanup-provisioner",
    "ssh_port",
];

const STRINGS: &[&str] = &[
    "null",
    "file",
    "shell-local",
    "manifest",
    "none",
    "a",
    "",
    "10",
    "{{user `a`}}",
    "{{env `HOME`}}",
    "{{build `ID`}}",
    "${1 + 1}",
    "${var.a}",
    "${null}",
    "{{ range $i, $x := split \\\"a,b\\\" \\\",\\\" 0 }}{{ end }}",
    "{{ printf \\\"%10v\\\" 1 }}",
    "{{",
    "{{isotime}}",
    "{{ define \\\"t\\\" }}{{ template \\\"t\\\" }}{{ end }}{{ template \\\"t\\\" }}",
    "source.null.a",
    "\\ud800",
    "\\u0000",
    "1h",
    "%{ if",
];

/// A JSON value, at most so deep.
pub fn json(rng: &mut Rng, depth: usize, out: &mut String) {
    match if depth == 0 { rng.usize(0..5) } else { rng.usize(0..12) } {
        0..4 => {
            let _ = write!(out, "\"{}\"", pick(rng, STRINGS));
        }
        4 => out.push_str(pick(
            rng,
            &["null", "true", "false", "0", "-1.5e3", "1e999999", "22", "\"true\""],
        )),
        5..8 => {
            out.push('[');
            for place in 0..rng.usize(0..4) {
                if place > 0 {
                    out.push(',');
                }
                json(rng, depth - 1, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            for place in 0..rng.usize(0..5) {
                if place > 0 {
                    out.push(',');
                }
                let _ = write!(out, "\"{}\":", pick(rng, KEYS));
                json(rng, depth - 1, out);
            }
            out.push('}');
        }
    }
}

/// Actions of EC2 and STS.
const ACTIONS: &[&str] = &[
    "RunInstances",
    "DescribeInstances",
    "TerminateInstances",
    "StopInstances",
    "StartInstances",
    "RebootInstances",
    "CreateImage",
    "CopyImage",
    "RegisterImage",
    "DeregisterImage",
    "DescribeImages",
    "DescribeImageAttribute",
    "ModifyImageAttribute",
    "CreateSnapshot",
    "DescribeSnapshots",
    "DeleteSnapshot",
    "ModifySnapshotAttribute",
    "CreateVolume",
    "DescribeVolumes",
    "AttachVolume",
    "DeleteVolume",
    "CreateKeyPair",
    "ImportKeyPair",
    "DescribeKeyPairs",
    "DeleteKeyPair",
    "CreateSecurityGroup",
    "DescribeSecurityGroups",
    "AuthorizeSecurityGroupIngress",
    "RevokeSecurityGroupIngress",
    "AuthorizeSecurityGroupEgress",
    "DeleteSecurityGroup",
    "CreateTags",
    "DeleteTags",
    "DescribeTags",
    "DescribeVpcs",
    "DescribeSubnets",
    "DescribeRegions",
    "DescribeAvailabilityZones",
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
    "DescribeInstanceStatus",
    "DescribeInstanceAttribute",
    "ModifyInstanceAttribute",
    "GetConsoleOutput",
    "GetPasswordData",
    "DescribeNetworkInterfaces",
    "DescribeAccountAttributes",
    "GetCallerIdentity",
    "AssumeRole",
    "GetSessionToken",
];

/// Names of parameters, and parts of them.
const PARAMETERS: &[&str] = &[
    "InstanceId.1",
    "ImageId",
    "ImageId.1",
    "MinCount",
    "MaxCount",
    "InstanceType",
    "KeyName",
    "KeyName.1",
    "GroupId",
    "GroupName",
    "GroupDescription",
    "SecurityGroupId.1",
    "SubnetId",
    "UserData",
    "ClientToken",
    "Filter.1.Name",
    "Filter.1.Value.1",
    "Filter.2.Name",
    "Filter.18446744073709551615.Name",
    "Tag.1.Key",
    "Tag.1.Value",
    "ResourceId.1",
    "TagSpecification.1.ResourceType",
    "TagSpecification.1.Tag.1.Key",
    "BlockDeviceMapping.1.DeviceName",
    "BlockDeviceMapping.1.Ebs.VolumeSize",
    "BlockDeviceMapping.1.Ebs.DeleteOnTermination",
    "BlockDeviceMapping.1.NoDevice",
    "NetworkInterface.1.DeviceIndex",
    "NetworkInterface.1.SubnetId",
    "IamInstanceProfile.Name",
    "Placement.AvailabilityZone",
    "MetadataOptions.HttpTokens",
    "CreditSpecification.CpuCredits",
    "IpPermissions.1.IpProtocol",
    "IpPermissions.1.FromPort",
    "IpPermissions.1.ToPort",
    "IpPermissions.1.IpRanges.1.CidrIp",
    "IpPermissions.1.Ipv6Ranges.1.CidrIpv6",
    "IpPermissions.1.Groups.1.GroupId",
    "CidrIp",
    "FromPort",
    "ToPort",
    "IpProtocol",
    "Attribute",
    "LaunchPermission.Add.1.UserId",
    "OperationType",
    "Description.Value",
    "EnaSupport.Value",
    "MaxResults",
    "NextToken",
    "Owner.1",
    "PublicKeyMaterial",
    "Name",
    "SourceImageId",
    "SourceRegion",
    "Size",
    "AvailabilityZone",
    "SnapshotId.1",
    "VolumeId.1",
    "Encrypted",
    "RoleArn",
    "RoleSessionName",
    "DurationSeconds",
    "DryRun",
    "a.1.2.3.4.5.6.7.8.9",
    "",
    ".",
    "x.",
];

const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "65535",
    "65536",
    "18446744073709551616",
    "true",
    "false",
    "x",
    "i-0123456789abcdef0",
    "ami-01234567",
    "sg-01234567",
    "t3.micro",
    "t3.huge",
    "default",
    "0.0.0.0%2F0",
    "10.0.0.0%2F33",
    "%3A%3A%2F0",
    "tcp",
    "-1",
    "instance",
    "image-id",
    "*",
    "%2A%3F%5B",
    "%C3%A9+%00",
    "%ff%fe",
    "%",
    "eA%3D%3D",
    "ssh-ed25519+AAAA",
    "us-east-1a",
    "/dev/sda1",
    "gp3",
    "all",
    "self",
    "arn:aws:iam::123456789012:role/x",
    "2027-01-01T00:00:00Z",
];

/// A form of EC2 or STS.
pub fn form(rng: &mut Rng, out: &mut String) {
    let _ = write!(out, "Action={}", pick(rng, ACTIONS));
    for _ in 0..rng.usize(0..12) {
        let _ = write!(out, "&{}={}", pick(rng, PARAMETERS), pick(rng, VALUES));
    }
}

const TARGETS: &[&str] = &[
    "AmazonSSM.StartSession",
    "AmazonSSM.ResumeSession",
    "AmazonSSM.TerminateSession",
    "AmazonSSM.DescribeSessions",
    "AmazonSSM.DescribeInstanceInformation",
    "secretsmanager.CreateSecret",
    "secretsmanager.GetSecretValue",
    "secretsmanager.PutSecretValue",
    "secretsmanager.DeleteSecret",
    "AmazonSSM.",
    "x",
];

const MEMBERS: &[&str] = &[
    "Target",
    "DocumentName",
    "Reason",
    "Parameters",
    "portNumber",
    "SessionId",
    "State",
    "Filters",
    "key",
    "value",
    "Key",
    "Values",
    "MaxResults",
    "Name",
    "SecretId",
    "SecretString",
    "SecretBinary",
    "ClientRequestToken",
    "VersionStage",
    "x",
];

/// A call of a service with JSON.
pub fn service(rng: &mut Rng, out: &mut String) {
    let _ = writeln!(out, "{}", pick(rng, TARGETS));
    members(rng, 2, out);
}

fn members(rng: &mut Rng, depth: usize, out: &mut String) {
    out.push('{');
    for place in 0..rng.usize(0..4) {
        let _ = write!(out, "{}\"{}\":", if place > 0 { "," } else { "" }, pick(rng, MEMBERS));
        match rng.usize(0..8) {
            0 if depth > 0 => members(rng, depth - 1, out),
            1 => out.push_str(pick(
                rng,
                &[
                    "[]",
                    "[\"22\"]",
                    "[\"0\",1]",
                    "[[[]]]",
                    "[{\"key\":\"Owner\",\"value\":\"x\"}]",
                ],
            )),
            2 => out.push_str(pick(rng, &["null", "1e400", "-0", "18446744073709551616", "true"])),
            _ => out.push_str(pick(
                rng,
                &[
                    "\"x\"",
                    "\"\\ud800\"",
                    "\"\\u0000\"",
                    "\"Active\"",
                    "\"AWS-StartSSHSession\"",
                    "\"i-0123456789abcdef0\"",
                    "\"\"",
                ],
            )),
        }
    }
    out.push('}');
}

/// The head of a call: its query, and its headers.
pub fn head(rng: &mut Rng, out: &mut String) {
    form(rng, out);
    out.push_str(pick(rng, &["", "&X-Amz-Signature=00", "&a=b+c%20d&a"]));
    let _ = write!(
        out,
        "\nhost:{}\nauthorization:AWS4-HMAC-SHA256 Credential={}, SignedHeaders={}, Signature={}",
        pick(
            rng,
            &["127.0.0.1:4599", "localhost:4599", "[::1]:4599", "x@127.0.0.1:4599", ""]
        ),
        pick(
            rng,
            &[
                "A/20261121/us-east-1/ec2/aws4_request",
                "A/B/20261121/r/sts/aws4_request",
                "a/b/c/d/aws4_request/",
                "////"
            ]
        ),
        pick(
            rng,
            &[
                "host;x-amz-date",
                "host",
                "x-amz-date;host",
                ";",
                "host;host",
                "host;x-amz-security-token"
            ]
        ),
        pick(
            rng,
            &[
                "00",
                "",
                "0",
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
                "zz"
            ]
        ),
    );
    for _ in 0..rng.usize(0..4) {
        out.push_str(pick(
            rng,
            &[
                "\nx-amz-date:20261121T000000Z",
                "\nx-amz-date:",
                "\nx-amz-security-token:x",
                "\nx-amz-content-sha256:x",
                "\nauthorization:x",
                "\nhost:x",
                "\nx-amz-x:  a  b ",
            ],
        ));
    }
}

fn pick<'w>(rng: &mut Rng, words: &[&'w str]) -> &'w str {
    rng.choice(words).copied().unwrap_or_default()
}
