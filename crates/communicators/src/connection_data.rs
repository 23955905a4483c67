//! What `build.*` says about the connection (communicators.md §8.1).

use bakelite_hcl::value::Value;
use bakelite_template::plan::BuildData;

use crate::connect::Target;
use crate::options::{CommunicatorOptions, Kind};

/// `Host`, `Port`, `User`, `Password`, `ConnType`, `SSHPublicKey`, `SSHPrivateKey` and `WinRMPassword`,
/// to be added to what [`bakelite_engine::bake::Bake::data`] answers.
pub fn connection_data(target: &Target, options: &CommunicatorOptions) -> BuildData {
    let text = |text: &Option<String>| Value::string(text.as_deref().unwrap_or_default());
    let kind = match options.kind() {
        Some(Kind::Ssh) => "ssh",
        Some(Kind::WinRm) => "winrm",
        Some(Kind::None) | None => "none",
    };
    let port = if kind == "ssh" {
        options.port()
    } else {
        options.winrm_port.unwrap_or(0)
    };
    let user = if kind == "winrm" {
        &options.winrm_username
    } else {
        &options.ssh_username
    };
    let password = if kind == "winrm" {
        &options.winrm_password
    } else {
        &options.ssh_password
    };
    [
        ("Host", Value::string(target.host(options))),
        ("Port", Value::string(port.to_string())),
        ("User", text(user)),
        ("Password", text(password)),
        ("ConnType", Value::string(kind)),
        ("SSHPublicKey", text(&target.public_key)),
        ("SSHPrivateKey", text(&target.private_key)),
        ("WinRMPassword", text(&options.winrm_password)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
