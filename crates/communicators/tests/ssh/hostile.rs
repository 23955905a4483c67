//! Servers that are not the user's friends: whatever they send, nothing outside of a download's destination changes, no memory fills
//! up, and what they say is shown and not obeyed.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use bakelite_engine::communicator::CommunicatorError;
use bakelite_test_support::sshd::Setup;
use tar::{EntryType, Header};
use tempfile::TempDir;

use crate::files::METHODS;
use crate::instance::Instance;
use crate::liar::{Liar, Lie, There};
use crate::ways::SmallDisk;

/// A directory of the user's with a destination in it, and all that must stay as it is.
struct Home {
    directory: TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Home {
    fn new() -> Home {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/b/dst")).unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(directory.path().join("a/keep"), "keep").unwrap();
        std::fs::write(directory.path().join("evil"), "mine").unwrap();
        let mut home = Home {
            directory,
            before: BTreeMap::new(),
        };
        home.before = home.outside();
        home
    }

    fn destination(&self) -> PathBuf {
        self.directory.path().join("a/b/dst")
    }

    /// Everything but what is in the destination.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut left = vec![self.directory.path().to_owned()];
        while let Some(next) = left.pop() {
            if next == self.destination() {
                continue;
            }
            for entry in std::fs::read_dir(&next).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                let content = if metadata.is_dir() {
                    left.push(entry.path());
                    String::new()
                } else {
                    std::fs::read_to_string(entry.path()).unwrap_or_default()
                };
                found.insert(entry.path(), format!("{:o} {content}", metadata.mode()));
            }
        }
        found
    }

    fn unchanged(&self) {
        assert_eq!(self.outside(), self.before);
    }

    /// Links of the destination whose target is not in it.
    fn links_out(&self) -> Vec<PathBuf> {
        let root = self.destination().canonicalize().unwrap();
        let mut out = Vec::new();
        let mut left = vec![root.clone()];
        while let Some(next) = left.pop() {
            for entry in std::fs::read_dir(&next).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    left.push(entry.path());
                } else if metadata.is_symlink() && entry.path().canonicalize().is_ok_and(|to| !to.starts_with(&root)) {
                    out.push(entry.path());
                }
            }
        }
        out
    }
}

/// Downloads a directory from a liar.
async fn download(lie: impl Lie, source: &str, home: &Home) -> Result<(), CommunicatorError> {
    let liar = Liar::start(lie).await;
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance
        .try_connect(&Instance::target(), &liar.options())
        .await
        .unwrap_or_else(|error| panic!("{}", bakelite_engine::chain_of(&error)));
    ssh.download_directory(source, &home.destination()).await
}

/// A directory of files with these names.
struct Names(Vec<String>);

impl Lie for Names {
    fn there(&self, path: &str, _: usize) -> There {
        if path == "/log" || path == "/" {
            There::Directory
        } else {
            There::File
        }
    }

    fn names(&self, _path: &str) -> Vec<String> {
        self.0.clone()
    }
}

#[tokio::test]
async fn a_name_that_matches_a_pattern_is_a_name_and_no_path() {
    let home = Home::new();
    std::fs::create_dir(home.destination().join("x")).unwrap();
    let absolute = home.directory.path().join("evil.log").display().to_string();
    for name in [&absolute, "x/../../evil.log", "../evil.log", "a/b.log", "", "\0.log"] {
        let error = download(Names(vec![name.to_owned()]), "/log/*", &home)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("that is not the name of a file"),
            "{name:?}: {error}"
        );
        home.unchanged();
    }
    for name in [absolute.as_str(), "x/../../evil.log", "..", "a/b"] {
        let error = download(Names(vec![name.to_owned()]), "/log/", &home).await;
        assert!(error.is_err() || name == "..", "{name:?}");
        home.unchanged();
    }
}

/// The same name first as a link and then as a directory.
struct Twice;

impl Lie for Twice {
    fn there(&self, path: &str, time: usize) -> There {
        match path.rsplit('/').next() {
            Some("l") if time == 1 => There::Link(".."),
            Some("k") if time == 1 => There::Link("../.."),
            Some("evil") => There::File,
            _ => There::Directory,
        }
    }

    fn names(&self, path: &str) -> Vec<String> {
        let names: &[&str] = match path.rsplit('/').next() {
            Some("src") => &["sub"],
            Some("sub") => &["l", "l"],
            Some("l") => &["k", "k"],
            Some("k") => &["evil"],
            _ => &[],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}

#[tokio::test]
async fn a_link_that_becomes_a_directory_is_not_written_through() {
    let home = Home::new();
    let error = download(Twice, "/remote/src/", &home).await.unwrap_err();
    assert!(error.to_string().contains("src/sub/l"), "{error}");
    home.unchanged();
    assert_eq!(home.links_out(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn nothing_is_written_through_links_that_were_in_the_destination() {
    for target in ["../..", "/tmp", "../b/dst/other"] {
        let home = Home::new();
        std::fs::create_dir(home.destination().join("other")).unwrap();
        symlink(target, home.destination().join("log")).unwrap();
        let error = download(Names(vec!["evil".into()]), "/log", &home).await.unwrap_err();
        assert!(error.to_string().contains("`log`"), "{error}");
        home.unchanged();
        // A file takes the place of a link, and what it led to stays.
        std::fs::remove_file(home.destination().join("log")).unwrap();
        std::fs::create_dir(home.destination().join("log")).unwrap();
        symlink("../../../evil", home.destination().join("log/evil")).unwrap();
        download(Names(vec!["evil".into()]), "/log", &home).await.unwrap();
        assert_eq!(std::fs::read(home.destination().join("log/evil")).unwrap(), b"EVIL\n");
        home.unchanged();
    }
}

#[tokio::test]
async fn a_destination_that_is_a_link_is_the_user_s_own_and_is_followed() {
    let home = Home::new();
    let link = home.directory.path().join("link");
    symlink("a/b/dst", &link).unwrap();
    let liar = Liar::start(Names(vec!["evil".into()])).await;
    let instance = Instance::start(Setup::default()).await;
    let ssh = instance
        .try_connect(&Instance::target(), &liar.options())
        .await
        .unwrap();
    ssh.download_directory("/log", &link).await.unwrap();
    assert!(home.destination().join("log/evil").is_file());
}

/// An entry of an archive that no tar would write.
fn entry(name: &str, kind: EntryType, link: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let padding = vec![0; content.len().wrapping_neg() % 512];
    [header.as_bytes(), content, &padding].concat()
}

/// An instance with a program that says this whatever it is asked, and a directory `src` to ask for.
async fn with_program(name: &str, says: &[u8]) -> (Instance, String) {
    let instance = Instance::start(Setup {
        sftp: false,
        programs: Some(vec!["sh", "cat"]),
        ..Setup::default()
    })
    .await;
    let directory = instance.sshd.directory();
    std::fs::write(directory.join("said"), says).unwrap();
    let program = directory.join("bin").join(name);
    std::fs::write(&program, format!("#!/bin/sh\nexec cat {}/said\n", directory.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(directory.join("src")).unwrap();
    let source = directory.join("src").display().to_string();
    (instance, source)
}

async fn download_tar(archive: &[u8], home: &Home) -> Result<(), CommunicatorError> {
    let (instance, source) = with_program("tar", archive).await;
    let ssh = instance.connect(METHODS[2]).await;
    ssh.download_directory(&source, &home.destination()).await
}

#[tokio::test]
async fn no_archive_reaches_what_is_outside() {
    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
    let file = |name: &str| entry(name, Regular, "", 0o644, b"EVIL");
    let link = |name: &str, target: &str| entry(name, Symlink, target, 0o777, b"");
    let hard = |name: &str, target: &str| entry(name, Link, target, 0o644, b"");
    let archives: Vec<Vec<Vec<u8>>> = vec![
        vec![file("../evil")],
        vec![file("/tmp/bakelite-evil")],
        vec![file("src/../../evil")],
        vec![link("src/l", "."), file("src/l/x")],
        vec![
            link("src/l", "x"),
            entry("src/l", Directory, "", 0o755, b""),
            file("src/l/evil"),
        ],
        vec![hard("src/h", "../../../evil"), file("src/h")],
        vec![hard("src/h", "/etc/passwd")],
        vec![link("src/l", "h"), hard("src/h", "src/l"), file("src/h/x")],
        vec![entry("src/d", Char, "", 0o666, b"")],
        vec![entry("src/d", Block, "", 0o666, b"")],
        vec![entry("src/d", Fifo, "", 0o666, b"")],
        vec![file("src/a"), file("src/a/b")],
        vec![entry("src/a", Directory, "", 0o755, b""), file("src/a")],
        vec![file("")],
        vec![file("./")],
    ];
    for (index, archive) in archives.into_iter().enumerate() {
        let home = Home::new();
        let error = download_tar(&archive.concat(), &home).await.unwrap_err();
        assert!(matches!(error, CommunicatorError::Refused { .. }), "{index}: {error:?}");
        home.unchanged();
        assert_eq!(home.links_out(), Vec::<PathBuf>::new(), "{index}");
    }
    assert!(!PathBuf::from("/tmp/bakelite-evil").exists());
}

#[tokio::test]
async fn the_user_s_umask_takes_from_the_modes_of_a_server_and_ids_are_never_set() {
    use EntryType::{Directory, Regular};
    let home = Home::new();
    let umask = 0o777 & !(std::fs::metadata(home.directory.path().join("evil")).unwrap().mode() | 0o111);
    let archive = [
        entry("src", Directory, "", 0o7777, b""),
        entry("src/open", Directory, "", 0o6777, b""),
        entry("src/open/file", Regular, "", 0o6777, b"x"),
        entry("src/closed", Directory, "", 0o500, b""),
        entry("src/closed/secret", Regular, "", 0o400, b"x"),
    ];
    download_tar(&archive.concat(), &home).await.unwrap();
    let mode = |name: &str| std::fs::metadata(home.destination().join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("src"), 0o777 & !umask);
    assert_eq!(mode("src/open"), 0o777 & !umask);
    assert_eq!(mode("src/open/file"), 0o777 & !umask);
    assert_eq!((mode("src/closed"), mode("src/closed/secret")), (0o500, 0o400));
    std::fs::set_permissions(
        home.destination().join("src/closed"),
        std::fs::Permissions::from_mode(0o700),
    )
    .unwrap();

    let home = Home::new();
    let (instance, source) = with_program("scp", b"D7777 0 src\nC6777 1 file\nx\0E\n").await;
    let ssh = instance.connect(METHODS[0]).await;
    ssh.download_directory(&source, &home.destination()).await.unwrap();
    let mode = |name: &str| std::fs::metadata(home.destination().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("src"), mode("src/file")), (0o777 & !umask, 0o777 & !umask));
    home.unchanged();
}

#[tokio::test]
async fn a_directory_that_was_there_keeps_its_mode_and_time() {
    let home = Home::new();
    let there = home.destination().join("src");
    std::fs::create_dir(&there).unwrap();
    std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o700)).unwrap();
    let root = std::fs::metadata(home.destination()).unwrap().mode();
    let archive = [
        entry("./", EntryType::Directory, "", 0o777, b""),
        entry("src", EntryType::Directory, "", 0o777, b""),
        entry("src/file", EntryType::Regular, "", 0o644, b"x"),
    ];
    download_tar(&archive.concat(), &home).await.unwrap();
    assert_eq!(std::fs::metadata(&there).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::metadata(home.destination()).unwrap().mode(), root);
    assert_eq!(std::fs::read(there.join("file")).unwrap(), b"x");
}

#[tokio::test]
async fn what_a_header_says_does_not_decide_how_much_is_kept() {
    let long = |kind: EntryType, size: u64| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path("././@LongLink").unwrap();
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let home = Home::new();
        let error = download_tar(&long(kind, 3 << 30), &home).await.unwrap_err();
        assert!(error.to_string().contains("has 3221225472 bytes, more than"), "{error}");
    }
    let links: Vec<Vec<u8>> = (0..200_000)
        .map(|number| entry(&format!("src/{number:y>80}"), EntryType::Symlink, "/etc/x", 0o777, b""))
        .collect();
    let home = Home::new();
    let error = download_tar(&links.concat(), &home).await.unwrap_err();
    assert!(error.to_string().contains("more links that lead out"), "{error}");
}

/// A directory whose list of names has no end.
struct Endless;

impl Lie for Endless {
    fn there(&self, path: &str, _: usize) -> There {
        if path == "/log" { There::Directory } else { There::File }
    }

    fn names(&self, _path: &str) -> Vec<String> {
        vec!["f".to_owned(); 5000]
    }

    fn is_endless(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_list_of_names_without_end_comes_to_one() {
    let home = Home::new();
    let error = download(Endless, "/log/", &home).await.unwrap_err();
    assert!(
        error.to_string().contains("has more entries than can be listed"),
        "{error}"
    );
}

#[tokio::test]
async fn no_record_of_scp_reaches_what_is_outside() {
    for records in [
        &b"C0644 5 ../evil\nEVIL\n\0"[..],
        b"C0644 5 /tmp/bakelite-evil\nEVIL\n\0",
        b"D0755 0 ..\nC0644 5 evil\nEVIL\n\0",
        b"D0755 0 .\nC0644 5 evil\nEVIL\n\0",
        b"E\nE\nC0644 5 evil\nEVIL\n\0",
        b"D0755 0 src\nE\nE\nC0644 5 evil\nEVIL\n\0",
        b"D0755 0 src\nC0644 1 src\nx\0C0644 1 x\0y\nx\0",
        b"D0755 0 link\nC0644 5 evil\nEVIL\n\0",
    ] {
        let home = Home::new();
        symlink("../..", home.destination().join("link")).unwrap();
        let (instance, source) = with_program("scp", records).await;
        let ssh = instance.connect(METHODS[0]).await;
        ssh.download_directory(&source, &home.destination()).await.unwrap_err();
        home.unchanged();
    }
}

#[tokio::test]
async fn a_file_that_does_not_arrive_whole_is_not_left_behind() {
    let home = Home::new();
    std::fs::write(home.destination().join("old"), "old").unwrap();
    let half = entry("src/half", EntryType::Regular, "", 0o644, &[b'x'; 2000]);
    let error = download_tar(&half[..1000], &home).await.unwrap_err();
    assert!(error.to_string().contains("ends in the middle"), "{error}");
    assert!(!home.destination().join("src/half").exists());
    let (instance, source) = with_program("scp", b"D0755 0 src\nC0644 2000 half\nxxx").await;
    let ssh = instance.connect(METHODS[0]).await;
    ssh.download_directory(&source, &home.destination()).await.unwrap_err();
    assert!(!home.destination().join("src/half").exists());
}

#[tokio::test]
async fn a_full_disk_here_ends_a_download_and_nothing_half_is_left() {
    for method in METHODS {
        let home = Home::new();
        let disk = home.destination().join("disk");
        let _disk = SmallDisk::mount(&disk);
        let instance = Instance::start(Setup::default()).await;
        let source = instance.sshd.directory().join("src");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("big"), vec![1; 3_000_000]).unwrap();
        let ssh = instance.connect(method).await;
        let error = ssh
            .download_directory(source.to_str().unwrap(), &disk)
            .await
            .unwrap_err();
        let text = bakelite_engine::chain_of(&error);
        assert!(text.contains("No space left"), "{method}: {text}");
        assert!(!disk.join("src/big").exists(), "{method}");
    }
}

#[tokio::test]
async fn what_a_server_says_is_shown_and_not_obeyed() {
    let home = Home::new();
    let evil = "\u{1b}]0;TITLE\u{7}\u{202e}";
    let shown = r"\x1b]0;TITLE\x07\u{202e}";
    let (instance, source) = with_program("scp", format!("\u{1}scp: {evil} {}\n", "x".repeat(5000)).as_bytes()).await;
    let ssh = instance.connect(METHODS[0]).await;
    let by_directory = ssh.download_directory(&source, &home.destination()).await.unwrap_err();
    let by_file = ssh.download(&source, &mut Vec::new()).await.unwrap_err();
    let archive = entry(&format!("src/{evil}"), EntryType::Fifo, "", 0o644, b"");
    let by_tar = download_tar(&archive, &home).await.unwrap_err();
    let by_sftp = download(Complaining, "/log", &home).await.unwrap_err();
    for error in [by_directory, by_file, by_tar, by_sftp] {
        let text = bakelite_engine::chain_of(&error);
        assert!(text.contains(shown), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
        assert!(text.len() < 3000, "{text}");
    }
}

/// Complains about everything.
struct Complaining;

impl Lie for Complaining {
    fn there(&self, _: &str, _: usize) -> There {
        There::Nothing(format!("\u{1b}]0;TITLE\u{7}\u{202e} {}", "x".repeat(5000)))
    }

    fn names(&self, _path: &str) -> Vec<String> {
        Vec::new()
    }
}
