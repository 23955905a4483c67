//! The wait until WinRM answers, by each option.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bakelite_communicators::connect::{Target, connect};
use bakelite_communicators::connection_data::connection_data;
use bakelite_engine::error::Explain as _;
use bakelite_test_support::eventually::{LIMIT, eventually};
use bakelite_test_support::wsman::{Process, Setup};
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, commands};
use crate::outcome::{ran, run};

#[tokio::test]
async fn what_is_waited_for_is_said() {
    let instance = Instance::usual().await;
    instance.connect("").await;
    let expected = [
        "Using WinRM communicator to connect: 127.0.0.1",
        "Waiting for WinRM to become available...",
        "WinRM connected.",
        "Connected to WinRM!",
    ];
    assert_eq!(instance.said(), expected);
}

#[tokio::test]
async fn winrm_host_overrides_the_address_of_the_instance() {
    let instance = Instance::usual().await;
    let target = Target {
        address: "host.invalid".into(),
        ..Target::default()
    };
    let options = instance.options(r#""winrm_host": "localhost""#);
    let winrm = connect(&target, &options, &run(&[]), &instance.ui, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(ran(&*winrm, "echo x").await.stdout, b"x\r\n");
}

#[tokio::test]
async fn a_password_of_the_builder_is_used_where_the_template_has_none() {
    let instance = Instance::usual().await;
    let target = Target {
        password: Some("correct horse".into()),
        ..Instance::target()
    };
    let options = instance.options(r#""winrm_host": "127.0.0.1""#);
    let empty = bakelite_communicators::options::CommunicatorOptions {
        winrm_password: None,
        ..options
    };
    connect(&target, &empty, &run(&[]), &instance.ui, &CancellationToken::new())
        .await
        .unwrap();
    let data = connection_data(&target, &empty);
    let expected = [
        ("ConnType", "winrm".to_owned()),
        ("Host", "127.0.0.1".into()),
        ("Port", instance.server.address.port().to_string()),
        ("User", "Administrator".into()),
        ("Password", "correct horse".into()),
        ("WinRMPassword", "correct horse".into()),
    ];
    for (key, value) in expected {
        assert_eq!(data[key].as_str(), Some(value.as_str()), "{key}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_when_the_time_is_over_and_never_shown() {
    for ntlm in [false, true] {
        let instance = Instance::usual().await;
        let options = instance.options(&format!(r#""winrm_use_ntlm": {ntlm}, "winrm_timeout": "2s""#));
        let wrong = bakelite_communicators::options::CommunicatorOptions {
            winrm_password: Some("s3cret".into()),
            ..options
        };
        let error = instance.fail_to_connect(&wrong, &[]).await;
        let port = instance.server.address.port();
        let expected = format!(
            "timed out waiting for WinRM on Administrator@127.0.0.1:{port} after 2s: \
             the service does not accept `winrm_username` and `winrm_password` (it accepts Negotiate and Basic)"
        );
        assert_eq!(error, expected);
        let said = instance.said().join("\n");
        assert!(said.contains("does not accept the user and password yet"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert!(instance.server.count("Unauthorized") >= 2, "it tries again");
        assert_eq!(instance.server.count("Create"), 0);
    }
}

#[tokio::test]
async fn a_password_that_is_set_during_the_first_start_is_accepted_then() {
    let instance = Instance::usual().await;
    instance.server.set_password("not yet");
    let options = instance.options("");
    let connecting = instance.try_connect(&options, &[]);
    let setting = async {
        eventually(LIMIT, "it tries again", || instance.server.count("Unauthorized") >= 2).await;
        instance.server.set_password("correct horse");
    };
    let (connected, ()) = tokio::join!(connecting, setting);
    connected.unwrap();
}

#[tokio::test]
async fn a_service_that_takes_no_basic_is_recognized() {
    let setup = Setup {
        basic: false,
        ..Setup::default()
    };
    let instance = Instance::start(setup, commands).await;
    let options = instance.options(r#""winrm_timeout": "2s""#);
    let error = instance.try_connect(&options, &[]).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(text.ends_with("(it accepts Negotiate)"), "{text}");
    assert!(error.help().unwrap().contains("set `winrm_use_ntlm = true`"));
    instance.connect(r#""winrm_use_ntlm": true"#).await;
}

#[tokio::test]
async fn an_instance_that_does_not_answer_yet_is_waited_for() {
    let instance = Instance::usual().await;
    instance.server.power.off();
    let error = instance
        .fail_to_connect(&instance.options(r#""winrm_timeout": "2s""#), &[])
        .await;
    assert!(error.contains("after 2s: the connection was lost"), "{error}");
    let options = instance.options("");
    let connecting = instance.try_connect(&options, &[]);
    let power = instance.server.power.clone();
    let (connected, ()) = tokio::join!(connecting, async { power.on() });
    connected.unwrap();
}

#[tokio::test]
async fn nobody_at_the_port_is_the_cause_of_the_timeout() {
    let instance = Instance::usual().await;
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut options = instance.options(r#""winrm_timeout": "2s""#);
    options.winrm_port = Some(free);
    let error = instance.fail_to_connect(&options, &[]).await;
    assert!(
        error.contains(&format!(
            "no connection to Administrator@127.0.0.1:{free}: connection to 127.0.0.1:{free} failed: Connection refused"
        )),
        "{error}"
    );
}

#[tokio::test]
async fn tls_needs_a_trusted_certificate_unless_it_is_insecure() {
    let setup = Setup {
        tls: true,
        ..Setup::default()
    };
    let instance = Instance::start(setup, commands).await;
    let ssl = r#""winrm_use_ssl": true, "winrm_timeout": "2s""#;
    let error = instance.try_connect(&instance.options(ssl), &[]).await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(text.contains("invalid peer certificate: UnknownIssuer"), "{text}");
    assert!(error.help().unwrap().contains("winrm_insecure"));

    let insecure = instance
        .connect(r#""winrm_use_ssl": true, "winrm_insecure": true"#)
        .await;
    assert_eq!(ran(&*insecure, "echo x").await.stdout, b"x\r\n");

    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), instance.server.certificate.as_ref().unwrap()).unwrap();
    let environment = [("SSL_CERT_FILE", trusted.path().to_str().unwrap())];
    instance
        .try_connect(&instance.options(r#""winrm_use_ssl": true"#), &environment)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_guest_that_is_half_booted_is_not_accepted() {
    let booted = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&booted);
    // In place of the usual machine: its PowerShell does not start at first.
    let server = bakelite_test_support::wsman::WsMan::start(Setup::default(), move |process: Process| {
        let booted = state.swap(true, Ordering::SeqCst);
        async move {
            if !booted {
                return 1;
            }
            process.stdout.line("WinRM connected.").await;
            0
        }
    });
    let mut instance = Instance::usual().await;
    instance.server = server.await;
    instance.connect("").await;
    assert!(instance.server.count("Command") >= 2);
    assert!(booted.load(Ordering::SeqCst));
}

#[tokio::test]
async fn after_a_pause_it_connects_again() {
    let instance = Instance::usual().await;
    instance.connect(r#""pause_before_connecting": "50ms""#).await;
    let said = instance.said();
    assert!(
        said.contains(&"Pausing 50ms before connecting...".to_owned()),
        "{said:?}"
    );
    assert_eq!(said.iter().filter(|text| *text == "Connected to WinRM!").count(), 2);
}

#[tokio::test]
async fn what_is_no_winrm_is_told_apart() {
    use bakelite_test_support::wsman::Trouble;
    let instance = Instance::usual().await;
    let unavailable = hyper::StatusCode::SERVICE_UNAVAILABLE;
    for _ in 0..20 {
        instance
            .server
            .trouble("Create", Trouble::Status(unavailable, "starting up"));
    }
    let error = instance
        .fail_to_connect(&instance.options(r#""winrm_timeout": "2s""#), &[])
        .await;
    assert!(error.ends_with("the answer is HTTP status 503: starting up"), "{error}");
}

#[tokio::test]
async fn cancelling_ends_the_wait() {
    let instance = Instance::usual().await;
    instance.server.power.off();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let options = instance.options("");
    let connected = connect(&Instance::target(), &options, &run(&[]), &instance.ui, &cancel).await;
    assert_eq!(connected.err().unwrap().to_string(), "cancelled");
}
