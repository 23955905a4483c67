//! What `build.*` holds of the connection.

use bakelite_hcl::marks::Marks;
use bakelite_hcl::value::Value;
use bakelite_template::plan::BuildData;

use crate::connect::Target;
use crate::openssh;
use crate::options::{CommunicatorOptions, Kind};

/// `Host`, `Port`, `User`, `Password`, `ConnType`, `SSHPublicKey`, `SSHPrivateKey`, `SSHPrivateKeyFile`, `SSHAgentAuth` and
/// `WinRMPassword`; and for OpenSSH's client `SSHCertificateFile` and the way: `SSHProxyCommand`, or why it cannot go there,
/// `SSHOnlyHere`; to be added to what [`bakelite_engine::bake::Bake::data`] answers.
pub fn connection_data(target: &Target, options: &CommunicatorOptions) -> BuildData {
    let text = |text: &Option<String>| Value::string(text.as_deref().unwrap_or_default());
    let port = match options.kind() {
        Some(Kind::Ssh | Kind::WinRm) => options.port(),
        Some(Kind::None) | None => 0,
    };
    let winrm_password = target.winrm_password(options);
    // One that the builder found is in no template, so that only the mark keeps it from being shown.
    let winrm_password = Value::string(winrm_password).with_marks(Marks::SENSITIVE);
    let password = if options.kind() == Some(Kind::WinRm) {
        winrm_password.clone()
    } else {
        text(&options.ssh_password)
    };
    let key = |made: &Option<String>, given: &Option<Vec<u8>>| match given {
        Some(bytes) if made.is_none() => Value::string(String::from_utf8_lossy(bytes)),
        _ => text(made),
    };
    let (proxy_command, only_here) = match openssh::proxy_command(target, options) {
        Ok(command) => (command, ""),
        Err(reason) => (String::new(), reason),
    };
    [
        ("Host", Value::string(target.host(options))),
        ("Port", Value::string(port.to_string())),
        ("User", Value::string(options.username())),
        ("Password", password),
        ("ConnType", Value::string(options.name())),
        ("SSHPublicKey", key(&target.public_key, &options.ssh_public_key)),
        ("SSHPrivateKey", key(&target.private_key, &options.ssh_private_key)),
        ("SSHPrivateKeyFile", text(&options.ssh_private_key_file)),
        ("SSHAgentAuth", Value::string(options.ssh_agent_auth.to_string())),
        ("SSHCertificateFile", text(&options.ssh_certificate_file)),
        ("SSHProxyCommand", Value::string(proxy_command)),
        ("SSHOnlyHere", Value::string(only_here)),
        ("WinRMPassword", winrm_password),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_builder_or_else_those_of_the_template() {
        let given: CommunicatorOptions =
            serde_json::from_str(r#"{"ssh_public_key": [97, 98], "ssh_private_key": [99]}"#).unwrap();
        let keys = |target: &Target| {
            let data = connection_data(target, &given);
            ["SSHPublicKey", "SSHPrivateKey"].map(|key| data[key].as_str().unwrap().to_owned())
        };
        assert_eq!(keys(&Target::default()), ["ab", "c"]);
        let target = Target {
            public_key: Some("made".into()),
            private_key: Some("secret".into()),
            ..Target::default()
        };
        assert_eq!(keys(&target), ["made", "secret"]);
    }
}
