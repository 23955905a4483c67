//! User data: what its template's author wants an instance to do at its first boot, as a list of actions in the order of cloud-init.
//!
//! It is read here, outside of the sandbox, and done inside (`sandbox/first_boot.rs`). What cannot be done is a line on the instance's
//! console, never silence.

mod cloud_config;
mod mime;
mod yaml;

use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

use crate::sandbox::{Action, NewFile, Script};
use cloud_config::CloudConfig;

/// The most that user data, or a file in it, may be when it is unpacked, in bytes.
const MOST_UNPACKED: usize = 1 << 20;
/// What starts like this runs as a program.
const SCRIPT: &[u8] = b"#!";
/// First lines of what cloud-init takes and we do not.
const UNSUPPORTED: [&str; 7] = [
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#cloud-boothook",
    "#include",
    "#part-handler",
    "#upstart-job",
    "## template:",
];

/// What an instance does at its first boot. `login_user` is the user whom its image has.
pub(crate) fn read(data: &[u8], login_user: Option<&str>) -> Vec<Action> {
    if data.is_empty() {
        return Vec::new();
    }
    let mut first = vec![Action::Write(NewFile {
        path: PathBuf::from("/var/lib/cloud/instance/user-data.txt"),
        content: data.to_vec(),
        mode: 0o600,
        owner: None,
        append: false,
    })];
    let mut parts = Parts::default();
    if let Err(error) = parts.take(data) {
        first.push(failure(&error));
    }
    first.extend(parts.actions(login_user));
    first
}

/// The keys that may log in because user data has them.
pub(crate) fn authorized_keys(actions: &[Action]) -> impl Iterator<Item = &String> {
    actions.iter().flat_map(|action| match action {
        Action::Create(user) => user.keys.as_slice(),
        Action::Authorize { keys, .. } => keys,
        _ => &[],
    })
}

/// What is wrong with the user data or has no effect, for whoever started the instance.
pub(crate) fn complaints(actions: &[Action]) -> impl Iterator<Item = &String> {
    actions.iter().filter_map(|action| match action {
        Action::Print { line, .. } => Some(line),
        _ => None,
    })
}

fn failure(line: &str) -> Action {
    Action::Print {
        line: line.to_owned(),
        failed: true,
    }
}

/// The parts of user data, by what they are.
#[derive(Default)]
struct Parts {
    scripts: Vec<Script>,
    config: Option<CloudConfig>,
    /// About parts that are something else.
    printed: Vec<Action>,
    /// How many parts there were.
    count: usize,
}

impl Parts {
    fn take(&mut self, data: &[u8]) -> Result<(), String> {
        let data = unpacked(data.to_vec())?;
        if !mime::is_message(&data) {
            self.take_part(None, None, data);
            return Ok(());
        }
        for part in mime::parts(&data)? {
            match unpacked(part.content) {
                Ok(content) => self.take_part(Some(&part.content_type), part.file_name, content),
                Err(error) => self.printed.push(failure(&error)),
            }
        }
        Ok(())
    }

    fn take_part(&mut self, content_type: Option<&str>, file_name: Option<String>, content: Vec<u8>) {
        self.count += 1;
        let start = content.trim_ascii_start();
        let is_script = content_type == Some("text/x-shellscript") || start.starts_with(SCRIPT);
        let unsupported = UNSUPPORTED.iter().find(|line| start.starts_with(line.as_bytes()));
        if is_script {
            let name = file_name.filter(|name| is_file_name(name));
            self.scripts.push(Script {
                name: name.unwrap_or_else(|| format!("part-{:03}", self.count)),
                content,
                arguments: Vec::new(),
                is_kept: true,
            });
        } else if let Some(line) = unsupported {
            let line =
                format!("user data that starts with `{line}` is not supported by the local cloud and has no effect");
            self.printed.push(failure(&line));
        } else if content_type == Some("text/cloud-config") || start.starts_with(b"#cloud-config") {
            match CloudConfig::parse(&content) {
                Ok(config) => self.config = Some(self.config.take().unwrap_or_default().with(config)),
                Err(error) => self.printed.push(failure(&format!("cloud-config: {error}"))),
            }
        } else if !start.is_empty() {
            let line = match content_type {
                Some(kind) if !kind.starts_with("text/plain") => {
                    format!("user data of the type `{kind}` is not supported by the local cloud and has no effect")
                }
                _ => {
                    "user data is neither a script (`#!`) nor a `#cloud-config`: it is served by the metadata service, \
                      and nothing is run"
                        .to_owned()
                }
            };
            self.printed.push(Action::Print { line, failed: false });
        }
    }

    fn actions(self, login_user: Option<&str>) -> Vec<Action> {
        let mut actions = self.printed;
        let mut scripts = self.scripts;
        if let Some(config) = self.config {
            let (before, runcmd) = config.actions(login_user);
            actions.extend(before);
            scripts.extend(runcmd);
        }
        scripts.sort_by(|one, other| one.name.cmp(&other.name));
        actions.extend(scripts.into_iter().map(Action::Run));
        actions
    }
}

/// Whether a part's file name may be one in the directory of scripts.
fn is_file_name(name: &str) -> bool {
    !name.starts_with('.')
        && (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Data, unpacked if it is in gzip's format.
fn unpacked(data: Vec<u8>) -> Result<Vec<u8>, String> {
    if data.starts_with(&[0x1f, 0x8b]) {
        gunzipped(&data)
    } else {
        Ok(data)
    }
}

/// What is packed in gzip's format.
fn gunzipped(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(MOST_UNPACKED as u64 + 1);
    reader
        .read_to_end(&mut content)
        .map_err(|error| format!("failed to unpack gzip: {error}"))?;
    if content.len() > MOST_UNPACKED {
        return Err(format!("failed to unpack gzip: more than {MOST_UNPACKED} bytes"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What is done, a line for each.
    pub(super) fn shown(actions: &[Action]) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines = actions.iter().map(|action| match action {
            Action::Print { line, failed } => format!("{}: {line}", if *failed { "failure" } else { "note" }),
            Action::Rename(name) => format!("hostname {name}"),
            Action::Write(file) => format!(
                "write {} {:o} {}{} {:?}",
                file.path.display(),
                file.mode,
                file.owner.as_deref().unwrap_or("-"),
                if file.append { " append" } else { "" },
                text(&file.content)
            ),
            Action::Create(user) => format!("{user:?}"),
            Action::Authorize { user, keys } => format!("authorize {user:?} {keys:?}"),
            Action::Run(script) => {
                let content = if script.is_kept {
                    text(&script.content)
                } else {
                    "-".to_owned()
                };
                format!("run {} {:?} {content:?}", script.name, script.arguments)
            }
        });
        lines
            .filter(|line| !line.starts_with("write /var/lib/cloud/instance/user-data.txt 600"))
            .collect()
    }

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn scripts_run_as_they_are() {
        let script = b"#!/bin/sh\necho hi\n";
        let expected = ["run part-001 [] \"#!/bin/sh\\necho hi\\n\""];
        assert_eq!(shown(&read(script, None)), expected);
        assert_eq!(shown(&read(&packed(script), None)), expected);
        assert_eq!(read(b"", None), []);
    }

    #[test]
    fn parts_of_a_message_run_in_the_order_of_their_names() {
        let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/x-shellscript\n\n\
            #!/bin/sh\n: one\n--B\nContent-Type: text/cloud-config\n\n#cloud-config\nruncmd: [a]\nhostname: a\n--B\n\
            Content-Type: text/cloud-config\n\nruncmd: [b]\n--B\nContent-Type: text/x-shellscript\n\
            Content-Disposition: attachment; filename=\"00-first\"\n\n#!/bin/sh\n: two\n--B\nContent-Type: text/x-include-url\n\n\
            http://x\n--B--\n";
        assert_eq!(
            shown(&read(message.as_bytes(), None)),
            [
                "note: user data of the type `text/x-include-url` is not supported by the local cloud and has no effect",
                "hostname a",
                "run 00-first [] \"#!/bin/sh\\n: two\"",
                "run part-001 [] \"#!/bin/sh\\n: one\"",
                "run runcmd [] \"#!/bin/sh\\nb\\n\"",
            ]
        );
    }

    #[test]
    fn other_data_is_reported() {
        for (data, expected) in [
            ("{\"role\": \"web\"}", "note: user data is neither a script"),
            (
                "#include\nhttp://x",
                "failure: user data that starts with `#include` is not supported",
            ),
            (
                "## template: jinja\n#cloud-config\n",
                "failure: user data that starts with `## template:`",
            ),
            ("#cloud-config\na: [", "failure: cloud-config: "),
            ("\u{1f}", "note: user data is neither"),
        ] {
            let lines = shown(&read(data.as_bytes(), None));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].starts_with(expected), "{lines:?}");
        }
        assert!(shown(&read(b"\x1f\x8bx", None))[0].starts_with("failure: failed to unpack gzip"));
        let long = packed(&vec![b'x'; MOST_UNPACKED + 1]);
        assert!(shown(&read(&long, None))[0].contains("more than"));
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(data: Vec<u8>, lines in proptest::collection::vec("[ \\-a-z:\\[\\]{}&*'\"|>#,0-9]{0,20}", 0..12)) {
            let _ = read(&data, None);
            let text = lines.join("\n");
            let _ = read(format!("#cloud-config\n{text}").as_bytes(), Some("ubuntu"));
            for key in ["write_files", "users", "packages", "runcmd", "bootcmd", "ssh_authorized_keys"] {
                let _ = read(format!("#cloud-config\n{key}:\n{}", text.replace('\n', "\n ")).as_bytes(), Some("ubuntu"));
            }
            let _ = read(format!("MIME-Version: 1.0\nContent-Type: multipart/x; boundary=a\n\n--a\n{text}\n--a--").as_bytes(), None);
        }
    }
}
