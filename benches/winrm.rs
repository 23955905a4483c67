//! `cargo bench -p bakelite-communicators --bench winrm`: a file of 10 MiB to the tests' WS-Man server and back, in MB/s. There is no
//! peer beside it, and no Windows: PowerShell takes its own time there. What is measured is the protocol and our part of it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bakelite_communicators::connect::{Target, connect};
use bakelite_engine::communicator::Upload;
use bakelite_engine::events::{Events, Ui};
use bakelite_engine::provisioner::RunContext;
use bakelite_test_support::wsman::{Process, Setup, Windows, WsMan};
use tokio_util::sync::CancellationToken;

const SIZE: usize = 10 * 1024 * 1024;
const ROUNDS: usize = 5;

async fn nothing(_: Process) -> u32 {
    1
}

#[tokio::main]
async fn main() {
    for (name, tls, login) in [("http, Basic", false, "false"), ("TLS, NTLM", true, "true")] {
        let setup = Setup {
            tls,
            ..Setup::default()
        };
        let windows = Windows::new(nothing);
        let disk = Arc::clone(&windows.disk);
        let server = WsMan::start(setup, windows).await;
        let options = serde_json::from_str(&format!(
            r#"{{"communicator": "winrm", "winrm_port": {}, "winrm_username": "Administrator", "winrm_password": "correct horse",
                "winrm_use_ssl": {tls}, "winrm_insecure": {tls}, "winrm_use_ntlm": {login}}}"#,
            server.address.port()
        ));
        let target = Target {
            address: "127.0.0.1".into(),
            ..Target::default()
        };
        let ui = Ui::new(Events::new(std::sync::mpsc::channel().0));
        let winrm = connect(&target, &options.unwrap(), &run(), &ui, &CancellationToken::new())
            .await
            .unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(SIZE).collect();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let upload = Upload {
                content: &mut &content[..],
                size: SIZE as u64,
                mode: 0o644,
            };
            winrm.upload(upload, "C:/big").await.unwrap();
            up.push(began.elapsed());
            assert_eq!(disk.read("C:/big").unwrap().len(), SIZE);
            let began = Instant::now();
            let mut back = Vec::new();
            winrm.download("C:/big", &mut back).await.unwrap();
            down.push(began.elapsed());
            assert_eq!(back, content);
        }
        up.sort();
        down.sort();
        let rate = |times: &[std::time::Duration]| 10.0 * 1.048_576 / times[ROUNDS / 2].as_secs_f64();
        println!(
            "{name}: up {:.1} MB/s, down {:.1} MB/s (medians of {ROUNDS})",
            rate(&up),
            rate(&down)
        );
    }
}

fn run() -> RunContext {
    RunContext {
        id: "bench".into(),
        working_directory: "/".into(),
        temporary_directory: std::env::temp_dir(),
        home_directory: None,
        force: false,
        debug: false,
        environment: Arc::new(BTreeMap::new()),
        private_files: bakelite_engine::private_file::PrivateFiles::default(),
    }
}
