//! Takes the temporary key out of the image's `authorized_keys` files (`ssh_clear_authorized_keys`).

use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit};
use bakelite_engine::events::Ui;
use bakelite_engine::output::stream;
use bakelite_scripts::quote;

/// Removes the lines whose comment is `key_name` from the files of the user and of root. A failure for root's is a warning and
/// no error: many users have no sudo.
pub async fn clear_authorized_keys(
    communicator: &dyn Communicator,
    key_name: &str,
    ui: &Ui,
) -> Result<(), CommunicatorError> {
    for (file, sudo) in [
        ("~/.ssh/authorized_keys", ""),
        ("/root/.ssh/authorized_keys", "sudo -n "),
    ] {
        let running = communicator.exec(&removal(file, sudo, key_name)).await?;
        match stream(running, ui).await {
            Exit::Status(0) => {}
            Exit::Status(status) => ui.warn(format!(
                "the temporary key was not removed from {file} (status {status})"
            )),
            Exit::Disconnected => ui.warn(format!(
                "the connection was lost while the temporary key was removed from {file}"
            )),
        }
    }
    Ok(())
}

/// The command that removes the lines of a key from a file that may not be there.
fn removal(file: &str, sudo: &str, key_name: &str) -> String {
    let pattern: String = key_name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '.'
            }
        })
        .collect();
    let script = quote::word(&format!("/ {pattern}$/d"));
    format!("if {sudo}test -e {file} 2>/dev/null; then {sudo}sed -i.bak {script} {file} && {sudo}rm -f {file}.bak; fi")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_the_key_go() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("authorized_keys");
        let command = removal(file.to_str().unwrap(), "", "packer_1/a b");
        let run = || {
            std::process::Command::new("sh")
                .args(["-c", &command])
                .output()
                .unwrap()
        };
        assert!(run().status.success(), "a file that is not there is no error");
        std::fs::write(
            &file,
            "ssh-rsa AAAA packer_1/a b\nssh-rsa BBBB me@packer_1/a b c\nssh-rsa CCCC other\n",
        )
        .unwrap();
        assert!(run().status.success());
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "ssh-rsa BBBB me@packer_1/a b c\nssh-rsa CCCC other\n"
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
