//! What happens when a bake fails (`-on-error`), and the user who may be asked.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Error;
use crate::events::Ui;

/// What to do with a bake that failed (`-on-error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Undo everything.
    #[default]
    CleanUp,
    /// Leave everything as it is; it stays in the journal for `gc`.
    Abort,
    /// Ask the user.
    Ask,
    /// Run the error-cleanup-provisioner, then leave everything as it is.
    RunCleanupProvisioner,
}

/// What the user answers when asked about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Undo everything.
    CleanUp,
    /// Leave everything as it is.
    Abort,
    /// Try the step again.
    Retry,
}

/// The user at a terminal. Without a terminal, failures are cleaned up and pauses skipped.
#[async_trait]
pub trait User: Send + Sync {
    /// Is somebody there?
    fn is_there(&self) -> bool;

    /// The next line from the user, who was asked something by an event already. Dropping it leaves the line to whoever asks next.
    /// `None` at the end of the terminal.
    async fn line(&self) -> Option<String>;
}

/// What happens on a failure.
#[derive(Clone)]
pub struct FailurePolicy {
    /// `-on-error`
    pub on_error: OnError,
    /// Who is asked.
    pub user: Arc<dyn User>,
}

impl From<Answer> for OnError {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Abort => OnError::Abort,
            Answer::CleanUp | Answer::Retry => OnError::CleanUp,
        }
    }
}

impl FailurePolicy {
    /// Asks until the answer is one of those offered; nobody there, or just Enter, means clean up.
    pub(crate) async fn ask(&self, ui: &Ui, error: &Error, can_retry: bool) -> Answer {
        if !self.user.is_there() {
            return Answer::CleanUp;
        }
        ui.fail(error);
        let retry = if can_retry { ", [r]etry" } else { "" };
        let question = format!("[c]lean up, [a]bort and leave everything as it is{retry}? Enter cleans up.");
        loop {
            ui.say(&question);
            let Some(answer) = self.user.line().await else {
                return Answer::CleanUp;
            };
            match answer.trim().to_lowercase().chars().next() {
                None | Some('c') => return Answer::CleanUp,
                Some('a') => return Answer::Abort,
                Some('r') if can_retry => return Answer::Retry,
                Some(_) => {}
            }
        }
    }

    /// Waits for Enter; not at all when nobody is there.
    pub(crate) async fn pause(&self, ui: &Ui, before: &str) {
        if self.user.is_there() {
            ui.say(format!("{before}. Press enter to continue."));
            let _ = self.user.line().await;
        }
    }
}
