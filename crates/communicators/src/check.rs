//! Rules across communicator options, checked when a template is validated (communicators.md §1).

use std::path::{Path, PathBuf};

use bakelite_template::component::Complaint;

use crate::options::{CommunicatorOptions, Kind, local_path};
use crate::ssh::algorithms;
use crate::ssh::key::{self, KeyError};
use crate::ssh::tunnel;

impl CommunicatorOptions {
    /// Complains about options that do not go together or cannot work. `unknown` names options whose value is not known yet.
    pub fn check(&self, complaints: &mut Vec<Complaint>) {
        match self.kind() {
            Some(Kind::Ssh) => self.check_ssh(complaints),
            Some(Kind::WinRm) => self.check_winrm(complaints),
            Some(Kind::None) => {}
            None => {
                let name = self.communicator.as_deref().unwrap_or_default();
                let complaint = Complaint::error("communicator", format!("communicator `{name}` is unknown"));
                complaints.push(complaint.help("use `ssh`, `winrm` or `none`"));
            }
        }
    }

    fn check_winrm(&self, complaints: &mut Vec<Complaint>) {
        if self.username().is_empty() {
            let complaint = Complaint::error("", "`winrm_username` must be given");
            complaints.push(complaint.help("name the user of the image that may log in, such as \"Administrator\""));
        }
        if self.winrm_timeout.is_some_and(|span| span.nanoseconds() < 0) {
            let message = "`winrm_timeout` must not be negative";
            complaints.push(Complaint::error("winrm_timeout", message));
        }
        if self.winrm_insecure == Some(true) && !self.winrm_uses_tls() {
            let complaint = Complaint::warning(
                "winrm_insecure",
                "`winrm_insecure` has no effect without `winrm_use_ssl`",
            );
            complaints.push(complaint);
        }
    }

    fn check_ssh(&self, complaints: &mut Vec<Complaint>) {
        if self.username().is_empty() {
            let complaint = Complaint::error("", "`ssh_username` must be given");
            complaints
                .push(complaint.help("name the user of the image that may log in, such as \"ec2-user\" or \"ubuntu\""));
        }
        if !matches!(
            self.ssh_file_transfer_method.as_deref(),
            None | Some("" | "scp" | "sftp")
        ) {
            complaints.push(Complaint::error(
                "ssh_file_transfer_method",
                "`ssh_file_transfer_method` must be `scp` or `sftp`",
            ));
        }
        if self.host_key_policy().is_none() {
            let message = "`ssh_host_key` must be `accept-new`, `console` or `pin:SHA256:…`";
            complaints.push(Complaint::error("ssh_host_key", message));
        }
        self.check_keys(complaints);
        self.check_way(complaints);
        self.check_algorithms(complaints);
        for (option, given) in [
            ("ssh_timeout", self.ssh_timeout),
            ("ssh_wait_timeout", self.ssh_wait_timeout),
        ] {
            if given.is_some_and(|span| span.nanoseconds() < 0) {
                complaints.push(Complaint::error(option, format!("`{option}` must not be negative")));
            }
        }
    }

    fn check_keys(&self, complaints: &mut Vec<Complaint>) {
        check_pair(
            ("ssh_private_key_file", self.ssh_private_key_file.as_deref()),
            ("ssh_certificate_file", self.ssh_certificate_file.as_deref()),
            complaints,
        );
    }

    /// Bastions, proxies and tunnels.
    fn check_way(&self, complaints: &mut Vec<Complaint>) {
        let bastion = given(self.ssh_bastion_host.as_deref()).is_some();
        if bastion && given(self.ssh_proxy_host.as_deref()).is_some() {
            let message = "`ssh_bastion_host` cannot be given together with `ssh_proxy_host`";
            complaints.push(Complaint::error("ssh_bastion_host", message));
        }
        if self.proxy_kind().is_none() {
            let message = "`ssh_proxy_type` must be `socks5` or `http`";
            complaints.push(Complaint::error("ssh_proxy_type", message));
        }
        if bastion {
            self.check_bastion(complaints);
        }
        for (option, list) in [
            ("ssh_local_tunnels", &self.ssh_local_tunnels),
            ("ssh_remote_tunnels", &self.ssh_remote_tunnels),
        ] {
            if let Err(error) = tunnel::parse(list.as_deref()) {
                complaints.push(Complaint::error(option, bakelite_engine::chain_of(&error)));
            }
        }
    }

    fn check_bastion(&self, complaints: &mut Vec<Complaint>) {
        match self.bastion_host_keys() {
            None => {
                let message = "`ssh_bastion_host_key` must be `accept-new` or `pin:SHA256:…`, one for each bastion";
                complaints.push(Complaint::error("ssh_bastion_host_key", message));
            }
            Some(keys) if keys.len() > self.bastions().len() => {
                let message = "`ssh_bastion_host_key` names more keys than there are bastions";
                complaints.push(Complaint::error("ssh_bastion_host_key", message));
            }
            Some(_) => {}
        }
        check_pair(
            (
                "ssh_bastion_private_key_file",
                self.ssh_bastion_private_key_file.as_deref(),
            ),
            (
                "ssh_bastion_certificate_file",
                self.ssh_bastion_certificate_file.as_deref(),
            ),
            complaints,
        );
        let keys = [&self.ssh_bastion_private_key_file, &self.ssh_private_key_file];
        let can_log_in = keys.into_iter().any(|path| given(path.as_deref()).is_some())
            || given(self.ssh_bastion_password.as_deref()).is_some()
            || self.ssh_bastion_agent_auth == Some(true)
            || self.ssh_bastion_interactive == Some(true);
        if !can_log_in {
            let complaint = Complaint::error("ssh_bastion_host", "there is nothing to log in to the bastion with");
            complaints.push(complaint.help(
                "give `ssh_bastion_private_key_file` or `ssh_bastion_password`, or set `ssh_bastion_agent_auth` or `ssh_bastion_interactive`",
            ));
        }
    }

    fn check_algorithms(&self, complaints: &mut Vec<Complaint>) {
        let lists = [
            (
                "ssh_ciphers",
                &self.ssh_ciphers,
                algorithms::is_cipher as fn(&str) -> bool,
            ),
            (
                "ssh_key_exchange_algorithms",
                &self.ssh_key_exchange_algorithms,
                algorithms::is_key_exchange,
            ),
        ];
        for (option, list, is_known) in lists {
            let Some(names) = list.as_ref().filter(|names| !names.is_empty()) else {
                continue;
            };
            let unknown: Vec<String> = names
                .iter()
                .filter(|name| !is_known(name))
                .map(|name| format!("`{name}`"))
                .collect();
            if unknown.len() == names.len() {
                complaints.push(Complaint::error(
                    option,
                    format!("`{option}` names no algorithm that is known: {}", unknown.join(", ")),
                ));
            } else if !unknown.is_empty() {
                complaints.push(Complaint::warning(
                    option,
                    format!("`{option}`: {} unknown and not offered", unknown.join(", ")),
                ));
            }
        }
    }
}

/// A key must be there and be one, protected or not; a certificate needs it.
fn check_pair(
    (key_option, key_file): (&str, Option<&str>),
    (certificate_option, certificate): (&str, Option<&str>),
    complaints: &mut Vec<Complaint>,
) {
    match given(key_file).map(|path| key::read(&path_now(path), None)) {
        None | Some(Ok(_) | Err(KeyError::Encrypted { .. })) => {}
        Some(Err(error)) => {
            let complaint = Complaint::error(key_option, bakelite_engine::chain_of(&error));
            complaints.push(with_help(complaint, &error));
        }
    }
    let Some(certificate) = given(certificate) else { return };
    if given(key_file).is_none() {
        let message = format!("`{certificate_option}` needs `{key_option}`");
        complaints.push(Complaint::error(certificate_option, message));
    } else if let Err(error) = key::read_certificate(&path_now(certificate)) {
        complaints.push(Complaint::error(certificate_option, bakelite_engine::chain_of(&error)));
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Where a file of the template is while it is validated.
fn path_now(path: &str) -> PathBuf {
    local_path(path, std::env::home_dir().as_deref(), Path::new(""))
}

fn with_help(complaint: Complaint, error: &KeyError) -> Complaint {
    match error.help() {
        Some(help) => complaint.help(help),
        None => complaint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        serde_json::from_str::<CommunicatorOptions>(json)
            .unwrap()
            .check(&mut complaints);
        complaints
            .into_iter()
            .map(|complaint| format!("{:?} {}: {}", complaint.severity, complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn ssh_needs_a_user_and_none_needs_nothing() {
        assert_eq!(complaints("{}"), ["Error : `ssh_username` must be given"]);
        assert_eq!(
            complaints(r#"{"communicator": "none", "ssh_file_transfer_method": "x"}"#),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_unknown_communicator_is_the_only_complaint() {
        assert_eq!(
            complaints(r#"{"communicator": "telnet"}"#),
            ["Error communicator: communicator `telnet` is unknown"]
        );
    }

    #[test]
    fn winrm_needs_a_user() {
        let needs_user = complaints(r#"{"communicator": "winrm", "ssh_username": "u"}"#);
        assert_eq!(needs_user, ["Error : `winrm_username` must be given"]);
        let odd = r#"{"communicator": "winrm", "winrm_username": "u", "winrm_timeout": "-1s", "winrm_insecure": true}"#;
        assert_eq!(
            complaints(odd),
            [
                "Error winrm_timeout: `winrm_timeout` must not be negative",
                "Warning winrm_insecure: `winrm_insecure` has no effect without `winrm_use_ssl`",
            ]
        );
    }

    #[test]
    fn a_key_file_must_be_there_and_a_certificate_needs_it() {
        let missing = complaints(r#"{"ssh_username": "u", "ssh_private_key_file": "/nonexistent/key"}"#);
        assert_eq!(missing.len(), 1);
        assert!(
            missing[0].starts_with("Error ssh_private_key_file: read private key `/nonexistent/key`"),
            "{missing:?}"
        );
        let alone = complaints(r#"{"ssh_username": "u", "ssh_certificate_file": "/nonexistent/cert"}"#);
        assert_eq!(
            alone,
            ["Error ssh_certificate_file: `ssh_certificate_file` needs `ssh_private_key_file`"]
        );
    }

    #[test]
    fn a_bastion_has_one_host_key_that_can_be_known() {
        let with = |key: &str| {
            complaints(&format!(
                r#"{{"ssh_username": "u", "ssh_bastion_host": "b", "ssh_bastion_password": "p", "ssh_bastion_host_key": "{key}"}}"#
            ))
        };
        assert_eq!(with("pin:SHA256:abc"), Vec::<String>::new());
        assert_eq!(
            with("console"),
            [
                "Error ssh_bastion_host_key: `ssh_bastion_host_key` must be `accept-new` or `pin:SHA256:…`, one for each bastion"
            ]
        );
        assert_eq!(
            with("accept-new,accept-new"),
            ["Error ssh_bastion_host_key: `ssh_bastion_host_key` names more keys than there are bastions"]
        );
    }

    #[test]
    fn algorithms_that_nobody_knows_are_named() {
        let some = complaints(r#"{"ssh_username": "u", "ssh_ciphers": ["aes128-ctr", "arcfour"]}"#);
        assert_eq!(
            some,
            ["Warning ssh_ciphers: `ssh_ciphers`: `arcfour` unknown and not offered"]
        );
        let all = complaints(r#"{"ssh_username": "u", "ssh_key_exchange_algorithms": ["nope"]}"#);
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("Error "), "{all:?}");
    }
}
