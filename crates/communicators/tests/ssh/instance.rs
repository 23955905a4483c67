//! An instance to talk to: an sshd of the test's own and what is needed to connect to it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bakelite_communicators::connect::{ConnectError, Target, connect};
use bakelite_communicators::options::CommunicatorOptions;
use bakelite_engine::communicator::Communicator;
use bakelite_engine::event::{Event, What};
use bakelite_engine::events::{Events, Ui};
use bakelite_test_support::eventually::in_time;
use bakelite_test_support::sshd::{Setup, Sshd};
use tokio_util::sync::CancellationToken;

pub(crate) use crate::outcome::{outcome, printed, ran, run};

pub(crate) struct Instance {
    pub(crate) sshd: Sshd,
    pub(crate) ui: Ui,
    events: Receiver<Event>,
}

impl Instance {
    pub(crate) async fn start(setup: Setup) -> Instance {
        let (sender, events) = channel();
        Instance {
            sshd: Sshd::start(setup).await,
            ui: Ui::new(Events::new(sender)),
            events,
        }
    }

    /// Options that log in with the user's key file, and more options.
    pub(crate) fn options(&self, more: &str) -> CommunicatorOptions {
        let key = self.sshd.key_file.to_str().unwrap();
        self.options_without_key(&format!(
            r#""ssh_private_key_file": "{key}"{}{more}"#,
            if more.is_empty() { "" } else { ", " }
        ))
    }

    pub(crate) fn options_without_key(&self, more: &str) -> CommunicatorOptions {
        let (port, user) = (self.sshd.address.port(), &self.sshd.username);
        let comma = if more.is_empty() { "" } else { ", " };
        let json = format!(r#"{{"ssh_port": {port}, "ssh_username": "{user}"{comma}{more}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    pub(crate) fn target() -> Target {
        Target {
            address: "127.0.0.1".into(),
            ..Target::default()
        }
    }

    pub(crate) async fn connect(&self, more: &str) -> Arc<dyn Communicator> {
        self.try_connect(&Self::target(), &self.options(more))
            .await
            .unwrap_or_else(|error| {
                panic!("{}\n{}", bakelite_engine::chain_of(&error), self.sshd.log());
            })
    }

    pub(crate) async fn try_connect(
        &self,
        target: &Target,
        options: &CommunicatorOptions,
    ) -> Result<Arc<dyn Communicator>, ConnectError> {
        let (run, cancel) = (run(&[]), CancellationToken::new());
        in_time("a connection", connect(target, options, &run, &self.ui, &cancel)).await
    }

    /// What was said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        let texts = self.events.try_iter().filter_map(|event| match event.what {
            What::Message(message) => Some(message.text),
            _ => None,
        });
        texts.collect()
    }
}

impl Instance {
    /// What was told of transfers so far, as the events' own texts.
    pub(crate) fn transfers(&self) -> Vec<String> {
        let events = self.events.try_iter().filter_map(|event| match event.what {
            What::Transfer(event) => Some(format!("{event:?}")),
            _ => None,
        });
        events.collect()
    }
}
