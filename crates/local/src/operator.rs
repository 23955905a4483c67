//! The key of whoever may read the state directory: with it `local ssh` logs in to any instance, whatever key that was launched with. It is
//! not written into instances, so no image holds it.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use russh::keys::{PrivateKey, PublicKey};

use crate::ids::random_hex;
use crate::keys::new_ed25519;

/// How to log in to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshLogin {
    /// Where its SSH server listens.
    pub address: SocketAddr,
    /// Its login user.
    pub user: String,
    /// The file with the private key.
    pub key: PathBuf,
    /// A file with the instance's host key, in the form of `known_hosts`.
    pub known_hosts: PathBuf,
}

/// The directory of the key and of the files for SSH clients.
pub(crate) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("ssh")
}

/// Returns the public key as an OpenSSH line, made when there is none yet.
pub(crate) fn public_line(state_dir: &Path) -> io::Result<String> {
    let path = key(state_dir);
    if !path.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory(state_dir))?;
        let made = new_ed25519().map_err(io::Error::other)?;
        put(&path, &made.private_pem, |new, path| match fs::hard_link(new, path) {
            // Another process was faster; its key is as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        })?;
    }
    public_key(&path)?.to_openssh().map_err(io::Error::other)
}

/// Writes the host key of an instance for SSH clients and returns how to log in.
pub(crate) fn login(
    state_dir: &Path,
    id: &str,
    address: SocketAddr,
    user: &str,
    host_key: &Path,
) -> io::Result<SshLogin> {
    let known_hosts = directory(state_dir).join(format!("{id}.known_hosts"));
    let host_key = public_key(host_key)?.to_openssh().map_err(io::Error::other)?;
    let line = format!(
        "[{}]:{} {host_key}\n{} {host_key}\n",
        address.ip(),
        address.port(),
        address.ip()
    );
    put(&known_hosts, &line, |new, path| fs::rename(new, path))?;
    Ok(SshLogin {
        address,
        user: user.to_owned(),
        key: key(state_dir),
        known_hosts,
    })
}

fn key(state_dir: &Path) -> PathBuf {
    directory(state_dir).join("key")
}

fn public_key(private: &Path) -> io::Result<PublicKey> {
    let key = PrivateKey::from_openssh(fs::read_to_string(private)?).map_err(io::Error::other)?;
    Ok(key.public_key().clone())
}

/// Writes a file that only its owner reads under another name, and gives it its own.
fn put(path: &Path, content: &str, name: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let new = path.with_extension(random_hex(8));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let named = file.write_all(content.as_bytes()).and_then(|()| name(&new, path));
    let _ = fs::remove_file(&new);
    named
}
