//! One template per group of options (tests/templates/groups): each is valid by itself, and all of them bake.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::inventory::Inventory;
use bakelite_test_support::test_context;

/// Valid, and not baked here: an instance of Windows is nothing that the local cloud has, nor are product codes, which are AWS
/// Marketplace's.
const VALID_ONLY: [&str; 2] = ["product-codes", "winrm"];

/// Where the templates are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates/groups")
}

/// The names of the groups, which are those of their sources.
fn groups() -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let groups: BTreeSet<_> = names
        .filter_map(|name| name.strip_suffix(".pkr.hcl").map(str::to_owned))
        .collect();
    assert!(groups.len() > 25, "{groups:?}");
    groups
}

#[test]
fn every_group_of_options_is_valid_by_itself() {
    let context = test_context!();
    for group in groups() {
        let template = directory().join(format!("{group}.pkr.hcl"));
        let ran = context.run(["validate".as_ref(), template.as_os_str()]);
        assert_eq!(ran.code, Some(0), "{group}: {ran:?}");
        assert!(
            ran.stdout.starts_with("The configuration is valid."),
            "{group}: {ran:?}"
        );
    }
}

#[test]
fn every_group_of_options_bakes_on_one_cloud() {
    let context = test_context!();
    let cloud = Cloud::local(&context, &["-ssh-port", "0"]);
    let context = context.on(&cloud);
    let before = Inventory::of(&cloud.endpoint);
    let except = VALID_ONLY.map(|group| format!("*.{group}")).join(",");
    let ran = context.run([
        "build".into(),
        "-parallel-builds=4".into(),
        format!("-except={except}"),
        directory().display().to_string(),
    ]);
    // A warning is printed, too: that several types without a price are launched on demand.
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let output = ran.stdout;
    for group in groups() {
        let is_baked = output.contains(&format!(".{group}' finished after "));
        assert_eq!(is_baked, !VALID_ONLY.contains(&group.as_str()), "{group}: {output}");
    }
    let mut temporary = Inventory::of(&cloud.endpoint).temporary();
    // The volume that the group `volumes` is about.
    let stays = temporary.volumes.pop_first();
    assert!(output.contains(stays.as_deref().unwrap_or("no volume")), "{stays:?}");
    assert_eq!(temporary, before.temporary());
    assert!(context.journals().is_empty());
}

#[test]
fn the_legacy_template_bakes_as_it_stands() {
    let context = test_context!();
    let json = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates/json");
    for name in ["template.json", "app.conf"] {
        context.file(name, std::fs::read(json.join(name)).unwrap());
    }
    let arguments = ["-var", "app_version=1.2.3", "template.json"];
    let _ = context.run(["validate"].iter().chain(&arguments)).succeeds();
    let output = context.run(["build", "-local"].iter().chain(&arguments)).succeeds();
    assert!(output.contains("us-east-1: ami-"), "{output}");
    assert!(context.read("manifest.json").contains("us-east-1:ami-"));
}
