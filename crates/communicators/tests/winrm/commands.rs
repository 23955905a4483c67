//! Commands: output, input, status, and what is left of them.

use bakelite_engine::communicator::{Exit, Output};
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::wsman::{Process, Setup};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::instance::{Instance, commands};
use crate::outcome::{outcome, printed, ran};

#[tokio::test]
async fn output_and_status_come_back_and_the_shell_is_deleted() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let ran = ran(&*winrm, "echo <a> & \"b\" ]]> ä").await;
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "<a> & \"b\" ]]> ä\r\n");
    assert_eq!(ran.exit, Exit::Status(0));
    let failed = crate::outcome::ran(&*winrm, "fail 3221225786").await;
    assert_eq!(String::from_utf8(failed.stderr).unwrap(), "it failed\r\n");
    assert_eq!(failed.exit, Exit::Status(0xc000_013a));
    assert_eq!(instance.server.open_shells(), 0);
    assert_eq!(instance.server.option("WINRS_CODEPAGE").as_deref(), Some("65001"));
    assert_eq!(
        instance.server.option("WINRS_CONSOLEMODE_STDIN").as_deref(),
        Some("TRUE")
    );
}

#[tokio::test]
async fn letters_that_are_cut_in_two_arrive_whole() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let ran = ran(&*winrm, "pieces").await;
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "a ä € 😀");
}

#[tokio::test]
async fn input_goes_over_while_output_comes_back() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let mut running = winrm.exec("cat").await.unwrap();
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(b"first").await.unwrap();
    assert_eq!(printed(&mut running).await, Some(Output::Stdout("first".into())));
    let much = vec![b'x'; 900_000];
    stdin.write_all(&much).await.unwrap();
    drop(stdin);
    let ran = outcome(running).await;
    assert_eq!(ran.stdout.len(), much.len() + 3);
    assert!(ran.stdout.ends_with(b"xend"));
    assert_eq!(ran.exit, Exit::Status(0));
}

#[tokio::test]
async fn much_output_comes_over_whole() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let ran = ran(&*winrm, "big").await;
    assert_eq!(ran.stdout.len(), 8 * 1024 * 1024);
    assert!(
        ran.stdout
            .chunks(64 * 1024)
            .enumerate()
            .all(|(index, piece)| piece.iter().all(|byte| usize::from(*byte) == index))
    );
}

#[tokio::test]
async fn a_command_that_says_nothing_for_long_is_asked_again() {
    let setup = Setup {
        longest_wait: std::time::Duration::from_millis(20),
        ..Setup::default()
    };
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let gone = std::sync::Arc::clone(&go);
    let instance = Instance::start(setup, move |process: Process| {
        let go = std::sync::Arc::clone(&gone);
        async move {
            go.notified().await;
            process.stdout.line("late").await;
            5
        }
    })
    .await;
    let winrm = instance.connect("").await;
    let before = instance.server.count("Receive");
    let running = winrm.exec("anything").await.unwrap();
    let asked = || instance.server.count("Receive") >= before + 4;
    eventually(LIMIT, "output is asked for again", asked).await;
    go.notify_one();
    let ran = outcome(running).await;
    assert_eq!((ran.stdout.as_slice(), ran.exit), (&b"late\r\n"[..], Exit::Status(5)));
}

#[tokio::test]
async fn commands_run_side_by_side() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let commands: Vec<String> = (0..10).map(|number| format!("echo {number}")).collect();
    let hanging = winrm.exec("hang").await.unwrap();
    let all = commands.iter().map(|command| ran(&*winrm, command));
    for (number, ran) in futures::future::join_all(all).await.into_iter().enumerate() {
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), format!("{number}\r\n"));
    }
    drop(hanging);
    winrm.close().await;
    assert_eq!(instance.server.open_shells(), 0);
}

#[tokio::test]
async fn a_command_that_nobody_wants_any_more_is_ended_and_its_shell_deleted() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let deleted = instance.server.count("Delete");
    let mut running = winrm.exec("hang").await.unwrap();
    assert_eq!(printed(&mut running).await, Some(Output::Stdout("hanging\r\n".into())));
    drop(running);
    winrm.close().await;
    assert_eq!(instance.server.count("Signal"), 1);
    assert_eq!(instance.server.count("Delete"), deleted + 1);
    assert_eq!(instance.server.open_shells(), 0);
}

#[tokio::test]
async fn a_command_whose_start_nobody_waits_for_leaves_no_shell() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let created = instance.server.count("Create");
    {
        let starting = winrm.exec("hang");
        let begun = async {
            while instance.server.count("Create") == created {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = starting => {}
            begun = timeout(LIMIT, begun) => begun.unwrap(),
        }
    }
    winrm.close().await;
    assert_eq!(instance.server.open_shells(), 0);
}

#[tokio::test]
async fn ntlm_logs_in_once_for_each_connection() {
    let setup = Setup {
        basic: false,
        tls: true,
        ..Setup::default()
    };
    let instance = Instance::start(setup, commands).await;
    let ntlm = r#""winrm_use_ntlm": true, "winrm_use_ssl": true, "winrm_insecure": true"#;
    let winrm = instance.connect(ntlm).await;
    for _ in 0..5 {
        assert_eq!(ran(&*winrm, "echo x").await.stdout, b"x\r\n");
    }
    assert!(
        instance.server.connections() <= 4,
        "{} connections",
        instance.server.connections()
    );
    assert_eq!(instance.server.count("Unauthorized"), 0);
}

#[tokio::test]
async fn ntlm_over_plain_http_encrypts_every_message() {
    let setup = Setup {
        encrypted_only: true,
        ..Setup::default()
    };
    let instance = Instance::start(setup, commands).await;
    let winrm = instance.connect(r#""winrm_use_ntlm": true"#).await;
    let content = vec![7; 300_000];
    crate::troubles::upload(&*winrm, &content, "C:/x").await.unwrap();
    assert_eq!(instance.disk.read("C:/x").unwrap(), content);
    let mut back = Vec::new();
    winrm.download("C:/x", &mut back).await.unwrap();
    assert_eq!(back, content);
    let asked = ["Create", "Command", "Send", "Receive", "Delete"].map(|name| instance.server.count(name));
    assert_eq!(instance.server.count("Encrypted"), asked.iter().sum::<usize>());
    assert_eq!(instance.server.count("Unencrypted"), 0);
    let basic = instance
        .fail_to_connect(&instance.options(r#""winrm_timeout": "2s""#), &[])
        .await;
    assert!(basic.ends_with("the answer is HTTP status 500"), "{basic}");
}
