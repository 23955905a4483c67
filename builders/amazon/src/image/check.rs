//! Rules across the options of an AMI. Every complaint names the options that it is about.

use bakelite_template::component::Complaint;

use super::options::ImageOptions;
use crate::block_device;

/// Complains about options that contradict each other or cannot work. `region` is the build's, where the template gives it.
pub(crate) fn check(options: &ImageOptions, region: Option<&str>, complaints: &mut Vec<Complaint>) {
    name(&options.ami_name, complaints);
    if options.ami_regions.iter().any(|other| Some(other.as_str()) != region) {
        let message = "copies to other regions (`ami_regions`, `region_kms_key_ids`) are not supported yet";
        complaints.push(Complaint::error("ami_regions", message));
    }
    block_device::check(
        "ami_block_device_mappings",
        &options.ami_block_device_mappings,
        complaints,
    );
}

fn name(name: &str, complaints: &mut Vec<Complaint>) {
    let length = name.chars().count();
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
