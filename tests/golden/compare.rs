//! Running the binary for a case, and taking out of its output what differs from run to run.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use regex::Regex;

/// What a run printed and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary in a directory, hermetically: home, state and temporary files are below `scratch`.
pub(crate) fn run(
    arguments: &[String],
    directory: &Path,
    scratch: &Path,
    environment: &BTreeMap<String, String>,
    stdin: &str,
) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakelite"));
    command.args(arguments).current_dir(directory).env_clear();
    command
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    for (name, below) in [
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
        ("PACKER_CONFIG_DIR", "cfg"),
        ("PACKER_CACHE_DIR", "cache"),
    ] {
        let path = scratch.join(below);
        std::fs::create_dir_all(&path).unwrap();
        command.env(name, path);
    }
    command
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that reads no input may be gone before it is all written.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = bakelite_test_support::ended::output_of(child);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// What differs from run to run, and the mark that stands for it in the corpus. Seconds before a comma only where a line starts so.
static CHANGING: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    const UNIT: &str = "(?:second|millisecond|microsecond|minute|hour)s?";
    let duration = format!(r"(after )\d+ {UNIT}(?: \d+ {UNIT})?\b");
    let patterns = [
        (duration.as_str(), "$1<DURATION>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", "<TIME>"),
        (r"packer-shell\d+", "packer-shell<N>"),
        (r"pkr-file-content\d+", "pkr-file-content<N>"),
        (r"script_\d+\.sh", "script_<N>.sh"),
        (r"(?m)^\d{10},", "<UNIX>,"),
        (r#""build_time": \d+"#, r#""build_time": <N>"#),
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "<UUID>",
        ),
    ];
    patterns
        .iter()
        .map(|(pattern, mark)| (Regex::new(pattern).unwrap(), *mark))
        .collect()
});

/// A text of a run with marks for what differs from run to run.
pub(crate) fn normalized(text: &str, directory: &Path, scratch: &Path) -> String {
    let text = text
        .replace(&directory.display().to_string(), "<CWD>")
        .replace(&scratch.display().to_string(), "<SCRATCH>");
    CHANGING.iter().fold(text, |text, (pattern, mark)| {
        pattern.replace_all(&text, *mark).into_owned()
    })
}
