//! Builds that end together each have their entry in the manifest.

use bakelite_test_support::test_context;

/// Twelve null builds that end at the same moment: twelve entries, twenty times out of twenty.
#[test]
fn twelve_builds_that_end_together_leave_twelve_entries() {
    for _ in 0..20 {
        let context = test_context!();
        let sources: Vec<String> = (0..12)
            .map(|n| format!("source \"null\" \"s{n}\" {{\n  communicator = \"none\"\n}}\n"))
            .collect();
        let names: Vec<String> = (0..12).map(|n| format!("\"source.null.s{n}\"")).collect();
        let build = format!(
            "build {{\n  sources = [{}]\n  post-processor \"manifest\" {{}}\n}}\n",
            names.join(", ")
        );
        context.template(&(sources.concat() + &build));
        context.run(["build", "t.pkr.hcl"]).succeeds();
        let manifest: serde_json::Value = serde_json::from_str(&context.read("packer-manifest.json")).unwrap();
        let mut entries: Vec<&str> = manifest["builds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        entries.sort_unstable();
        let mut expected: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
        expected.sort_unstable();
        assert_eq!(entries, expected);
    }
}
