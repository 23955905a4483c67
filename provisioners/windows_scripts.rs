//! Scripts as Windows wants them: what is uploaded in place of a script of this machine.
//!
//! Windows PowerShell 5 reads a script without a byte order mark in the machine's old code page, and cmd loses labels of a batch file
//! whose lines end as those of Unix do. What was written for people is therefore converted; `binary` leaves a script as it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bakelite_engine::communicator::{CommunicatorError, Exit};
use bakelite_engine::provisioner::Provisioning;
use bakelite_scripts::script::ScriptOptions;

use crate::remote_script::{
    CLEAN_UP_LIMIT, answer, lost, opened, unreadable, upload_file, upload_text, warn_of_remains,
};
use crate::retry::until_reachable;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// How long a clean-up is tried after scripts that did what they should: the instance may be about to restart, or to stop for good.
const PATIENT_LIMIT: Duration = Duration::from_mins(1);

/// A script that is to run on the instance.
pub(crate) enum WindowsScript {
    /// A text, made of the lines of `inline`.
    Inline(String),
    /// A file of this machine.
    File(PathBuf),
}

/// How a script goes over.
pub(crate) struct Conversion {
    /// What becomes of a script's text.
    pub(crate) convert: fn(Vec<u8>) -> Vec<u8>,
    /// `binary`: files go over as they are.
    pub(crate) binary: bool,
}

impl WindowsScript {
    /// The scripts of a provisioner in the order in which they run; `inline` makes one of inline lines.
    pub(crate) fn all(
        script: &ScriptOptions,
        working_directory: &Path,
        inline: impl FnOnce(&str) -> String,
    ) -> Vec<Self> {
        match script.inline_lines() {
            Some(lines) => vec![Self::Inline(inline(&lines))],
            None => script
                .paths()
                .map(|path| Self::File(working_directory.join(path)))
                .collect(),
        }
    }

    /// How it is told to people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Inline(_) => "inline".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Where it goes: a `remote_path` that ends in a separator is a directory.
    pub(crate) fn destination(&self, remote_path: &str, inline_name: &str) -> String {
        if !remote_path.ends_with(['/', '\\']) {
            return remote_path.to_owned();
        }
        let name = match self {
            Self::Inline(_) => inline_name.into(),
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy(),
        };
        format!("{remote_path}{name}")
    }

    /// Uploads it, converted; `first` are lines of ours before those of the script.
    pub(crate) async fn upload(
        &self,
        provisioning: &Provisioning,
        conversion: &Conversion,
        first: &str,
        path: &str,
    ) -> Result<(), CommunicatorError> {
        let text = match self {
            Self::Inline(text) => text.clone().into_bytes(),
            Self::File(script) if conversion.binary => {
                let file = opened(script, |script| std::fs::File::open(script))?;
                return upload_file(provisioning, file, 0o644, path).await;
            }
            Self::File(script) => tokio::fs::read(script)
                .await
                .map_err(|cause| unreadable(script, cause))?,
        };
        let mut converted = (conversion.convert)(text);
        converted.splice(0..0, first.bytes());
        upload_text(provisioning, &converted, path).await
    }
}

/// Removes what is ours from the instance by a command that ends with 0 when it is gone. What cannot be removed is told, and no error.
pub(crate) async fn remove(provisioning: &Provisioning, all_well: bool, what: &str, command: &str) {
    let limit = if all_well { PATIENT_LIMIT } else { CLEAN_UP_LIMIT };
    let removing = until_reachable(limit, &provisioning.cancel, || async move {
        let running = provisioning.communicator.exec(command).await;
        let running = running.map_err(CommunicatorError::of_repeatable_command)?;
        match answer(running).await.0 {
            Exit::Disconnected => Err(lost()),
            exit @ Exit::Status(_) => Ok(exit),
        }
    });
    if !matches!(removing.await, Ok(Exit::Status(0))) {
        warn_of_remains(provisioning, what);
    }
}

/// With a byte order mark when PowerShell would otherwise read the script's characters wrongly. A signed script stays as it was
/// signed, and what is not UTF-8 is in whatever the machine expects.
pub(crate) fn for_powershell(text: Vec<u8>) -> Vec<u8> {
    let needs_mark = match std::str::from_utf8(&text) {
        Ok(text) => {
            !text.is_ascii() && !text.starts_with('\u{feff}') && !text.contains("# SIG # Begin signature block")
        }
        Err(_) => false,
    };
    if needs_mark { [UTF8_MARK, &text].concat() } else { text }
}

/// With the line ends of Windows, and without a byte order mark, which cmd takes for the start of the first command.
pub(crate) fn for_cmd(text: Vec<u8>) -> Vec<u8> {
    if text.contains(&0) {
        return text;
    }
    let text = text.strip_prefix(UTF8_MARK).unwrap_or(&text);
    let mut converted = Vec::with_capacity(text.len() + 64);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(content) = line.strip_suffix(b"\n") else {
            converted.extend_from_slice(line);
            continue;
        };
        converted.extend_from_slice(content.strip_suffix(b"\r").unwrap_or(content));
        converted.extend_from_slice(b"\r\n");
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_file_has_the_line_ends_of_windows_whatever_it_had() {
        assert_eq!(for_cmd(b"a\nb\r\n\nc".to_vec()), b"a\r\nb\r\n\r\nc");
        assert_eq!(for_cmd(b"\xef\xbb\xbf@echo off\n".to_vec()), b"@echo off\r\n");
        assert_eq!(for_cmd(b"a\0\n\0".to_vec()), b"a\0\n\0", "UTF-16 is left alone");
        assert_eq!(for_cmd(Vec::new()), b"");
    }

    #[test]
    fn powershell_is_told_of_characters_that_it_would_read_wrongly() {
        let marked = |text: &[u8]| for_powershell(text.to_vec()).starts_with(UTF8_MARK);
        assert!(marked("echo 'ü'".as_bytes()));
        assert!(!marked(b"echo 'u'"));
        assert!(!marked(b"echo '\xfc'"), "an old code page stays");
        assert!(
            !marked("'ü'\n# SIG # Begin signature block\n".as_bytes()),
            "a signature stays valid"
        );
        let already = "\u{feff}'ü'".as_bytes().to_vec();
        assert_eq!(for_powershell(already.clone()), already);
    }

    #[test]
    fn a_remote_path_that_ends_in_a_separator_is_a_directory() {
        let file = WindowsScript::File("/here/install.ps1".into());
        let inline = WindowsScript::Inline(String::new());
        assert_eq!(file.destination("c:/x.ps1", "i.ps1"), "c:/x.ps1");
        assert_eq!(file.destination("c:/x/", "i.ps1"), "c:/x/install.ps1");
        assert_eq!(file.destination(r"c:\x\", "i.ps1"), r"c:\x\install.ps1");
        assert_eq!(inline.destination("c:/x/", "i.ps1"), "c:/x/i.ps1");
    }
}
