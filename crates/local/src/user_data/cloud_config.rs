//! `#cloud-config`: keys and what they mean, in the order in which cloud-init's modules run.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::yaml::{self, Node};
use super::{failure, gunzipped};
use crate::sandbox::{Action, NewFile, NewUser, Script};

const PACKAGES: &str = include_str!("packages.sh");

/// The keys of a document, or of several.
#[derive(Debug, Default)]
pub(super) struct CloudConfig {
    members: Vec<(String, Node)>,
}

/// What the keys ask for.
#[derive(Default)]
struct Asked {
    printed: Vec<Action>,
    bootcmd: Option<Script>,
    files: Vec<NewFile>,
    files_at_end: Vec<NewFile>,
    hostname: Option<String>,
    users: Vec<Action>,
    keys: Vec<String>,
    update: bool,
    upgrade: bool,
    packages: Vec<String>,
    runcmd: Option<Script>,
}

impl CloudConfig {
    /// The keys of a document; the error is a fragment.
    pub(super) fn parse(content: &[u8]) -> Result<CloudConfig, String> {
        let text = str::from_utf8(content).map_err(|error| error.to_string())?;
        match yaml::parse(text.strip_prefix('\u{feff}').unwrap_or(text))? {
            Node::Map(members) => Ok(CloudConfig { members }),
            node if node.is_null() => Ok(CloudConfig::default()),
            _ => Err("the document is not a mapping".to_owned()),
        }
    }

    /// These keys with those of a later document, which replace them.
    pub(super) fn with(mut self, later: CloudConfig) -> CloudConfig {
        self.members
            .retain(|(name, _)| !later.members.iter().any(|(other, _)| other == name));
        self.members.extend(later.members);
        self
    }

    /// What is done before scripts of the user's run, and what is one of them.
    pub(super) fn actions(&self, login_user: Option<&str>) -> (Vec<Action>, Option<Script>) {
        let mut asked = Asked::default();
        for (name, node) in &self.members {
            if let Err(error) = asked.take(name, node) {
                asked.printed.push(failure(&format!("cloud-config: `{name}`: {error}")));
            }
        }
        asked.actions(login_user)
    }
}

impl Asked {
    fn take(&mut self, name: &str, node: &Node) -> Result<(), String> {
        if node.is_null() {
            return Ok(());
        }
        match name {
            "bootcmd" => self.bootcmd = Some(commands("bootcmd", node, false)?),
            "runcmd" => self.runcmd = Some(commands("runcmd", node, true)?),
            "write_files" => self.take_files(node)?,
            "hostname" => self.hostname = Some(host_name(node)?),
            "fqdn" if self.hostname.is_none() => self.hostname = Some(host_name(node)?),
            "fqdn" => {}
            "users" => self.take_users(node)?,
            "ssh_authorized_keys" => self.keys = lines(node)?,
            "packages" => self.take_packages(node)?,
            "package_update" | "apt_update" => self.update = boolean(node)?,
            "package_upgrade" | "apt_upgrade" => self.upgrade = boolean(node)?,
            _ => self.note(&format!(
                "`{name}` is not supported by the local cloud and has no effect"
            )),
        }
        Ok(())
    }

    fn note(&mut self, line: &str) {
        self.printed.push(Action::Print {
            line: format!("cloud-config: {line}"),
            failed: false,
        });
    }

    fn take_files(&mut self, node: &Node) -> Result<(), String> {
        for (index, entry) in list(node)?.iter().enumerate() {
            match self.file(entry) {
                Ok((file, false)) => self.files.push(file),
                Ok((file, true)) => self.files_at_end.push(file),
                Err(error) => {
                    let line = format!("cloud-config: entry {} of `write_files`: {error}", index + 1);
                    self.printed.push(failure(&line));
                }
            }
        }
        Ok(())
    }

    /// A file, and whether it is written at the end.
    fn file(&mut self, entry: &Node) -> Result<(NewFile, bool), String> {
        let mut file = NewFile {
            path: PathBuf::new(),
            content: Vec::new(),
            mode: 0o644,
            owner: None,
            append: false,
        };
        let (mut content, mut encoding, mut is_last) = (&Node::Bytes(Vec::new()), "text/plain", false);
        for (name, node) in mapping(entry)?.iter().filter(|(_, node)| !node.is_null()) {
            match name.as_str() {
                "path" => file.path = PathBuf::from(string(node)?),
                "content" => content = node,
                "encoding" => encoding = string(node)?,
                "permissions" => file.mode = self.mode(node)?,
                "owner" => file.owner = Some(string(node)?.to_owned()),
                "append" => file.append = boolean(node)?,
                "defer" => is_last = boolean(node)?,
                other => return Err(format!("`{other}` is not supported by the local cloud")),
            }
        }
        if !file.path.is_absolute() {
            return Err(format!("`path` is not an absolute path: `{}`", file.path.display()));
        }
        file.content = decoded(content, encoding)?;
        Ok((file, is_last))
    }

    /// A file's mode: octal digits in quotes or with a `0` before them. Other numbers are decimal, as YAML has them.
    fn mode(&mut self, node: &Node) -> Result<u32, String> {
        let text = string(node)?;
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let is_octal = !matches!(node, Node::Scalar { is_plain: true, .. }) || text.starts_with('0');
        let mode = u32::from_str_radix(digits, if is_octal { 8 } else { 10 });
        let mode = mode.ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| format!("`permissions` are not an octal mode: `{text}`"))?;
        if !is_octal {
            self.note(&format!(
                "`permissions: {text}` is a decimal number, {mode:o} in octal: write '0{text}'"
            ));
        }
        Ok(mode)
    }

    fn take_users(&mut self, node: &Node) -> Result<(), String> {
        let mut has_default = false;
        for entry in list(node)? {
            let names = match entry {
                Node::Map(members) => {
                    match self.user(members) {
                        Ok(user) => self.users.push(Action::Create(user)),
                        Err(error) => self
                            .printed
                            .push(failure(&format!("cloud-config: an entry of `users`: {error}"))),
                    }
                    continue;
                }
                scalar => string(scalar)?,
            };
            for name in comma_separated(names) {
                if name == "default" {
                    has_default = true;
                } else {
                    self.users.push(Action::Create(new_user(&name)));
                }
            }
        }
        if !has_default {
            self.note("the image's login user exists also though `users` does not list `default`");
        }
        Ok(())
    }

    fn user(&mut self, members: &[(String, Node)]) -> Result<NewUser, String> {
        let mut user = new_user("");
        for (name, node) in members.iter().filter(|(_, node)| !node.is_null()) {
            match name.as_str() {
                "name" => string(node)?.clone_into(&mut user.name),
                "gecos" => string(node)?.clone_into(&mut user.comment),
                "groups" => {
                    user.groups = strings(node)?
                        .iter()
                        .flat_map(|groups| comma_separated(groups))
                        .collect();
                }
                "shell" => user.shell = Some(string(node)?.to_owned()),
                "ssh_authorized_keys" | "ssh-authorized-keys" => user.keys = lines(node)?,
                // Nobody is a sudoer without a rule; `false` says so.
                "sudo" if node.boolean() == Some(false) => {}
                "sudo" => user.sudo = strings(node)?,
                // Accounts have no password here.
                "lock_passwd" | "lock-passwd" if node.boolean() == Some(true) => {}
                other => {
                    self.note(&format!(
                        "`{other}` of a user is not supported by the local cloud and has no effect"
                    ));
                }
            }
        }
        if user.name.is_empty() {
            return Err("it has no `name`".to_owned());
        }
        let fields = [&user.comment].into_iter().chain(&user.shell).chain(&user.groups);
        if fields.chain(&user.sudo).any(|field| field.contains('\n'))
            || [&user.comment]
                .into_iter()
                .chain(&user.shell)
                .any(|field| field.contains(':'))
        {
            return Err(format!("a field of `{}` has a line end or a colon", user.name));
        }
        Ok(user)
    }

    fn take_packages(&mut self, node: &Node) -> Result<(), String> {
        for entry in list(node)? {
            match entry {
                Node::List(pair) => match pair.as_slice() {
                    [name, version] => self.packages.push(format!("{}={}", string(name)?, string(version)?)),
                    _ => return Err("a list in it is not a name and a version".to_owned()),
                },
                entry => self.packages.push(string(entry)?.to_owned()),
            }
        }
        Ok(())
    }

    fn actions(self, login_user: Option<&str>) -> (Vec<Action>, Option<Script>) {
        let mut actions = self.printed;
        actions.extend(self.bootcmd.map(Action::Run));
        actions.extend(self.files.into_iter().map(Action::Write));
        actions.extend(self.hostname.map(Action::Rename));
        actions.extend(self.users);
        if !self.keys.is_empty() {
            actions.push(Action::Authorize {
                user: login_user.unwrap_or("root").to_owned(),
                keys: self.keys,
            });
        }
        if self.update || self.upgrade || !self.packages.is_empty() {
            let mut arguments = vec![self.update.to_string(), self.upgrade.to_string()];
            arguments.extend(self.packages);
            actions.push(Action::Run(Script {
                name: "packages".to_owned(),
                content: PACKAGES.into(),
                arguments,
                is_kept: false,
            }));
        }
        actions.extend(self.files_at_end.into_iter().map(Action::Write));
        (actions, self.runcmd)
    }
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        name: name.to_owned(),
        comment: String::new(),
        groups: Vec::new(),
        sudo: Vec::new(),
        shell: None,
        keys: Vec::new(),
    }
}

fn list(node: &Node) -> Result<&[Node], String> {
    match node {
        Node::List(elements) => Ok(elements),
        _ => Err("it is not a list".to_owned()),
    }
}

fn mapping(node: &Node) -> Result<&[(String, Node)], String> {
    match node {
        Node::Map(members) => Ok(members),
        _ => Err("it is not a mapping".to_owned()),
    }
}

fn string(node: &Node) -> Result<&str, String> {
    node.text().ok_or_else(|| "a value is not a string".to_owned())
}

fn boolean(node: &Node) -> Result<bool, String> {
    node.boolean().ok_or_else(|| "a value is not a boolean".to_owned())
}

/// A list of strings; one string is a list of one.
fn strings(node: &Node) -> Result<Vec<String>, String> {
    match node {
        Node::List(elements) => elements
            .iter()
            .map(|element| string(element).map(str::to_owned))
            .collect(),
        scalar => Ok(vec![string(scalar)?.to_owned()]),
    }
}

/// The lines of all strings.
fn lines(node: &Node) -> Result<Vec<String>, String> {
    Ok(strings(node)?
        .iter()
        .flat_map(|text| text.lines().map(str::to_owned))
        .collect())
}

fn comma_separated(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The first label of a host's name.
fn host_name(node: &Node) -> Result<String, String> {
    let name = string(node)?.split('.').next().unwrap_or_default();
    let is_valid = !name.starts_with('-')
        && (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
    if is_valid {
        Ok(name.to_owned())
    } else {
        Err(format!("`{name}` is not a host name"))
    }
}

/// A script of commands: strings are lines of it, lists are commands with their arguments.
fn commands(name: &str, node: &Node, is_kept: bool) -> Result<Script, String> {
    let mut script = "#!/bin/sh\n".to_owned();
    for command in list(node)?.iter().filter(|command| !command.is_null()) {
        match command {
            Node::List(words) => {
                let words = words.iter().map(|word| {
                    let word = if word.is_null() { "" } else { string(word)? };
                    Ok(format!("'{}'", word.replace('\'', "'\\''")))
                });
                script.push_str(&words.collect::<Result<Vec<_>, String>>()?.join(" "));
            }
            line => script.push_str(string(line)?),
        }
        script.push('\n');
    }
    Ok(Script {
        name: name.to_owned(),
        content: script.into_bytes(),
        arguments: Vec::new(),
        is_kept,
    })
}

/// The content of a file.
fn decoded(content: &Node, encoding: &str) -> Result<Vec<u8>, String> {
    let bytes = match content {
        Node::Bytes(bytes) => bytes.clone(),
        scalar => string(scalar)?.as_bytes().to_vec(),
    };
    let from_base64 = |bytes: Vec<u8>| {
        let letters: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64_STANDARD
            .decode(letters)
            .map_err(|_| "`content` is not base64".to_owned())
    };
    match encoding.trim().to_ascii_lowercase().as_str() {
        "text/plain" => Ok(bytes),
        "b64" | "base64" => from_base64(bytes),
        "gz" | "gzip" => gunzipped(&bytes),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => gunzipped(&from_base64(bytes)?),
        other => Err(format!("the encoding `{other}` is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::super::tests::shown;

    fn done(config: &str) -> Vec<String> {
        shown(&read(format!("#cloud-config\n{config}").as_bytes(), Some("ubuntu")))
    }

    #[test]
    fn modules_run_in_their_order() {
        let config = "runcmd:\n- echo $HOME\n- [echo, it's, 010, ~]\n- ~\nbootcmd: [ls]\npackages: [nginx, [curl, '8']]\n\
            package_upgrade: on\nhostname: web.example.com\nssh_authorized_keys: [ssh-ed25519 A]\nusers:\n- default\n- name: a\n\
            \x20 groups: x, y\n  sudo: 'ALL=(ALL) ALL'\n  ssh_authorized_keys: ssh-rsa B\n  shell: /bin/sh\n\
            write_files:\n- {path: /last, defer: true, owner: 'a:a'}\n- path: /first\n  content: hi\n";
        assert_eq!(
            done(config),
            [
                "run bootcmd [] \"-\"",
                "write /first 644 - \"hi\"",
                "hostname web",
                "NewUser { name: \"a\", comment: \"\", groups: [\"x\", \"y\"], sudo: [\"ALL=(ALL) ALL\"], shell: Some(\"/bin/sh\"), \
                 keys: [\"ssh-rsa B\"] }",
                "authorize \"ubuntu\" [\"ssh-ed25519 A\"]",
                "run packages [\"false\", \"true\", \"nginx\", \"curl=8\"] \"-\"",
                "write /last 644 a:a \"\"",
                "run runcmd [] \"#!/bin/sh\\necho $HOME\\n'echo' 'it'\\\\''s' '010' ''\\n\"",
            ]
        );
    }

    #[test]
    fn files_have_modes_and_encodings() {
        let hi_packed = "H4sIAAAAAAAAA8vIBACsKpPYAgAAAA==";
        let config = format!(
            "write_files:\n- {{path: /a, content: aGk=, encoding: b64, permissions: '0755'}}\n\
             - {{path: /b, content: {hi_packed}, encoding: gz+b64, permissions: 0600, append: true}}\n\
             - {{path: /c, content: !!binary {hi_packed}, encoding: gzip, permissions: '400'}}\n"
        );
        assert_eq!(
            done(&config),
            [
                "write /a 755 - \"hi\"",
                "write /b 600 - append \"hi\"",
                "write /c 400 - \"hi\""
            ]
        );
        assert_eq!(
            done("write_files:\n- {path: /a, permissions: 644}"),
            [
                "note: cloud-config: `permissions: 644` is a decimal number, 1204 in octal: write '0644'",
                "write /a 1204 - \"\""
            ]
        );
    }

    #[test]
    fn what_has_no_effect_is_reported() {
        for (config, expected) in [
            (
                "mounts: []",
                "note: cloud-config: `mounts` is not supported by the local cloud and has no effect",
            ),
            ("runcmd: ls", "failure: cloud-config: `runcmd`: it is not a list"),
            (
                "runcmd: [{a: b}]",
                "failure: cloud-config: `runcmd`: a value is not a string",
            ),
            (
                "hostname: a b",
                "failure: cloud-config: `hostname`: `a b` is not a host name",
            ),
            ("[a]", "failure: cloud-config: the document is not a mapping"),
            (
                "write_files: [{path: a}]",
                "failure: cloud-config: entry 1 of `write_files`: `path` is not an absolute path: `a`",
            ),
            (
                "write_files: [{path: /a, content: '%', encoding: b64}]",
                "failure: cloud-config: entry 1 of `write_files`: `content` is not base64",
            ),
            (
                "write_files: [{path: /a, permissions: rwx}]",
                "failure: cloud-config: entry 1 of `write_files`: `permissions` are not an octal mode: `rwx`",
            ),
            (
                "packages: [[a]]",
                "failure: cloud-config: `packages`: a list in it is not a name and a version",
            ),
            (
                "users: [default, {gecos: x}]",
                "failure: cloud-config: an entry of `users`: it has no `name`",
            ),
            (
                "users: [default, {name: a, shell: \"x\\ny\"}]",
                "failure: cloud-config: an entry of `users`: a field of `a` has a line end or a colon",
            ),
            (
                "users: []",
                "note: cloud-config: the image's login user exists also though `users` does not list `default`",
            ),
        ] {
            assert_eq!(done(config), [expected], "{config}");
        }
        assert_eq!(done("runcmd: ~"), Vec::<String>::new());
    }
}
