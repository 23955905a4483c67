//! The files that match a pattern.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::FunctionError;
use super::arguments::{failed, shown};

/// More files and directories than this are not looked at: a pattern that starts at `/` would take for ever.
const MOST_ENTRIES: usize = 1 << 18;

/// Called before each file or directory that is looked at; an error ends it.
pub(super) type Look<'l> = dyn Fn() -> Result<(), FunctionError> + 'l;

/// The paths, relative to the directory, of all regular files that match; links to files count, links to directories are not followed by
/// `**`. What cannot be read has no files.
pub(super) fn matching(directory: &Path, pattern: &str, look: &Look<'_>) -> Result<Vec<String>, FunctionError> {
    let (literal, wild) = split(pattern);
    if wild.is_empty() {
        check(pattern)?;
        let found = !literal.is_empty() && directory.join(&literal).is_file();
        return Ok(if found { vec![literal] } else { Vec::new() });
    }
    let matcher = check(&wild)?;
    let mut walk = Walk {
        matcher,
        deepest: deepest(&wild),
        left: MOST_ENTRIES,
        look,
        paths: Vec::new(),
    };
    let before = if literal.is_empty() || literal.ends_with('/') {
        literal
    } else {
        format!("{literal}/")
    };
    walk.directory(&directory.join(&before), &before, "", 1)?;
    Ok(walk.paths)
}

/// The leading parts without wildcards, which may be `..`, and the rest.
fn split(pattern: &str) -> (String, String) {
    let parts: Vec<&str> = pattern.split('/').collect();
    let plain = parts
        .iter()
        .take_while(|part| !part.contains(['*', '?', '[', ']', '{', '}', '\\']))
        .count();
    // A brace may hold slashes, and then what looks like a part of its own is not.
    let (literal, wild) = parts.split_at_checked(plain).unwrap_or_default();
    let rooted = if pattern.starts_with('/') && literal.len() == 1 {
        "/"
    } else {
        ""
    };
    (format!("{}{rooted}", literal.join("/")), wild.join("/"))
}

/// How many directories deep a match can lie; `None` where the pattern does not say.
fn deepest(wild: &str) -> Option<usize> {
    (!wild.contains("**") && !wild.contains('{')).then(|| wild.split('/').count())
}

fn check(pattern: &str) -> Result<GlobMatcher, FunctionError> {
    let built = GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build();
    built
        .map(|glob| glob.compile_matcher())
        .map_err(|error| failed(format!("the pattern {}: {}", shown(pattern), error.kind())))
}

struct Walk<'l> {
    look: &'l Look<'l>,
    matcher: GlobMatcher,
    deepest: Option<usize>,
    left: usize,
    paths: Vec<String>,
}

impl Walk<'_> {
    /// Looks at one directory: `before` stands before all paths, `within` is where the directory lies for the pattern.
    fn directory(&mut self, directory: &Path, before: &str, within: &str, depth: usize) -> Result<(), FunctionError> {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                failed(format!(
                    "there are more than {MOST_ENTRIES} files and directories to look at; a narrower pattern is needed"
                ))
            })?;
            (self.look)()?;
            let path: PathBuf = entry.path();
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let relative = format!("{within}{name}");
            if path.is_file() {
                if self.matcher.is_match(&relative) {
                    self.paths.push(format!("{before}{relative}"));
                }
            } else if self.deepest.is_none_or(|deepest| depth < deepest)
                && (self.deepest.is_some() || entry.file_type().is_ok_and(|kind| kind.is_dir()))
            {
                self.directory(&path, before, &format!("{relative}/"), depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for path in ["a.txt", "b.md", ".hidden", "sub/c.txt", "sub/deep/d.txt", "x[1].txt"] {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut paths = matching(directory.path(), pattern, &|| Ok(())).unwrap();
        paths.sort();
        paths
    }

    #[test]
    fn patterns() {
        assert_eq!(matches("*"), [".hidden", "a.txt", "b.md", "x[1].txt"]);
        assert_eq!(
            matches("**/*.txt"),
            ["a.txt", "sub/c.txt", "sub/deep/d.txt", "x[1].txt"]
        );
        assert_eq!(matches("sub/**"), ["sub/c.txt", "sub/deep/d.txt"]);
        assert_eq!(matches("*/*.txt"), ["sub/c.txt"]);
        assert_eq!(matches("{a,b}.*"), ["a.txt", "b.md"]);
        assert_eq!(matches("sub/../a.txt"), ["sub/../a.txt"]);
        assert_eq!(matches("sub/../[^b].txt"), ["sub/../a.txt"]);
        assert_eq!(matches("x\\[1\\].txt"), ["x[1].txt"]);
        assert_eq!(matches("sub"), Vec::<String>::new());
        assert_eq!(matches(""), Vec::<String>::new());
    }

    #[test]
    fn errors() {
        assert!(matching(Path::new("."), "[", &|| Ok(())).is_err());
        assert!(matching(Path::new("."), "{a", &|| Ok(())).is_err());
    }
}
