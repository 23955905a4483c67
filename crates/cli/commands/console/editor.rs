//! The line editor of an interactive console: history that outlives the session, and completion of functions and root names.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context, Helper, Highlighter, Hinter, Validator};

use crate::exit::Failure;

/// Reads lines from the terminal.
pub(super) struct Editor {
    editor: rustyline::Editor<Names, FileHistory>,
    history: PathBuf,
}

impl Editor {
    /// Opens the terminal; `names` can be completed.
    pub(super) fn open(history: PathBuf, names: Vec<String>) -> Result<Editor, Failure> {
        let config = Config::builder().completion_type(CompletionType::List).build();
        let editor = rustyline::Editor::with_config(config);
        let mut editor = editor.map_err(|error| Failure::new("failed to open the terminal").because(&error))?;
        editor.set_helper(Some(Names::with(names)));
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
            Err(error) => Err(Failure::new("failed to read a line").because(&error)),
        }
    }

    /// Keeps the history.
    pub(super) fn close(mut self) {
        let directory = self.history.parent().map(bakelite_engine::private_directory::make);
        // A console without history is still a console.
        let _ = directory.map(|_| self.editor.save_history(&self.history));
    }
}

/// The names that can be completed.
#[derive(Helper, Hinter, Highlighter, Validator)]
struct Names(Vec<String>);

impl Names {
    /// The template's own names and those that are always there.
    fn with(mut names: Vec<String>) -> Names {
        let always = ["path.root", "path.cwd", "packer.version", "variables", "help", "exit"];
        names.extend(always.map(str::to_owned));
        names.sort();
        names.dedup();
        Names(names)
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

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    #[test]
    fn the_word_before_the_cursor_is_completed() {
        let names = Names::with(vec!["var.region".into(), "var.role".into(), "upper(".into()]);
        let history = DefaultHistory::new();
        let complete = |line: &str| names.complete(line, line.len(), &Context::new(&history)).unwrap();
        assert_eq!(
            complete("upper(var.r"),
            (6, vec!["var.region".into(), "var.role".into()])
        );
        assert_eq!(complete("1 + up"), (4, vec!["upper(".into()]));
        assert_eq!(complete("1 + "), (4, Vec::new()));
    }
}
