//! The WS-Man server against `pywinrm`, which we did not write: what that can use is WS-Man.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;

use bakelite_test_support::eventually::in_time;
use bakelite_test_support::tools;
use bakelite_test_support::wsman::{Fault, Process, Setup, Trouble, WsMan};
use tokio::process::Command;

/// A machine with a few commands: `echo`, `cat`, `env`, `cd`, `big`, `exit`, `hang`, and PowerShell scripts, which it prints.
async fn machine(mut process: Process) -> u32 {
    if let Some(script) = process.script() {
        process.stdout.line(&script).await;
        return 0;
    }
    let line = process.command_line.clone();
    let (program, rest) = line.split_once(' ').unwrap_or((&line, ""));
    match program {
        "echo" => {
            process.stdout.line(rest).await;
            process.stderr.line("warned").await;
            7
        }
        "cat" => {
            process.stdout.write(process.stdin.all().await).await;
            0
        }
        "env" => {
            process.stdout.line(&process.environment[rest]).await;
            process.stdout.line(&process.working_directory.unwrap()).await;
            0
        }
        "big" => {
            for piece in 0..200_u32 {
                process
                    .stdout
                    .write(vec![b'a' + u8::try_from(piece % 26).unwrap(); 20_000])
                    .await;
            }
            0
        }
        "hang" => std::future::pending().await,
        _ => 1,
    }
}

/// Runs a script of Python with `pywinrm` and a protocol `p` that is logged in to the server; answers what it printed.
async fn python(server: &WsMan, transport: &str, password: &str, script: &str) -> Result<String, String> {
    let scheme = if server.certificate.is_some() { "https" } else { "http" };
    let preamble = format!(
        "from winrm.protocol import Protocol\nfrom winrm.exceptions import *\n\
         p = Protocol(endpoint='{scheme}://{}/wsman', transport='{transport}', username='Administrator', password='{password}',\n\
         \x20   server_cert_validation='ignore', message_encryption='never', operation_timeout_sec=1, read_timeout_sec=20)\n",
        server.address
    );
    let mut command = Command::new(tools::program("python"));
    command
        .args(["-W", "ignore", "-c", &(preamble + script)])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = in_time("the end of the script", command.output()).await.unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(complaints)
    }
}

const ECHO: &str = "
s = p.open_shell(codepage=65001)
c = p.run_command(s, 'echo', ['one & <two>', 'drei ä'])
print(p.get_command_output(s, c))
p.cleanup_command(s, c)
p.close_shell(s)
";

#[tokio::test(flavor = "multi_thread")]
async fn pywinrm_runs_commands_with_basic_and_ntlm_over_http_and_tls() {
    for transport in ["basic", "ntlm"] {
        for tls in [false, true] {
            let server = WsMan::start(
                Setup {
                    tls,
                    ..Setup::default()
                },
                machine,
            )
            .await;
            let said = python(&server, transport, "correct horse", ECHO).await;
            let expected = "(b'one & <two> drei \\xc3\\xa4\\r\\n', b'warned\\r\\n', 7)\n";
            assert_eq!(said.as_deref(), Ok(expected), "{transport} {tls} {:?}", server.log());
            assert_eq!(server.open_shells(), 0);
            assert_eq!(server.option("WINRS_CODEPAGE").as_deref(), Some("65001"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pywinrm_encrypts_its_messages_with_ntlm() {
    let setup = Setup {
        encrypted_only: true,
        ..Setup::default()
    };
    let server = WsMan::start(setup, machine).await;
    python(&server, "ntlm", "correct horse", ECHO).await.unwrap_err();
    let always = ECHO.replace("\ns = p", "\np.transport.message_encryption = 'always'\ns = p");
    let said = python(&server, "ntlm", "correct horse", &always).await;
    let expected = "(b'one & <two> drei \\xc3\\xa4\\r\\n', b'warned\\r\\n', 7)\n";
    assert_eq!(said.as_deref(), Ok(expected), "{:?}", server.log());
    assert_eq!(server.count("Encrypted"), 5 + server.count("Receive") - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pywinrm_is_refused_with_a_wrong_password() {
    for transport in ["basic", "ntlm"] {
        let server = WsMan::start(Setup::default(), machine).await;
        let refused = python(&server, transport, "wrong", ECHO).await.unwrap_err();
        assert!(refused.contains("InvalidCredentialsError"), "{refused}");
        assert_eq!(server.count("Create"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pywinrm_sends_input_gets_much_output_and_sees_time_go_by() {
    let server = WsMan::start(Setup::default(), machine).await;
    let script = "
s = p.open_shell(env_vars={'A': 'x y'}, working_directory='C:\\\\w')
c = p.run_command(s, 'env', ['A']); print(p.get_command_output(s, c)[0])
c = p.run_command(s, 'cat', console_mode_stdin=False)
p.send_command_input(s, c, b'some ')
p.send_command_input(s, c, b'input', end=True)
print(p.get_command_output(s, c))
c = p.run_command(s, 'big')
out = p.get_command_output(s, c)[0]
print(len(out), out[:1], out[-1:])
c = p.run_command(s, 'hang')
try:
    p.get_command_output_raw(s, c)
except WinRMOperationTimeoutError:
    print('time')
p.cleanup_command(s, c)
p.close_shell(s)
try:
    p.run_command(s, 'env')
except WSManFaultError as e:
    print(e.wsman_fault_code, e.fault_subcode)
";
    let said = python(&server, "basic", "correct horse", script).await;
    let expected =
        "b'x y\\r\\nC:\\\\w\\r\\n'\n(b'some input', b'', 0)\n4000000 b'a' b'r'\ntime\n2150858843 w:InvalidSelectors\n";
    assert_eq!(said.as_deref(), Ok(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn pywinrm_sees_the_troubles_that_a_test_orders() {
    let server = WsMan::start(Setup::default(), machine).await;
    server.trouble("Create", Trouble::Fault(Fault::TOO_MANY_SHELLS));
    let refused = python(&server, "basic", "correct horse", ECHO).await.unwrap_err();
    assert!(refused.contains("2150859173"), "{refused}");
    server.power.off();
    let refused = python(&server, "basic", "correct horse", ECHO).await.unwrap_err();
    assert!(refused.contains("ConnectionError"), "{refused}");
    server.power.on();
    python(&server, "basic", "correct horse", ECHO).await.unwrap();
}
