//! What `ansible-playbook` is called with, in this order, and what of it is shown.

use std::path::Path;

use bakelite_scripts::quote;

use super::options::AnsibleOptions;
use super::reach::Reach;

/// What stands where a secret was.
const MASK: &str = "*****";

/// A call of Ansible.
pub(crate) struct Call<'a> {
    /// The template's wishes.
    pub(crate) options: &'a AnsibleOptions,
    /// How the instance is reached.
    pub(crate) reach: &'a Reach,
    /// The source's name.
    pub(crate) build_name: &'a str,
    /// The builder.
    pub(crate) builder: &'a str,
    /// `extra_arguments`, rendered.
    pub(crate) extra: &'a [String],
    /// The builder's HTTP server.
    pub(crate) http_address: Option<&'a str>,
    /// The inventory.
    pub(crate) inventory: &'a Path,
    /// The playbook.
    pub(crate) playbook: &'a Path,
}

impl Call<'_> {
    /// All arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let reach = self.reach;
        let mut words = Vec::new();
        let variable = |words: &mut Vec<String>, text: String| words.extend(["-e".to_owned(), text]);
        variable(&mut words, format!("packer_build_name={:?}", self.build_name));
        variable(&mut words, format!("packer_builder_type={}", self.builder));
        if let Some(address) = self.http_address {
            variable(&mut words, format!("packer_http_addr={address}"));
        }
        if let Some(arguments) = self.ssh_extra_arguments() {
            words.extend(["--ssh-extra-args".to_owned(), arguments]);
        }
        if let Some(arguments) = &reach.ssh_common_arguments {
            words.extend(["--ssh-common-args".to_owned(), arguments.clone()]);
        }
        words.extend(self.extra.iter().cloned());
        if reach.by_winrm && self.options.ansible_winrm_use_http {
            variable(&mut words, "ansible_winrm_scheme=http".into());
        }
        let password_is_theirs = self.mentions("ansible_password");
        if let Some(file) = reach.secrets.as_ref().filter(|_| !password_is_theirs) {
            variable(&mut words, format!("@{}", file.path().display()));
        }
        if let Some(key) = reach.key_file().filter(|_| !password_is_theirs) {
            variable(
                &mut words,
                key_value("ansible_ssh_private_key_file", &key.display().to_string()),
            );
        }
        let has_password = password_is_theirs || reach.secrets.is_some();
        if !reach.by_winrm && has_password && !self.mentions("ansible_host_key_checking") {
            variable(&mut words, "ansible_host_key_checking=False".into());
        }
        words.extend(["-i".to_owned(), self.inventory.display().to_string()]);
        words.push(self.playbook.display().to_string());
        words
    }

    /// Arguments for OpenSSH's client, each in quotes of its own: Ansible splits them as a shell does.
    fn ssh_extra_arguments(&self) -> Option<String> {
        if !self.reach.instance_speaks_ssh || self.reach.key_file().is_none() {
            return None;
        }
        let arguments = &self.options.ansible_ssh_extra_args;
        let quoted: Vec<String> = arguments.iter().map(|argument| quote::word(argument)).collect();
        (!quoted.is_empty()).then(|| quoted.join(" "))
    }

    /// Does the template set this variable itself?
    fn mentions(&self, variable: &str) -> bool {
        self.extra.iter().any(|argument| argument.contains(variable))
    }
}

/// A variable as Ansible reads it, in quotes when its value needs them.
fn key_value(name: &str, value: &str) -> String {
    let is_plain = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c));
    if is_plain {
        format!("{name}={value}")
    } else {
        format!("{name}={value:?}")
    }
}

/// The command as it may be shown: without `secrets`, and without what follows a name that speaks of one.
pub(crate) fn shown(program: &str, arguments: &[String], secrets: &[&str]) -> String {
    let mut words = vec![program.to_owned()];
    words.extend(arguments.iter().map(|argument| masked(argument, secrets)));
    words.join(" ")
}

fn masked(argument: &str, secrets: &[&str]) -> String {
    let mut text = argument.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, MASK);
    }
    let lower = text.to_ascii_lowercase();
    let named = ["password", "secret"].iter().filter_map(|word| lower.find(word)).min();
    let Some(named) = named else { return text };
    // All of the rest: where the secret ends only Ansible knows.
    match lower.get(named..).and_then(|rest| rest.find(['=', ':'])) {
        Some(sign) => format!("{}{MASK}", text.get(..=named + sign).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::reach::{Key, Secrets};
    use super::super::testing::{options, reach};
    use super::*;

    fn arguments(json: &str, reach: &Reach) -> Vec<String> {
        let options = options(json);
        let call = Call {
            options: &options,
            reach,
            build_name: "web \"1\"",
            builder: "null",
            extra: &options.extra_arguments,
            http_address: Some("10.0.0.1:8000"),
            inventory: Path::new("/tmp/inventory"),
            playbook: Path::new("/play.yml"),
        };
        call.arguments()
    }

    fn with_key() -> Reach {
        Reach {
            key: Some(Key::OfUser(PathBuf::from("/my keys/k"))),
            ..reach()
        }
    }

    #[test]
    fn the_order_is_the_one_that_users_know() {
        assert_eq!(
            arguments(r#"{"extra_arguments": ["-v", "--extra-vars", "a=1"]}"#, &with_key()),
            [
                "-e",
                r#"packer_build_name="web \"1\"""#,
                "-e",
                "packer_builder_type=null",
                "-e",
                "packer_http_addr=10.0.0.1:8000",
                "--ssh-extra-args",
                "'-o IdentitiesOnly=yes'",
                "-v",
                "--extra-vars",
                "a=1",
                "-e",
                "ansible_ssh_private_key_file=\"/my keys/k\"",
                "-i",
                "/tmp/inventory",
                "/play.yml",
            ]
        );
    }

    #[test]
    fn arguments_for_ssh_are_given_with_a_key_only_and_each_is_quoted() {
        let own = r#"{"ansible_ssh_extra_args": ["-o A=b", "-v"]}"#;
        assert!(arguments(own, &with_key()).contains(&"'-o A=b' -v".to_owned()));
        for (json, reach) in [
            (own, reach()),
            (r#"{"ansible_ssh_extra_args": []}"#, with_key()),
            (
                own,
                Reach {
                    instance_speaks_ssh: false,
                    ..with_key()
                },
            ),
        ] {
            assert!(!arguments(json, &reach).contains(&"--ssh-extra-args".to_owned()));
        }
    }

    #[test]
    fn a_password_is_handed_over_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let reach = Reach {
            secrets: Some(Secrets::write("hunter2", &super::super::testing::run(directory.path())).unwrap()),
            ..reach()
        };
        let all = arguments("{}", &reach);
        assert!(all.iter().all(|argument| !argument.contains("hunter2")), "{all:?}");
        let file = all.iter().find_map(|argument| argument.strip_prefix('@')).unwrap();
        assert!(std::fs::read_to_string(file).unwrap().contains("hunter2"));
        assert!(all.contains(&"ansible_host_key_checking=False".to_owned()));
        let theirs = arguments(
            r#"{"extra_arguments": ["-e", "ansible_password=x ansible_host_key_checking=True"]}"#,
            &reach,
        );
        assert!(
            theirs
                .iter()
                .all(|argument| !argument.starts_with('@') && argument != "ansible_host_key_checking=False")
        );
    }

    #[test]
    fn a_password_of_the_templates_own_wins_over_our_key() {
        let all = arguments(r#"{"extra_arguments": ["-e", "ansible_password=x"]}"#, &with_key());
        assert!(
            !all.iter()
                .any(|argument| argument.starts_with("ansible_ssh_private_key_file")),
            "{all:?}"
        );
        assert!(all.contains(&"ansible_host_key_checking=False".to_owned()));
    }

    #[test]
    fn winrm_without_tls_is_said() {
        let windows = Reach {
            by_winrm: true,
            instance_speaks_ssh: false,
            ..reach()
        };
        assert!(
            arguments(r#"{"ansible_winrm_use_http": true}"#, &windows)
                .contains(&"ansible_winrm_scheme=http".to_owned())
        );
        assert!(!arguments("{}", &windows).contains(&"ansible_winrm_scheme=http".to_owned()));
    }

    #[test]
    fn secrets_are_not_shown() {
        let words = [
            "-e",
            "a=1 pass=hunter2 b",
            "-e",
            "db_Password='x y'",
            "-e",
            "{\"my_secret\": 1}",
            "--vault-password-file",
            "/f",
        ];
        let words: Vec<String> = words.map(str::to_owned).into();
        assert_eq!(
            shown("ansible-playbook", &words, &["hunter2", ""]),
            "ansible-playbook -e a=1 pass=***** b -e db_Password=***** -e {\"my_secret\":***** --vault-password-file /f"
        );
    }
}
