//! Rules across the options of an AMI. Every complaint names the options that it is about.

use bakelite_template::component::Complaint;

use super::options::ImageOptions;
use super::{attributes, encryption};
use crate::block_device;

/// Complains about options that contradict each other or cannot work. `region` is the build's, where the template gives it.
pub(crate) fn check(options: &ImageOptions, region: Option<&str>, complaints: &mut Vec<Complaint>) {
    keys_of_regions(options, complaints);
    shared_with_default_key(options, complaints);
    keys(options, complaints);
    name(&options.ami_name, complaints);
    if let Some(at) = options
        .deprecate_at
        .as_deref()
        .filter(|at| attributes::moment(at).is_none())
    {
        let message =
            format!("`deprecate_at` must be a time in the form of RFC 3339 (`2031-05-06T07:08:09Z`), not `{at}`");
        complaints.push(Complaint::error("deprecate_at", message));
    }
    if options.skip_save_build_region && options.copied_to(region.unwrap_or_default()).is_empty() {
        let message = "`skip_save_build_region` without other regions in `ami_regions` leaves no AMI at all";
        complaints.push(Complaint::warning("skip_save_build_region", message));
    }
    block_device::check(
        "ami_block_device_mappings",
        &options.ami_block_device_mappings,
        complaints,
    );
}

/// `ami_regions` and `region_kms_key_ids` name the same regions, if there are keys at all.
fn keys_of_regions(options: &ImageOptions, complaints: &mut Vec<Complaint>) {
    let (keys, regions) = (&options.region_kms_key_ids, &options.ami_regions);
    for region in keys.keys().filter(|region| !regions.contains(region)) {
        let message = format!("`region_kms_key_ids` has a key for `{region}`, which is not in `ami_regions`");
        complaints.push(Complaint::error("region_kms_key_ids", message));
    }
    for region in regions
        .iter()
        .filter(|region| !keys.is_empty() && !keys.contains_key(*region))
    {
        let message = format!("`{region}` of `ami_regions` has no key in `region_kms_key_ids`");
        complaints.push(Complaint::error("region_kms_key_ids", message));
    }
}

/// What is encrypted with the account's default key cannot be shared.
fn shared_with_default_key(options: &ImageOptions, complaints: &mut Vec<Complaint>) {
    if options.encrypt_boot != Some(true) {
        return;
    }
    let without_key = options.kms_key_id.is_none() && options.region_kms_key_ids.is_empty();
    let empty = options.region_kms_key_ids.iter().filter(|(_, key)| key.is_empty());
    let at = match (
        without_key,
        empty.map(|(region, _)| region.as_str()).collect::<Vec<_>>(),
    ) {
        (true, _) => vec!["`encrypt_boot` without `kms_key_id` and `region_kms_key_ids`".to_owned()],
        (false, empty) => empty
            .into_iter()
            .map(|region| format!("the empty key of `{region}` in `region_kms_key_ids`"))
            .collect(),
    };
    let shared = [
        ("ami_users", "an AMI", &options.ami_users),
        ("ami_org_arns", "an AMI", &options.ami_org_arns),
        ("ami_ou_arns", "an AMI", &options.ami_ou_arns),
        ("snapshot_users", "a snapshot", &options.snapshot_users),
    ];
    for (option, what, with) in shared {
        for which in at.iter().filter(|_| !with.is_empty()) {
            let message = format!(
                "{what} that is encrypted with the account's default key ({which}) cannot be shared (`{option}`)"
            );
            complaints.push(Complaint::error(option, message));
        }
    }
}

fn keys(options: &ImageOptions, complaints: &mut Vec<Complaint>) {
    let home = options.kms_key_id.iter().map(|key| ("kms_key_id", key));
    let of_regions = options
        .region_kms_key_ids
        .values()
        .map(|key| ("region_kms_key_ids", key));
    let keys: Vec<_> = home.chain(of_regions).filter(|(_, key)| !key.is_empty()).collect();
    if let (Some((option, _)), false) = (keys.first(), options.encrypt_boot == Some(true)) {
        let message = "`kms_key_id` and `region_kms_key_ids` need `encrypt_boot = true`";
        complaints.push(Complaint::error(*option, message));
    }
    for (option, key) in keys.into_iter().filter(|(_, key)| !encryption::is_key(key)) {
        let message = format!("`{key}` is neither the id or ARN of a KMS key nor an alias (`alias/NAME`) or its ARN");
        complaints.push(Complaint::error(option, message));
    }
}

fn name(name: &str, complaints: &mut Vec<Complaint>) {
    let length = name.len();
    if !(3..=128).contains(&length) {
        let message = format!("`ami_name` must have 3 to 128 characters, not {length}");
        complaints.push(Complaint::error("ami_name", message));
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "()[] ./-'@_".contains(letter);
    if !name.chars().all(allowed) {
        let message = "`ami_name` may only contain letters, digits, spaces and any of ()[]./-'@_";
        let help = "the function `clean_resource_name` of a legacy JSON template replaces what is not allowed";
        complaints.push(Complaint::error("ami_name", message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let mut options: serde_json::Value = serde_json::from_str(json).unwrap();
        options["ami_name"] = "gold".into();
        let mut complaints = Vec::new();
        check(
            &serde_json::from_value(options).unwrap(),
            Some("us-east-1"),
            &mut complaints,
        );
        let shown = |complaint: Complaint| format!("{}: {}", complaint.option, complaint.message);
        complaints.into_iter().map(shown).collect()
    }

    #[test]
    fn rules_of_regions_keys_and_sharing() {
        insta::assert_snapshot!(
            [
                r#"{"ami_regions": ["eu-west-1", "us-east-1"], "encrypt_boot": true, "region_kms_key_ids": {"eu-west-1": "alias/x", "us-east-1": ""}}"#,
                r#"{"ami_regions": ["eu-west-1"], "encrypt_boot": true, "region_kms_key_ids": {"eu-west-2": "alias/x"}}"#,
                r#"{"encrypt_boot": true, "ami_users": ["1"], "ami_org_arns": ["a"], "snapshot_users": ["1"]}"#,
                r#"{"encrypt_boot": true, "kms_key_id": "alias/x", "ami_users": ["1"], "snapshot_users": ["1"]}"#,
                r#"{"encrypt_boot": true, "ami_regions": ["a"], "region_kms_key_ids": {"a": ""}, "ami_users": ["1"]}"#,
                r#"{"kms_key_id": "nope"}"#,
                r#"{"encrypt_boot": false, "kms_key_id": "alias/x"}"#,
                r#"{"deprecate_at": "tomorrow"}"#,
                r#"{"deprecate_at": "2031-05-06T07:08:09+02:00"}"#,
                r#"{"skip_save_build_region": true, "ami_regions": ["us-east-1"]}"#,
            ]
            .map(|json| format!("{json}\n{}", complaints(json).iter().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat()))
            .concat()
        );
    }
}
