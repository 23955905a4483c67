//! Which texts make up a template: files of a directory, one file, standard input; and the files of variables beside them.

use std::fs;
use std::path::{Path, PathBuf};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::syntax::Body;
use bakelite_hcl::{json, native};

use crate::invocation::{ConfigType, Invocation};

/// One text of a template or of variables.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// As diagnostics name it.
    pub(crate) name: String,
    /// Its text, without a byte order mark.
    pub(crate) text: String,
    /// HCL's JSON syntax instead of the native one.
    pub(crate) is_json: bool,
}

/// The texts of a template.
#[derive(Debug)]
pub(crate) enum Files {
    /// HCL.
    Hcl {
        /// In the order that they are read.
        files: Vec<File>,
        /// `path.root`
        root: String,
    },
    /// A legacy JSON template.
    Legacy {
        /// The text.
        file: File,
        /// The directory it lies in.
        directory: PathBuf,
    },
}

/// Finds and reads the texts of a template.
pub(crate) fn template_files(invocation: &Invocation, diagnostics: &mut Diagnostics) -> Option<Files> {
    let path = invocation.path.as_str();
    if path.is_empty() || path == "-" {
        return Some(standard_input(invocation));
    }
    let place = invocation.working_directory.join(path);
    if place.is_dir() {
        return directory(path, &place, diagnostics);
    }
    let is_json = path.ends_with(".pkr.json");
    if is_json || path.ends_with(".pkr.hcl") {
        let text = read_text(path, &place, diagnostics)?;
        let file = File {
            name: path.to_owned(),
            text,
            is_json,
        };
        return Some(Files::Hcl {
            files: vec![file],
            root: directory_of(path),
        });
    }
    let text = match &invocation.stdin {
        Some(text) => without_mark(text.clone()),
        None => read_text(path, &place, diagnostics)?,
    };
    let file = File {
        name: path.to_owned(),
        text,
        is_json: true,
    };
    Some(Files::Legacy {
        file,
        directory: invocation.working_directory.join(directory_of(path)),
    })
}

/// The directory part of a path as the user gave it.
fn directory_of(path: &str) -> String {
    match path.rfind('/') {
        Some(0) => "/".to_owned(),
        Some(cut) => path.get(..cut).unwrap_or(".").to_owned(),
        None => ".".to_owned(),
    }
}

fn standard_input(invocation: &Invocation) -> Files {
    let is_hcl = invocation.config_type == Some(ConfigType::Hcl2);
    if invocation.path.is_empty() && is_hcl {
        return Files::Hcl {
            files: Vec::new(),
            root: String::new(),
        };
    }
    if is_hcl {
        let text = without_mark(invocation.stdin.clone().unwrap_or_default());
        let file = File {
            name: "<stdin>".to_owned(),
            text,
            is_json: false,
        };
        return Files::Hcl {
            files: vec![file],
            root: ".".to_owned(),
        };
    }
    let directory = invocation.working_directory.clone();
    if invocation.path.is_empty() {
        return Files::Legacy {
            file: built_in(),
            directory,
        };
    }
    let text = without_mark(invocation.stdin.clone().unwrap_or_default());
    Files::Legacy {
        file: File {
            name: "<stdin>".to_owned(),
            text,
            is_json: true,
        },
        directory,
    }
}

/// What commands work on that are given no template at all.
fn built_in() -> File {
    let text = r#"{"builders":[{"type":"null","communicator":"none"}]}"#.to_owned();
    File {
        name: "<no template>".to_owned(),
        text,
        is_json: true,
    }
}

fn directory(path: &str, place: &Path, diagnostics: &mut Diagnostics) -> Option<Files> {
    let names = names_in(path, place, diagnostics)?;
    let mut files = Vec::new();
    for (suffix, is_json) in [(".pkr.hcl", false), (".pkr.json", true)] {
        for name in names.iter().filter(|name| name.ends_with(suffix)) {
            let text = read_text(&within(path, name), &place.join(name), diagnostics)?;
            files.push(File {
                name: within(path, name),
                text,
                is_json,
            });
        }
    }
    if files.is_empty() {
        let legacy = names.iter().find(|name| has_extension(name, "json"));
        let help = match legacy {
            Some(name) => format!(
                "a legacy JSON template is given by its own path: `{}`",
                within(path, name)
            ),
            None => "a directory's template is made of its files ending in `.pkr.hcl` or `.pkr.json`".to_owned(),
        };
        diagnostics.push(Diagnostic::error(None, format!("no template in `{path}`")).help(help));
        return None;
    }
    Some(Files::Hcl {
        files,
        root: path.to_owned(),
    })
}

/// File names of a directory in byte order, directories left out.
fn names_in(path: &str, place: &Path, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) => {
            diagnostics.push(Diagnostic::error(None, format!("cannot list `{path}`")).detail(error.to_string()));
            return None;
        }
    };
    let files = entries.flatten().filter(|entry| !entry.path().is_dir());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Some(names)
}

/// Does the name end in that extension? Case counts.
pub(crate) fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

fn within(directory: &str, name: &str) -> String {
    match directory {
        "." | "./" => name.to_owned(),
        _ => format!("{}/{name}", directory.trim_end_matches('/')),
    }
}

/// The text of a file; what cannot be read or is not UTF-8 is complained about.
pub(crate) fn read_text(name: &str, place: &Path, diagnostics: &mut Diagnostics) -> Option<String> {
    match fs::read(place) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Some(without_mark(text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
                diagnostics.push(
                    Diagnostic::error(None, format!("`{name}` is not UTF-8 text"))
                        .detail(format!("The first byte that cannot be read is in {name}:{line}.")),
                );
                None
            }
        },
        Err(error) => {
            diagnostics.push(Diagnostic::error(None, format!("cannot read `{name}`")).detail(error.to_string()));
            None
        }
    }
}

fn without_mark(text: String) -> String {
    text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
}

/// Parses all files; `None` when any has a syntax error.
pub(crate) fn parse_all(files: &[File], sources: &mut SourceMap, diagnostics: &mut Diagnostics) -> Option<Vec<Body>> {
    let mut found = Diagnostics::default();
    let bodies: Vec<Body> = files
        .iter()
        .filter_map(|file| parse(file, sources, &mut found))
        .collect();
    let failed = found.has_errors();
    diagnostics.extend(found);
    (!failed).then_some(bodies)
}

/// Parses one file; `None` when nothing of it can be read.
pub(crate) fn parse(file: &File, sources: &mut SourceMap, diagnostics: &mut Diagnostics) -> Option<Body> {
    let id = sources.add(&file.name, &file.text);
    if file.is_json {
        let value = json::parse_file(&file.text, id, diagnostics)?;
        return Some(json::body(value, diagnostics));
    }
    Some(native::parse_file(&file.text, id, diagnostics))
}

/// The files of variables, in the order in which their values count: those of the directory that are read by themselves, then
/// those of the command line.
pub(crate) fn variable_files(invocation: &Invocation, diagnostics: &mut Diagnostics) -> Vec<File> {
    let mut files = Vec::new();
    let directory = invocation.working_directory.join(&invocation.path);
    if !invocation.path.is_empty() && directory.is_dir() {
        let names = names_in(&invocation.path, &directory, diagnostics).unwrap_or_default();
        for (suffix, is_json) in [(".auto.pkrvars.hcl", false), (".auto.pkrvars.json", true)] {
            for name in names.iter().filter(|name| name.ends_with(suffix)) {
                let shown = within(&invocation.path, name);
                let text = read_text(&shown, &directory.join(name), diagnostics);
                files.extend(text.map(|text| File {
                    name: shown,
                    text,
                    is_json,
                }));
            }
        }
    }
    for name in &invocation.variable_files {
        let is_json = has_extension(name, "json");
        if !is_json && !has_extension(name, "hcl") {
            diagnostics.push(
                Diagnostic::error(None, format!("cannot tell the format of the variables in `{name}`"))
                    .help("give the file a name that ends in `.pkrvars.hcl` or `.pkrvars.json`".to_owned()),
            );
            continue;
        }
        let text = read_text(name, &invocation.working_directory.join(name), diagnostics);
        files.extend(text.map(|text| File {
            name: name.clone(),
            text,
            is_json,
        }));
    }
    files
}
