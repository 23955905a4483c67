//! What is in an account, asked of its endpoint by signed calls of our own: everything that a bake makes, in all of its regions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::clouds::Endpoint;
use crate::signer::Request;

/// An AMI of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnImage {
    /// Where it is.
    pub region: String,
    /// Its name.
    pub name: String,
    /// `available`, `pending`, …
    pub state: String,
    /// Its snapshots.
    pub snapshots: BTreeSet<String>,
    /// The keys of its tags.
    pub tags: BTreeSet<String>,
}

/// What is in an account. Ids are unique over all regions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// What a bake makes for itself: instances that are not terminated, key pairs, security groups, launch templates, roles and instance
    /// profiles, each with its kind before its id or name.
    pub temporary: BTreeSet<String>,
    /// Volumes that exist.
    pub volumes: BTreeSet<String>,
    /// Instances that were launched, whatever became of them.
    pub launched: BTreeSet<String>,
    /// Images.
    pub images: BTreeMap<String, OwnImage>,
    /// Snapshots, with the region of each.
    pub snapshots: BTreeMap<String, String>,
}

/// An answer of the Query protocol.
pub struct Answer(String);

impl Answer {
    /// The text of all elements of this name, in the order of the answer.
    pub fn all(&self, name: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(&self.0).unwrap();
        let named = document.descendants().filter(|node| node.tag_name().name() == name);
        named.map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// For each item of a list, the texts of the elements of these names below it, at any depth.
    fn items<const N: usize>(&self, list: &str, names: [&str; N]) -> Vec<[Vec<String>; N]> {
        let document = roxmltree::Document::parse(&self.0).unwrap();
        let lists = document.descendants().filter(|node| node.tag_name().name() == list);
        let items = lists.flat_map(|list| list.children().filter(roxmltree::Node::is_element));
        items
            .map(|item| {
                names.map(|name| {
                    let below = item.descendants().filter(|node| node.tag_name().name() == name);
                    below.map(|node| node.text().unwrap_or_default().to_owned()).collect()
                })
            })
            .collect()
    }
}

/// Makes a call of the Query protocol; anything but an answer of success ends the test.
pub fn call(endpoint: &Endpoint, service: &str, region: &str, action: &str, parameters: &[(&str, &str)]) -> Answer {
    let version = if service == "iam" { "2010-05-08" } else { "2016-11-15" };
    let pairs = [("Action", action), ("Version", version)];
    let pairs = pairs
        .iter()
        .chain(parameters)
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    let body = pairs.collect::<Vec<_>>().join("&");
    let request = Request::new(endpoint.address(), "POST", "/", &body)
        .with("content-type", "application/x-www-form-urlencoded")
        .signed(&endpoint.key, service, region, SystemTime::now());
    let (head, answer) = request.send(endpoint.address());
    assert!(head.starts_with("HTTP/1.1 200"), "{body}: {head}\n{answer}");
    Answer(answer)
}

fn encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

impl Account {
    /// Asks for everything in these regions.
    pub fn of(endpoint: &Endpoint, regions: &[&str]) -> Account {
        let mut account = Account::default();
        for region in regions {
            account.ask(endpoint, region);
        }
        for (action, name) in [
            ("ListRoles", "RoleName"),
            ("ListInstanceProfiles", "InstanceProfileName"),
        ] {
            let names = call(endpoint, "iam", "us-east-1", action, &[]).all(name);
            account
                .temporary
                .extend(names.iter().map(|found| format!("{name} {found}")));
        }
        account
    }

    fn ask(&mut self, endpoint: &Endpoint, region: &str) {
        let ec2 = |action: &str, parameters: &[(&str, &str)]| call(endpoint, "ec2", region, action, parameters);
        for [ids, states] in ec2("DescribeInstances", &[]).items("instancesSet", ["instanceId", "name"]) {
            if !states.iter().any(|state| state == "terminated") {
                self.temporary.insert(format!("instance {}", ids[0]));
            }
            self.launched.insert(ids[0].clone());
        }
        for (action, name) in [
            ("DescribeKeyPairs", "keyName"),
            ("DescribeSecurityGroups", "groupId"),
            ("DescribeLaunchTemplates", "launchTemplateId"),
        ] {
            let found = ec2(action, &[]).all(name);
            self.temporary
                .extend(found.iter().map(|found| format!("{name} {found}")));
        }
        self.volumes.extend(ec2("DescribeVolumes", &[]).all("volumeId"));
        let own = ec2("DescribeSnapshots", &[("Owner.1", "self")]).all("snapshotId");
        self.snapshots.extend(own.into_iter().map(|id| (id, region.to_owned())));
        let names = ["imageId", "name", "imageState", "snapshotId", "key"];
        for [ids, names, states, snapshots, tags] in
            ec2("DescribeImages", &[("Owner.1", "self")]).items("imagesSet", names)
        {
            let image = OwnImage {
                region: region.to_owned(),
                name: names[0].clone(),
                state: states[0].clone(),
                snapshots: snapshots.into_iter().collect(),
                tags: tags.into_iter().collect(),
            };
            self.images.insert(ids[0].clone(), image);
        }
    }
}
