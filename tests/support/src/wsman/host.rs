//! What runs on a machine that looks like Windows: scripts, which the test plays, scheduled tasks, and restarts. It goes by what
//! bakelite's own commands and scripts are meant to do; that they do the same on a real Windows is not proven here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::Power;
use super::machine::{Machine, Process};
use super::windows::{Disk, Windows};

/// `ERROR_SHUTDOWN_IN_PROGRESS` and `ERROR_NO_SHUTDOWN_IN_PROGRESS`.
const GOING_DOWN: u32 = 1115;
const NOT_GOING_DOWN: u32 = 1116;

/// What a machine needs to go down, and to come back.
const SHUTTING_DOWN: Duration = Duration::from_millis(150);
const BOOTING: Duration = Duration::from_millis(200);

/// A script that is to run, or a command that is none of those the host knows.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The command that runs it.
    pub command: String,
    /// Its file; empty for a command.
    pub path: String,
    /// What is in the file.
    pub text: Vec<u8>,
    /// What is in the file that sets the variables, if the command names one.
    pub variables: Option<Vec<u8>>,
    /// The user for whom it runs as a scheduled task, and the password, if it has one.
    pub user: Option<(String, Option<String>)>,
}

impl Script {
    /// What is in the file, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// What a script does.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// What it prints.
    pub says: String,
    /// Its status.
    pub status: u32,
    /// It restarts the machine, and never ends itself.
    pub restarts: bool,
    /// It never ends.
    pub hangs: bool,
}

impl Played {
    /// It prints this and ends well.
    pub fn says(text: impl Into<String>) -> Self {
        Self {
            says: text.into(),
            ..Self::default()
        }
    }

    /// It ends with this status.
    pub fn ends_with(status: u32) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }
}

type Play = Box<dyn Fn(&Script) -> Played + Send + Sync>;

/// The host; a clone is the same one.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    disk: Arc<Disk>,
    play: Play,
    state: Mutex<State>,
    restarting: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct State {
    commands: Vec<String>,
    going_down: bool,
    /// A restart in a minute.
    scheduled: bool,
    /// Scheduled tasks, by name.
    tasks: BTreeMap<String, String>,
    /// Keys of the registry, each with the number of questions for which it still exists.
    keys: BTreeMap<String, usize>,
    /// How many questions PowerShell does not answer after a restart.
    silences: usize,
}

impl Host {
    /// A host whose scripts do what `play` says.
    pub fn new(play: impl Fn(&Script) -> Played + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            disk: Arc::default(),
            play: Box::new(play),
            state: Mutex::default(),
            restarting: Mutex::default(),
        }))
    }

    /// The machine that it is, for a server.
    pub fn machine(&self) -> Windows {
        let mut machine = Windows::new(self.clone());
        machine.disk = Arc::clone(&self.0.disk);
        machine
    }

    /// Its disk.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// Files on its disk.
    pub fn files(&self) -> Vec<String> {
        let mut files = self.disk().paths();
        files.retain(|path| !self.disk().is_directory(path));
        files
    }

    /// The commands that were run, without those that carry files; a script in one is decoded.
    pub fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    /// Names of scheduled tasks that exist.
    pub fn tasks(&self) -> Vec<String> {
        self.state().tasks.keys().cloned().collect()
    }

    /// Is a restart still to come?
    pub fn is_restart_scheduled(&self) -> bool {
        self.state().scheduled
    }

    /// A key of the registry, which is gone after that many questions.
    pub fn registry_key(&self, key: &str, questions: usize) {
        self.state().keys.insert(key.to_owned(), questions);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Goes down and comes back, beside the caller.
    fn restart(&self, power: &Power) {
        self.state().going_down = true;
        let (host, power) = (self.clone(), power.clone());
        self.0.restarting.lock().unwrap().spawn(async move {
            passes(SHUTTING_DOWN).await;
            power.off();
            passes(BOOTING).await;
            {
                let mut state = host.state();
                state.going_down = false;
                state.silences = 1;
            }
            power.on();
        });
    }

    fn shutdown(&self, command: &str, power: &Power) -> u32 {
        if command.ends_with(" /a") {
            let was_scheduled = std::mem::take(&mut self.state().scheduled);
            return if was_scheduled { 0 } else { NOT_GOING_DOWN };
        }
        if self.state().going_down {
            return GOING_DOWN;
        }
        if command.contains("/t 60") {
            self.state().scheduled = true;
        } else {
            self.restart(power);
        }
        0
    }

    /// Runs a script of bakelite's own that needs no file; nothing when it is none.
    async fn own_script(&self, script: &str, process: &Process) -> Option<u32> {
        if let Some((_, list)) = script.split_once("$paths = @(") {
            let (list, _) = list.split_once(')')?;
            let paths = quoted(list);
            let removed = paths
                .iter()
                .filter(|path| self.disk().read(path).is_some() && self.disk().remove(path));
            removed.for_each(drop);
            return Some(0);
        }
        if script.contains("Schedule.Service") {
            let words = quoted(script);
            self.state().tasks.retain(|name, _| !words.contains(name));
            for file in self.files() {
                if words.iter().any(|word| is_same(word, &file)) || script.contains(name_of(&file)) {
                    self.disk().remove(&file);
                }
            }
            return Some(0);
        }
        if script.contains("Test-Path -Path") {
            let mut there = Vec::new();
            for (key, left) in self
                .state()
                .keys
                .iter_mut()
                .filter(|(key, left)| **left > 0 && script.contains(*key))
            {
                *left -= 1;
                there.push(key.clone());
            }
            for key in there {
                process.stdout.line(&key).await;
            }
            return Some(0);
        }
        if script.contains("restarted.") {
            let is_silent = {
                let mut state = self.state();
                let is_silent = state.silences > 0;
                state.silences = state.silences.saturating_sub(1);
                is_silent
            };
            if !is_silent {
                process.stdout.line("EC2AMAZ restarted.").await;
            }
            return Some(u32::from(is_silent));
        }
        None
    }

    /// Runs the runner of a scheduled task as the Task Scheduler would.
    async fn runner(&self, path: &str, text: &str, process: &Process) -> u32 {
        self.disk().remove(path);
        let (_, rest) = text.split_once("$definition.XmlText = '").unwrap();
        let (xml, rest) = rest.split_once("'\n").unwrap();
        let xml = xml.replace("''", "'");
        let task = roxmltree::Document::parse(&xml).unwrap();
        let element = |name| {
            let found = task.descendants().find(|node| node.tag_name().name() == name);
            found.and_then(|node| node.text()).unwrap_or_default().to_owned()
        };
        assert_eq!(
            (element("Command"), element("RunLevel")),
            ("cmd".into(), "HighestAvailable".into())
        );
        let arguments = element("Arguments");
        let line = arguments.strip_prefix("/s /c \"chcp 65001 > nul & ").unwrap();
        let (command, log) = line.rsplit_once(" > ").unwrap();
        let log = log
            .strip_suffix(" 2>&1\"")
            .unwrap()
            .replace("%SYSTEMROOT%", "C:\\Windows");
        let words = quoted(rest.lines().next().unwrap());
        let (user, password) = match words.as_slice() {
            [user] => (user.clone(), None),
            [user, password] => (user.clone(), Some(password.clone())),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (element("UserId"), element("LogonType").as_str()),
            (user.clone(), password.as_ref().map_or("", |_| "Password"))
        );
        let name = quoted(text.lines().find(|line| line.starts_with("$name")).unwrap()).remove(0);
        self.state().tasks.insert(name.clone(), user.clone());
        self.disk().write(&log, "");
        let script = self.script_of(command, Some((user, password)));
        let status = self.play(&script, process).await;
        self.disk().remove(&log);
        self.state().tasks.remove(&name);
        status
    }

    /// The script that a command runs: the file after `-file`, otherwise the last one that it names.
    fn script_of(&self, command: &str, user: Option<(String, Option<String>)>) -> Script {
        let words: Vec<&str> = command.split([' ', '"', '\'', ';', '&']).collect();
        let is_file = |word: &&&str| self.disk().read(word).is_some();
        let after_file = words
            .iter()
            .skip_while(|word| !word.eq_ignore_ascii_case("-file"))
            .find(is_file);
        let path = after_file
            .or_else(|| words.iter().rfind(is_file))
            .copied()
            .unwrap_or_default();
        let others = words.iter().filter(|word| **word != path);
        Script {
            command: command.to_owned(),
            path: path.to_owned(),
            text: self.disk().read(path).unwrap_or_default(),
            variables: others.filter(is_file).find_map(|word| self.disk().read(word)),
            user,
        }
    }

    async fn play(&self, script: &Script, process: &Process) -> u32 {
        let played = (self.0.play)(script);
        process.stdout.write(&played.says).await;
        if played.restarts {
            self.restart(&process.power);
        }
        if played.restarts || played.hangs {
            std::future::pending::<()>().await;
        }
        played.status
    }
}

#[async_trait]
impl Machine for Host {
    async fn run(&self, process: Process) -> u32 {
        let line = process.command_line.clone();
        let script = process.script();
        let shown = script.clone().unwrap_or_else(|| line.clone());
        self.state().commands.push(shown);
        if let Some(script) = script {
            return match self.own_script(&script, &process).await {
                Some(status) => status,
                None => panic!("a script that the host does not know: {script}"),
            };
        }
        if line.starts_with("shutdown ") {
            return self.shutdown(&line, &process.power);
        }
        if let Some(rest) = line.strip_prefix("del /f /q \"") {
            let (path, _) = rest.split_once('"').unwrap();
            self.disk().remove(path);
            return 0;
        }
        let script = self.script_of(&line, None);
        if script.path.contains("packer-elevated-shell") {
            return self.runner(&script.path, &script.text(), &process).await;
        }
        self.play(&script, &process).await
    }
}

/// A machine takes its time.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing happens meanwhile that could be waited for"
)]
async fn passes(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Texts between single quotes.
fn quoted(text: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('\'') {
        let mut end = after.find('\'').unwrap_or(after.len());
        while after[end..].starts_with("''") {
            end += 2 + after[end + 2..].find('\'').unwrap_or(after.len() - end - 2);
        }
        texts.push(after[..end].replace("''", "'"));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    texts
}

fn name_of(path: &str) -> &str {
    path.rsplit('\\').next().unwrap_or_default()
}

fn is_same(path: &str, other: &str) -> bool {
    path.replace('/', "\\").eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_are_found() {
        assert_eq!(quoted("f('a', $null, 'it''s', 5)"), ["a", "it's"]);
        assert_eq!(quoted("'' ''''"), ["", "'"]);
        assert_eq!(quoted("none"), Vec::<String>::new());
    }
}
