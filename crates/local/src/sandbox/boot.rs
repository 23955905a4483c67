//! What a machine does when it boots: name itself, and make sure of its users and their keys, as cloud-init would.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use super::failure::{Failure, Step as _};
use super::wire::{MachineStart, NetworkStart};
use super::{accounts, first_boot, hostname, shims};

/// Boots; called again for a reboot.
pub(super) fn boot(machine: &MachineStart, with_sudo_shim: bool) -> Result<(), Failure> {
    forget_memory();
    // A root whose directories do not allow it boots all the same; what user data then lacks is reported at its end.
    first_boot::enter_instance(&machine.instance).ok();
    fill_run(with_sudo_shim)?;
    for (directory, mode) in [
        ("/tmp", 0o1777),
        ("/var/tmp", 0o1777),
        ("/root", 0o700),
        ("/etc", 0o755),
        ("/home", 0o755),
    ] {
        if !Path::new(directory).exists() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(directory)
                .step(format!("create `{directory}`"))?;
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).step(format!("open `{directory}`"))?;
        }
    }
    hostname::take(&first_boot::given_hostname().unwrap_or_else(|| machine.hostname.clone()))?;
    if let Some(network) = &machine.network {
        name_servers(network)?;
    }
    for user in &machine.users {
        if !accounts::is_valid_name(user) {
            return Err(Failure {
                step: format!("create user `{user}`"),
                error: std::io::Error::other("not a valid name"),
            });
        }
        accounts::ensure(user).step(format!("create user `{user}`"))?;
    }
    accounts::allow_sudo(&machine.users).step("allow `sudo`")?;
    for user in machine.users.iter().map(String::as_str).chain(["root"]) {
        if let Some(account) = accounts::find(user) {
            accounts::authorize(&account, &machine.authorized_keys).step(format!("authorize keys of `{user}`"))?;
        }
    }
    Ok(())
}

/// Writes `/etc/resolv.conf`, as a client of DHCP would.
fn name_servers(network: &NetworkStart) -> Result<(), Failure> {
    let lines = network.name_servers.iter();
    let lines: Vec<String> = lines.map(|server| format!("nameserver {server}\n")).collect();
    fs::remove_file("/etc/resolv.conf").ok();
    fs::write("/etc/resolv.conf", lines.concat()).step("write `/etc/resolv.conf`")
}

/// Empties what is in memory on a real machine.
fn forget_memory() {
    let directories = ["/run", "/dev/shm"].into_iter();
    for entry in directories
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .flatten()
    {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(path).ok()
        } else {
            fs::remove_file(path).ok()
        };
    }
}

/// Fills `/run` anew.
fn fill_run(with_sudo_shim: bool) -> Result<(), Failure> {
    for (directory, mode) in [("/run/lock", 0o1777), ("/run/bakelite", 0o755)] {
        fs::create_dir_all(directory).step(format!("create `{directory}`"))?;
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).step(format!("open `{directory}`"))?;
    }
    if with_sudo_shim {
        shims::install_elevate().step("install the built-in `sudo`")?;
    }
    Ok(())
}
