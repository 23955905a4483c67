//! Pulling from and pushing to a registry of the test's own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use bakelite_net::proxies::Environment;
use bakelite_oci::layout::{About, Image};
use bakelite_oci::manifest::ARCHITECTURE;
use bakelite_oci::pull::Progress;
use bakelite_oci::registry::Access;
use bakelite_oci::{Digest, OciError, Reference};
use bakelite_test_support::registry::{Door, Registry};

const OTHER: &str = if cfg!(target_arch = "aarch64") {
    "amd64"
} else {
    "arm64"
};

fn noise(length: usize) -> Vec<u8> {
    (0..length)
        .map(|number| (number * 7 + number / 251).to_le_bytes()[0])
        .collect()
}

async fn open(name: &str, environment: &Environment) -> Result<bakelite_oci::registry::Registry, OciError> {
    let reference: Reference = name.parse()?;
    bakelite_oci::registry::Registry::of(&reference, Access::Pull, environment).await
}

/// Pulls into a directory; answers the contents of the layers.
async fn pull(name: &str, directory: &Path, environment: &Environment) -> Result<Vec<Vec<u8>>, OciError> {
    let registry = open(name, environment).await?;
    let resolved = registry.resolve().await?;
    let paths = registry.layers(&resolved, directory, &|_| ()).await?;
    Ok(paths.iter().map(|path| std::fs::read(path).unwrap()).collect())
}

fn docker_config(directory: &Path, registry: &Registry, user: &str, password: &str) -> Environment {
    let config = format!(
        r#"{{"auths": {{"{}": {{"username": "{user}", "password": "{password}"}}}}}}"#,
        registry.address()
    );
    std::fs::write(directory.join("config.json"), config).unwrap();
    Environment::from([("DOCKER_CONFIG".to_owned(), directory.display().to_string())])
}

#[tokio::test]
async fn the_image_of_this_architecture_is_pulled_by_tag_and_by_digest() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let layers = [noise(100_000), noise(10)];
    let (index, _) = registry.put("team/base", "1", ARCHITECTURE, &layers);
    let name = format!("{}/team/base", registry.address());
    let none = Environment::new();
    let progress = Mutex::new(Vec::new());
    let opened = open(&format!("{name}:1"), &none).await.unwrap();
    let resolved = opened.resolve().await.unwrap();
    let report = |now: Progress| progress.lock().unwrap().push(now);
    opened.layers(&resolved, directory.path(), &report).await.unwrap();
    let all = Progress {
        done: 100_010,
        total: 100_010,
    };
    assert_eq!(progress.lock().unwrap().last(), Some(&all));
    // What is there is not asked for again.
    registry.requests();
    assert_eq!(
        pull(&format!("{name}@{index}"), directory.path(), &none).await.unwrap(),
        layers
    );
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| request.contains("/manifests/"))
    );
    registry.put("team/base", "other", OTHER, &layers);
    let error = pull(&format!("{name}:other"), directory.path(), &none)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("image `{name}:other` has no variant for linux/{ARCHITECTURE}: it has linux/{OTHER}")
    );
}

#[tokio::test]
async fn a_cut_download_goes_on_from_where_it_was_cut() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let layer = noise(250_000);
    registry.put("base", "1", ARCHITECTURE, std::slice::from_ref(&layer));
    registry.cut_after(Some(100_000));
    let name = format!("{}/base:1", registry.address());
    assert_eq!(
        pull(&name, directory.path(), &Environment::new()).await.unwrap(),
        [layer]
    );
    let ranges: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|request| request.contains("bytes="))
        .collect();
    assert!(
        !ranges.is_empty() && ranges.iter().all(|range| !range.ends_with("bytes=0-")),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn what_an_earlier_run_has_downloaded_is_kept() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let layer = noise(250_000);
    let (_, digests) = registry.put("base", "1", ARCHITECTURE, std::slice::from_ref(&layer));
    let part = directory
        .path()
        .join(format!("{}.part", digests[0].trim_start_matches("sha256:")));
    std::fs::write(&part, &layer[..200_000]).unwrap();
    let name = format!("{}/base:1", registry.address());
    assert_eq!(
        pull(&name, directory.path(), &Environment::new()).await.unwrap(),
        [layer]
    );
    assert!(
        registry
            .requests()
            .iter()
            .any(|request| request.ends_with("bytes=200000-"))
    );
    assert!(!part.exists());
}

#[tokio::test]
async fn a_download_that_brings_nothing_ends() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    registry.put("base", "1", ARCHITECTURE, &[noise(1000)]);
    registry.cut_after(Some(0));
    let name = format!("{}/base:1", registry.address());
    let error = pull(&name, directory.path(), &Environment::new()).await.unwrap_err();
    assert!(
        matches!(error, OciError::Cut { .. } | OciError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.is_unreachable());
}

#[tokio::test]
async fn a_wrong_digest_is_an_error_and_nothing_stays() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let (_, digests) = registry.put("base", "1", ARCHITECTURE, &[noise(1000)]);
    registry.spoil(&digests[0]);
    let name = format!("{}/base:1", registry.address());
    let error = pull(&name, directory.path(), &Environment::new()).await.unwrap_err();
    assert!(
        matches!(&error, OciError::Digest { expected, .. } if expected.to_string() == digests[0]),
        "{error}"
    );
    assert!(error.help().is_some());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_unknown_tag_and_a_denied_repository_are_clear() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    registry.put("base", "1", ARCHITECTURE, &[noise(10)]);
    let address = registry.address();
    let error = pull(&format!("{address}/base:2"), directory.path(), &Environment::new())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("image `{address}/base:2` does not exist"));
    assert!(
        error
            .help()
            .unwrap()
            .contains(&format!("skopeo list-tags docker://{address}/base"))
    );
    for door in [Door::Basic("me", "secret"), Door::Token("me", "secret")] {
        registry.close(door);
        let name = format!("{address}/base:1");
        let error = pull(&name, directory.path(), &Environment::new()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("registry {address} denied access to `base` (without credentials)")
        );
        assert!(error.help().unwrap().contains("docker login"));
        let wrong = docker_config(directory.path(), &registry, "me", "wrong");
        let error = pull(&name, directory.path(), &wrong).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("registry {address} denied access to `base` (as user `me`)")
        );
        assert!(!format!("{error:?}").contains("secret words"));
        let right = docker_config(directory.path(), &registry, "me", "secret");
        assert_eq!(pull(&name, directory.path(), &right).await.unwrap(), [noise(10)]);
    }
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled() {
    let registry = Registry::start();
    registry.close(Door::Token("me", "secret"));
    let directory = tempfile::tempdir().unwrap();
    let tar = directory.path().join("root.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&tar).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o4755);
    builder.append_data(&mut header, "bin/program", &b"hello"[..]).unwrap();
    builder.into_inner().unwrap().flush().unwrap();
    let about = About {
        created: "2026-01-01T00:00:00Z".to_owned(),
        made_by: "a test".to_owned(),
        name: "latest".to_owned(),
        labels: vec![("a".to_owned(), "b".to_owned())],
    };
    let image = Image::of_tar(&tar, &directory.path().join("layer"), &about).unwrap();
    let environment = docker_config(directory.path(), &registry, "me", "secret");
    let name = format!("{}/out/image:v1", registry.address());
    let reference: Reference = name.parse().unwrap();
    let opened = bakelite_oci::registry::Registry::of(&reference, Access::Push, &environment)
        .await
        .unwrap();
    let pushed = opened.push(&image).await.unwrap();
    assert_eq!(pushed, Digest::of(&image.manifest));
    // Once more: what is there is not sent again.
    registry.requests();
    opened.push(&image).await.unwrap();
    assert!(!registry.requests().iter().any(|request| request.contains("uploads")));
    let blobs = tempfile::tempdir().unwrap();
    let layers = pull(&name, blobs.path(), &environment).await.unwrap();
    assert_eq!(layers, [std::fs::read(&image.path).unwrap()]);
}

#[tokio::test]
async fn no_registry_is_unreachable_and_the_help_names_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let error = pull(&format!("{free}/base:1"), directory.path(), &Environment::new())
        .await
        .unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(error.help().unwrap().contains(&free.to_string()));
}
