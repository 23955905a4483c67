//! Functions on files and paths. Paths are those of Unix: `/` separates.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::arguments::{any, failed, shown, text};
use super::encoding::encode_base64;
use super::{Call, Function, FunctionError, Returns, Run, Special, fileset};
use crate::types::Type;
use crate::value::Value;

/// Files and paths.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "abspath",
        doc: "An absolute path; a relative one starts from the working directory of the command; `.`, `..` and repeated \
              slashes go away.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("abspath(\"/a/b/../c\")", "/a/c")],
        run: Run::Plain(|call| {
            let path = call.eval_context.working_directory.join(call.text(0)?);
            Ok(Value::string(clean(&path.to_string_lossy())))
        }),
    },
    Function {
        name: "basename",
        doc: "The last part of a path.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("basename(\"/etc/ssh/sshd_config\")", "sshd_config")],
        run: Run::Plain(|call| Ok(Value::string(last_part(call.text(0)?)))),
    },
    Function {
        name: "dirname",
        doc: "A path without its last part.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("dirname(\"/etc/ssh/sshd_config\")", "/etc/ssh")],
        run: Run::Plain(|call| {
            let path = call.text(0)?;
            let end = path.rfind('/').map_or(0, |slash| slash + 1);
            Ok(Value::string(clean(path.get(..end).unwrap_or_default())))
        }),
    },
    Function {
        name: "file",
        doc: "The content of a file, which must be UTF-8. A relative path starts from the template's directory.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("try(file(\"no/such.txt\"), \"none\")", "none")],
        run: Run::Plain(|call| {
            let path = call.text(0)?;
            Ok(Value::string(read_text(&template_path(call, path)?, path)?))
        }),
    },
    Function {
        name: "filebase64",
        doc: "The content of a file as base64. A relative path starts from the working directory of the command.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("can(filebase64(\"no/such.bin\"))", "false")],
        run: Run::Plain(|call| {
            let path = call.text(0)?;
            let file = call.eval_context.working_directory.join(expand(call, path)?);
            Ok(Value::string(encode_base64(&read(&file, path)?)))
        }),
    },
    Function {
        name: "fileexists",
        doc: "Whether a file exists; a directory is an error.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::BOOL,
        examples: &[("fileexists(\"no/such.txt\")", "false")],
        run: Run::Plain(fileexists),
    },
    Function {
        name: "fileset",
        doc: "The files in a directory whose paths match a pattern: `*` any characters but `/`, `**` any directories, `?` one character, \
              `[a-z]` one of a class, `{a,b}` one of several patterns. The paths are relative to the directory.",
        parameters: &[text("path"), text("pattern")],
        variadic: None,
        result: Returns::Type(|| Type::set(Type::String)),
        examples: &[("length(fileset(\"no/such\", \"**/*.sh\"))", "0")],
        run: Run::Plain(|call| {
            let directory = template_path(call, call.text(0)?)?;
            let paths = fileset::matching(&directory, call.text(1)?, &|| call.pay(512))?;
            Ok(Value::set(Type::String, paths.into_iter().map(Value::string).collect()))
        }),
    },
    Function {
        name: "pathexpand",
        doc: "A path with `~` at its start replaced by the home directory.",
        parameters: &[text("path")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("pathexpand(\"/etc/ssh\")", "/etc/ssh")],
        run: Run::Plain(|call| Ok(Value::string(expand(call, call.text(0)?)?.to_string_lossy()))),
    },
    Function {
        name: "templatefile",
        doc: "The content of a file, as a template in which the names of a map or object stand for its values. A file that is \
              one `${…}` alone gives the value itself.",
        parameters: &[text("path"), any("vars")],
        variadic: None,
        result: Returns::ANY,
        examples: &[("try(templatefile(\"no/such.tpl\", {}), \"none\")", "none")],
        run: Run::Special(Special::TemplateFile),
    },
];

/// A path as the functions of a template see it: `~` expanded, relative to the template's directory.
pub(crate) fn template_path(call: &Call<'_>, path: &str) -> Result<PathBuf, FunctionError> {
    Ok(call.eval_context.base_directory.join(expand(call, path)?))
}

/// The text in a file; errors show the path as it was written.
pub(crate) fn read_text(file: &Path, written: &str) -> Result<String, FunctionError> {
    String::from_utf8(read(file, written)?).map_err(|_| {
        failed(format!(
            "the file {} is not UTF-8 text; `filebase64` reads any file",
            shown(written)
        ))
    })
}

fn read(file: &Path, written: &str) -> Result<Vec<u8>, FunctionError> {
    /// A device would never end.
    const LARGEST: u64 = 32 << 20;
    let unreadable = |error: std::io::Error| failed(format!("reading {}: {error}", shown(written)));
    let mut bytes = Vec::new();
    // Whoever reads a pipe or a terminal waits until somebody writes, maybe for ever.
    if !std::fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(failed(format!("reading {}: it is not a regular file", shown(written))));
    }
    File::open(file)
        .map_err(unreadable)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed(format!(
            "the file {} is larger than {} MiB",
            shown(written),
            LARGEST >> 20
        )));
    }
    Ok(bytes)
}

fn fileexists(call: &Call<'_>) -> Result<Value, FunctionError> {
    let path = call.text(0)?;
    match std::fs::metadata(template_path(call, path)?) {
        Ok(found) if found.is_file() => Ok(Value::bool(true)),
        Ok(_) => Err(failed(format!("{} is not a regular file", shown(path)))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Value::bool(false)),
        Err(error) => Err(failed(format!("looking for {}: {error}", shown(path)))),
    }
}

fn expand(call: &Call<'_>, path: &str) -> Result<PathBuf, FunctionError> {
    let Some(rest) = path.strip_prefix('~') else {
        return Ok(path.into());
    };
    if !(rest.is_empty() || rest.starts_with('/')) {
        return Err(failed(format!(
            "the home directory of another user in {} cannot be expanded",
            shown(path)
        )));
    }
    let home = call.eval_context.home_directory.as_ref();
    let home = home.ok_or_else(|| failed(format!("there is no home directory to expand {}", shown(path))))?;
    // A joined path is a clean one.
    let joined = home.join(rest.trim_start_matches('/'));
    Ok(joined
        .to_str()
        .map_or_else(|| joined.clone(), |text| clean(text).into()))
}

/// The last part of a path: `.` for nothing, `/` for slashes alone.
fn last_part(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let path = path.trim_end_matches('/');
    match path.rsplit('/').next() {
        Some("") | None => "/",
        Some(last) => last,
    }
}

/// The shortest path of the same meaning, by its text alone.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let cleaned = ["", "/", "a//b/./c/..", "../a/../..", "/../a", "a/.."].map(clean);
        assert_eq!(cleaned, [".", "/", "a/b", "../..", "/a", "."]);
        assert_eq!(
            ["", "/", "//", "a//b//", "..", "a/."].map(last_part),
            [".", "/", "/", "b", "..", "."]
        );
    }

    #[test]
    fn what_may_never_end_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), directory.path()] {
            let error = read_text(path, "name").unwrap_err();
            assert!(format!("{error:?}").contains("it is not a regular file"), "{error:?}");
        }
    }
}
