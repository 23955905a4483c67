//! The route to an instance as a `ProxyCommand` of OpenSSH's client, for programs that connect by themselves, as Ansible may.

use bakelite_scripts::quote;

use crate::connect::Target;
use crate::options::{Bastion, CommunicatorOptions, HostKeyPolicy};

/// The `ProxyCommand` with which OpenSSH's client takes the same route: empty for a direct one. The error is what about the route cannot
/// be expressed in it.
pub(crate) fn proxy_command(target: &Target, options: &CommunicatorOptions) -> Result<String, &'static str> {
    if target.dial.is_some() {
        return Err("it is reached by a session of the builder's");
    }
    if options.ssh_proxy_host.is_some() {
        return Err("it is reached through `ssh_proxy_host`");
    }
    let hops = options.bastions();
    let policies = hops.iter().map(|hop| &hop.host_key);
    if policies
        .chain([&options.ssh_host_key])
        .any(|policy| *policy != HostKeyPolicy::AcceptNew)
    {
        return Err(
            "a certain host key is required (`ssh_host_key`, `ssh_bastion_host_key`), which cannot be passed to OpenSSH",
        );
    }
    let Some((last, before)) = hops.split_last() else {
        return Ok(String::new());
    };
    if options.ssh_bastion_password.is_some() || options.ssh_bastion_interactive {
        return Err("its bastion requires a password");
    }
    let own = options.ssh_bastion_private_key_file.as_deref();
    let certificate = match own {
        Some(_) => &options.ssh_bastion_certificate_file,
        None => &options.ssh_certificate_file,
    };
    // OpenSSH expands `%`.
    let word = |text: &str| quote::word(text).replace('%', "%%");
    let path = |path: &str| quote::path(path).replace('%', "%%");
    let mut words = vec!["ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new".to_owned()];
    if let Some(key) = own.or(options.ssh_private_key_file.as_deref()) {
        if !before.is_empty() {
            return Err("there are several bastions, whose key cannot be passed to OpenSSH");
        }
        words.push(format!("-o IdentitiesOnly=yes -i {}", path(key)));
    }
    words.extend(
        certificate
            .as_deref()
            .map(|file| format!("-o CertificateFile={}", path(file))),
    );
    if !before.is_empty() {
        let jumps: Vec<String> = before.iter().map(jump).collect();
        words.push(format!("-J {}", word(&jumps.join(","))));
    }
    let (user, host) = (word(&last.username), word(&last.host));
    words.push(format!("-W '[%h]:%p' -p {} -l {user} {host}", last.port));
    Ok(words.join(" "))
}

/// A host to go through, as OpenSSH writes it.
fn jump(hop: &Bastion) -> String {
    let host = if hop.host.contains(':') {
        format!("[{}]", hop.host)
    } else {
        hop.host.clone()
    };
    format!("{}@{host}:{}", hop.username, hop.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(json: &str) -> Result<String, &'static str> {
        proxy_command(&Target::default(), &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn openssh_is_told_the_way_past_a_bastion() {
        assert_eq!(command(r#"{"ssh_username": "u"}"#), Ok(String::new()));
        let key = r#"{"ssh_username": "u", "ssh_bastion_host": "b", "ssh_bastion_private_key_file": "~/my key"}"#;
        assert_eq!(
            command(key).unwrap(),
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o IdentitiesOnly=yes -i ~/'my key' -W '[%h]:%p' -p 22 -l u b"
        );
        let agent = r#"{"ssh_username": "u", "ssh_bastion_host": "a,me@b:23", "ssh_bastion_agent_auth": true}"#;
        let command = command(agent).unwrap();
        assert!(command.ends_with("-J u@a:22 -W '[%h]:%p' -p 23 -l me b"), "{command}");
    }

    #[test]
    fn a_way_that_openssh_cannot_go_is_named() {
        for (json, reason) in [
            (r#"{"ssh_proxy_host": "p"}"#, "ssh_proxy_host"),
            (r#"{"ssh_host_key": "pin:SHA256:abc"}"#, "host key"),
            (
                r#"{"ssh_bastion_host": "b", "ssh_bastion_host_key": "pin:SHA256:abc"}"#,
                "host key",
            ),
            (r#"{"ssh_bastion_host": "b", "ssh_bastion_password": "s"}"#, "password"),
            (r#"{"ssh_bastion_host": "a,b", "ssh_private_key_file": "k"}"#, "several"),
        ] {
            assert!(command(json).unwrap_err().contains(reason), "{json}");
        }
    }
}
