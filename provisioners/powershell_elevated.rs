//! Scripts that run as another user with the highest privileges: a scheduled task, and a runner script that registers it, starts it,
//! shows its output and ends with its status.
//!
//! The password is in the runner alone, which removes itself before it does anything else.

use bakelite_scripts::powershell::single_quoted;
use bakelite_scripts::quote;

/// A user for whom tasks run.
pub(crate) struct Elevated {
    /// Name of the task, of its log and of the runner.
    id: String,
    user: String,
    /// Absent for a service account.
    password: Option<String>,
}

impl Elevated {
    pub(crate) fn new(id: String, user: String, password: Option<String>) -> Self {
        Self { id, user, password }
    }

    /// Where the runner lies on the instance.
    pub(crate) fn runner_path(&self) -> String {
        format!("C:/Windows/Temp/packer-elevated-shell-{}.ps1", self.id)
    }

    /// The command that runs the runner.
    pub(crate) fn runner_command(&self) -> String {
        format!("powershell -executionpolicy bypass -file \"{}\"", self.runner_path())
    }

    /// The runner of a command.
    pub(crate) fn runner(&self, command: &str) -> String {
        // TASK_LOGON_PASSWORD and TASK_LOGON_SERVICE_ACCOUNT.
        let (password, logon) = match &self.password {
            Some(password) => (single_quoted(password), "1"),
            None => ("$null".to_owned(), "5"),
        };
        filled(
            RUNNER,
            &[
                ("RUNNER", &single_quoted(&self.runner_path())),
                ("NAME", &single_quoted(&self.task())),
                ("LOG", &self.log()),
                ("TASK", &single_quoted(&self.task_xml(command))),
                ("USER", &single_quoted(&self.user)),
                ("PASSWORD", &password),
                ("LOGON", logon),
            ],
        )
    }

    /// Removes what a runner leaves when it could not come to its end.
    pub(crate) fn removal(&self) -> String {
        filled(
            REMOVAL,
            &[
                ("RUNNER", &single_quoted(&self.runner_path())),
                ("NAME", &single_quoted(&self.task())),
                ("LOG", &self.log()),
            ],
        )
    }

    fn task(&self) -> String {
        format!("packer-{}", self.id)
    }

    /// As a string of PowerShell.
    fn log(&self) -> String {
        format!("\"$env:SystemRoot\\Temp\\packer-{}.out\"", self.id)
    }

    /// The task, in the schema of the Task Scheduler. The output is UTF-8, whatever the machine's code page is.
    fn task_xml(&self, command: &str) -> String {
        let logon = match self.password {
            Some(_) => "\n      <LogonType>Password</LogonType>",
            None => "",
        };
        let line = format!(
            "/s /c \"chcp 65001 > nul & {command} > %SYSTEMROOT%\\Temp\\packer-{}.out 2>&1\"",
            self.id
        );
        filled(
            TASK,
            &[
                ("LOGONTYPE", logon),
                ("USERID", &quote::xml(&self.user)),
                ("ARGUMENTS", &quote::xml(&line)),
            ],
        )
    }
}

/// A text with values in place of `@NAME@`. In one pass: a value that looks like a name is none.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    for (index, part) in text.split('@').enumerate() {
        if index % 2 == 0 {
            filled.push_str(part);
        } else if let Some((_, value)) = values.iter().find(|(name, _)| *name == part) {
            filled.push_str(value);
        }
    }
    filled
}

const TASK: &str = r#"<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Principals>
    <Principal id="Author">
      <UserId>@USERID@</UserId>@LOGONTYPE@
      <RunLevel>HighestAvailable</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>4</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>cmd</Command>
      <Arguments>@ARGUMENTS@</Arguments>
    </Exec>
  </Actions>
</Task>"#;

/// States of a task: 2 is queued, 4 is running. Results: 267009 while it runs, 267011 before it has.
const RUNNER: &str = r"$ProgressPreference = 'SilentlyContinue'
$ErrorActionPreference = 'Stop'
Remove-Item -LiteralPath @RUNNER@ -Force
$name = @NAME@
$log = @LOG@
$schedule = New-Object -ComObject 'Schedule.Service'
$schedule.Connect()
$folder = $schedule.GetFolder('\')
$definition = $schedule.NewTask(0)
$definition.XmlText = @TASK@
$task = $folder.RegisterTaskDefinition($name, $definition, 6, @USER@, @PASSWORD@, @LOGON@, $null)
$reader = $null
try {
    $null = $task.Run($null)
    $deadline = (Get-Date).AddSeconds(60)
    do {
        Start-Sleep -Milliseconds 100
        $state = $task.State
        $result = $task.LastTaskResult
        if (($null -eq $reader) -and (Test-Path -LiteralPath $log)) {
            $stream = [System.IO.File]::Open($log, 'Open', 'Read', 'ReadWrite')
            $reader = New-Object -TypeName System.IO.StreamReader -ArgumentList $stream
        }
        if ($null -ne $reader) {
            [Console]::Out.Write($reader.ReadToEnd())
        }
        $starting = ($result -eq 267011) -and ((Get-Date) -lt $deadline)
    } while (($state -eq 2) -or ($state -eq 4) -or $starting)
    if ($task.LastTaskResult -eq 267009) {
        Start-Sleep -Seconds 1
    }
    $status = $task.LastTaskResult
    if ($status -eq 267011) {
        throw 'the scheduled task did not start'
    }
} finally {
    if ($null -ne $reader) {
        $reader.Close()
    }
    $folder.DeleteTask($name, 0)
    Remove-Item -LiteralPath $log -Force -ErrorAction SilentlyContinue
}
exit $status
";

const REMOVAL: &str = r"Remove-Item -LiteralPath @RUNNER@ -Force -ErrorAction SilentlyContinue
try {
    $schedule = New-Object -ComObject 'Schedule.Service'
    $schedule.Connect()
    $folder = $schedule.GetFolder('\')
    $folder.GetTask(@NAME@).Stop(0)
    $folder.DeleteTask(@NAME@, 0)
} catch {
}
Remove-Item -LiteralPath @LOG@ -Force -ErrorAction SilentlyContinue
if (Test-Path -LiteralPath @RUNNER@) { exit 1 }
exit 0
";

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::powershell_command::tests::assert_parses;

    fn administrator(password: Option<&str>) -> Elevated {
        Elevated::new(
            "1".into(),
            r"DOMAIN\it's <me> & @PASSWORD@".into(),
            password.map(str::to_owned),
        )
    }

    const COMMAND: &str = r#"powershell -executionpolicy bypass "& { . 'c:/v.ps1'; &'c:/x.ps1'; exit $LastExitCode }""#;

    #[test]
    fn the_runner_of_a_user() {
        let runner = administrator(Some("pa'ss$1")).runner(COMMAND);
        assert_parses(&runner);
        assert_snapshot!(runner);
    }

    #[test]
    fn a_service_account_has_no_password() {
        let runner = administrator(None).runner(COMMAND);
        assert!(
            runner.contains(", $null, 5, $null)") && !runner.contains("LogonType"),
            "{runner}"
        );
    }

    #[test]
    fn what_a_runner_leaves_can_be_removed() {
        let removal = administrator(None).removal();
        assert_parses(&removal);
        assert_snapshot!(removal);
    }

    #[test]
    fn the_task_is_well_formed_and_says_what_is_to_run() {
        for password in [None, Some("p")] {
            let xml = administrator(password).task_xml(COMMAND);
            let task = roxmltree::Document::parse(&xml).unwrap();
            let text = |name| {
                let found = task.descendants().find(|node| node.tag_name().name() == name);
                found.and_then(|node| node.text())
            };
            assert_eq!(text("UserId"), Some(r"DOMAIN\it's <me> & @PASSWORD@"));
            assert_eq!(text("LogonType"), password.map(|_| "Password"));
            assert_eq!(text("RunLevel"), Some("HighestAvailable"));
            assert_eq!(text("Command"), Some("cmd"));
            let line = format!(r#"/s /c "chcp 65001 > nul & {COMMAND} > %SYSTEMROOT%\Temp\packer-1.out 2>&1""#);
            assert_eq!(text("Arguments"), Some(line.as_str()));
        }
    }
}
