//! SBOMs that are on the instance already, and options that do not go together.

use std::os::unix::fs::PermissionsExt as _;

use bakelite_hcl::diagnostic::Severity;
use serde_json::{Value, json};

use crate::workbench::{Workbench, complaints};
use crate::{bench, json};

fn cyclonedx() -> String {
    json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}).to_string() + "  \n"
}

fn spdx() -> String {
    json!({"spdxVersion": "SPDX-2.2", "SPDXID": "SPDXRef-DOCUMENT", "name": "x", "dataLicense": "CC0-1.0",
        "documentNamespace": "urn:x"})
    .to_string()
}

#[tokio::test]
async fn an_sbom_of_the_instance_is_kept_as_it_is() {
    let bench = bench().await;
    for (name, text) in [("cyclonedx", cyclonedx()), ("spdx", spdx())] {
        bench.write("remote/made.json", &text);
        let options = json!({"source": bench.path("remote/made.json"), "destination": "new/deep/sbom.json"});
        bench.provision("sbom", options).await.unwrap();
        assert_eq!(bench.read("new/deep/sbom.json"), text);
        let mode = std::fs::metadata(bench.path("new/deep/sbom.json"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode & !0o022, 0o644);
        assert_eq!(bench.names("new/deep"), ["sbom.json"]);
        let note = bench.provisioning.notes.all()[&format!("sbom.{name}")].clone();
        assert_eq!(note["document"], serde_json::from_str::<Value>(&text).unwrap());
        assert_eq!(note["file"], bench.path("new/deep/sbom.json"));
        assert_eq!(note["sha256"].as_str().unwrap().len(), 64);
    }
}

fn is_numbered(name: &str) -> bool {
    let number = name
        .strip_prefix("packer-user-sbom-")
        .and_then(|rest| rest.strip_suffix(".json"));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

#[tokio::test]
async fn a_directory_gets_a_file_of_its_own() {
    let bench = bench().await;
    bench.write("remote/made.json", &spdx());
    std::fs::create_dir(bench.path("there")).unwrap();
    for (destination, directory) in [("there", "there"), ("not/yet/", "not/yet")] {
        let options = json!({"source": bench.path("remote/made.json"), "destination": destination});
        bench.provision("hcp-sbom", options).await.unwrap();
        let names = bench.names(directory);
        assert!(names.len() == 1 && is_numbered(&names[0]), "{names:?}");
        assert_eq!(bench.read(&format!("{directory}/{}", names[0])), spdx());
        let said = bench.said();
        assert_eq!(
            said.iter()
                .filter(|line| line.contains("nothing is uploaded to HCP"))
                .count(),
            1,
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_sbom_fails_the_build_and_leaves_what_was_there() {
    let bench = bench().await;
    bench.write("sbom.json", "old");
    let cases = [
        ("not json", "it is no JSON"),
        (
            "{}",
            "it is JSON, but neither SPDX (`spdxVersion`) nor CycloneDX (`bomFormat`)",
        ),
        (
            r#"{"bomFormat": "CycloneDX"}"#,
            "it is CycloneDX without a `specVersion`",
        ),
        (
            r#"{"spdxVersion": "SPDX-2.3", "SPDXID": "x"}"#,
            "it is SPDX without `name`",
        ),
        (
            r#"{"spdxVersion": "SPDX-3.0"}"#,
            "it is SPDX 3.0; version 2 is supported",
        ),
    ];
    for (text, expected) in cases {
        let path = bench.path("remote/made.json");
        bench.write("remote/made.json", text);
        let error = bench
            .provision("sbom", json!({"source": path, "destination": "sbom.json"}))
            .await
            .unwrap_err();
        assert!(
            error.starts_with(&format!("`{path}` is not an SBOM: {expected}")),
            "{error}"
        );
    }
    let missing = bench
        .provision("sbom", json!({"source": "/nonexistent", "destination": "sbom.json"}))
        .await
        .unwrap_err();
    assert!(
        missing.starts_with("failed to download the SBOM `/nonexistent`: ") && missing.contains("No such file"),
        "{missing}"
    );
    let nobody = Workbench::alone();
    let error = nobody
        .provision("sbom", json!({"source": "/x", "destination": "sbom.json"}))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "failed to download the SBOM `/x`: communicator `none` cannot download"
    );
    assert_eq!(bench.read("sbom.json"), "old");
    assert!(bench.provisioning.notes.all().is_empty());
    let occupied = json!({"source": bench.path("remote/made.json"), "destination": "sbom.json/below"});
    bench.write("remote/made.json", &spdx());
    let error = bench.provision("sbom", occupied).await.unwrap_err();
    assert!(error.starts_with("failed to write the SBOM to `"), "{error}");
    assert_eq!(json(&bench, "remote/made.json")["name"], "x");
}

#[test]
fn options_are_checked_and_those_of_a_scanner_have_no_effect() {
    let all = |options: Value| -> Vec<String> {
        let found = complaints("sbom", &options).into_iter();
        found
            .map(|one| format!("{:?} {}: {}", one.severity, one.option, one.message))
            .collect()
    };
    assert_eq!(
        all(json!({"auto_generate": true, "destination": "x"})),
        Vec::<String>::new()
    );
    assert_eq!(
        all(json!({"destination": "x"})),
        ["Error : either `source` or `auto_generate` must be given"]
    );
    assert_eq!(
        all(json!({"destination": "x", "source": "/y", "auto_generate": true})),
        ["Error auto_generate: `auto_generate` cannot be given together with `source`"]
    );
    for name in ["my_image-1", "abc"] {
        assert!(all(json!({"source": "/y", "destination": "x", "sbom_name": name})).is_empty());
    }
    for name in ["ab", "with space", &"x".repeat(37)] {
        assert!(
            all(json!({"source": "/y", "destination": "x", "sbom_name": name}))[0].starts_with("Error sbom_name: ")
        );
    }
    assert!(all(json!({"source": "/y"}))[0].starts_with("Warning : there is no `destination`"));
    for option in [
        "execute_command",
        "elevated_user",
        "elevated_password",
        "scanner_url",
        "scanner_checksum",
    ] {
        let mut options = json!({"auto_generate": true, "destination": "x"});
        options[option] = json!("x");
        let found = complaints("hcp-sbom", &options);
        assert_eq!(
            (found.len(), found[0].severity, found[0].option.as_str()),
            (1, Severity::Warning, option)
        );
    }
    for (option, value) in [("scanner_args", json!(["-q"])), ("scan_path", json!("/opt"))] {
        let mut options = json!({"source": "/y", "destination": "x"});
        options[option] = value;
        assert_eq!(
            all(options),
            [format!(
                "Warning {option}: `{option}` has no effect without `auto_generate`"
            )]
        );
    }
    let arguments =
        |arguments: Value| all(json!({"auto_generate": true, "destination": "x", "scanner_args": arguments}));
    for sound in [
        json!(["-o", "spdx-json", "-q"]),
        json!(["--output=cyclonedx-json@1.6"]),
        json!([]),
    ] {
        assert!(arguments(sound).is_empty());
    }
    assert_eq!(
        arguments(json!(["-o", "syft-json"])),
        ["Error scanner_args[0]: there is no format `syft-json`"]
    );
    assert_eq!(
        arguments(json!(["-o"])),
        ["Error scanner_args[0]: there is no format ``"]
    );
    assert_eq!(
        arguments(json!(["-o", "spdx-json", "--exclude", "./x"])),
        ["Error scanner_args[2]: argument `--exclude` is not supported"]
    );
}
