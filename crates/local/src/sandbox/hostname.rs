//! The machine's name.

use std::fs;

use super::failure::{Failure, Step as _};
use crate::inside::{GATEWAY, GATEWAY_NAME};

/// Sets the name, and writes it to `/etc/hostname` and to a line of ours in `/etc/hosts`.
pub(super) fn take(name: &str) -> Result<(), Failure> {
    rustix::system::sethostname(name.as_bytes()).step("set the host name")?;
    fs::remove_file("/etc/hostname").ok();
    fs::write("/etc/hostname", format!("{name}\n")).step("write `/etc/hostname`")?;
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut lines: Vec<String> = hosts
        .lines()
        .filter(|line| !line.ends_with("# bakelite"))
        .map(str::to_owned)
        .collect();
    if !lines
        .iter()
        .any(|line| line.split_whitespace().skip(1).any(|word| word == "localhost"))
    {
        lines.push("127.0.0.1 localhost".into());
    }
    lines.push(format!("127.0.1.1 {name} # bakelite"));
    lines.push(format!("{GATEWAY} {GATEWAY_NAME} # bakelite"));
    fs::remove_file("/etc/hosts").ok();
    fs::write("/etc/hosts", lines.join("\n") + "\n").step("write `/etc/hosts`")
}
