//! The documents of the metadata service: paths with their texts, of which lists of what is below a path are made.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{Found, Issued, host_name};
use crate::network::{VPC_CIDR, subnet, zone_id};
use crate::state::ACCOUNT;

/// Versions of the service by which programs ask.
const VERSIONS: [&str; 9] = [
    "1.0",
    "2008-02-01",
    "2009-04-04",
    "2014-11-05",
    "2016-09-02",
    "2018-09-24",
    "2019-10-01",
    "2021-03-23",
    "latest",
];
const TEXT: &str = "text/plain";
const KEYS: &str = "meta-data/public-keys/";

/// Texts by their paths below the version.
pub(super) type Documents = BTreeMap<String, Vec<u8>>;

/// All documents of an instance.
pub(super) fn of(region: &str, found: &Found, credentials: Option<&Issued>) -> Documents {
    let mut documents = Documents::new();
    let data = instance_data(region, found)
        .into_iter()
        .chain(interface_data(region, found));
    documents.extend(data.map(|(path, text)| (format!("meta-data/{path}"), text.into_bytes())));
    let instance = &found.instance;
    for (number, key) in instance.authorized_keys.iter().enumerate() {
        documents.insert(format!("{KEYS}{number}/openssh-key"), format!("{key}\n").into_bytes());
    }
    if instance.metadata_options.instance_tags == "enabled" {
        let tags = found.tags.iter();
        documents
            .extend(tags.map(|(key, value)| (format!("meta-data/tags/instance/{key}"), value.clone().into_bytes())));
    }
    if let Some(arn) = &instance.instance_profile {
        let info = json!({
            "Code": "Success",
            "LastUpdated": written(instance.launched),
            "InstanceProfileArn": arn,
            "InstanceProfileId": found.profile_id,
        });
        documents.insert("meta-data/iam/info".into(), pretty(&info));
    }
    if let Some(issued) = credentials {
        let path = format!("meta-data/iam/security-credentials/{}", issued.role);
        documents.insert(path, pretty(&describe_credentials(issued)));
    }
    documents.insert(
        "dynamic/instance-identity/document".into(),
        pretty(&identity(region, found)),
    );
    let user_data = instance
        .user_data
        .as_ref()
        .and_then(|text| BASE64_STANDARD.decode(text).ok());
    if let Some(user_data) = user_data.filter(|user_data| !user_data.is_empty()) {
        documents.insert("user-data".into(), user_data);
    }
    documents
}

/// Finds what is at a path, with its media type: a document, or the list of what is below.
pub(super) fn find(documents: &Documents, path: &str) -> Option<(&'static str, Vec<u8>)> {
    let path = path.trim_start_matches('/');
    let (version, below) = path.split_once('/').unwrap_or((path, ""));
    if version.is_empty() {
        return Some((TEXT, VERSIONS.join("\n").into_bytes()));
    }
    if !VERSIONS.contains(&version) {
        return None;
    }
    // Some SDKs ask with a slash at the end.
    if let Some(document) = documents.get(below.trim_end_matches('/')) {
        let form = if below == "user-data" {
            "application/octet-stream"
        } else {
            TEXT
        };
        return Some((form, document.clone()));
    }
    let directory = if below.is_empty() || below.ends_with('/') {
        below.to_owned()
    } else {
        format!("{below}/")
    };
    let names: BTreeSet<&str> = documents
        .keys()
        .filter_map(|path| path.strip_prefix(&directory))
        .map(|rest| rest.split_inclusive('/').next().unwrap_or(rest))
        .collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<String> = names
        .into_iter()
        .map(|name| listed(documents, &directory, name))
        .collect();
    Some((TEXT, names.join("\n").into_bytes()))
}

/// A name as its list has it: keys with their comments, and no slash after the parts of the service itself.
fn listed(documents: &Documents, directory: &str, name: &str) -> String {
    let bare = name.trim_end_matches('/');
    if directory == KEYS {
        let key = documents.get(&format!("{KEYS}{bare}/openssh-key"));
        let key = key
            .map(|key| String::from_utf8_lossy(key).trim_end().to_owned())
            .unwrap_or_default();
        let comment = key
            .splitn(3, ' ')
            .nth(2)
            .filter(|comment| !comment.is_empty())
            .unwrap_or("key");
        return format!("{bare}={}", comment.replace(' ', "-"));
    }
    if directory.is_empty() {
        bare.to_owned()
    } else {
        name.to_owned()
    }
}

fn instance_data(region: &str, found: &Found) -> Vec<(String, String)> {
    let instance = &found.instance;
    let name = host_name(region, instance.address);
    let mut data = vec![
        ("ami-id", instance.image_id.clone()),
        ("ami-launch-index", instance.launch_index.to_string()),
        ("ami-manifest-path", "(unknown)".into()),
        (
            "block-device-mapping/ami",
            instance.root_device.trim_start_matches("/dev/").into(),
        ),
        ("block-device-mapping/root", instance.root_device.clone()),
        ("hostname", name.clone()),
        ("instance-action", "none".into()),
        ("instance-id", instance.id.clone()),
        (
            "instance-life-cycle",
            if instance.is_spot { "spot" } else { "on-demand" }.into(),
        ),
        ("instance-type", instance.instance_type.clone()),
        ("local-hostname", name),
        ("local-ipv4", instance.address.to_string()),
        ("mac", instance.mac_address()),
        ("placement/availability-zone", instance.zone.clone()),
        ("placement/availability-zone-id", zone_id(&instance.zone)),
        ("placement/region", region.into()),
        ("profile", "default-hvm".into()),
        ("reservation-id", instance.reservation_id.clone()),
        ("security-groups", found.groups.join("\n")),
        ("services/domain", "amazonaws.com".into()),
        ("services/partition", "aws".into()),
        ("system", "nitro".into()),
    ];
    if let Some(address) = instance.public_address() {
        data.push(("public-ipv4", address.to_string()));
        data.push(("public-hostname", host_name(region, address)));
    }
    data.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
}

fn interface_data(region: &str, found: &Found) -> Vec<(String, String)> {
    let instance = &found.instance;
    let mac = instance.mac_address();
    let block = subnet(region, &instance.subnet_id)
        .map(|subnet| subnet.cidr())
        .unwrap_or_default();
    let mut data = vec![
        ("device-number", "0".to_owned()),
        ("interface-id", instance.network_interface_id.clone()),
        ("local-hostname", host_name(region, instance.address)),
        ("local-ipv4s", instance.address.to_string()),
        ("mac", mac.clone()),
        ("owner-id", ACCOUNT.to_owned()),
        ("security-group-ids", instance.security_groups.join("\n")),
        ("security-groups", found.groups.join("\n")),
        ("subnet-id", instance.subnet_id.clone()),
        ("subnet-ipv4-cidr-block", block),
        ("vpc-id", instance.vpc_id.clone()),
        ("vpc-ipv4-cidr-block", VPC_CIDR.to_owned()),
        ("vpc-ipv4-cidr-blocks", VPC_CIDR.to_owned()),
    ];
    data.extend(
        instance
            .public_address()
            .map(|address| ("public-ipv4s", address.to_string())),
    );
    let below = |(path, text)| (format!("network/interfaces/macs/{mac}/{path}"), text);
    data.into_iter().map(below).collect()
}

fn identity(region: &str, found: &Found) -> serde_json::Value {
    let instance = &found.instance;
    json!({
        "accountId": ACCOUNT,
        "architecture": instance.architecture,
        "availabilityZone": instance.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": null,
        "pendingTime": written(instance.launched),
        "privateIp": instance.address,
        "ramdiskId": null,
        "region": region,
        "version": "2017-09-30",
    })
}

fn describe_credentials(issued: &Issued) -> serde_json::Value {
    json!({
        "Code": "Success",
        "LastUpdated": written(issued.at),
        "Type": "AWS-HMAC",
        "AccessKeyId": issued.key.key.id,
        "SecretAccessKey": issued.key.key.secret,
        "Token": issued.key.token,
        "Expiration": written(issued.key.expires),
    })
}

/// A point in time without fractions, as the service writes it: `2026-11-21T07:30:00Z`.
fn written(moment: crate::moment::Moment) -> String {
    let text = moment.to_string();
    text.split_once('.')
        .map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Tags;
    use crate::state::instance::{Instance, example};

    fn documents(change: impl FnOnce(&mut Instance)) -> Documents {
        let mut instance = example();
        instance.authorized_keys = vec!["ssh-ed25519 AAAA mine".into(), "ssh-rsa BBBB".into()];
        change(&mut instance);
        let found = Found {
            instance,
            tags: Tags::from([("Name".to_owned(), "web".to_owned())]),
            groups: vec!["one".into(), "two".into()],
            role: None,
            profile_id: String::new(),
        };
        of("us-east-1", &found, None)
    }

    fn text(documents: &Documents, path: &str) -> Option<String> {
        find(documents, path).map(|(_, text)| String::from_utf8(text).unwrap())
    }

    #[test]
    fn documents_and_lists_are_found_by_their_paths() {
        let documents = documents(|_| {});
        let found = |path| text(&documents, path);
        assert_eq!(
            found("/latest/meta-data/instance-id").as_deref(),
            Some("i-0123456789abcdef0")
        );
        assert_eq!(
            found("/2021-03-23/meta-data/placement/region").as_deref(),
            Some("us-east-1")
        );
        assert_eq!(
            found("/latest/meta-data/instance-id/").as_deref(),
            Some("i-0123456789abcdef0")
        );
        assert_eq!(found("/latest/").as_deref(), Some("dynamic\nmeta-data"));
        assert_eq!(found("/latest").as_deref(), Some("dynamic\nmeta-data"));
        assert!(found("/").unwrap().ends_with("latest"));
        assert_eq!(
            found("/latest/meta-data/placement/").as_deref(),
            Some("availability-zone\navailability-zone-id\nregion")
        );
        let list = found("/latest/meta-data/").unwrap();
        assert!(
            list.lines().any(|line| line == "ami-id") && list.lines().any(|line| line == "placement/"),
            "{list}"
        );
        for absent in [
            "/latest/meta-data/nothing",
            "/latest/user-data",
            "/latest/meta-data/tags/",
            "/2000-01-01/meta-data/",
            "/latest/meta-data/iam/",
        ] {
            assert_eq!(found(absent), None, "{absent}");
        }
    }

    #[test]
    fn keys_are_listed_with_their_names() {
        let documents = documents(|_| {});
        let found = |path| text(&documents, path);
        assert_eq!(
            found("/latest/meta-data/public-keys/").as_deref(),
            Some("0=mine\n1=key")
        );
        assert_eq!(
            found("/latest/meta-data/public-keys/0/").as_deref(),
            Some("openssh-key")
        );
        assert_eq!(
            found("/latest/meta-data/public-keys/0/openssh-key").as_deref(),
            Some("ssh-ed25519 AAAA mine\n")
        );
    }

    #[test]
    fn tags_and_user_data_are_there_when_they_are() {
        let documents = documents(|instance| {
            instance.metadata_options.instance_tags = "enabled".into();
            instance.user_data = Some(BASE64_STANDARD.encode(b"#!/bin/sh\n\xff"));
        });
        assert_eq!(
            text(&documents, "/latest/meta-data/tags/instance/").as_deref(),
            Some("Name")
        );
        assert_eq!(
            text(&documents, "/latest/meta-data/tags/instance/Name").as_deref(),
            Some("web")
        );
        assert_eq!(find(&documents, "/latest/user-data").unwrap().1, b"#!/bin/sh\n\xff");
    }

    #[test]
    fn the_identity_document_names_the_instance() {
        let document = text(&documents(|_| {}), "/latest/dynamic/instance-identity/document").unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["instanceId"], "i-0123456789abcdef0");
        assert_eq!(document["privateIp"], "127.64.0.4");
        assert_eq!(document["pendingTime"], "2026-11-21T08:00:00Z");
    }
}
