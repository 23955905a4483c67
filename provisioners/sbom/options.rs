//! Options of sbom: what is wanted, and what has no meaning without a scanner.

use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use super::document::Format;

/// Options of sbom.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct SbomOptions {
    /// An SBOM on the instance, in JSON: CycloneDX or SPDX 2. Either this or `auto_generate`.
    source: Option<String>,
    /// Make one of what dpkg, rpm and apk know, and of Python's and npm's packages outside of the distribution's own directories.
    auto_generate: bool,
    /// Where the SBOM goes on this machine. A directory gets a file `packer-user-sbom-NUMBER.json`; directories are created.
    destination: Option<String>,
    /// The name of the document: 3 to 36 letters, digits, `-` or `_`; default: the distribution's.
    sbom_name: Option<String>,
    /// `["-o", "cyclonedx-json"]` (the default) or `["-o", "spdx-json"]`; `-q` and `-v` change nothing.
    scanner_args: Vec<String>,
    /// The directory of the instance that is looked into, as the root of a system; default `/`.
    scan_path: Option<String>,
    /// Has no effect: there is no scanner to be run.
    execute_command: Option<String>,
    /// Has no effect: listing packages takes no other user.
    elevated_user: Option<String>,
    /// Has no effect: listing packages takes no other user.
    #[schemars(extend("x-sensitive" = true))]
    elevated_password: Option<String>,
    /// Has no effect: there is no scanner to be downloaded.
    scanner_url: Option<String>,
    /// Has no effect: there is no scanner to be downloaded.
    scanner_checksum: Option<String>,
}

/// What is wanted.
pub(super) struct Wanted {
    /// A path of the instance; absent: the SBOM is made.
    pub(super) source: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) name: Option<String>,
    pub(super) format: Format,
    pub(super) scan_path: String,
}

impl SbomOptions {
    /// What the options ask for, with complaints about them.
    pub(super) fn wanted(self, complaints: &mut Vec<Complaint>) -> Option<Wanted> {
        match (&self.source, self.auto_generate) {
            (None, false) => {
                let complaint = Complaint::error("", "either `source` or `auto_generate` must be given");
                complaints.push(complaint.help("auto_generate = true lists the packages of the instance"));
            }
            (Some(_), true) => {
                let message = "`auto_generate` cannot be given together with `source`";
                complaints.push(Complaint::error("auto_generate", message));
            }
            _ => {}
        }
        if let Some(name) = self.sbom_name.as_deref().filter(|name| !is_name(name)) {
            let message = format!("`{name}` is no name of an SBOM");
            complaints.push(Complaint::error("sbom_name", message).help("use 3 to 36 letters, digits, `-` or `_`"));
        }
        if self.destination.is_none() {
            let message = "there is no `destination`: only the post-processor `provenance` will see the SBOM";
            complaints.push(Complaint::warning("", message));
        }
        self.warn_of_what_has_no_effect(complaints);
        Some(Wanted {
            format: self.format(complaints)?,
            source: self.source,
            destination: self.destination,
            name: self.sbom_name,
            scan_path: self.scan_path.unwrap_or_else(|| "/".to_owned()),
        })
    }

    fn warn_of_what_has_no_effect(&self, complaints: &mut Vec<Complaint>) {
        let options = [
            ("execute_command", self.execute_command.is_some()),
            ("elevated_user", self.elevated_user.is_some()),
            ("elevated_password", self.elevated_password.is_some()),
            ("scanner_url", self.scanner_url.is_some()),
            ("scanner_checksum", self.scanner_checksum.is_some()),
        ];
        for (option, _) in options.into_iter().filter(|(_, is_given)| *is_given) {
            let message =
                format!("`{option}` has no effect: packages are listed by the instance itself, without a scanner");
            complaints.push(Complaint::warning(option, message));
        }
        if self.auto_generate {
            return;
        }
        for (option, is_given) in [
            ("scanner_args", !self.scanner_args.is_empty()),
            ("scan_path", self.scan_path.is_some()),
        ] {
            if is_given {
                let message = format!("`{option}` has no effect without `auto_generate`");
                complaints.push(Complaint::warning(option, message));
            }
        }
    }

    /// The format that the scanner's arguments ask for.
    fn format(&self, complaints: &mut Vec<Complaint>) -> Option<Format> {
        let mut format = Format::CycloneDx;
        let mut arguments = self.scanner_args.iter().enumerate();
        while let Some((index, argument)) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let (message, help) = match flag {
                "-q" | "--quiet" | "-v" | "--verbose" => continue,
                "-o" | "--output" => {
                    let value = value.or_else(|| arguments.next().map(|(_, value)| value.clone()));
                    let name = value.unwrap_or_default();
                    if let Some(named) = format_of(&name) {
                        format = named;
                        continue;
                    }
                    let message = format!("there is no format `{name}`");
                    (message, "use `cyclonedx-json` (1.6) or `spdx-json` (2.3)")
                }
                _ => {
                    let message = format!("argument `{argument}` is not supported");
                    (message, "there is no scanner: only `-o FORMAT` has a meaning")
                }
            };
            complaints.push(Complaint::error(format!("scanner_args[{index}]"), message).help(help));
            return None;
        }
        Some(format)
    }
}

fn format_of(name: &str) -> Option<Format> {
    match name {
        "cyclonedx-json" | "cyclonedx-json@1.6" => Some(Format::CycloneDx),
        "spdx-json" | "spdx-json@2.3" => Some(Format::Spdx),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (3..=36).contains(&name.len()) && name.chars().all(is_plain)
}
