//! Options and functions of older versions of Packer, and what they are called today: for `fix`, and for the help of errors.

use crate::schema::Schema;

/// Options that have another name today, with the same values. Which components had them, the new name tells: it is one of theirs.
pub(crate) const RENAMED: &[(&str, &str)] = &[
    ("clone_from_vmxc_path", "clone_from_vmcx_path"),
    ("cpu", "cpus"),
    ("enhanced_networking", "ena_support"),
    ("filename", "output"),
    ("galaxycommand", "galaxy_command"),
    ("ram_size", "memory"),
    ("shutdown_behaviour", "shutdown_behavior"),
    ("ssh_disable_agent", "ssh_disable_agent_forwarding"),
    ("ssh_host_port_max", "host_port_max"),
    ("ssh_host_port_min", "host_port_min"),
    ("ssh_key_path", "ssh_private_key_file"),
    ("ssh_wait_timeout", "ssh_timeout"),
];

/// Options in whose place another is given in another way, and how.
const REPLACED: &[(&str, &str, &str)] = &[
    ("ssh_private_ip", "ssh_interface", "`ssh_interface = \"private_ip\"`"),
    (
        "temporary_security_group_source_cidr",
        "temporary_security_group_source_cidrs",
        "`temporary_security_group_source_cidrs`, a list",
    ),
];

/// Functions of `{{ }}` that have another name today.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("clean_ami_name", "clean_resource_name"),
    ("clean_image_name", "clean_resource_name"),
];

/// What to do about an option that a component had once.
pub(crate) fn help_for(option: &str, schema: &Schema, is_legacy: bool) -> Option<String> {
    let renamed = RENAMED
        .iter()
        .filter(|(old, new)| *old == option && schema.field(new).is_some())
        .map(|(_, new)| format!("it is called `{new}` now"));
    let replaced = REPLACED
        .iter()
        .filter(|(old, new, _)| *old == option && schema.field(new).is_some())
        .map(|(_, _, way)| format!("{way} has replaced it"));
    renamed.chain(replaced).next().map(|help| with_fix(help, is_legacy))
}

/// What to do about a string with a function that has another name today.
pub(crate) fn help_for_functions(text: &str) -> Option<String> {
    let (old, new) = FUNCTIONS.iter().find(|(old, _)| text.contains(old))?;
    Some(with_fix(format!("`{old}` is called `{new}` now"), true))
}

/// The names that components of this schema had once.
pub(crate) fn names(schema: &Schema) -> impl Iterator<Item = &'static str> {
    let replaced = REPLACED.iter().map(|(old, new, _)| (*old, *new));
    let all = RENAMED.iter().copied().chain(replaced);
    all.filter(|(old, new)| schema.field(new).is_some() && schema.field(old).is_none())
        .map(|(old, _)| old)
}

fn with_fix(help: String, is_legacy: bool) -> String {
    if is_legacy {
        format!("{help}; `bakelite fix` prints the template with what has changed")
    } else {
        help
    }
}
