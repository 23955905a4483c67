//! What a peer sends: whatever it is, nothing outside of the directory that it is for changes.

use std::path::Path;

use bakelite_communicators::peers;
use tar::{EntryType, Header};
use tokio::runtime::Runtime;

use crate::target::Target;

/// What must stay as it is.
const MINE: &str = "mine";

/// Receives an input into a directory of its own; answers what is said of it.
pub(crate) fn received(directory: &Path, runtime: &Runtime, target: Target, input: &[u8]) -> String {
    let outer = directory.join("outer");
    let to = outer.join("a/to");
    // What the input before has left may be closed to us.
    let _ = std::fs::remove_dir_all(&outer);
    std::fs::create_dir_all(&to).expect("a directory can be made");
    std::fs::write(outer.join("a/b"), MINE).expect("a file can be written");
    std::os::unix::fs::symlink("..", to.join("up")).expect("a link can be made");
    let input = summed(target, input);
    let received = match target {
        Target::Tar => peers::tar(&input, &to),
        Target::Scp => peers::scp(&input, &to),
        Target::Sftp => runtime.block_on(peers::sftp(&input, &to)),
        Target::Greeting => runtime.block_on(peers::greeting(&input)),
        _ => peers::winrm(&input, &to),
    };
    let names = |directory: &Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(&outer).len(), names(&outer.join("a"))),
        (1, vec!["b".into(), "to".into()])
    );
    assert_eq!(std::fs::read_to_string(outer.join("a/b")).ok().as_deref(), Some(MINE));
    for name in names(&to) {
        let path = to.join(&name);
        let leads = path
            .canonicalize()
            .is_ok_and(|full| !full.starts_with(to.canonicalize().unwrap_or_default()));
        assert!(!leads || name == "up", "{} leads out", name.display());
    }
    let said = received.err().unwrap_or_else(|| "fine".into());
    assert!(
        !said.contains(|next: char| next.is_control() && next != '\n' && next != '\t'),
        "said raw: {said:?}"
    );
    said
}

/// Headers of archives get the sum that they should have: otherwise no change would reach what is behind it.
fn summed(target: Target, input: &[u8]) -> Vec<u8> {
    let mut input = input.to_vec();
    if target == Target::Tar {
        for block in input.chunks_exact_mut(512) {
            let header = Header::from_byte_slice(block);
            if header.as_ustar().is_some() || header.as_gnu().is_some() {
                let mut header = header.clone();
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
    }
    input
}

/// What the changes begin with.
pub(crate) fn seeds(target: Target) -> Vec<Vec<u8>> {
    match target {
        Target::Tar => archives(),
        Target::Scp => vec![
            b"T1 0 1 0\nD0755 0 d\nC0644 2 f\nxxC0600 0 g\nE\nC0644 1 f\nx".to_vec(),
            b"D0755 0 up\nC0644 2 f\nxx".to_vec(),
        ],
        Target::Sftp => vec![answers(&["a", "b"]), answers(&["../a", "up", ""])],
        Target::Greeting => vec![
            [&[5, 2, 1, 0, 5, 0, 0, 3, 4][..], b"host", &[0, 22]].concat(),
            vec![5, 0, 5, 0, 0, 1, 1, 2, 3, 4, 0, 22],
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n".to_vec(),
            b"-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:abc root (RSA)\n-----END SSH HOST KEY FINGERPRINTS-----\n".to_vec(),
        ],
        _ => vec![
            br#"<s:Envelope xmlns:s="x" xmlns:rsp="y"><s:Body><rsp:ReceiveResponse><rsp:Stream Name="stdout">w6Q=</rsp:Stream><rsp:CommandState State="CommandState/Done"><rsp:ExitCode>-1</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse></s:Body></s:Envelope>"#.to_vec(),
            br#"<s:Fault xmlns:s="x"><s:Text>no</s:Text><f:WSManFault xmlns:f="f" Code="1"/><Selector Name="ShellId">1</Selector><CommandId>2</CommandId></s:Fault>"#.to_vec(),
            b"#< CLIXML <Objs><S S=\"Error\">bad_x000D_</S></Objs>".to_vec(),
            b"f YQ==\n+ eA==\ne 1 00\nd Li4v\nl dXA=\n".to_vec(),
            b"--Encrypted Boundary\r\nContent-Type: application/octet-stream\r\n\x10\0\0\x000123456789012345--Encrypted Boundary--\r\n".to_vec(),
            challenge(),
        ],
    }
}

fn archives() -> Vec<Vec<u8>> {
    let entry = |name: &str, kind: EntryType, link: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        let _ = header.set_path(name);
        let _ = header.set_link_name(link);
        header.set_cksum();
        let padding = vec![0; content.len().wrapping_neg() % 512];
        [header.as_bytes(), content, &padding].concat()
    };
    let entries = [
        entry("d", EntryType::Directory, "", b""),
        entry("d/f", EntryType::Regular, "", b"x"),
        entry("d/l", EntryType::Symlink, "f", b""),
        entry("h", EntryType::Link, "d/f", b""),
        entry("l", EntryType::GNULongName, "", b"d/long\0"),
        entry("p", EntryType::XHeader, "", b"12 path=d/p\n"),
        entry("s", EntryType::GNUSparse, "", b""),
        entry("up", EntryType::Directory, "", b""),
    ];
    entries
        .iter()
        .map(|entry| [entry.as_slice(), &entries.concat()].concat())
        .collect()
}

/// Version, the target of a link, its attributes, a handle, names, the end, and that it was closed.
fn answers(names: &[&str]) -> Vec<u8> {
    let packet = |kind: u8, id: Option<u32>, content: &[u8]| {
        let id = id.map(u32::to_be_bytes);
        let id = id.as_ref().map_or(&[][..], |id| &id[..]);
        let length = u32::try_from(1 + id.len() + content.len()).unwrap_or(0).to_be_bytes();
        [&length[..], &[kind], id, content].concat()
    };
    let text = |text: &str| {
        [
            &u32::try_from(text.len()).unwrap_or(0).to_be_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    };
    let name = |name: &&str| [text(name), text("long"), vec![0; 4]].concat();
    let listed: Vec<u8> = names.iter().flat_map(name).collect();
    let count = u32::try_from(names.len()).unwrap_or(0).to_be_bytes();
    let status = |code: u8| [&[0, 0, 0, code][..], &text(""), &text("")].concat();
    [
        packet(2, None, &[0, 0, 0, 3]),
        packet(104, Some(1), &[&[0, 0, 0, 1][..], &name(&"f")].concat()),
        packet(105, Some(2), &[0, 0, 0, 4, 0, 0, 0o201, 0o244]),
        packet(102, Some(3), &text("h")),
        packet(104, Some(4), &[&count[..], &listed].concat()),
        packet(101, Some(5), &status(1)),
        packet(101, Some(6), &status(0)),
    ]
    .concat()
}

/// A challenge with flags that are enough, and no pairs but the end.
fn challenge() -> Vec<u8> {
    let mut challenge = b"NTLMSSP\0\x02\0\0\0".to_vec();
    challenge.resize(20, 0);
    challenge.extend(0xe28a_8235_u32.to_le_bytes());
    challenge.extend([1; 8]);
    challenge.extend([0; 8]);
    challenge.extend([4, 0, 4, 0, 48, 0, 0, 0]);
    challenge.extend([0; 4]);
    challenge
}
