//! Single files in both directions, by every method.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bakelite_engine::communicator::{Communicator, CommunicatorError, Upload};
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::sshd::Setup;

use crate::instance::Instance;

pub(crate) const METHODS: [&str; 3] = [
    r#""ssh_file_transfer_method": "scp""#,
    r#""ssh_file_transfer_method": "sftp""#,
    // The quickest that the other side has: streams through its shell.
    r#""ssh_file_transfer_method": null"#,
];

pub(crate) async fn upload(
    ssh: &dyn Communicator,
    content: &[u8],
    mode: u32,
    destination: &Path,
) -> Result<(), CommunicatorError> {
    let upload = Upload {
        content: &mut &*content,
        size: content.len() as u64,
        mode,
    };
    ssh.upload(upload, destination.to_str().unwrap()).await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn files_arrive_with_their_content_and_mode_under_odd_names() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        for (name, content, bits) in [
            ("plain", &b"hello"[..], 0o644),
            ("empty", b"", 0o600),
            ("with space $HOME `id` 'q' \"d\" *", b"x", 0o755),
            ("-rf", b"dash", 0o664),
            ("ünïcode;&|", b"u", 0o640),
        ] {
            let path = instance.sshd.directory().join(name);
            upload(&*ssh, content, bits, &path)
                .await
                .unwrap_or_else(|error| panic!("{method} {name}: {error}"));
            assert_eq!(
                (std::fs::read(&path).unwrap(), mode(&path)),
                (content.to_vec(), bits),
                "{method} {name}"
            );
            let mut back = Vec::new();
            ssh.download(path.to_str().unwrap(), &mut back)
                .await
                .unwrap_or_else(|error| panic!("{method} {name}: {error}"));
            assert_eq!(back, content, "{method} {name}");
        }
    }
}

#[tokio::test]
async fn a_big_file_makes_the_round_trip() {
    let content: Vec<u8> = (0..20_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let path = instance.sshd.directory().join("big");
        upload(&*ssh, &content, 0o644, &path).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == content, "{method}");
        let mut back = Vec::new();
        ssh.download(path.to_str().unwrap(), &mut back).await.unwrap();
        assert!(back == content, "{method}");
    }
}

#[tokio::test]
async fn a_file_that_is_there_is_replaced_and_gets_the_new_mode() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let path = instance.sshd.directory().join("there");
        std::fs::write(&path, "a much longer content than the new one").unwrap();
        upload(&*ssh, b"secret", 0o600, &path).await.unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap(), mode(&path)),
            (b"secret".to_vec(), 0o600),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_directory_in_the_way_is_an_error_with_a_remedy() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let path = instance.sshd.directory().join("directory");
        std::fs::create_dir(&path).unwrap();
        let error = upload(&*ssh, b"x", 0o644, &path).await.unwrap_err();
        let CommunicatorError::Refused { help, .. } = &error else {
            panic!("{method}: {error}")
        };
        assert!(
            help.as_deref().unwrap_or("").contains("end it with `/`"),
            "{method}: {error}"
        );
        assert!(std::fs::read_dir(&path).unwrap().next().is_none(), "{method}");
    }
}

#[tokio::test]
async fn a_missing_directory_is_an_error_and_no_file_takes_its_name() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let directory = instance.sshd.directory().join("missing");
        let error = upload(&*ssh, b"x", 0o644, &directory.join("file")).await.unwrap_err();
        assert!(matches!(error, CommunicatorError::Refused { .. }), "{method}: {error}");
        assert!(!directory.exists(), "{method}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_cannot_be_downloaded() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let error = ssh.download("/nonexistent/file", &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{method}: {error}");
    }
}

#[tokio::test]
async fn a_content_that_is_too_short_is_an_error_and_the_connection_stays_usable() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let path = instance.sshd.directory().join("short");
        let short = Upload {
            content: &mut &b"abc"[..],
            size: 10,
            mode: 0o644,
        };
        let error = ssh.upload(short, path.to_str().unwrap()).await.unwrap_err();
        assert!(matches!(error, CommunicatorError::Local { .. }), "{method}: {error}");
        upload(&*ssh, b"fine", 0o644, &path).await.unwrap();
    }
}

#[tokio::test]
async fn without_scp_files_go_over_by_sftp() {
    let instance = Instance::start(Setup {
        programs: Some(vec!["sh", "cat"]),
        ..Setup::default()
    })
    .await;
    let ssh = instance.connect(METHODS[0]).await;
    let path = instance.sshd.directory().join("file");
    upload(&*ssh, b"by sftp", 0o644, &path).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"by sftp");
}

#[tokio::test]
async fn without_sftp_the_error_names_the_other_method() {
    let instance = Instance::start(Setup {
        sftp: false,
        ..Setup::default()
    })
    .await;
    let ssh = instance.connect(METHODS[1]).await;
    let error = upload(&*ssh, b"x", 0o644, &instance.sshd.directory().join("file"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the server has no SFTP"), "{error}");
    let CommunicatorError::Refused { help, .. } = error else {
        panic!()
    };
    assert_eq!(
        help.as_deref(),
        Some("leave `ssh_file_transfer_method` out: then every other method is tried")
    );
}

#[tokio::test]
async fn with_neither_the_error_says_so() {
    let instance = Instance::start(Setup {
        sftp: false,
        programs: Some(vec!["sh"]),
        ..Setup::default()
    })
    .await;
    let ssh = instance.connect(METHODS[0]).await;
    let error = upload(&*ssh, b"x", 0o644, &instance.sshd.directory().join("file"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("neither scp nor SFTP"), "{error}");
}

#[tokio::test]
async fn a_server_that_dies_during_an_upload_is_a_disconnect() {
    for method in METHODS {
        let instance = Instance::start(Setup::default()).await;
        let ssh = instance.connect(method).await;
        let path = instance.sshd.directory().join("file");
        let mut endless = tokio::io::repeat(0);
        let upload = Upload {
            content: &mut endless,
            size: 1 << 40,
            mode: 0o644,
        };
        let killing = async {
            let length = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            eventually(LIMIT, "the upload has begun", || length() > 0).await;
            instance.sshd.kill_sessions().await;
        };
        let (result, ()) = tokio::join!(ssh.upload(upload, path.to_str().unwrap()), killing);
        assert!(
            matches!(result, Err(CommunicatorError::Disconnected { .. })),
            "{method}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance.connect(METHODS[0]).await;
    let error = upload(&*ssh, &vec![0; 100_000], 0o666, Path::new("/dev/full"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
}
