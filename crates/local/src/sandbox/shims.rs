//! Shims for what a root lacks, or has and does not work here: `sudo`; `poweroff` and its kin where they want a systemd that is not there;
//! `systemctl` and `journalctl`, which ask the machine's init, and `cloud-init`; these pass on what the root's own can do.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{elevate, services};

const SUDO: &str = include_str!("sudo.sh");
const SHUTDOWN: &str = include_str!("shutdown.sh");
const SYSTEMCTL: &str = include_str!("systemctl.sh");
/// Programs that stand before the root's own, which is beside them then, with `.real` after its name; and what the root's own starts with.
/// Another program of that name is somebody's replacement, and stays.
const WRAPPERS: [(&str, &str, &[u8]); 3] = [
    ("systemctl", SYSTEMCTL, b"\x7fELF"),
    ("journalctl", SYSTEMCTL, b"\x7fELF"),
    ("cloud-init", include_str!("cloud_init.sh"), b"#!"),
];
/// What mounts volumes, in machines that have some.
const MOUNT: (&str, &str, &[u8]) = ("mount", include_str!("mount.sh"), b"\x7fELF");
/// The longest program that is worth a copy at each start, in bytes.
const LONGEST_REAL: u64 = 16 << 20;
/// Commands that end or restart a machine.
const SHUTDOWN_NAMES: [&str; 4] = ["poweroff", "halt", "reboot", "shutdown"];
/// Where programs lie.
const PROGRAM_DIRECTORIES: [&str; 6] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/// Which shims a root needs.
#[derive(Debug, Default)]
pub(super) struct Shims {
    /// `sudo`.
    pub(super) sudo: bool,
    /// Those of `SHUTDOWN_NAMES` that the root lacks or that are links to `systemctl`, with the directory to put them into.
    shutdown: Vec<(String, PathBuf)>,
    /// Those of `WRAPPERS` that can be put before the root's own.
    wrappers: Vec<Wrapper>,
}

/// A program that stands before another.
#[derive(Debug)]
struct Wrapper {
    text: &'static str,
    /// Where, relative to the root.
    path: PathBuf,
    /// Whether the root has one there.
    has_real: bool,
}

impl Shims {
    /// Whether the root needs any.
    pub(super) fn any(&self) -> bool {
        self.sudo || !self.shutdown.is_empty() || !self.wrappers.is_empty()
    }
}

/// Inspects a mounted root (from outside, so links are only read, never followed out of it).
pub(super) fn needed(root: &Path, has_volumes: bool) -> Shims {
    let mut shims = Shims {
        sudo: elevate::program().is_some() && !has_working_sudo(root),
        shutdown: Vec::new(),
        wrappers: WRAPPERS
            .iter()
            .filter(|(_, text, _)| *text != SYSTEMCTL || services::has_client())
            .chain(has_volumes.then_some(&MOUNT))
            .filter_map(|(name, text, start)| wrapper(root, name, text, start))
            .collect(),
    };
    for name in SHUTDOWN_NAMES {
        match find(root, name) {
            None => shims.shutdown.push((name.to_owned(), directory_for(root, "sbin"))),
            Some(found) => {
                let target = fs::read_link(root.join(&found)).unwrap_or_default();
                if target.ends_with("systemctl") {
                    let directory = found.parent().map(Path::to_owned).unwrap_or_default();
                    shims.shutdown.push((name.to_owned(), directory));
                }
            }
        }
    }
    shims
}

/// A program to be put before the root's own, unless that is a link, too long or something else.
fn wrapper(root: &Path, name: &str, text: &'static str, start: &[u8]) -> Option<Wrapper> {
    let found = find(root, name);
    let has_real = found.is_some();
    let path = found.unwrap_or_else(|| directory_for(root, "bin").join(name));
    let is_wrapped = !has_real
        || fs::symlink_metadata(root.join(&path)).is_ok_and(|real| real.is_file() && real.len() <= LONGEST_REAL)
            && starts_with(&root.join(&path), start);
    is_wrapped.then_some(Wrapper { text, path, has_real })
}

fn starts_with(file: &Path, start: &[u8]) -> bool {
    let mut head = [0_u8; 4];
    let read = fs::File::open(file).and_then(|mut file| file.read(&mut head));
    read.is_ok_and(|length| head.get(..length).is_some_and(|head| head.starts_with(start)))
}

/// A `sudo` that is owned by root and has its set-user-id bit, as seen with the machine's ids.
fn has_working_sudo(root: &Path) -> bool {
    find(root, "sudo")
        .and_then(|found| fs::symlink_metadata(root.join(found)).ok())
        .is_some_and(|sudo| sudo.is_symlink() || sudo.is_file() && sudo.uid() == 0 && sudo.mode() & 0o4000 != 0)
}

/// The first program of this name, as a path relative to the root.
fn find(root: &Path, name: &str) -> Option<PathBuf> {
    PROGRAM_DIRECTORIES
        .iter()
        .filter(|directory| is_real_directory(root, directory))
        .map(|directory| Path::new(directory).join(name))
        .find(|path| fs::symlink_metadata(root.join(path)).is_ok())
}

/// `usr/sbin` where `/sbin` is a link (merged `/usr`) or missing, else the directory itself.
fn directory_for(root: &Path, name: &str) -> PathBuf {
    let merged = Path::new("usr").join(name);
    if is_real_directory(root, &format!("usr/{name}")) || !is_real_directory(root, name) {
        merged
    } else {
        PathBuf::from(name)
    }
}

fn is_real_directory(root: &Path, directory: &str) -> bool {
    let mut path = root.to_owned();
    directory.split('/').all(|part| {
        path.push(part);
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir())
    })
}

/// Writes the layer that holds the shims.
pub(super) fn write_layer(layer: &Path, root: &Path, shims: &Shims) -> io::Result<()> {
    if layer.exists() {
        fs::remove_dir_all(layer)?;
    }
    fs::create_dir(layer)?;
    copy_mode(root, layer)?;
    if shims.sudo {
        write_program(layer, root, &directory_for(root, "bin").join("sudo"), SUDO.as_bytes())?;
    }
    for (name, directory) in &shims.shutdown {
        write_program(layer, root, &directory.join(name), SHUTDOWN.as_bytes())?;
    }
    for Wrapper { text, path, has_real } in &shims.wrappers {
        if *has_real {
            let Ok(real) = fs::read(root.join(path)) else { continue };
            write_program(layer, root, &path.with_added_extension("real"), &real)?;
        }
        write_program(layer, root, path, text.as_bytes())?;
    }
    Ok(())
}

fn write_program(layer: &Path, root: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut directory = PathBuf::new();
    for part in path.parent().into_iter().flat_map(Path::components) {
        directory.push(part);
        if !layer.join(&directory).exists() {
            fs::create_dir(layer.join(&directory))?;
            copy_mode(&root.join(&directory), &layer.join(&directory))?;
        }
    }
    fs::write(layer.join(path), content)?;
    fs::set_permissions(layer.join(path), fs::Permissions::from_mode(0o755))
}

/// A directory of the uppermost layer gives the merged directory its mode, so it must have the one it covers.
fn copy_mode(from: &Path, to: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(from).map_or(0o755, |found| found.mode() & 0o7777);
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

/// Puts the program that the built-in `sudo` stands on into `/run`; called in the machine.
pub(super) fn install_elevate() -> io::Result<()> {
    let Some(program) = elevate::program() else {
        return Ok(());
    };
    fs::create_dir_all("/run/bakelite")?;
    fs::write("/run/bakelite/elevate", program)?;
    fs::set_permissions("/run/bakelite/elevate", fs::Permissions::from_mode(0o4755))
}
