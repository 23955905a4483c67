//! At a terminal: live lines, questions, the interactive console, and a terminal that is as it was afterwards.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bakelite_test_support::context::TestContext;
use bakelite_test_support::ended::ended_within;
use bakelite_test_support::test_context;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with a terminal of its own.
struct Terminal {
    ours: File,
    theirs: OwnedFd,
    child: Child,
    output: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn start(context: &TestContext, arguments: &[&str]) -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        // A session of its own, whose terminal this is: Ctrl-C is a signal only then.
        let program = env!("CARGO_BIN_EXE_bakelite");
        let arguments = ["--ctty", "--wait", program]
            .into_iter()
            .chain(arguments.iter().copied());
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = context.command_of("setsid", arguments);
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        let (sender, output) = channel();
        let mut reading = File::from(ours.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                if sender.send(bytes.iter().take(count).copied().collect()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            ours: File::from(ours),
            theirs,
            child,
            output,
            shown: String::new(),
        }
    }

    fn types(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is shown, and answers what was shown up to there.
    #[track_caller]
    fn shows(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            match self
                .output
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{text}` is not shown, but {:?}", self.shown)
                }
            }
        }
    }

    /// The exit code once it has ended: a program that goes on would hold the tests for ever.
    #[track_caller]
    fn ended(&mut self) -> Option<i32> {
        match ended_within(&mut self.child, PATIENCE) {
            Some(status) => status.code(),
            None => panic!("has not ended, and shows {:?}", self.rest()),
        }
    }

    /// What is shown and was not waited for.
    fn rest(&mut self) -> &str {
        for bytes in self.output.try_iter() {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        &self.shown
    }

    /// Waits for the end; the terminal echoes and edits lines then as it did before.
    #[track_caller]
    fn ends_with(&mut self, code: i32) {
        assert_eq!(self.ended(), Some(code), "{:?}", self.shown);
        let modes = tcgetattr(&self.theirs).unwrap().local_modes;
        assert!(
            modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG),
            "{modes:?}"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bake that says something and then waits for a file, or fails.
fn template(context: &TestContext, command: &str) {
    let inline = format!(
        "source \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n  provisioner \"shell-local\" {{\n    inline = [\"{command}\"]\n  }}\n}}\n"
    );
    context.template(&inline);
}

#[test]
fn live_lines_stand_below_whole_lines() {
    let context = test_context!();
    template(&context, "echo begun; until test -e go; do sleep 0.1; done; echo done");
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "t.pkr.hcl"]);
    terminal.shows("==> null.a: begun\r\n");
    terminal.shows("null.a: provision [");
    context.file("go", "");
    terminal.shows("==> null.a: done\r\n");
    terminal.shows("--> null.a: ");
    terminal.ends_with(0);
}

#[test]
fn a_terminal_is_not_at_the_command_of_a_script() {
    let context = test_context!();
    template(
        &context,
        "printf '\\\\033]0;title\\\\007\\\\033[6n\\\\033[35mcolour\\\\n'",
    );
    let mut terminal = Terminal::start(&context, &["build", "-color=true", "t.pkr.hcl"]);
    terminal.shows("==> null.a: \\x1b]0;title\\x07\\x1b[6n\u{1b}[35mcolour\u{1b}[0m");
    terminal.shows("--> null.a: ");
    terminal.ends_with(0);
}

#[test]
fn ctrl_c_cleans_up_and_leaves_the_terminal_as_it_was() {
    let context = test_context!();
    template(&context, "echo begun; sleep 60");
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "t.pkr.hcl"]);
    terminal.shows("==> null.a: begun\r\n");
    terminal.types("\u{3}");
    terminal.shows("Cleanly cancelled builds");
    terminal.ends_with(1);
    assert_eq!(
        std::fs::read_dir(context.root().join("tmp")).unwrap().count(),
        0,
        "temporary files are gone"
    );
    assert_eq!(context.journals(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_failure_is_asked_about_once_and_after_it_is_shown() {
    let context = test_context!();
    template(&context, "echo try; test -e go");
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "-on-error=ask", "t.pkr.hcl"]);
    let before = terminal.shows("[r]etry");
    assert!(before.contains("exit status: 1"), "{before:?}");
    terminal.types("nonsense\r");
    terminal.shows("[r]etry");
    context.file("go", "");
    terminal.types("r\r");
    terminal.shows("==> null.a: try");
    terminal.shows("--> null.a: ");
    terminal.ends_with(0);
    std::fs::remove_file(context.work().join("go")).unwrap();
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "-on-error=ask", "t.pkr.hcl"]);
    terminal.shows("[r]etry");
    terminal.types("a\r");
    let rest = terminal.shows("Build 'null.a' errored");
    assert!(rest.contains("-on-error") && !rest.contains("[c]lean"), "{rest:?}");
    terminal.ends_with(1);
}

#[test]
fn a_question_does_not_outlive_ctrl_c() {
    let context = test_context!();
    template(&context, "exit 1");
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "-on-error=ask", "t.pkr.hcl"]);
    terminal.shows("[r]etry");
    terminal.types("\u{3}");
    terminal.shows("Cleanly cancelled builds");
    terminal.ends_with(1);
}

/// The console's prompt as its editor draws it, which reads keys by then: the arrow of a diagnostic is no prompt.
const PROMPT: &str = "\u{1b}[K> ";

#[test]
fn the_console_completes_and_remembers() {
    let context = test_context!();
    context.template("variable \"colour_of_the_sky\" {\n  default = \"blue\"\n}\n");
    let mut terminal = Terminal::start(&context, &["console", "t.pkr.hcl"]);
    terminal.shows(PROMPT);
    terminal.types("uppe\tvar.col\t)\r");
    terminal.shows("\r\nBLUE\r\n");
    terminal.shows(PROMPT);
    terminal.types("nothing.here\r");
    terminal.shows("`nothing` is not defined");
    // Only the editor takes Ctrl-D as the end: typed before it reads again, it is a zero byte.
    terminal.shows(PROMPT);
    terminal.types("\u{4}");
    terminal.ends_with(0);
    let mut again = Terminal::start(&context, &["console", "t.pkr.hcl"]);
    again.shows(PROMPT);
    again.types("\u{1b}[A\u{1b}[A\r");
    again.shows("\r\nBLUE\r\n");
    again.shows(PROMPT);
    again.types("exit\r");
    again.ends_with(0);
}

/// A bake that stops at a breakpoint between two commands.
fn with_breakpoint(context: &TestContext) {
    let provisioners = ["echo before", "cat go"]
        .map(|command| format!("  provisioner \"shell-local\" {{\n    inline = [\"{command}\"]\n  }}\n"));
    let breakpoint = "  provisioner \"breakpoint\" {\n    note = \"look\"\n  }\n";
    let build = provisioners.join(breakpoint);
    context.template(&format!(
        "source \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n{build}}}\n"
    ));
}

#[test]
fn a_breakpoint_waits_for_enter() {
    let context = test_context!();
    with_breakpoint(&context);
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "t.pkr.hcl"]);
    terminal.shows("==> null.a: before\r\n");
    let shown = terminal.shows("Press enter to continue.");
    assert!(
        shown.contains("Pausing at breakpoint provisioner with note \"look\""),
        "{shown:?}"
    );
    terminal.types("no");
    context.file("go", "gone on\n");
    terminal.types("\r");
    terminal.shows("==> null.a: gone on\r\n");
    terminal.shows("--> null.a: ");
    terminal.ends_with(0);
}

#[test]
fn a_breakpoint_does_not_outlive_ctrl_c() {
    let context = test_context!();
    with_breakpoint(&context);
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "t.pkr.hcl"]);
    terminal.shows("Press enter to continue.");
    terminal.types("\u{3}");
    terminal.shows("Cleanly cancelled builds");
    terminal.ends_with(1);
}

#[test]
fn a_breakpoint_without_a_terminal_fails() {
    let context = test_context!();
    with_breakpoint(&context);
    let mut command = context.command_of(
        "setsid",
        ["--wait", env!("CARGO_BIN_EXE_bakelite"), "build", "t.pkr.hcl"],
    );
    let said = bakelite_test_support::context::Ran::of(&mut command).fails_with(1);
    assert!(said.contains("without a terminal to press Enter on"), "{said}");
    assert!(!said.contains("cat:"), "what follows does not run: {said}");
}

#[cfg(feature = "amazon")]
#[test]
fn the_code_of_an_mfa_device_is_asked_for_and_not_shown() {
    use bakelite_test_support::exchange::Exchange;

    let sts = Exchange::play(&[
        "HTTP/1.1 200 OK\n\n<GetSessionTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetSessionTokenResult>\
         <Credentials><AccessKeyId>OF_SESSION</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></GetSessionTokenResult></GetSessionTokenResponse>",
        "HTTP/1.1 403 Forbidden\n\n<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>InvalidClientTokenId</Code><Message>m</Message></Error></ErrorResponse>",
    ]);
    let context = test_context!()
        .with("AWS_ENDPOINT_URL", format!("http://{}", sts.address))
        .with("AWS_ACCESS_KEY_ID", "AK")
        .with("AWS_SECRET_ACCESS_KEY", "SK");
    context.template(
        "source \"amazon-ebs\" \"a\" {\n  region = \"us-east-1\"\n  mfa_serial = \"GAHT1\"\n  max_retries = 1\n  instance_type = \
         \"t3.micro\"\n  ami_name = \"made\"\n  ssh_username = \"admin\"\n  source_ami = \"ami-1\"\n}\nbuild {\n  sources = \
         [\"source.amazon-ebs.a\"]\n}\n",
    );
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "t.pkr.hcl"]);
    terminal.shows("MFA code of GAHT1 for ");
    terminal.types("654321\n");
    let shown = terminal.shows("Failed to check the AWS credentials from the environment with MFA");
    assert!(!shown.contains("654321"), "{shown}");
    terminal.ends_with(1);
    let asked = sts.asked();
    assert!(asked[0].ends_with("&SerialNumber=GAHT1&TokenCode=654321"), "{asked:?}");
    assert!(asked[1].contains("credential=of_session/"), "{asked:?}");
}

/// AWS accepts a code once: of two roles that need one, the first gets the template's, the second its own.
#[cfg(feature = "amazon")]
#[test]
fn each_role_of_a_chain_gets_a_code_of_its_own() {
    use bakelite_test_support::exchange::Exchange;

    const ROLE: &str = "HTTP/1.1 200 OK\n\n<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>OF_ROLE</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>\
         2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let sts = Exchange::play(&[
        ROLE,
        ROLE,
        "HTTP/1.1 403 Forbidden\n\n<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>InvalidClientTokenId</Code><Message>m</Message></Error></ErrorResponse>",
    ]);
    let context = test_context!().with("AWS_ENDPOINT_URL", format!("http://{}", sts.address));
    let config = context.root().join("config");
    std::fs::write(
        &config,
        "[profile outer]\nrole_arn = arn:aws:iam::2:role/outer\nsource_profile = inner\nmfa_serial = GAHT2\n\
         [profile inner]\nrole_arn = arn:aws:iam::1:role/inner\nsource_profile = ci\nmfa_serial = GAHT1\n\
         [profile ci]\naws_access_key_id = AK\naws_secret_access_key = SK\n",
    )
    .unwrap();
    let context = context
        .with("AWS_CONFIG_FILE", config.display().to_string())
        .with("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    context.template(
        "source \"amazon-ebs\" \"a\" {\n  region = \"us-east-1\"\n  profile = \"outer\"\n  mfa_code = \"123456\"\n  max_retries = 1\n  \
         instance_type = \"t3.micro\"\n  ami_name = \"made\"\n  ssh_username = \"admin\"\n  source_ami = \"ami-1\"\n}\nbuild {\n  \
         sources = [\"source.amazon-ebs.a\"]\n}\n",
    );
    let mut terminal = Terminal::start(&context, &["build", "-color=false", "t.pkr.hcl"]);
    terminal.shows("MFA code of GAHT2 for profile `outer`: ");
    terminal.types("654321\n");
    terminal.shows("Failed to check the AWS credentials from profile `outer`");
    terminal.ends_with(1);
    let asked = sts.asked();
    assert!(asked[0].ends_with("&SerialNumber=GAHT1&TokenCode=123456"), "{asked:?}");
    assert!(asked[1].ends_with("&SerialNumber=GAHT2&TokenCode=654321"), "{asked:?}");
}
