//! An instance to talk to: a WS-Man server of the test's own, and what is needed to connect to it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bakelite_communicators::connect::{ConnectError, Target, connect};
use bakelite_communicators::options::CommunicatorOptions;
use bakelite_engine::communicator::Communicator;
use bakelite_engine::event::{Event, What};
use bakelite_engine::events::{Events, Ui};
use bakelite_test_support::eventually::in_time;
use bakelite_test_support::wsman::{Disk, Machine, Process, Setup, Windows, WsMan};
use tokio_util::sync::CancellationToken;

use crate::outcome::run;

pub(crate) struct Instance {
    pub(crate) server: WsMan,
    pub(crate) disk: Arc<Disk>,
    pub(crate) ui: Ui,
    events: Receiver<Event>,
}

impl Instance {
    /// A machine whose commands are run by `machine`.
    pub(crate) async fn start(setup: Setup, machine: impl Machine) -> Instance {
        let (sender, events) = channel();
        let windows = Windows::new(machine);
        let disk = Arc::clone(&windows.disk);
        let server = WsMan::start(setup, windows).await;
        Instance {
            server,
            disk,
            ui: Ui::new(Events::new(sender)),
            events,
        }
    }

    /// A machine with the commands of [`commands`].
    pub(crate) async fn usual() -> Instance {
        Instance::start(Setup::default(), commands).await
    }

    /// Options that log in, and more of them.
    pub(crate) fn options(&self, more: &str) -> CommunicatorOptions {
        let comma = if more.is_empty() { "" } else { ", " };
        let limit = if more.contains("winrm_timeout") {
            ""
        } else {
            r#", "winrm_timeout": "30s""#
        };
        let json = format!(
            r#"{{"communicator": "winrm", "winrm_port": {}, "winrm_username": "Administrator",
                "winrm_password": "correct horse"{limit}{comma}{more}}}"#,
            self.server.address.port()
        );
        serde_json::from_str(&json).unwrap()
    }

    pub(crate) fn target() -> Target {
        Target {
            address: "127.0.0.1".into(),
            ..Target::default()
        }
    }

    pub(crate) async fn connect(&self, more: &str) -> Arc<dyn Communicator> {
        let connected = self.try_connect(&self.options(more), &[]).await;
        connected.unwrap_or_else(|error| {
            panic!("{}\n{:?}", bakelite_engine::chain_of(&error), self.server.log());
        })
    }

    pub(crate) async fn try_connect(
        &self,
        options: &CommunicatorOptions,
        environment: &[(&str, &str)],
    ) -> Result<Arc<dyn Communicator>, ConnectError> {
        let (target, run, cancel) = (Self::target(), run(environment), CancellationToken::new());
        let connecting = connect(&target, options, &run, &self.ui, &cancel);
        in_time("a connection", connecting).await
    }

    /// The same for a connection that must not come about: why not.
    pub(crate) async fn fail_to_connect(&self, options: &CommunicatorOptions, environment: &[(&str, &str)]) -> String {
        match self.try_connect(options, environment).await {
            Ok(_) => panic!("it should not be possible to connect"),
            Err(error) => bakelite_engine::chain_of(&error),
        }
    }

    /// What was said so far, and what was told of transfers.
    pub(crate) fn said(&self) -> Vec<String> {
        let texts = self.events.try_iter().filter_map(|event| match event.what {
            What::Message(message) => Some(message.text),
            What::Transfer(event) => Some(format!("{event:?}")),
            _ => None,
        });
        texts.collect()
    }
}

/// `echo`, `fail`, `cat`, `pieces`, `big`, `hang`, `restart`.
pub(crate) async fn commands(mut process: Process) -> u32 {
    let line = process.command_line.clone();
    let (program, rest) = line.split_once(' ').unwrap_or((&line, ""));
    match program {
        "echo" => {
            process.stdout.line(rest).await;
            0
        }
        "fail" => {
            process.stderr.line("it failed").await;
            rest.parse().unwrap()
        }
        "cat" => {
            while let Some(piece) = process.stdin.piece().await {
                process.stdout.write(piece).await;
            }
            process.stdout.write("end").await;
            0
        }
        // Letters of several bytes, cut in the middle.
        "pieces" => {
            for byte in "a ä € 😀".bytes() {
                process.stdout.write([byte]).await;
            }
            0
        }
        "big" => {
            for piece in 0..128_u8 {
                process.stdout.write(vec![piece; 64 * 1024]).await;
            }
            0
        }
        "hang" => {
            process.stdout.line("hanging").await;
            std::future::pending().await
        }
        "restart" => {
            process.power.off();
            std::future::pending().await
        }
        _ => {
            process
                .stderr
                .line(&format!(
                    "'{program}' is not recognized as an internal or external command"
                ))
                .await;
            1
        }
    }
}
