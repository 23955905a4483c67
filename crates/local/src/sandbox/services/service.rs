//! What a service's unit asks for, as values.

use std::time::Duration;

use crate::sandbox::wire::End;

use super::command_line::{CommandLine, Specifiers, UnbalancedQuote, assignments};
use super::unit::Unit;
use super::unit_file::{UnitFile, limit, span};

/// When a service counts as started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As soon as its process runs.
    Simple,
    /// When its process has ended.
    Oneshot,
    /// When its first process has ended; others go on.
    Forking,
    /// When it sends `READY=1`.
    Notify,
}

/// The commands of a service, by when they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    StartPre,
    Start,
    StartPost,
    Reload,
    Stop,
    StopPost,
}

/// Their keys, in the order of the enum.
const PHASES: [&str; 6] = [
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
];

/// After which ends a service is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    No,
    Always,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnAbort,
    OnWatchdog,
}

/// Whom a stop signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KillMode {
    /// All processes.
    ControlGroup,
    /// The main process, and those that are left when it has had its time.
    Mixed,
    /// The main process.
    Process,
    None,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// The service's log, which `journalctl` shows.
    Journal,
    Null,
    /// Where standard output goes.
    Inherit,
    /// A file; emptied first, or appended to, or written from its start.
    File {
        path: String,
        append: bool,
        truncate: bool,
    },
}

/// A directory below one of the system's that the service owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnDirectory {
    /// The variable that names it to the service.
    pub(super) variable: &'static str,
    pub(super) path: String,
    pub(super) mode: u32,
    /// It goes when the service stops.
    pub(super) is_temporary: bool,
}

/// How a service runs.
#[expect(clippy::struct_excessive_bools, reason = "as units have them")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) kind: Kind,
    commands: [Vec<CommandLine>; 6],
    pub(super) remain_after_exit: bool,
    pub(super) guess_main_pid: bool,
    pub(super) pid_file: Option<String>,
    pub(super) restart: Restart,
    pub(super) restart_delay: Duration,
    restart_prevented: Vec<String>,
    success: Vec<String>,
    /// How many starts there may be in that time.
    pub(super) start_limit: (usize, Duration),
    pub(super) start_timeout: Option<Duration>,
    pub(super) stop_timeout: Option<Duration>,
    pub(super) kill_mode: KillMode,
    pub(super) kill_signal: i32,
    pub(super) sends_sigkill: bool,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) supplementary_groups: Vec<String>,
    /// The directory, and whether it may be missing.
    pub(super) working_directory: Option<(String, bool)>,
    pub(super) environment: Vec<(String, String)>,
    /// Paths, and whether each may be missing.
    pub(super) environment_files: Vec<(String, bool)>,
    pub(super) umask: u32,
    pub(super) directories: Vec<OwnDirectory>,
    pub(super) keeps_runtime_directory: bool,
    pub(super) limits: Vec<(rustix::process::Resource, Option<u64>, Option<u64>)>,
    pub(super) nice: Option<i32>,
    pub(super) output: Output,
    pub(super) error: Output,
    /// Options that have no effect.
    pub(super) passed_over: Vec<String>,
}

/// Why a service cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadService {
    /// It has no command.
    #[error("it has no ExecStart=")]
    NoCommand,
    /// Only a oneshot service may have several.
    #[error("it has more than one ExecStart=, which only Type=oneshot allows")]
    ManyCommands,
    /// A command cannot be read.
    #[error("{key}={line}: {error}")]
    Command {
        /// The key.
        key: &'static str,
        /// Its value.
        line: String,
        /// What is wrong.
        error: UnbalancedQuote,
    },
    /// An option whose value decides how the service runs has another one.
    #[error("{key}={value} is not supported")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);
/// Keys of `[Service]` besides [`PHASES`] and [`LIMITS`] that have an effect here, or none that could be missed.
const SUPPORTED: [&str; 49] = [
    "Type",
    "RemainAfterExit",
    "GuessMainPID",
    "PIDFile",
    "Restart",
    "RestartSec",
    "RestartPreventExitStatus",
    "SuccessExitStatus",
    "StartLimitBurst",
    "StartLimitInterval",
    "StartLimitIntervalSec",
    "TimeoutSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "KillMode",
    "KillSignal",
    "SendSIGKILL",
    "SendSIGHUP",
    "User",
    "Group",
    "SupplementaryGroups",
    "WorkingDirectory",
    "Environment",
    "EnvironmentFile",
    "UMask",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "RuntimeDirectoryPreserve",
    "StateDirectory",
    "StateDirectoryMode",
    "CacheDirectory",
    "CacheDirectoryMode",
    "LogsDirectory",
    "LogsDirectoryMode",
    "ConfigurationDirectory",
    "ConfigurationDirectoryMode",
    "Nice",
    "StandardInput",
    "StandardOutput",
    "StandardError",
    "NotifyAccess",
    "BusName",
    "SyslogIdentifier",
    "SyslogFacility",
    "Slice",
    "Delegate",
    "Alias",
    "PermissionsStartOnly",
    "SysVStartPriority",
];
/// Keys of `[Service]` that set a resource limit.
const LIMITS: [(&str, rustix::process::Resource); 14] = {
    use rustix::process::Resource;
    [
        ("LimitNOFILE", Resource::Nofile),
        ("LimitNPROC", Resource::Nproc),
        ("LimitCORE", Resource::Core),
        ("LimitMEMLOCK", Resource::Memlock),
        ("LimitFSIZE", Resource::Fsize),
        ("LimitSTACK", Resource::Stack),
        ("LimitAS", Resource::As),
        ("LimitDATA", Resource::Data),
        ("LimitCPU", Resource::Cpu),
        ("LimitRSS", Resource::Rss),
        ("LimitSIGPENDING", Resource::Sigpending),
        ("LimitMSGQUEUE", Resource::Msgqueue),
        ("LimitNICE", Resource::Nice),
        ("LimitRTPRIO", Resource::Rtprio),
    ]
};

impl Service {
    /// Reads the service of a unit.
    pub(super) fn of(unit: &Unit, specifiers: &Specifiers) -> Result<Service, BadService> {
        let file = &unit.content;
        let text = |key| file.value("Service", key).map(|value| specifiers.expand(value));
        let flag = |key| file.flag("Service", key);
        let commands = commands(file, specifiers)?;
        let kind = kind(file, !commands[Phase::Start as usize].is_empty())?;
        match (kind, commands[Phase::Start as usize].len()) {
            (Kind::Oneshot, 0) if commands[Phase::Stop as usize].is_empty() => return Err(BadService::NoCommand),
            (Kind::Oneshot, _) | (_, 1) => {}
            (_, 0) => return Err(BadService::NoCommand),
            _ => return Err(BadService::ManyCommands),
        }
        let timeout = |key: &str, default| {
            let value = file
                .value("Service", key)
                .or_else(|| file.value("Service", "TimeoutSec"));
            // Zero is no limit, as it was before there was `infinity`.
            value
                .and_then(span)
                .map_or(default, |span| span.filter(|span| !span.is_zero()))
        };
        let output = text("StandardOutput").map_or(Output::Journal, |value| output(&value));
        Ok(Service {
            remain_after_exit: flag("RemainAfterExit").unwrap_or(false),
            guess_main_pid: flag("GuessMainPID").unwrap_or(true),
            pid_file: text("PIDFile").map(|path| {
                if path.starts_with('/') {
                    path
                } else {
                    format!("/run/{path}")
                }
            }),
            restart: restart(file),
            restart_delay: file
                .value("Service", "RestartSec")
                .and_then(span)
                .flatten()
                .unwrap_or(Duration::from_millis(100)),
            restart_prevented: owned(file.words("Service", "RestartPreventExitStatus")),
            success: owned(file.words("Service", "SuccessExitStatus")),
            start_limit: start_limit(file),
            start_timeout: timeout("TimeoutStartSec", (kind != Kind::Oneshot).then_some(DEFAULT_TIMEOUT)),
            stop_timeout: timeout("TimeoutStopSec", Some(DEFAULT_TIMEOUT)),
            kill_mode: kill_mode(file),
            kill_signal: text("KillSignal")
                .and_then(|name| signal(&name))
                .unwrap_or(libc::SIGTERM),
            sends_sigkill: flag("SendSIGKILL").unwrap_or(true),
            user: text("User"),
            group: text("Group"),
            supplementary_groups: file
                .words("Service", "SupplementaryGroups")
                .into_iter()
                .map(|name| specifiers.expand(name))
                .collect(),
            working_directory: text("WorkingDirectory").map(optional),
            environment: file
                .values("Service", "Environment")
                .into_iter()
                .flat_map(|value| assignments(&specifiers.expand(value)))
                .collect(),
            environment_files: file
                .values("Service", "EnvironmentFile")
                .into_iter()
                .map(|value| optional(specifiers.expand(value)))
                .collect(),
            umask: mode(file, "UMask", 0o022),
            directories: directories(file, specifiers),
            keeps_runtime_directory: file
                .value("Service", "RuntimeDirectoryPreserve")
                .is_some_and(|value| value != "no"),
            limits: limits(file),
            nice: file.value("Service", "Nice").and_then(|value| value.parse().ok()),
            error: text("StandardError").map_or(Output::Inherit, |value| self::output(&value)),
            output,
            passed_over: passed_over(file),
            commands,
            kind,
        })
    }

    /// The commands of a phase.
    pub(super) fn commands(&self, phase: Phase) -> &[CommandLine] {
        &self.commands[phase as usize]
    }

    /// Whether an end of the main process is a good one.
    pub(super) fn is_success(&self, end: End) -> bool {
        let by_nature = match end {
            End::Status(status) => status == 0,
            End::Signal(number) => {
                self.kind != Kind::Oneshot
                    && [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE].contains(&number)
            }
        };
        by_nature || names_end(&self.success, end)
    }

    /// Whether an end is one after which the service stays down whatever `Restart=` is.
    pub(super) fn prevents_restart(&self, end: End) -> bool {
        names_end(&self.restart_prevented, end)
    }
}

fn names_end(words: &[String], end: End) -> bool {
    words.iter().any(|word| match end {
        End::Status(status) => word.parse() == Ok(status),
        End::Signal(number) => word.parse::<i32>().is_err() && signal(word) == Some(number),
    })
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// A value that may begin with `-`: without it, and whether it does.
fn optional(value: String) -> (String, bool) {
    match value.strip_prefix('-') {
        Some(path) => (path.to_owned(), true),
        None => (value, false),
    }
}

fn commands(file: &UnitFile, specifiers: &Specifiers) -> Result<[Vec<CommandLine>; 6], BadService> {
    let mut commands: [Vec<CommandLine>; 6] = Default::default();
    for (key, list) in PHASES.into_iter().zip(&mut commands) {
        for line in file.values("Service", key) {
            let parsed = CommandLine::parse(line, specifiers).map_err(|error| BadService::Command {
                key,
                line: line.to_owned(),
                error,
            })?;
            list.extend(parsed);
        }
    }
    Ok(commands)
}

fn kind(file: &UnitFile, has_start: bool) -> Result<Kind, BadService> {
    match file.value("Service", "Type") {
        None if !has_start => Ok(Kind::Oneshot),
        None | Some("simple" | "exec" | "idle" | "dbus") => Ok(Kind::Simple),
        Some("oneshot") => Ok(Kind::Oneshot),
        Some("forking") => Ok(Kind::Forking),
        Some("notify" | "notify-reload") => Ok(Kind::Notify),
        Some(value) => Err(BadService::Value {
            key: "Type",
            value: value.to_owned(),
        }),
    }
}

fn restart(file: &UnitFile) -> Restart {
    match file.value("Service", "Restart") {
        Some("always") => Restart::Always,
        Some("on-success") => Restart::OnSuccess,
        Some("on-failure") => Restart::OnFailure,
        Some("on-abnormal") => Restart::OnAbnormal,
        Some("on-abort") => Restart::OnAbort,
        Some("on-watchdog") => Restart::OnWatchdog,
        _ => Restart::No,
    }
}

fn kill_mode(file: &UnitFile) -> KillMode {
    match file.value("Service", "KillMode") {
        Some("mixed") => KillMode::Mixed,
        Some("process") => KillMode::Process,
        Some("none") => KillMode::None,
        _ => KillMode::ControlGroup,
    }
}

fn start_limit(file: &UnitFile) -> (usize, Duration) {
    let value = |keys: &[&str]| {
        let mut values = keys
            .iter()
            .flat_map(|key| [file.value("Unit", key), file.value("Service", key)]);
        values.find_map(|value| value)
    };
    let burst = value(&["StartLimitBurst"])
        .and_then(|value| value.parse().ok())
        .unwrap_or(5);
    let interval = value(&["StartLimitIntervalSec", "StartLimitInterval"])
        .and_then(span)
        .flatten();
    (burst, interval.unwrap_or(Duration::from_secs(10)))
}

fn mode(file: &UnitFile, key: &str, default: u32) -> u32 {
    let value = file
        .value("Service", key)
        .and_then(|value| u32::from_str_radix(value, 8).ok());
    value.unwrap_or(default) & 0o7777
}

fn directories(file: &UnitFile, specifiers: &Specifiers) -> Vec<OwnDirectory> {
    let kinds = [
        ("RuntimeDirectory", "RUNTIME_DIRECTORY", "/run"),
        ("StateDirectory", "STATE_DIRECTORY", "/var/lib"),
        ("CacheDirectory", "CACHE_DIRECTORY", "/var/cache"),
        ("LogsDirectory", "LOGS_DIRECTORY", "/var/log"),
        ("ConfigurationDirectory", "CONFIGURATION_DIRECTORY", "/etc"),
    ];
    let mut directories = Vec::new();
    for (key, variable, base) in kinds {
        let mode = mode(file, &format!("{key}Mode"), 0o755);
        for word in file.words("Service", key) {
            let name = specifiers.expand(word.split(':').next().unwrap_or_default());
            let is_below = !name.is_empty()
                && name
                    .split('/')
                    .all(|part| !part.is_empty() && part != ".." && part != ".");
            if is_below {
                directories.push(OwnDirectory {
                    variable,
                    path: format!("{base}/{name}"),
                    mode,
                    is_temporary: base == "/run",
                });
            }
        }
    }
    directories
}

fn limits(file: &UnitFile) -> Vec<(rustix::process::Resource, Option<u64>, Option<u64>)> {
    let values = LIMITS.into_iter().filter_map(|(key, resource)| {
        let (soft, hard) = limit(file.value("Service", key)?)?;
        Some((resource, soft, hard))
    });
    values.collect()
}

fn output(value: &str) -> Output {
    let to = |path: &str, append, truncate| Output::File {
        path: path.to_owned(),
        append,
        truncate,
    };
    match value.split_once(':') {
        Some(("file", path)) => to(path, false, false),
        Some(("append", path)) => to(path, true, false),
        Some(("truncate", path)) => to(path, false, true),
        _ if value == "null" => Output::Null,
        _ if value == "inherit" => Output::Inherit,
        _ => Output::Journal,
    }
}

fn passed_over(file: &UnitFile) -> Vec<String> {
    let mut names = Vec::new();
    for key in file.keys("Service") {
        let is_known = SUPPORTED.contains(&key)
            || PHASES.contains(&key)
            || LIMITS.iter().any(|(limit, _)| *limit == key)
            || key.starts_with("X-");
        if !is_known && !names.iter().any(|name| name == key) {
            names.push(key.to_owned());
        }
    }
    names
}

/// The number of a signal by its name, with or without `SIG`, or by its number.
pub(super) fn signal(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = name.strip_prefix("SIG").unwrap_or(name);
    if let Some(number) = name
        .strip_prefix("RTMIN+")
        .and_then(|number| number.parse::<i32>().ok())
    {
        return (0..=30).contains(&number).then(|| 34 + number);
    }
    let named = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("ILL", libc::SIGILL),
        ("ABRT", libc::SIGABRT),
        ("FPE", libc::SIGFPE),
        ("KILL", libc::SIGKILL),
        ("SEGV", libc::SIGSEGV),
        ("PIPE", libc::SIGPIPE),
        ("ALRM", libc::SIGALRM),
        ("TERM", libc::SIGTERM),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("CONT", libc::SIGCONT),
        ("STOP", libc::SIGSTOP),
        ("WINCH", libc::SIGWINCH),
    ];
    named
        .into_iter()
        .find(|(other, _)| *other == name)
        .map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(lines: &str) -> Result<Service, BadService> {
        let unit = Unit {
            name: "a.service".into(),
            content: UnitFile::parse(&format!("[Service]\n{lines}")),
            ..Unit::default()
        };
        Service::of(
            &unit,
            &Specifiers {
                unit: unit.name.clone(),
                ..Specifiers::default()
            },
        )
    }

    #[test]
    fn options_have_their_defaults() {
        let service = service("ExecStart=/bin/a").unwrap();
        assert_eq!(
            (service.kind, service.restart, service.kill_mode),
            (Kind::Simple, Restart::No, KillMode::ControlGroup)
        );
        assert_eq!(
            (service.output.clone(), service.error.clone()),
            (Output::Journal, Output::Inherit)
        );
        assert_eq!(
            (service.start_timeout, service.start_limit),
            (Some(DEFAULT_TIMEOUT), (5, Duration::from_secs(10)))
        );
        assert!(service.passed_over.is_empty());
    }

    #[test]
    fn options_are_read() {
        let service = service(
            "Type=oneshot\nExecStart=/bin/a\nExecStart=-/bin/b\nTimeoutStopSec=5\nUser=www\nRuntimeDirectory=a b/c ../x\nRuntimeDirectoryMode=700\n\
             StateDirectory=%N\nLimitNOFILE=1024:4096\nStandardOutput=append:/var/log/a\nStandardError=null\nKillSignal=SIGQUIT\nPrivateTmp=yes\n\
             ProtectSystem=full\nPrivateTmp=no\nEnvironmentFile=-/etc/default/a\nUMask=0077\nSuccessExitStatus=7 SIGUSR1\n",
        )
        .unwrap();
        assert_eq!(service.commands(Phase::Start).len(), 2);
        assert_eq!(
            (service.start_timeout, service.stop_timeout),
            (None, Some(Duration::from_secs(5)))
        );
        let paths: Vec<_> = service
            .directories
            .iter()
            .map(|directory| (directory.path.as_str(), directory.mode))
            .collect();
        assert_eq!(paths, [("/run/a", 0o700), ("/run/b/c", 0o700), ("/var/lib/a", 0o755)]);
        assert_eq!(
            service.limits,
            [(rustix::process::Resource::Nofile, Some(1024), Some(4096))]
        );
        assert_eq!(service.passed_over, ["PrivateTmp", "ProtectSystem"]);
        assert_eq!((service.kill_signal, service.umask), (libc::SIGQUIT, 0o077));
        assert_eq!(service.environment_files, [("/etc/default/a".to_owned(), true)]);
        assert!(service.is_success(End::Status(7)) && service.is_success(End::Signal(libc::SIGUSR1)));
        assert!(!service.is_success(End::Status(1)) && !service.is_success(End::Signal(libc::SIGTERM)));
    }

    #[test]
    fn what_cannot_run_is_an_error() {
        assert_eq!(service("User=a"), Err(BadService::NoCommand));
        assert_eq!(
            service("ExecStart=/bin/a\nExecStart=/bin/b"),
            Err(BadService::ManyCommands)
        );
        assert!(matches!(
            service("ExecStart=/bin/a 'b"),
            Err(BadService::Command { .. })
        ));
        assert!(matches!(
            service("Type=new\nExecStart=/bin/a"),
            Err(BadService::Value { .. })
        ));
    }
}
