//! Takes the temporary key out of the image's `authorized_keys` files (`ssh_clear_authorized_keys`).

use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit};
use bakelite_engine::events::Ui;
use bakelite_engine::output::stream;

use super::quote;

/// Removes the lines whose comment is `key_name` from the files of the user and of root. That root's cannot be changed is said and is
/// no error: many users have no sudo.
pub async fn clear_authorized_keys(
    communicator: &dyn Communicator,
    key_name: &str,
    ui: &Ui,
) -> Result<(), CommunicatorError> {
    let pattern = key_name
        .replace('\\', r"\\")
        .replace('/', r"\/")
        .replace(['.', '*', '[', ']', '^', '$'], ".");
    let remove = |file: &str, sudo: &str| {
        let script = quote::word(&format!("/ {pattern}$/d"));
        format!("if {sudo}test -e {file}; then {sudo}sed -i.bak {script} {file} && {sudo}rm -f {file}.bak; fi")
    };
    for (file, sudo) in [
        ("~/.ssh/authorized_keys", ""),
        ("/root/.ssh/authorized_keys", "sudo -n "),
    ] {
        let running = communicator.exec(&remove(file, sudo)).await?;
        match stream(running, ui).await {
            Exit::Status(0) => {}
            Exit::Status(status) => ui.error(format!(
                "Warning: the temporary key was not removed from {file} (status {status})"
            )),
            Exit::Disconnected => ui.error(format!(
                "Warning: the connection was lost while the temporary key was removed from {file}"
            )),
        }
    }
    Ok(())
}
