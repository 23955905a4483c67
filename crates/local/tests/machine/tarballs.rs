//! Base roots from tarballs: those that mean harm, those that are damaged, and those that are as the world makes them.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bakelite_local::machine::{BaseRoot, RootId};

use crate::Test;
use crate::ground::{ground, minimal_root};

pub(crate) const TESTS: &[Test] = &[
    (
        "nothing_changes_outside_of_the_root",
        nothing_changes_outside_of_the_root,
    ),
    ("absolute_names_lie_in_the_root", absolute_names_lie_in_the_root),
    ("merged_usr_is_a_root", merged_usr_is_a_root),
    ("damage_is_one_clear_error", damage_is_one_clear_error),
];

/// What a member of a test's tarball is made of.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a [u8],
    kind: tar::EntryType,
    link: &'a [u8],
    mode: u32,
    owner: u64,
    content: &'a [u8],
}

const MEMBER: Member<'static> = Member {
    name: b"",
    kind: tar::EntryType::Regular,
    link: b"",
    mode: 0o644,
    owner: 0,
    content: b"",
};

fn file<'a>(name: &'a [u8], content: &'a [u8]) -> Member<'a> {
    Member {
        name,
        content,
        ..MEMBER
    }
}

fn directory_member(name: &[u8]) -> Member<'_> {
    Member {
        name,
        kind: tar::EntryType::Directory,
        mode: 0o755,
        ..MEMBER
    }
}

fn link<'a>(name: &'a [u8], link: &'a [u8]) -> Member<'a> {
    Member {
        name,
        link,
        kind: tar::EntryType::Symlink,
        ..MEMBER
    }
}

fn hard_link<'a>(name: &'a [u8], link: &'a [u8]) -> Member<'a> {
    Member {
        name,
        link,
        kind: tar::EntryType::Link,
        ..MEMBER
    }
}

/// Writes a tarball whose names are taken as they are.
fn tarball(path: &Path, members: &[Member<'_>]) {
    let mut builder = tar::Builder::new(std::fs::File::create(path).unwrap());
    for member in members {
        let mut header = tar::Header::new_gnu();
        let raw = header.as_gnu_mut().unwrap();
        raw.name[..member.name.len()].copy_from_slice(member.name);
        raw.linkname[..member.link.len()].copy_from_slice(member.link);
        header.set_entry_type(member.kind);
        header.set_mode(member.mode);
        header.set_uid(member.owner);
        header.set_gid(member.owner);
        header.set_mtime(1_000_000_000);
        header.set_size(member.content.len() as u64);
        header.set_cksum();
        builder.append(&header, member.content).unwrap();
    }
    builder.finish().unwrap();
}

/// What can be seen of everything below a directory: kind and mode, owner, content or target.
fn picture(directory: &Path) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        let found = std::fs::symlink_metadata(&path).unwrap();
        let content = if found.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if found.is_symlink() {
            std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            std::fs::read(&path).unwrap()
        };
        seen.insert(path, (found.mode(), found.uid(), content));
    }
    seen
}

/// Links to a place outside, and members that would go there.
fn through_links<'a>(outside: &'a [u8], file_outside: &'a [u8]) -> Vec<(&'static str, Vec<Member<'a>>)> {
    let directory = |name: &'a [u8], mode, owner| Member {
        mode,
        owner,
        ..directory_member(name)
    };
    let strong = |name: &'a [u8]| Member {
        mode: 0o4777,
        ..file(name, b"EVIL")
    };
    vec![
        (
            "directory over link",
            vec![link(b"a", outside), directory(b"a", 0o2777, 0)],
        ),
        ("file over link", vec![link(b"a", file_outside), strong(b"a")]),
        ("through link", vec![link(b"a", outside), file(b"a/evil", b"EVIL")]),
        ("hard link", vec![hard_link(b"h", file_outside), strong(b"h")]),
        (
            "hard link by link",
            vec![link(b"a", outside), hard_link(b"h", b"a/file"), strong(b"h")],
        ),
        (
            "hard link to link",
            vec![
                link(b"s", file_outside),
                Member {
                    mode: 0o4777,
                    owner: 1234,
                    ..hard_link(b"h", b"s")
                },
            ],
        ),
        (
            "dot in link",
            vec![link(b"a", outside), directory(b"a/.", 0o777, 65534)],
        ),
        (
            "directory in link",
            vec![link(b"a", outside), directory(b"a/sub", 0o777, 65534)],
        ),
    ]
}

/// Names that lead out by themselves.
fn names_outside<'a>(outside: &'a [u8], file_outside: &'a [u8]) -> Vec<(&'static str, Vec<Member<'a>>)> {
    let owner = 65534;
    vec![
        ("dots", vec![file(b"../../../../../../evil", b"EVIL")]),
        ("dots inside", vec![file(b"etc/../../evil", b"EVIL")]),
        (
            "absolute file",
            vec![Member {
                mode: 0o4777,
                owner,
                ..file(file_outside, b"x")
            }],
        ),
        (
            "absolute directory",
            vec![Member {
                mode: 0o2777,
                owner,
                ..directory_member(outside)
            }],
        ),
        (
            "absolute link",
            vec![Member {
                owner,
                ..link(file_outside, b"/etc/passwd")
            }],
        ),
    ]
}

fn base(path: &Path) -> Result<RootId, String> {
    let base = BaseRoot::Tarball(path.to_owned());
    let outcome = ground().runtime.block_on(ground().machines.base(&base));
    outcome.map_err(|error| error.to_string())
}

fn nothing_changes_outside_of_the_root() {
    let directory = ground().scratch("hostile-tarballs");
    let victim = directory.join("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("file"), "precious").unwrap();
    std::fs::set_permissions(victim.join("file"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = picture(&victim);
    let outside = victim.as_os_str().as_bytes();
    let file_outside = [outside, b"/file"].concat();
    let mut cases = through_links(outside, &file_outside);
    cases.extend(names_outside(outside, &file_outside));
    for (name, members) in cases {
        let path = directory.join(format!("{name}.tar"));
        let start = [directory_member(b"bin"), directory_member(b"etc")].into_iter();
        tarball(&path, &start.chain(members).collect::<Vec<_>>());
        // Whether it is taken or refused: nothing outside has changed.
        let outcome = base(&path);
        assert_eq!(picture(&victim), before, "{name}: {outcome:?}");
        assert_eq!(
            outcome.is_err(),
            name.starts_with("dots") || name.starts_with("hard link") && name != "hard link to link",
            "{name}: {outcome:?}"
        );
        assert!(!directory.parent().unwrap().join("evil").exists());
    }
}

fn absolute_names_lie_in_the_root() {
    let directory = ground().scratch("absolute-tarball");
    let path = directory.join("root.tar");
    tarball(
        &path,
        &[
            Member {
                mode: 0o4755,
                ..file(b"/usr/bin/program", b"program")
            },
            link(b"/bin", b"/usr/bin"),
            hard_link(b"//bin/./same", b"/bin/program"),
        ],
    );
    let files = ground().store().join("layers").join(base(&path).unwrap().0).join("fs");
    let program = std::fs::metadata(files.join("usr/bin/program")).unwrap();
    assert_eq!((program.mode() & 0o7777, program.nlink()), (0o4755, 2));
    assert_eq!(std::fs::read(files.join("usr/bin/same")).unwrap(), b"program");
    assert_eq!(std::fs::read_link(files.join("bin")).unwrap(), Path::new("/usr/bin"));
}

/// Links come before the directories that they name, and members go through them, as in what `docker export` and package
/// managers of a merged `/usr` make.
fn merged_usr_is_a_root() {
    let directory = ground().scratch("merged-usr");
    minimal_root(&directory.join("root"));
    let path = directory.join("root.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    builder.follow_symlinks(false);
    let mut links = |name: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_link(&mut header, name, target).unwrap();
    };
    for (name, target) in [
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "/usr/lib64"),
        ("loop", "loop"),
        ("up", "../../usr"),
    ] {
        links(name, target);
    }
    builder.append_dir_all("", directory.join("root")).unwrap();
    builder.finish().unwrap();
    let root = base(&path).unwrap();
    let files = ground().store().join("layers").join(&root.0).join("fs");
    assert!(files.join("bin").is_symlink() && files.join("lib64").is_symlink());
    let machine = ground().start_on(&root);
    assert_eq!(
        machine.output("root", "cat /etc/motd; ls -d /usr/bin/cat"),
        "minimal\n/usr/bin/cat"
    );
}

fn damage_is_one_clear_error() {
    let directory = ground().scratch("damaged-tarballs");
    let secret = b"root:$6$secret-hash:20000:0:99999:7:::\n".repeat(100);
    let mut cut = Vec::new();
    let whole = directory.join("whole.tar");
    tarball(&whole, &[directory_member(b"etc"), file(b"etc/motd", &[b'x'; 5000])]);
    cut.extend_from_slice(&std::fs::read(&whole).unwrap()[..3000]);
    let cases: [(&str, &[u8], &str); 4] = [
        ("shadow", &secret, "not a tar archive"),
        ("empty", b"", "has no members"),
        ("cut.tar", &cut, "damaged (after 2 members)"),
        ("broken.gz", b"\x1f\x8b\x08\x00broken", "broken.gz"),
    ];
    for (name, content, expected) in cases {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        let error = base(&path).unwrap_err();
        assert!(
            error.contains(&path.display().to_string()) && error.contains(expected),
            "{error}"
        );
        assert!(!error.contains("secret-hash"), "{error}");
    }
}
