//! `fmt`: templates in the canonical format.

use std::path::{Path, PathBuf};

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::source::SourceMap;
use bakelite_hcl::{fmt, native};
use bakelite_template::secrets::Secrets;

use super::{print, print_error, print_exactly};
use crate::args::FmtArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::standard_input;
use crate::report;

/// What is wrong so far, and whether anything would change.
#[derive(Default)]
struct Progress {
    sources: SourceMap,
    diagnostics: Diagnostics,
    changed: bool,
}

pub(super) fn run(args: &FmtArgs, process: &Process) -> Result<Status, Failure> {
    let mut progress = Progress::default();
    for path in &args.paths {
        if path == "-" {
            let text = standard_input()?;
            if let Some(formatted) = progress.formatted("<standard input>", &text) {
                progress.changed |= formatted != text;
                if !args.check {
                    print_exactly(&formatted);
                }
            }
            continue;
        }
        let mut files = Vec::new();
        targets(
            Path::new(path),
            &process.working_directory,
            args.recursive,
            &mut files,
            &mut progress.diagnostics,
        );
        for file in files {
            progress.file(&file, args, process)?;
        }
    }
    let color = process.wants_color(process.errors_are_terminal);
    print_error(&report::diagnostic::render(
        &progress.diagnostics,
        &progress.sources,
        &Secrets::default(),
        color,
    ));
    Ok(match progress {
        Progress { diagnostics, .. } if diagnostics.has_errors() => Status::Failed,
        Progress { changed: true, .. } if args.check => Status::WouldChange,
        _ => Status::Ok,
    })
}

impl Progress {
    /// Formats one file as the flags have it, and prints its name when it changes.
    fn file(&mut self, path: &Path, args: &FmtArgs, process: &Process) -> Result<(), Failure> {
        let shown = path.display().to_string();
        let absolute = process.working_directory.join(path);
        let text = std::fs::read_to_string(&absolute)
            .map_err(|error| Failure::new(format!("failed to read `{shown}`")).because(&error))?;
        let Some(formatted) = self.formatted(&shown, &text).filter(|formatted| *formatted != text) else {
            return Ok(());
        };
        self.changed = true;
        print(&format!("{shown}\n"));
        if args.diff {
            print_exactly(&difference(&shown, &text, &formatted));
        }
        if args.write && !args.check {
            std::fs::write(&absolute, formatted)
                .map_err(|error| Failure::new(format!("failed to write `{shown}`")).because(&error))?;
        }
        Ok(())
    }

    /// The canonical form of a text, or `None` and a complaint when it is no template.
    fn formatted(&mut self, name: &str, text: &str) -> Option<String> {
        let file = self.sources.add(name, text);
        let mut found = Diagnostics::default();
        native::parse_file(text, file, &mut found);
        let sound = !found.has_errors();
        self.diagnostics.extend(found);
        sound.then(|| fmt::format(text))
    }
}

/// The files that a path stands for: itself, or the templates and var files in a directory.
fn targets(path: &Path, directory: &Path, recursive: bool, files: &mut Vec<PathBuf>, diagnostics: &mut Diagnostics) {
    let absolute = directory.join(path);
    if !absolute.is_dir() {
        if !absolute.exists() {
            diagnostics.push(Diagnostic::error(
                None,
                format!("there is no file `{}`", path.display()),
            ));
        } else if is_formatted(path) {
            files.push(path.to_owned());
        } else {
            let summary = format!("`{}` is neither a `.pkr.hcl` nor a `.pkrvars.hcl` file", path.display());
            diagnostics.push(Diagnostic::error(None, summary));
        }
        return;
    }
    let Ok(entries) = std::fs::read_dir(&absolute) else {
        diagnostics.push(Diagnostic::error(
            None,
            format!("directory `{}` cannot be read", path.display()),
        ));
        return;
    };
    let mut names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let below = if path == Path::new(".") {
            PathBuf::from(&name)
        } else {
            path.join(&name)
        };
        if directory.join(&below).is_dir() {
            if recursive {
                targets(&below, directory, recursive, files, diagnostics);
            }
        } else if is_formatted(&below) && !is_passed_over(&name.to_string_lossy()) {
            files.push(below);
        }
    }
}

fn is_formatted(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".pkr.hcl") || name.ends_with(".pkrvars.hcl")
}

/// Hidden files and what editors leave behind.
fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#'))
}

fn difference(name: &str, old: &str, new: &str) -> String {
    let difference = similar::TextDiff::from_lines(old, new);
    difference
        .unified_diff()
        .context_radius(3)
        .header(&format!("old/{name}"), &format!("new/{name}"))
        .to_string()
}
