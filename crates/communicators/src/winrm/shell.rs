//! A shell of the service, and a command in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::client::Client;
use super::http::WinRmError;
use super::response::{self, Received};

/// How long ending a command or a shell may take. A machine that is going down gives no answer.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A shell that was opened; to be deleted with [`Shell::delete`].
#[must_use = "a shell that nobody deletes stays until the service gives it up"]
pub(crate) struct Shell {
    client: Arc<Client>,
    id: String,
}

/// A command that was started.
pub(crate) struct Command<'a> {
    shell: &'a Shell,
    id: String,
}

impl Shell {
    /// Opens a shell.
    pub(crate) async fn open(client: &Arc<Client>) -> Result<Shell, WinRmError> {
        let answer = client.ask(client.envelopes.create()).await?;
        Ok(Shell {
            client: Arc::clone(client),
            id: response::shell_id(&answer)?,
        })
    }

    /// Starts a command. `console`: its input is that of a console and not a pipe.
    pub(crate) async fn start(&self, command: &str, console: bool) -> Result<Command<'_>, WinRmError> {
        let request = self.client.envelopes.command(&self.id, command, console);
        let answer = self.client.ask(request).await?;
        Ok(Command {
            shell: self,
            id: response::command_id(&answer)?,
        })
    }

    /// Deletes it, with all that still runs in it. What the service thinks of that is only logged: it gives up shells that nobody uses.
    pub(crate) async fn delete(self) {
        end(&self.client, "delete a shell", self.client.envelopes.delete(&self.id)).await;
    }
}

impl Command<'_> {
    /// The client of the service that runs it.
    pub(crate) fn client(&self) -> &Client {
        &self.shell.client
    }

    /// Waits for output or the end.
    pub(crate) async fn receive(&self) -> Result<Received, WinRmError> {
        let client = &self.shell.client;
        let answer = client.ask(client.envelopes.receive(&self.shell.id, &self.id)).await?;
        Ok(response::received(&answer)?)
    }

    /// Sends input; `end`: and there is no more.
    pub(crate) async fn send(&self, bytes: &[u8], end: bool) -> Result<(), WinRmError> {
        let client = &self.shell.client;
        client
            .ask(client.envelopes.send(&self.shell.id, &self.id, bytes, end))
            .await
            .map(drop)
    }

    /// Ends it.
    pub(crate) async fn terminate(&self) {
        let client = &self.shell.client;
        end(
            client,
            "end a command",
            client.envelopes.terminate(&self.shell.id, &self.id),
        )
        .await;
    }
}

/// Sends a request that ends something; a failure is only logged.
async fn end(client: &Client, operation: &str, request: String) {
    match timeout(END_LIMIT, client.ask(request)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(
            peer = client.peer,
            error = bakelite_engine::chain_of(&error),
            "{operation}"
        ),
        Err(_) => tracing::debug!(peer = client.peer, "{operation}: no answer"),
    }
}
