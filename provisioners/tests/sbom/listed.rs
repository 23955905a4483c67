//! SBOMs that are made of what the instance has.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use bakelite_test_support::ended::RunToEnd as _;
use bakelite_test_support::sshd::Setup;
use serde_json::{Value, json};

use crate::workbench::Workbench;
use crate::{bench, json, purls};

/// What dpkg says to have installed on this machine.
fn of_dpkg() -> BTreeSet<(String, String)> {
    let mut command = Command::new("dpkg-query");
    let output = command
        .args(["-W", "-f=${db:Status-Status} ${Package} ${Version}\n"])
        .run_to_end();
    let text = String::from_utf8(output.stdout).unwrap();
    let installed = text.lines().filter_map(|line| line.strip_prefix("installed "));
    let pairs = installed.filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

/// The machine that the tests run on is the instance: a Debian or Ubuntu.
#[tokio::test]
async fn every_package_of_this_machine_is_listed_in_both_formats() {
    let bench = bench().await;
    let expected = of_dpkg();
    assert!(expected.len() > 50);
    for (arguments, format) in [
        (json!(["-o", "cyclonedx-json"]), "cyclonedx"),
        (json!(["-o", "spdx-json"]), "spdx"),
    ] {
        let options = json!({"auto_generate": true, "destination": "sbom.json", "scanner_args": arguments, "sbom_name": "my_image"});
        bench.provision("sbom", options).await.unwrap();
        let debs = purls(&bench, format, "sbom.json")
            .into_iter()
            .filter(|purl| purl.starts_with("pkg:deb/"));
        assert_eq!(debs.count(), expected.len(), "{format}");
        let document = json(&bench, "sbom.json");
        let (list, version) = if format == "spdx" {
            ("packages", "versionInfo")
        } else {
            ("components", "version")
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let listed = document[list].as_array().unwrap().iter();
        let listed: BTreeSet<(String, String)> = listed
            .filter(|one| one.to_string().contains("pkg:deb/"))
            .map(|one| (text(&one["name"]), text(&one[version])))
            .collect();
        assert_eq!(listed, expected, "{format}");
        let title = if format == "spdx" {
            &document["name"]
        } else {
            &document["metadata"]["component"]["name"]
        };
        assert_eq!(title, "my_image");
        let note = &bench.provisioning.notes.all()[&format!("sbom.{format}")];
        assert_eq!(note["document"], document);
        let said = bench.said();
        assert!(
            said.iter().any(|line| line.starts_with("The instance has ")),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn a_package_says_where_it_comes_from_and_under_which_licence() {
    let bench = bench().await;
    bench
        .provision("sbom", json!({"auto_generate": true, "destination": "sbom.json"}))
        .await
        .unwrap();
    let document = json(&bench, "sbom.json");
    let components = document["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|one| one["name"] == name).unwrap();
    let client = named("openssh-client");
    let purl = client["purl"].as_str().unwrap();
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    assert!(
        purl.starts_with(&format!("pkg:deb/{}/openssh-client@1:", field("ID"))),
        "{purl}"
    );
    assert!(purl.contains("?arch=") && purl.contains("&upstream=openssh"), "{purl}");
    assert!(purl.contains(&format!("&distro={}", field("ID"))), "{purl}");
    assert!(client["publisher"].as_str().unwrap().contains('@'));
    assert!(client.get("hashes").is_none());
    let licensed = components.iter().filter(|one| one.get("licenses").is_some()).count();
    assert!(licensed * 2 > components.len(), "{licensed} of {}", components.len());
    let properties = &document["metadata"]["component"]["properties"];
    assert!(
        properties[1]["value"].as_str().unwrap().starts_with("Linux "),
        "{properties}"
    );
}

/// A root with packages of Alpine, Python and npm, as they lie on disk.
fn write_root(bench: &Workbench) {
    let write = |name: &str, text: &str| {
        let path = bench.directory.path().join("remote").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "etc/os-release",
        "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n",
    );
    write(
        "lib/apk/db/installed",
        "C:Q1abc=\nP:busybox-binsh\nV:1.36.1-r29\nA:x86_64\nS:1543\nT:busybox ash /bin/sh\nL:GPL-2.0-only\no:busybox\n\
         m:Soren <soren@alpine.example>\nF:bin\nR:sh\n\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT and so on\no:musl\n\n",
    );
    write(
        "opt/app/lib/python3.12/site-packages/Flask_Login-0.6.3.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6.3\nLicense: MIT\n\nName: not this one\n",
    );
    write(
        "opt/app/lib/node_modules/@angular/core/package.json",
        r#"{"name": "@angular/core", "version": "17.0.1", "license": "MIT"}"#,
    );
    write(
        "opt/app/lib/node_modules/@angular/core/test/package.json",
        r#"{"name": "fixture", "version": "1.0.0"}"#,
    );
    write("opt/app/lib/node_modules/broken/package.json", "{");
}

#[tokio::test]
async fn the_root_of_another_system_can_be_listed() {
    let bench = bench().await;
    write_root(&bench);
    let options = |arguments: Value| json!({"auto_generate": true, "destination": "sbom.json", "scan_path": bench.path("remote"), "scanner_args": arguments});
    let expected = [
        "pkg:apk/alpine/busybox-binsh@1.36.1-r29?arch=x86_64&distro=alpine-3.20.3&upstream=busybox",
        "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.3",
        "pkg:npm/%40angular/core@17.0.1",
        "pkg:pypi/flask-login@0.6.3",
    ];
    bench.provision("sbom", options(json!([]))).await.unwrap();
    assert_eq!(purls(&bench, "cyclonedx", "sbom.json"), expected);
    let document = json(&bench, "sbom.json");
    assert_eq!(
        document["components"][0]["licenses"],
        json!([{"license": {"id": "GPL-2.0-only"}}])
    );
    assert_eq!(
        document["components"][1]["licenses"],
        json!([{"license": {"name": "MIT and so on"}}])
    );
    assert_eq!(document["metadata"]["component"]["version"], "3.20.3");
    bench
        .provision("sbom", options(json!(["-o", "spdx-json"])))
        .await
        .unwrap();
    assert_eq!(purls(&bench, "spdx", "sbom.json"), expected);
    let document = json(&bench, "sbom.json");
    let reference = document["packages"][2]["licenseDeclared"].as_str().unwrap();
    assert_eq!(document["hasExtractedLicensingInfos"][0]["licenseId"], reference);
    assert_eq!(
        document["packages"][1]["supplier"],
        "Organization: Soren (soren@alpine.example)"
    );
}

#[tokio::test]
async fn the_same_packages_make_the_same_document() {
    let mut bench = bench().await;
    write_root(&bench);
    for format in ["cyclonedx-json", "spdx-json"] {
        let options = json!({"auto_generate": true, "destination": "sbom.json", "scan_path": bench.path("remote"), "scanner_args": ["-o", format]});
        bench.provision("sbom", options.clone()).await.unwrap();
        let first = json(&bench, "sbom.json");
        bench.provision("sbom", options.clone()).await.unwrap();
        let mut second = json(&bench, "sbom.json");
        assert_ne!(first, second);
        for pointer in [
            "/serialNumber",
            "/metadata/timestamp",
            "/documentNamespace",
            "/creationInfo/created",
        ] {
            if let (Some(of_second), Some(of_first)) = (second.pointer_mut(pointer), first.pointer(pointer)) {
                *of_second = of_first.clone();
            }
        }
        assert_eq!(first, second);
        bench.provisioning.run.environment =
            Arc::new([("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned())].into());
        bench.provision("sbom", options.clone()).await.unwrap();
        let fixed = bench.read("sbom.json");
        bench.provision("sbom", options).await.unwrap();
        assert_eq!(fixed, bench.read("sbom.json"));
        assert!(fixed.contains("2023-11-14T22:13:20Z"), "{fixed}");
        bench.provisioning.run.environment = Arc::default();
    }
}

#[tokio::test]
async fn an_sbom_that_cannot_be_made_fails_the_build() {
    let bench = bench().await;
    let in_directory = |directory: &str| json!({"auto_generate": true, "destination": "sbom.json", "scan_path": bench.path(directory)});
    let empty = bench.provision("sbom", in_directory("remote")).await.unwrap_err();
    assert!(
        empty.contains("neither dpkg, rpm nor apk knows of any below `"),
        "{empty}"
    );
    std::fs::create_dir_all(bench.path("remote/var/lib/dpkg")).unwrap();
    bench.write("remote/var/lib/dpkg/status", "this is no status\n");
    let broken = bench.provision("sbom", in_directory("remote")).await.unwrap_err();
    assert!(
        broken.starts_with("failed to list the packages of the instance: `dpkg-query` failed (")
            && broken.contains("parsing file"),
        "{broken}"
    );
    let nobody = Workbench::alone();
    let error = nobody.provision("sbom", in_directory("remote")).await.unwrap_err();
    assert_eq!(
        error,
        "failed to list the packages of the instance: the list has no end"
    );
    assert!(!bench.directory.path().join("sbom.json").exists());
    let without_shell = Setup {
        programs: Some(vec!["true"]),
        ..Setup::default()
    };
    let bench = Workbench::with_instance(without_shell).await;
    let error = bench
        .provision("sbom", json!({"auto_generate": true, "destination": "sbom.json"}))
        .await
        .unwrap_err();
    assert!(
        error.starts_with("failed to list the packages of the instance: `sh` ended with status 127"),
        "{error}"
    );
}
