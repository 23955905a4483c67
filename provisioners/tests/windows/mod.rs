//! The provisioners for Windows over WinRM, against a machine that plays Windows.

mod batch;
mod elevated;
mod powershell;
mod restart;

use bakelite_test_support::wsman::{Host, Played, Script, Setup, WsMan};
use serde_json::{Value, json};

use crate::workbench::Workbench;

/// A workbench with a machine.
struct Machine {
    server: WsMan,
    host: Host,
    bench: Workbench,
}

impl Machine {
    /// Connected to a machine whose scripts do what `play` says.
    async fn start(play: impl Fn(&Script) -> Played + Send + Sync + 'static) -> Machine {
        let host = Host::new(play);
        let server = WsMan::start(Setup::default(), host.machine()).await;
        let mut bench = Workbench::connected(json!({
            "communicator": "winrm", "winrm_port": server.address.port(),
            "winrm_username": "Administrator", "winrm_password": "correct horse",
        }))
        .await;
        let data = [("ID", "i-1"), ("User", "builder"), ("Password", "hunter2")];
        let data = data.map(|(name, value)| (name.to_owned(), value.to_owned()));
        bench.provisioning.rendering.set_build_data(data.into());
        Machine { server, host, bench }
    }

    async fn provision(&self, name: &str, options: Value) -> Result<(), String> {
        self.bench.provision(name, options).await
    }

    /// The commands so far, with their random names made equal.
    fn commands(&self) -> String {
        without_ids(&self.host.commands().join("\n---\n"))
    }
}

/// Every script prints its own text.
fn cat(script: &Script) -> Played {
    Played::says(script.text())
}

/// The first run of a script loses the connection, as a restart does.
fn restarts(_: &Script) -> Played {
    Played {
        restarts: true,
        ..Played::default()
    }
}

/// A text in which every random id is the same.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let groups: Vec<usize> = word.split('-').map(str::len).collect();
        groups == [8, 4, 4, 4, 12] && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
    };
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let id = rest.get(..36).filter(|word| is_id(word));
        if id.is_some() {
            shown.push_str("ID");
        } else {
            shown.push(first);
        }
        rest = rest.get(id.map_or(first.len_utf8(), str::len)..).unwrap_or_default();
    }
    shown
}
