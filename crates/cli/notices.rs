//! What the local cloud reports while it works: printed at once, or as events of the bake that runs on it. Once this machine's system
//! stands in for a distribution, it becomes the help of errors that come of that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakelite_engine::event::{BuildEvent, Event, Level, Message, RunEvent, What};
use bakelite_engine::events::Events;
use bakelite_local::{Notice, Notices, StandIn};
use serde_json::{Value, json};

use crate::output::Output;
use crate::print::print_exactly;

/// Under which name a bake's output has it.
const SPEAKER: &str = "local cloud";
/// Package managers: where one of them is not found, it is because of what stands in.
const PACKAGE_MANAGERS: [&str; 9] = [
    "amazon-linux-extras",
    "apt",
    "apt-get",
    "dnf",
    "dpkg",
    "microdnf",
    "rpm",
    "subscription-manager",
    "yum",
];

/// Where notices come together; a cheap handle.
#[derive(Clone)]
pub(crate) struct NoticeBoard(Arc<Mutex<Board>>);

struct Board {
    output: Output,
    /// Of the bake that runs.
    events: Option<Events>,
    /// Are stand-ins what the user asked for?
    stand_ins_are_wanted: bool,
    /// Do notices go to another process, which shows them?
    is_of_another_process: bool,
    stand_ins: Vec<StandIn>,
    /// Builds in whose output a package manager was not found.
    lacking: BTreeSet<String>,
    /// The quarter that was reported of the pull that goes on.
    reported: Option<(String, u64)>,
}

impl NoticeBoard {
    /// A board whose notices are printed.
    pub(crate) fn new(output: Output, stand_ins_are_wanted: bool) -> NoticeBoard {
        NoticeBoard(Arc::new(Mutex::new(Board {
            output,
            events: None,
            stand_ins_are_wanted,
            is_of_another_process: false,
            stand_ins: Vec::new(),
            lacking: BTreeSet::new(),
            reported: None,
        })))
    }

    /// A board of a cloud that runs for another process: notices are lines of JSON on standard output.
    pub(crate) fn of_another_process() -> NoticeBoard {
        let board = NoticeBoard::new(Output::default(), false);
        board.lock().is_of_another_process = true;
        board
    }

    /// The end that the local cloud holds.
    pub(crate) fn notices(&self) -> Notices {
        let board = self.clone();
        Notices::to(move |notice| board.lock().take(notice))
    }

    /// Takes the notice of a line that such a cloud wrote; false for any other line.
    pub(crate) fn take_line(&self, line: &Value) -> bool {
        let notice = line
            .get("notice")
            .and_then(|notice| serde_json::from_value(notice.clone()).ok());
        notice.map(|notice| self.lock().take(notice)).is_some()
    }

    /// From now on notices are events of a bake; `None`: no longer.
    pub(crate) fn report_by(&self, events: Option<Events>) {
        self.lock().events = events;
    }

    /// Looks at an event on its way to the reporters: an error behind a missing package manager gets its reason as help.
    pub(crate) fn explain(&self, event: &mut Event) {
        let mut board = self.lock();
        let Some(stand_in) = board.stand_ins.last() else { return };
        let help = format!("{}; {}", stand_in.meaning(), stand_in.help());
        match (&mut event.what, &event.build) {
            (What::Message(message), Some(build))
                if matches!(message.level, Level::Output | Level::ErrorOutput | Level::Error)
                    && lacks_manager(&message.text) =>
            {
                board.lacking.insert(build.clone());
            }
            (What::Build(BuildEvent::Errored { error, .. }), Some(build)) if board.lacking.contains(build) => {
                error.help.get_or_insert(help);
            }
            (What::Run(RunEvent::Finished { outcomes, .. }), _) => {
                for outcome in outcomes
                    .iter_mut()
                    .filter(|outcome| board.lacking.contains(&outcome.name))
                {
                    if let Some(error) = &mut outcome.error {
                        error.help.get_or_insert_with(|| help.clone());
                    }
                }
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does a shell, sudo or env complain here that there is no such package manager?
fn lacks_manager(text: &str) -> bool {
    let words = |line: &str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '/';
        let words: Vec<String> = line.split(|letter| !is_part(letter)).map(str::to_owned).collect();
        words
    };
    let is_manager = |word: &String| PACKAGE_MANAGERS.contains(&word.rsplit('/').next().unwrap_or(word));
    text.lines()
        .filter(|line| line.contains("not found") || line.contains("No such file or directory"))
        .any(|line| words(line).iter().any(is_manager))
}

impl Board {
    fn take(&mut self, notice: Notice) {
        if self.is_of_another_process {
            print_exactly(&format!("{}\n", json!({ "notice": notice })));
            return;
        }
        match notice {
            Notice::Pulling { image, done, total } => self.pulling(image, done, total),
            Notice::Unpacking { image } => self.say(&format!("Unpacking {image}")),
            Notice::Waiting { image } => self.say(&format!("Waiting for another process, which pulls {image}")),
            Notice::Kept { image, why } => self.warn(&format!("{image} is used as it was pulled before: {why}"), None),
            Notice::StandsIn(stand_in) => {
                if !self.stand_ins_are_wanted {
                    let text = format!("{} ({})", stand_in.meaning(), stand_in.why);
                    self.warn(&text, Some(stand_in.help()));
                }
                self.stand_ins.push(stand_in);
            }
            Notice::Volume { instance, line } => self.warn(
                &format!("{instance}: {line}"),
                Some("the device is named by `device_name` in `launch_block_device_mappings` or `ebs_volumes` of the source".to_owned()),
            ),
            Notice::UserData { instance, line } => self.warn(&format!("user data of {instance}: {line}"), None),
        }
    }

    /// Reports the start and each quarter.
    fn pulling(&mut self, image: String, done: u64, total: u64) {
        let quarter = (done * 4).checked_div(total).unwrap_or(4);
        let before = self
            .reported
            .as_ref()
            .filter(|(of, _)| *of == image)
            .map(|(_, quarter)| *quarter);
        if before.is_some_and(|before| before >= quarter) {
            return;
        }
        match before {
            None => self.say(&format!("Pulling {image}: {}", size(total))),
            Some(_) => self.say(&format!("Pulling {image}: {} of {}", size(done), size(total))),
        }
        self.reported = Some((image, quarter));
    }

    fn say(&self, text: &str) {
        match &self.events {
            Some(events) => events.of(SPEAKER).emit(message(Level::Say, text, None)),
            None => self.output.error(&format!("{text}\n")),
        }
    }

    fn warn(&self, text: &str, help: Option<String>) {
        if let Some(events) = &self.events {
            events.of(SPEAKER).emit(message(Level::Warning, text, help));
            return;
        }
        let help = help.map_or_else(String::new, |help| format!("help: {help}\n"));
        self.output.error(&format!("warning: {text}\n{help}"));
    }
}

fn message(level: Level, text: &str, help: Option<String>) -> What {
    What::Message(Message {
        post_processor: None,
        level,
        text: text.to_owned(),
        goes_on: false,
        help,
        location: None,
    })
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_missing_package_managers_are_known() {
        for line in [
            "bash: line 3: dnf: command not found",
            "/tmp/script_1.sh: 2: apt-get: not found",
            "sudo: yum: command not found",
            "sh: 1: /usr/bin/dnf: not found",
            "env: 'microdnf': No such file or directory",
            "out\nsudo: rpm: command not found\n",
        ] {
            assert!(lacks_manager(line), "{line}");
        }
        for line in [
            "bash: nginx: command not found",
            "dnf install nginx",
            "package aptitude not found",
            "adapt-get: not found",
        ] {
            assert!(!lacks_manager(line), "{line}");
        }
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(
            [size(12), size(48_540_000), size(1_250_000_000)],
            ["12 bytes", "48.5 MB", "1.2 GB"]
        );
    }
}
