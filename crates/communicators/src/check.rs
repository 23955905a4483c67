//! Rules across the options of a communicator, checked when a template is validated.

use std::path::Path;

use bakelite_engine::error::Error;
use bakelite_template::component::Complaint;

use crate::options::{CommunicatorOptions, local_path};
use crate::ssh::algorithms;
use crate::ssh::key::{self, KeyError};
use crate::ssh::tunnel;

pub(crate) fn check_winrm(options: &CommunicatorOptions, complaints: &mut Vec<Complaint>) {
    if options.username().is_empty() {
        let complaint = Complaint::error("", "`winrm_username` must be given");
        complaints.push(complaint.help("name the user of the image that may log in, such as \"Administrator\""));
    }
    if options.winrm_timeout.is_some_and(|span| span.nanoseconds() < 0) {
        let message = "`winrm_timeout` must not be negative";
        complaints.push(Complaint::error("winrm_timeout", message));
    }
    if options.winrm_insecure && !options.winrm_use_ssl {
        let message = "`winrm_insecure` has no effect without `winrm_use_ssl`";
        complaints.push(Complaint::warning("winrm_insecure", message));
    }
}

pub(crate) fn check_ssh(options: &CommunicatorOptions, home: Option<&Path>, complaints: &mut Vec<Complaint>) {
    Ssh {
        options,
        home,
        complaints,
    }
    .check();
}

/// A check of the options for SSH under way.
struct Ssh<'a> {
    options: &'a CommunicatorOptions,
    home: Option<&'a Path>,
    complaints: &'a mut Vec<Complaint>,
}

impl Ssh<'_> {
    fn error(&mut self, option: &str, message: impl Into<String>) {
        self.complaints.push(Complaint::error(option, message));
    }

    fn check(mut self) {
        let options = self.options;
        if options.username().is_empty() {
            let complaint = Complaint::error("", "`ssh_username` must be given")
                .help("name the user of the image that may log in, such as \"ec2-user\" or \"ubuntu\"");
            self.complaints.push(complaint);
        }
        self.key("ssh_private_key_file", options.ssh_private_key_file.as_deref());
        self.certificate(
            "ssh_certificate_file",
            options.ssh_certificate_file.as_deref(),
            "ssh_private_key_file",
            options.ssh_private_key_file.is_some(),
        );
        if options.ssh_bastion_host.is_some() {
            self.bastion();
        }
        for (option, list) in [
            ("ssh_local_tunnels", &options.ssh_local_tunnels),
            ("ssh_remote_tunnels", &options.ssh_remote_tunnels),
        ] {
            if let Err(error) = tunnel::parse(list.as_deref()) {
                self.error(option, bakelite_engine::chain_of(&error));
            }
        }
        self.algorithms("ssh_ciphers", options.ssh_ciphers.as_deref(), algorithms::is_cipher);
        self.algorithms(
            "ssh_key_exchange_algorithms",
            options.ssh_key_exchange_algorithms.as_deref(),
            algorithms::is_key_exchange,
        );
        for (option, given) in [
            ("ssh_timeout", options.ssh_timeout),
            ("ssh_wait_timeout", options.ssh_wait_timeout),
        ] {
            if given.is_some_and(|span| span.nanoseconds() < 0) {
                self.error(option, format!("`{option}` must not be negative"));
            }
        }
    }

    fn bastion(&mut self) {
        let options = self.options;
        if options.ssh_proxy_host.is_some() {
            let message = "`ssh_bastion_host` cannot be given together with `ssh_proxy_host`";
            self.error("ssh_bastion_host", message);
        }
        if options.ssh_bastion_host_key.0.len() > options.bastions().len() {
            let message = "`ssh_bastion_host_key` names more keys than there are bastions";
            self.error("ssh_bastion_host_key", message);
        }
        let key = options.ssh_bastion_private_key_file.as_deref();
        self.key("ssh_bastion_private_key_file", key);
        self.certificate(
            "ssh_bastion_certificate_file",
            options.ssh_bastion_certificate_file.as_deref(),
            "ssh_bastion_private_key_file",
            key.is_some(),
        );
        let can_log_in = key.is_some()
            || options.ssh_private_key_file.is_some()
            || options.ssh_bastion_password.is_some()
            || options.ssh_bastion_agent_auth
            || options.ssh_bastion_interactive;
        if !can_log_in {
            let complaint = Complaint::error("ssh_bastion_host", "no credentials for the bastion");
            self.complaints.push(complaint.help(
                "give `ssh_bastion_private_key_file` or `ssh_bastion_password`, or set `ssh_bastion_agent_auth` or `ssh_bastion_interactive`",
            ));
        }
    }

    /// A key file must exist and be a private key, protected or not.
    fn key(&mut self, option: &str, path: Option<&str>) {
        match path.and_then(|path| self.readable(path, |path| key::read(path, None))) {
            None | Some(Ok(_) | Err(KeyError::Encrypted { .. })) => {}
            Some(Err(error)) => self.complaints.push(Error::from(error).complaint(option)),
        }
    }

    /// A certificate needs its key.
    fn certificate(&mut self, option: &str, path: Option<&str>, key_option: &str, has_key: bool) {
        let Some(path) = path else { return };
        if !has_key {
            self.error(option, format!("`{option}` needs `{key_option}`"));
        } else if let Some(Err(error)) = self.readable(path, key::read_certificate) {
            self.complaints.push(Error::from(error).complaint(option));
        }
    }

    /// What reading a file of the template yields; nothing when it is in a home directory that is not known.
    fn readable<T>(&self, path: &str, read: impl FnOnce(&Path) -> T) -> Option<T> {
        let is_known = self.home.is_some() || !(path == "~" || path.starts_with("~/"));
        is_known.then(|| read(&local_path(path, self.home, Path::new(""))))
    }

    fn algorithms(&mut self, option: &str, names: Option<&[String]>, is_known: fn(&str) -> bool) {
        let names = names.unwrap_or_default();
        let unknown = names.iter().filter(|name| !is_known(name));
        let unknown: Vec<String> = unknown.map(|name| format!("`{name}`")).collect();
        if unknown.is_empty() {
            return;
        }
        let listed = unknown.join(", ");
        if unknown.len() == names.len() {
            self.error(option, format!("`{option}` names no algorithm that is known: {listed}"));
        } else {
            let message = format!("`{option}`: {listed} unknown and not offered");
            self.complaints.push(Complaint::warning(option, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(json: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        serde_json::from_str::<CommunicatorOptions>(json)
            .unwrap()
            .check(None, &mut complaints);
        complaints
            .into_iter()
            .map(|complaint| format!("{:?} {}: {}", complaint.severity, complaint.option, complaint.message))
            .collect()
    }

    #[test]
    fn ssh_needs_a_user_and_none_needs_nothing() {
        assert_eq!(complaints("{}"), ["Error : `ssh_username` must be given"]);
        assert_eq!(
            complaints(r#"{"communicator": "none", "ssh_certificate_file": "x"}"#),
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
            missing[0].starts_with("Error ssh_private_key_file: failed to read private key `/nonexistent/key`"),
            "{missing:?}"
        );
        let alone = complaints(r#"{"ssh_username": "u", "ssh_certificate_file": "/nonexistent/cert"}"#);
        assert_eq!(
            alone,
            ["Error ssh_certificate_file: `ssh_certificate_file` needs `ssh_private_key_file`"]
        );
    }

    #[test]
    fn a_key_in_the_home_directory_is_looked_for_where_that_is_known() {
        let home = tempfile::tempdir().unwrap();
        let options = r#"{"ssh_username": "u", "ssh_private_key_file": "~/key"}"#;
        let options: CommunicatorOptions = serde_json::from_str(options).unwrap();
        let check = |home: Option<&Path>| {
            let mut complaints = Vec::new();
            options.check(home, &mut complaints);
            complaints
        };
        assert_eq!(check(None), []);
        let missing = check(Some(home.path()));
        let expected = format!("failed to read private key `{}/key`", home.path().display());
        assert!(missing[0].message.starts_with(&expected), "{missing:?}");
    }

    #[test]
    fn a_bastion_has_one_host_key() {
        let with = |key: &str| {
            complaints(&format!(
                r#"{{"ssh_username": "u", "ssh_bastion_host": "b", "ssh_bastion_password": "p", "ssh_bastion_host_key": "{key}"}}"#
            ))
        };
        assert_eq!(with("pin:SHA256:abc"), Vec::<String>::new());
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
