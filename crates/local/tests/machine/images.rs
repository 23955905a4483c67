//! Images of a registry of the test's own as base images, and images of the local cloud that are written out again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bakelite_local::{
    ExportTarget, ImageSource, Isolation, Latency, Limits, LocalCloud, LocalCloudOptions, LocalError, Notice, Notices,
    PullOptions, Refusals,
};
use bakelite_test_support::registry::{Door, Registry};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Test;
use crate::ground::{ground, minimal_root, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_pulled_image_is_what_its_layers_say",
        a_pulled_image_is_what_its_layers_say,
    ),
    (
        "what_was_pulled_is_used_without_the_registry",
        what_was_pulled_is_used_without_the_registry,
    ),
    ("two_clouds_pull_an_image_once", two_clouds_pull_an_image_once),
    (
        "wrong_images_are_one_error_at_the_start",
        wrong_images_are_one_error_at_the_start,
    ),
    (
        "this_machine_stands_in_and_the_user_is_told",
        this_machine_stands_in_and_the_user_is_told,
    ),
    (
        "an_image_is_exported_and_is_the_same_again",
        an_image_is_exported_and_is_the_same_again,
    ),
    ("an_exported_disk_has_the_files", an_exported_disk_has_the_files),
];

/// What runs in every image: a few programs of this machine.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Layer {
        Layer(tar::Builder::new(Vec::new()))
    }

    /// A layer with a shell and little else.
    fn minimal(scratch: &str) -> Layer {
        let root = ground().scratch(scratch);
        minimal_root(&root);
        let mut layer = Layer::new();
        layer.0.follow_symlinks(true);
        layer.0.append_dir_all("", &root).unwrap();
        layer
    }

    fn entry(mut self, name: &str, kind: tar::EntryType, link: &str, mode: u32, content: &str) -> Layer {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            self.0.append_data(&mut header, name, content.as_bytes()).unwrap();
        } else {
            self.0.append_link(&mut header, name, link).unwrap();
        }
        self
    }

    fn file(self, name: &str, content: &str) -> Layer {
        self.entry(name, tar::EntryType::Regular, "", 0o644, content)
    }

    fn plain(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn gzip(self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.plain()).unwrap();
        encoder.finish().unwrap()
    }
}

/// Two layers: the second hides and replaces things of the first, and has links and set-id files.
fn layers(scratch: &str) -> [Vec<u8>; 2] {
    let lower = Layer::minimal(scratch)
        .file("etc/old", "old")
        .file("etc/changed", "lower")
        .file("opaque/lower", "lower")
        .file("gone/deep/file", "lower");
    let upper = Layer::new()
        .file("etc/.wh.old", "")
        .file("etc/changed", "upper")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/upper", "upper")
        .file(".wh.gone", "")
        .entry("usr/bin/elevated", tar::EntryType::Regular, "", 0o4755, "program")
        .entry("usr/bin/same", tar::EntryType::Link, "usr/bin/elevated", 0o4755, "")
        .entry("link", tar::EntryType::Symlink, "/etc/changed", 0o777, "");
    [lower.gzip(), upper.plain()]
}

/// Succeeds in an image of [`layers`] alone.
const CHECK: &str = "test ! -e /etc/old && test ! -e /gone && test ! -e /opaque/lower && test \"$(cat /opaque/upper)\" = upper && \
     test \"$(cat /link)\" = upper && test -u /usr/bin/same && set -- $(ls -i /usr/bin/elevated) && one=$1 && \
     set -- $(ls -i /usr/bin/same) && test $one = $1";

fn options(directory: &Path, images: &[(&str, &str)], notices: Notices) -> LocalCloudOptions {
    let images = images.iter().map(|(name, source)| {
        let source = ImageSource::parse(source, directory).unwrap();
        ((*name).to_owned(), source)
    });
    LocalCloudOptions {
        limits: Limits::default(),
        state_dir: directory.join("state"),
        isolation: Isolation::Sandbox,
        latency: Latency::default(),
        images: images.collect(),
        pulls: PullOptions {
            // What is not on this machine is refused at once.
            environment: Arc::new([("HTTPS_PROXY".to_owned(), "http://127.0.0.1:1".to_owned())].into()),
            given_images_only: false,
            notices,
        },
        listen: ([127, 0, 0, 1], 0).into(),
        ssh_port: 0,
        refusals: Refusals::default(),
        region: "us-east-1".into(),
    }
}

/// Starts a cloud on a directory, does something with it, and ends it.
fn with_cloud<T>(
    directory: &Path,
    images: &[(&str, &str)],
    notices: Notices,
    act: impl AsyncFnOnce(&LocalCloud) -> T,
) -> Result<T, LocalError> {
    ground().runtime.block_on(async {
        let cloud = LocalCloud::start(options(directory, images, notices)).await?;
        let result = act(&cloud).await;
        cloud.shutdown().await;
        Ok(result)
    })
}

async fn status(cloud: &LocalCloud, image: &str, script: &str) -> i32 {
    cloud
        .run(image, &["sh", "-c", script].map(str::to_owned))
        .await
        .unwrap()
}

/// A directory of the test's own, whose store is emptied with the machines' ids at its end.
struct Place(std::path::PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        Place(ground().scratch(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        ground()
            .runtime
            .block_on(bakelite_local::reset(&self.0.join("state")))
            .unwrap();
    }
}

fn collected() -> (Notices, Arc<Mutex<Vec<Notice>>>) {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&collected);
    (Notices::to(move |notice| into.lock().unwrap().push(notice)), collected)
}

fn a_pulled_image_is_what_its_layers_say() {
    let place = Place::new("pulled");
    let registry = Registry::start();
    registry.put("team/base", "1", ARCHITECTURE, &layers("pulled-root"));
    registry.cut_after(Some(300_000));
    let source = format!("oci:{}/team/base:1", registry.address());
    let (notices, collected) = collected();
    let checked = with_cloud(&place.0, &[("base", &source)], notices, async |cloud| {
        status(cloud, "base", CHECK).await
    });
    assert_eq!(checked.unwrap(), 0);
    let notices = collected.lock().unwrap();
    let is_whole = |notice: &Notice| matches!(notice, Notice::Pulling { done, total, .. } if done == total);
    assert!(notices.iter().any(is_whole), "{notices:?}");
    // What was downloaded has become a root, and is gone.
    let left = std::fs::read_dir(place.0.join("state/images")).unwrap();
    assert_eq!(
        left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(),
        ["names"]
    );
}

fn what_was_pulled_is_used_without_the_registry() {
    let place = Place::new("kept");
    let registry = Registry::start();
    registry.put("base", "1", ARCHITECTURE, &layers("kept-root"));
    let source = format!("oci:{}/base:1", registry.address());
    let images = [("base", source.as_str())];
    with_cloud(&place.0, &images, Notices::default(), async |_| ()).unwrap();
    registry.requests();
    with_cloud(&place.0, &images, Notices::default(), async |_| ()).unwrap();
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| request.contains("/manifests/"))
    );
    drop(registry);
    let (notices, collected) = collected();
    let checked = with_cloud(&place.0, &images, notices, async |cloud| {
        status(cloud, "base", CHECK).await
    });
    assert_eq!(checked.unwrap(), 0);
    assert!(matches!(collected.lock().unwrap().as_slice(), [Notice::Kept { .. }]));
}

fn two_clouds_pull_an_image_once() {
    let place = Place::new("twice");
    let registry = Registry::start();
    registry.put("base", "1", ARCHITECTURE, &layers("twice-root"));
    let source = format!("oci:{}/base:1", registry.address());
    ground().runtime.block_on(async {
        let start = || LocalCloud::start(options(&place.0, &[("base", &source)], Notices::default()));
        let (one, other) = tokio::join!(start(), start());
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(
            (status(&one, "base", CHECK).await, status(&other, "base", CHECK).await),
            (0, 0)
        );
        one.shutdown().await;
        other.shutdown().await;
    });
    let downloads = registry
        .requests()
        .iter()
        .filter(|request| request.contains("/blobs/"))
        .count();
    assert_eq!(downloads, 2, "one for each layer");
}

fn wrong_images_are_one_error_at_the_start() {
    let place = Place::new("wrong");
    let registry = Registry::start();
    let address = registry.address();
    let (_, digests) = registry.put("base", "damaged", ARCHITECTURE, &layers("wrong-root"));
    registry.spoil(&digests[1]);
    registry.put(
        "base",
        "text",
        ARCHITECTURE,
        &[b"secret words, and no archive".to_vec()],
    );
    std::fs::write(place.0.join("text.tar"), "secret words, and no archive").unwrap();
    for (source, message, help) in [
        (
            format!("oci:{address}/base:damaged"),
            "is damaged: it has digest",
            "has been removed",
        ),
        (
            format!("oci:{address}/base:absent"),
            "does not exist",
            "skopeo list-tags",
        ),
        (format!("oci:{address}/base:text"), "not a tar archive", "a whole root"),
        ("tar:text.tar".to_owned(), "not a tar archive", "a whole root"),
        ("dir:text.tar".to_owned(), "is not a directory", "tar:FILE"),
        ("tar:absent".to_owned(), "failed to open", "NAME=oci:IMAGE"),
    ] {
        let error = with_cloud(&place.0, &[("base", &source)], Notices::default(), async |_| ()).unwrap_err();
        let mut shown = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            shown = format!("{shown}: {inner}");
            cause = inner.source();
        }
        assert!(shown.starts_with("`-local-image base="), "{shown}");
        assert!(shown.contains(message), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(
            error.help().is_some_and(|text| text.contains(help)),
            "{shown}: {:?}",
            error.help()
        );
    }
    registry.close(Door::Basic("me", "secret"));
    let source = format!("oci:{address}/base:1");
    let error = with_cloud(&place.0, &[("base", &source)], Notices::default(), async |_| ()).unwrap_err();
    assert!(error.help().unwrap().contains("docker login"), "{error}");
}

fn this_machine_stands_in_and_the_user_is_told() {
    let place = Place::new("stand-in");
    let (notices, collected) = collected();
    // No machine that runs this is of both.
    let names = [
        "ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-amd64-server-20261106",
        "amzn2-ami-hvm-2.0.20260608.0-x86_64-gp2",
    ];
    let ran = with_cloud(&place.0, &[], notices, async |cloud| {
        (
            status(cloud, names[0], "true").await,
            status(cloud, names[1], "true").await,
            status(cloud, names[1], "true").await,
        )
    });
    assert_eq!(ran.unwrap(), (0, 0, 0));
    let notices = collected.lock().unwrap();
    let stand_ins: Vec<_> = notices
        .iter()
        .map(|notice| match notice {
            Notice::StandsIn(stand_in) => stand_in,
            other => panic!("{other:?}"),
        })
        .collect();
    let wanted: Vec<&str> = stand_ins.iter().map(|stand_in| stand_in.wanted.as_str()).collect();
    assert_eq!(wanted, ["Ubuntu 16.04", "Amazon Linux 2"], "each once");
    assert!(
        stand_ins[0].why.contains("failed to reach registry public.ecr.aws"),
        "{}",
        stand_ins[0].why
    );
    assert!(
        stand_ins[1]
            .help()
            .contains("oci:public.ecr.aws/amazonlinux/amazonlinux:2")
    );
}

/// Runs a program that must succeed; answers what it prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn has(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(program).exists())
}

fn an_image_is_exported_and_is_the_same_again() {
    let place = Place::new("exported");
    let registry = Registry::start();
    registry.put("base", "1", ARCHITECTURE, &layers("exported-root"));
    let address = registry.address();
    let targets = [
        "tar:root.tar".to_owned(),
        "tar:root.tar.gz".to_owned(),
        "root.tar.zst".to_owned(),
        "oci-archive:archive".to_owned(),
        "oci-dir:layout".to_owned(),
        format!("oci:{address}/out/image:1"),
    ];
    let source = format!("oci:{address}/base:1");
    let none = BTreeMap::new();
    let exported = with_cloud(&place.0, &[("base", &source)], Notices::default(), async |cloud| {
        for target in &targets {
            let target = ExportTarget::parse(target, &place.0).unwrap();
            cloud.export("base", &target, &none).await.unwrap();
        }
        let again = ExportTarget::parse(&targets[0], &place.0).unwrap();
        cloud.export("base", &again, &none).await.unwrap_err()
    });
    assert!(exported.unwrap().to_string().ends_with("root.tar` exists already"));
    let listed = run(
        "tar",
        &[
            "--numeric-owner",
            "-tvf",
            &place.0.join("root.tar").display().to_string(),
        ],
    );
    let line = |name: &str| {
        listed
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("{name}: {listed}"))
    };
    assert!(line(" usr/bin/elevated").starts_with("-rwsr-xr-x 0/0"), "{listed}");
    assert!(line("same link to usr/bin/elevated").starts_with('h'), "{listed}");
    assert!(!listed.contains(".wh."), "{listed}");
    // What comes out goes in again, and is the same.
    let given = [
        ("plain", "tar:root.tar"),
        ("gzip", "tar:root.tar.gz"),
        ("zstd", "tar:root.tar.zst"),
        ("pushed", &format!("oci:{address}/out/image:1")),
    ];
    let checked = with_cloud(&place.0, &given, Notices::default(), async |cloud| {
        for (name, _) in given {
            assert_eq!(status(cloud, name, CHECK).await, 0, "{name}");
        }
    });
    checked.unwrap();
    read_by_other_tools(&place.0, &address);
}

/// Debian's tools for images of containers, where they are installed (tests/prepare does that), agree about what was written.
fn read_by_other_tools(place: &Path, address: &str) {
    let path = |name: &str| place.join(name).display().to_string();
    if has("skopeo") {
        for image in [
            format!("oci-archive:{}", path("archive")),
            format!("oci:{}", path("layout")),
        ] {
            let inspected = run("skopeo", &["inspect", &image]);
            assert!(inspected.contains("\"Os\": \"linux\""), "{inspected}");
            assert!(inspected.contains("\"bakelite.ami\""), "{inspected}");
        }
        let pushed = format!("docker://{address}/out/image:1");
        run(
            "skopeo",
            &[
                "copy",
                "--src-tls-verify=false",
                "--insecure-policy",
                &pushed,
                &format!("oci:{}:latest", path("copied")),
            ],
        );
    }
    if has("umoci") {
        let (layout, bundle) = (format!("{}:latest", path("layout")), path("bundle"));
        let mut arguments = vec!["raw", "unpack", "--image", &layout, &bundle];
        if !is_root() {
            arguments.insert(2, "--rootless");
        }
        run("umoci", &arguments);
        let elevated = std::fs::metadata(place.join("bundle/usr/bin/elevated")).unwrap();
        assert_eq!(elevated.permissions().mode() & 0o7777, 0o4755);
        assert_eq!(
            std::fs::read_to_string(place.join("bundle/opaque/upper")).unwrap(),
            "upper"
        );
        assert!(!place.join("bundle/etc/old").exists());
    }
}

fn is_root() -> bool {
    text(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0"
}

fn an_exported_disk_has_the_files() {
    if !has("mke2fs") || !has("debugfs") {
        return; // without e2fsprogs there is no such export, and its error says so
    }
    let place = Place::new("disk");
    let registry = Registry::start();
    registry.put("base", "1", ARCHITECTURE, &layers("disk-root"));
    let source = format!("oci:{}/base:1", registry.address());
    let target = ExportTarget::parse("root.img", &place.0).unwrap();
    let exported = with_cloud(&place.0, &[("base", &source)], Notices::default(), async |cloud| {
        cloud.export("base", &target, &BTreeMap::new()).await
    });
    exported.unwrap().unwrap();
    let disk = place.0.join("root.img");
    assert_eq!(std::fs::metadata(&disk).unwrap().len(), 8 << 30);
    let disk = disk.display().to_string();
    assert_eq!(run("debugfs", &["-R", "cat /opaque/upper", &disk]), "upper");
    let elevated = run("debugfs", &["-R", "stat /usr/bin/elevated", &disk]);
    assert!(
        elevated.contains("Mode:  04755") && elevated.contains("Links: 2"),
        "{elevated}"
    );
    assert!(elevated.contains("User:     0"), "{elevated}");
}
