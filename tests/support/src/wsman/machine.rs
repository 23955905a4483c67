//! What runs the commands of a WS-Man server: the test gives it, as a closure or as a [`Machine`].

use std::collections::BTreeMap;
use std::future::Future;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Power;

/// Runs commands.
#[async_trait]
pub trait Machine: Send + Sync + 'static {
    /// Runs a command to its end and answers its exit code. The future is dropped when the command is terminated.
    async fn run(&self, process: Process) -> u32;
}

#[async_trait]
impl<F, Answer> Machine for F
where
    F: Fn(Process) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = u32> + Send + 'static,
{
    async fn run(&self, process: Process) -> u32 {
        self(process).await
    }
}

/// A command that was started.
pub struct Process {
    /// The whole command line, arguments appended.
    pub command_line: String,
    /// Variables that the shell was made with.
    pub environment: BTreeMap<String, String>,
    /// Directory that the shell was made with.
    pub working_directory: Option<String>,
    /// What is sent to it.
    pub stdin: Stdin,
    /// What it prints.
    pub stdout: Pipe,
    /// What it complains.
    pub stderr: Pipe,
    /// The switch of the machine that it runs on.
    pub power: Power,
}

impl Process {
    /// The script of `powershell -EncodedCommand …`, if the command is one.
    pub fn script(&self) -> Option<String> {
        encoded_command(&self.command_line)
    }
}

/// The script in a command line of `powershell -EncodedCommand …` (or any other prefix of that name, as PowerShell takes it).
pub fn encoded_command(command_line: &str) -> Option<String> {
    let mut words = command_line.split_whitespace();
    let program = words.next()?.trim_matches('"').to_ascii_lowercase();
    let program = program.rsplit(['\\', '/']).next()?.trim_end_matches(".exe").to_owned();
    if program != "powershell" && program != "pwsh" {
        return None;
    }
    words.find(|word| is_encoded_command(word))?;
    let bytes = STANDARD.decode(words.next()?.trim_matches('"')).ok()?;
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok()
}

/// `-e`, `-ec`, `-enc` … `-EncodedCommand`.
fn is_encoded_command(word: &str) -> bool {
    let Some(name) = word.strip_prefix(['-', '/']) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    !name.is_empty() && (name == "ec" || "encodedcommand".starts_with(&name))
}

/// The input of a command.
pub struct Stdin {
    pub(super) pieces: mpsc::Receiver<Bytes>,
    pub(super) rest: Vec<u8>,
}

impl Stdin {
    /// The next piece as it was sent; nothing when the input has ended.
    pub async fn piece(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            self.pieces.recv().await
        } else {
            Some(std::mem::take(&mut self.rest).into())
        }
    }

    /// The next line without its end; nothing when the input has ended.
    pub async fn line(&mut self) -> Option<String> {
        let mut searched = 0;
        let end = loop {
            if let Some(end) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                break Some(searched + end);
            }
            searched = self.rest.len();
            match self.pieces.recv().await {
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => break None,
            }
        };
        let line = match end {
            Some(end) => self.rest.drain(..=end).collect(),
            None if self.rest.is_empty() => return None,
            None => std::mem::take(&mut self.rest),
        };
        let line = String::from_utf8_lossy(&line);
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Everything up to the end of the input.
    pub async fn all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await {
            all.extend_from_slice(&piece);
        }
        all
    }
}

/// An output of a command.
#[derive(Clone)]
pub struct Pipe {
    pub(super) name: &'static str,
    pub(super) pieces: mpsc::Sender<(&'static str, Bytes)>,
}

impl Pipe {
    /// Prints a piece, which goes over as it is; waits while nobody reads.
    pub async fn write(&self, piece: impl AsRef<[u8]>) {
        // Whoever would read it may have gone: then the command is about to be dropped.
        let _ = self
            .pieces
            .send((self.name, Bytes::copy_from_slice(piece.as_ref())))
            .await;
    }

    /// Prints a line as Windows ends it.
    pub async fn line(&self, text: &str) {
        self.write(format!("{text}\r\n")).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_commands_are_decoded_however_they_are_spelt() {
        let script = "Write-Host 'ä'";
        let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encoded = STANDARD.encode(bytes);
        for command in [
            format!("powershell.exe -EncodedCommand {encoded}"),
            format!("powershell -NoProfile -enc {encoded}"),
            format!(r"C:\Windows\System32\WindowsPowerShell\v1.0\PowerShell.exe -e {encoded}"),
            format!("pwsh /ec \"{encoded}\""),
        ] {
            assert_eq!(encoded_command(&command).as_deref(), Some(script), "{command}");
        }
        assert_eq!(encoded_command("cmd /c echo -enc AAAA"), None);
        assert_eq!(encoded_command("powershell -file x.ps1"), None);
    }
}
