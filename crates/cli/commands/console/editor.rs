//! The line editor of an interactive console: history that outlives the session, and completion of functions and root names.

use std::path::PathBuf;

use bakelite_hcl::functions;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

use crate::exit::Failure;

/// Reads lines from the terminal.
pub(super) struct Editor {
    editor: rustyline::Editor<Names, FileHistory>,
    history: PathBuf,
}

impl Editor {
    pub(super) fn open(history: PathBuf) -> Result<Editor, Failure> {
        let mut editor = rustyline::Editor::new().map_err(|error| Failure::new("open the terminal").because(&error))?;
        editor.set_helper(Some(Names::of_the_language()));
        // A first session has no history yet.
        let _ = editor.load_history(&history);
        Ok(Editor { editor, history })
    }

    /// The next line, or `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<String>, Failure> {
        match self.editor.readline("> ") {
            Ok(line) => {
                // A line that cannot be kept can still be evaluated.
                let _ = self.editor.add_history_entry(&line);
                Ok(Some(line))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(Failure::new("read a line").because(&error)),
        }
    }

    /// Keeps the history.
    pub(super) fn close(mut self) {
        let folder = self.history.parent().map(std::fs::create_dir_all);
        // A console without history is still a console.
        let _ = folder.map(|_| self.editor.save_history(&self.history));
    }
}

/// The names that can be completed.
#[derive(Helper, Hinter, Highlighter, Validator)]
struct Names(Vec<String>);

impl Names {
    fn of_the_language() -> Names {
        let calls = functions::standard()
            .names()
            .map(|name| format!("{name}("))
            .collect::<Vec<_>>();
        let roots = [
            "var.",
            "local.",
            "path.root",
            "path.cwd",
            "packer.version",
            "variables",
            "help",
            "exit",
        ]
        .map(str::to_owned);
        Names(roots.into_iter().chain(calls).collect())
    }
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or(line);
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .map_or(0, |at| at + 1);
        let word = before.get(start..).unwrap_or_default();
        let fitting = self.0.iter().filter(|name| !word.is_empty() && name.starts_with(word));
        Ok((start, fitting.cloned().collect()))
    }
}
