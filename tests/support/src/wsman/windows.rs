//! A machine that looks like Windows from a distance. There is no PowerShell here: this does what bakelite's own transfer scripts are
//! meant to do, by the lines that they take and give. That the scripts are PowerShell is checked by a grammar where they are; that
//! they do the same on a real Windows is not proven here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::machine::{Machine, Process};

/// Bytes of a file that are printed in a line, as the script does it.
const PIECE: usize = 49_152;

/// The disk of a machine, in memory. Paths are as they are given: `/` or `\`, upper or lower case, `%TEMP%` and `$env:TEMP`.
#[derive(Default)]
pub struct Disk {
    /// By lower-case path.
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// How a path is written, and what is in it: nothing in a directory.
type Entry = (String, Option<Vec<u8>>);

impl Disk {
    /// Writes a file, with the directories above it.
    pub fn write(&self, path: &str, content: impl Into<Vec<u8>>) {
        let path = absolute(path);
        if let Some((parent, _)) = path.rsplit_once('\\') {
            self.make_directory(parent);
        }
        let entry = (path.clone(), Some(content.into()));
        self.entries.lock().unwrap().insert(path.to_lowercase(), entry);
    }

    /// Makes a directory, with those above it.
    pub fn make_directory(&self, path: &str) {
        let path = absolute(path);
        let mut entries = self.entries.lock().unwrap();
        let ends = path.match_indices('\\').map(|(at, _)| at).chain([path.len()]);
        for end in ends.filter(|end| *end > 2) {
            let directory = &path[..end];
            entries
                .entry(directory.to_lowercase())
                .or_insert_with(|| (directory.to_owned(), None));
        }
    }

    /// What is in a file; nothing when there is none.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let entries = self.entries.lock().unwrap();
        entries.get(&absolute(path).to_lowercase())?.1.clone()
    }

    /// Is there a directory?
    pub fn is_directory(&self, path: &str) -> bool {
        let entries = self.entries.lock().unwrap();
        entries
            .get(&absolute(path).to_lowercase())
            .is_some_and(|(_, content)| content.is_none())
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) -> bool {
        self.entries
            .lock()
            .unwrap()
            .remove(&absolute(path).to_lowercase())
            .is_some()
    }

    /// Paths of all files and directories.
    pub fn paths(&self) -> Vec<String> {
        self.entries
            .lock()
            .unwrap()
            .values()
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// What is directly in a directory and has a name of this pattern, which may have `*`.
    fn entries_of(&self, directory: &str, pattern: &str) -> Vec<String> {
        let directory = format!("{}\\", directory.to_lowercase());
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let (before, after) = (before.to_lowercase(), after.to_lowercase());
        let entries = self.entries.lock().unwrap();
        let inside = entries
            .iter()
            .filter_map(|(key, (path, _))| Some((key.strip_prefix(&directory)?, path)));
        let named = inside.filter(|(name, _)| {
            let exact = !pattern.contains('*');
            !name.contains('\\') && name.starts_with(&before) && name.ends_with(&after) && (!exact || *name == before)
        });
        named.map(|(_, path)| path.clone()).collect()
    }
}

/// A path as Windows has it in the end.
fn absolute(path: &str) -> String {
    let path = path.replace('/', "\\");
    let path = path.replace("%TEMP%", r"C:\Temp").replace("$env:TEMP", r"C:\Temp");
    let path = path.trim_end_matches('\\');
    if path.get(1..2) == Some(":") {
        path.to_owned()
    } else {
        format!(r"C:\Users\Administrator\{path}")
    }
}

/// The machine.
pub struct Windows {
    /// Its disk.
    pub disk: Arc<Disk>,
    more: Box<dyn Machine>,
}

impl Windows {
    /// A machine with an empty disk; what is neither a transfer nor a greeting is run by `more`.
    pub fn new(more: impl Machine) -> Self {
        Self {
            disk: Arc::default(),
            more: Box::new(more),
        }
    }

    async fn script(&self, script: &str, process: &mut Process) -> Option<u32> {
        if let Some(text) = greeting(script) {
            process.stdout.line(&text).await;
            return Some(0);
        }
        let source = assigned(script, "$source");
        let done = if script.starts_with("begin {") {
            self.take(process).await
        } else if let Some(lines) = assigned(script, "$lines") {
            let lines = String::from_utf8(self.disk.read(&lines)?).unwrap();
            self.take_lines(lines.lines(), process).await
        } else if let Some(source) = source.filter(|_| script.contains("\n$directory = $false")) {
            self.give(&source, "", process).await
        } else if let Some(source) = assigned(script, "$source") {
            self.give_directory(&source, process).await
        } else {
            return None;
        };
        match done {
            Ok(()) => Some(0),
            Err(complaint) => {
                process.stderr.line(&complaint).await;
                Some(1)
            }
        }
    }

    async fn take(&self, process: &mut Process) -> Result<(), String> {
        let mut taking = Taking::new(&self.disk);
        while let Some(line) = process.stdin.line().await {
            if let Some(answer) = taking.line(&line)? {
                process.stdout.line(answer).await;
            }
        }
        process.stdout.line(&format!("done {}", taking.done)).await;
        Ok(())
    }

    async fn take_lines(&self, lines: impl Iterator<Item = &str>, process: &Process) -> Result<(), String> {
        let mut taking = Taking::new(&self.disk);
        for line in lines {
            taking.line(line)?;
        }
        process.stdout.line(&format!("done {}", taking.done)).await;
        Ok(())
    }

    async fn give(&self, path: &str, name: &str, process: &Process) -> Result<(), String> {
        let shown = absolute(path);
        if self.disk.is_directory(path) {
            return Err(format!("`{shown}` is a directory"));
        }
        let content = self
            .disk
            .read(path)
            .ok_or_else(|| format!("Could not find file '{shown}'."))?;
        process.stdout.line(&format!("f {}", STANDARD.encode(name))).await;
        for piece in content.chunks(PIECE) {
            process.stdout.line(&format!("+ {}", STANDARD.encode(piece))).await;
        }
        process
            .stdout
            .line(&format!("e {} {}", content.len(), digest(&content)))
            .await;
        Ok(())
    }

    async fn give_directory(&self, source: &str, process: &Process) -> Result<(), String> {
        let source = source.replace('/', "\\");
        let source = source.trim_end_matches('\\');
        let (above, last) = source.rsplit_once('\\').unwrap_or((".", source));
        let found = self.disk.entries_of(&absolute(above), last);
        if found.is_empty() {
            return Err(format!("`{source}` does not exist"));
        }
        let mut rest: Vec<(String, String)> = found.into_iter().rev().map(|path| (name(&path), path)).collect();
        while let Some((relative, path)) = rest.pop() {
            if !self.disk.is_directory(&path) {
                self.give(&path, &relative, process).await?;
                continue;
            }
            process.stdout.line(&format!("d {}", STANDARD.encode(&relative))).await;
            let inside = self.disk.entries_of(&path, "*").into_iter().rev();
            rest.extend(inside.map(|path| (format!("{relative}/{}", name(&path)), path)));
        }
        Ok(())
    }

    /// The commands of `cmd` that a transfer needs.
    fn cmd(&self, line: &str) -> Option<u32> {
        if let Some(rest) = line.strip_prefix(">>\"") {
            let (path, text) = rest.split_once("\" echo ")?;
            let mut content = self.disk.read(path).unwrap_or_default();
            content.extend_from_slice(format!("{text}\r\n").as_bytes());
            self.disk.write(path, content);
            return Some(0);
        }
        let path = line.strip_prefix("del /q \"")?.trim_end_matches('"');
        self.disk.remove(path);
        Some(0)
    }
}

#[async_trait]
impl Machine for Windows {
    async fn run(&self, mut process: Process) -> u32 {
        if let Some(script) = process.script() {
            if let Some(code) = self.script(&script, &mut process).await {
                return code;
            }
        } else if let Some(code) = self.cmd(&process.command_line) {
            return code;
        }
        self.more.run(process).await
    }
}

/// Files that come in lines.
struct Taking<'a> {
    disk: &'a Disk,
    file: Option<(String, Vec<u8>)>,
    done: usize,
}

impl<'a> Taking<'a> {
    fn new(disk: &'a Disk) -> Self {
        Self {
            disk,
            file: None,
            done: 0,
        }
    }

    fn line(&mut self, line: &str) -> Result<Option<&'static str>, String> {
        let Some((word, rest)) = line.split_at_checked(1) else {
            return Ok(None);
        };
        let rest = rest.trim();
        let bytes = || STANDARD.decode(rest).map_err(|error| error.to_string());
        let text = || Ok::<_, String>(String::from_utf8(bytes()?).unwrap());
        match word {
            "h" => return Ok(Some("ready")),
            "d" => self.disk.make_directory(&text()?),
            "f" => {
                let path = text()?;
                if self.disk.is_directory(&path) {
                    return Err(format!("`{}` is a directory", absolute(&path)));
                }
                self.file = Some((path, Vec::new()));
            }
            "+" => self.file.as_mut().ok_or("no file")?.1.extend(bytes()?),
            "e" => {
                let (path, content) = self.file.take().ok_or("no file")?;
                if rest != format!("{} {}", content.len(), digest(&content)) {
                    return Err(format!("`{}` did not arrive as it was sent", absolute(&path)));
                }
                self.disk.write(&path, content);
                self.done += 1;
            }
            _ => return Err(format!("line `{word}`")),
        }
        Ok(None)
    }
}

fn name(path: &str) -> String {
    path.rsplit('\\').next().unwrap_or_default().to_owned()
}

fn digest(content: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode_upper(sha2::Sha256::digest(content))
}

/// The text that a script of one line prints.
fn greeting(script: &str) -> Option<String> {
    let (_, rest) = script
        .lines()
        .next()
        .filter(|_| !script.contains('\n'))?
        .split_once("[Console]::Out.WriteLine('")?;
    rest.strip_suffix("')").map(str::to_owned)
}

/// What a line of a script assigns to a variable: a text in quotes.
fn assigned(script: &str, variable: &str) -> Option<String> {
    let start = format!("{variable} = ");
    let line = script.lines().find_map(|line| line.strip_prefix(&start))?;
    let (_, rest) = line.split_once('\'')?;
    let (quoted, _) = rest.rsplit_once('\'')?;
    Some(quoted.replace("''", "'"))
}
