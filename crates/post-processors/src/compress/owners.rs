//! Names of users and groups, as a tar archive notes them beside the numbers.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// The users and groups of a machine, by number.
pub(super) struct Owners {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Owners {
    /// Those in this machine's own files; a number without a name there stays a number.
    pub(super) fn of_this_machine() -> Self {
        let names = |path| named(&std::fs::read_to_string(path).unwrap_or_default());
        Self {
            users: names("/etc/passwd"),
            groups: names("/etc/group"),
        }
    }

    /// Writes the names of a file's user and group into its header.
    pub(super) fn name(&self, header: &mut tar::Header, metadata: &Metadata) -> std::io::Result<()> {
        if let Some(user) = self.users.get(&metadata.uid()) {
            header.set_username(user)?;
        }
        if let Some(group) = self.groups.get(&metadata.gid()) {
            header.set_groupname(group)?;
        }
        Ok(())
    }
}

/// `NAME:x:NUMBER:…` of each line; the first name of a number counts.
fn named(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, number) = (fields.next(), fields.nth(1).and_then(|number| number.parse().ok()));
        if let (Some(name), Some(number)) = (name, number) {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}
