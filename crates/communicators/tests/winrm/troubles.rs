//! What breaks in the middle.

use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit, Output, Upload};
use bakelite_test_support::eventually::LIMIT;
use bakelite_test_support::wsman::{Fault, Setup, Trouble};
use tokio::time::timeout;

use crate::instance::{Instance, commands};
use crate::outcome::{outcome, printed, ran};

#[tokio::test]
async fn a_connection_that_is_lost_in_the_middle_is_a_disconnect() {
    for trouble in [
        Trouble::HangUp,
        Trouble::HangUpAfter,
        Trouble::Fault(Fault::NO_SUCH_SHELL),
    ] {
        let instance = Instance::usual().await;
        let winrm = instance.connect("").await;
        let mut running = winrm.exec("hang").await.unwrap();
        assert_eq!(printed(&mut running).await, Some(Output::Stdout("hanging\r\n".into())));
        // The request that waits is answered with the power's going; the next one would have this trouble.
        instance.server.trouble("Receive", trouble);
        instance.server.power.off();
        instance.server.power.on();
        assert_eq!(outcome(running).await.exit, Exit::Disconnected, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_command_that_may_have_been_started_is_told_from_one_that_was_not() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    instance.server.trouble("Create", Trouble::HangUpAfter);
    let not_started = winrm.exec("echo x").await.err();
    assert!(
        matches!(not_started, Some(CommunicatorError::Disconnected { .. })),
        "{not_started:?}"
    );
    instance.server.trouble("Command", Trouble::HangUpAfter);
    let unanswered = winrm.exec("echo x").await.err();
    assert!(
        matches!(unanswered, Some(CommunicatorError::Unanswered { .. })),
        "{unanswered:?}"
    );
    assert_eq!(ran(&*winrm, "echo x").await.stdout, b"x\r\n");
}

#[tokio::test]
async fn a_machine_that_restarts_ends_its_command_and_serves_the_next() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    assert_eq!(ran(&*winrm, "restart").await.exit, Exit::Disconnected);
    let while_down = winrm.exec("echo x").await;
    assert!(matches!(while_down, Err(CommunicatorError::Disconnected { .. })));
    instance.server.power.on();
    assert_eq!(ran(&*winrm, "echo x").await.stdout, b"x\r\n");
    assert_eq!(instance.server.open_shells(), 0);
}

#[tokio::test]
async fn a_refusal_in_the_middle_is_shown_with_its_cause() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    instance.server.trouble("Receive", Trouble::Fault(Fault::TOO_LARGE));
    let ran = ran(&*winrm, "echo x").await;
    assert_eq!(ran.exit, Exit::Disconnected);
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert!(stderr.starts_with("WinRM: The WinRM client sent a request"), "{stderr}");
}

#[tokio::test]
async fn a_service_that_opens_no_more_shells_says_so() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    instance
        .server
        .trouble("Create", Trouble::Fault(Fault::TOO_MANY_SHELLS));
    let error = winrm.exec("echo x").await.err().unwrap();
    let text = bakelite_engine::chain_of(&error);
    assert!(
        text.starts_with("start a command: ") && text.contains("concurrent shells. (code 2150859173)"),
        "{text}"
    );
    assert_eq!(ran(&*winrm, "echo x").await.exit, Exit::Status(0));
}

#[tokio::test]
async fn a_service_that_takes_little_at_a_time_gets_little() {
    let setup = Setup {
        largest_request: 150 * 1024,
        ..Setup::default()
    };
    let instance = Instance::start(setup, commands).await;
    let winrm = instance.connect("").await;
    let content = vec![7; 1_500_000];
    upload(&*winrm, &content, r"C:\big").await.unwrap();
    assert_eq!(instance.disk.read(r"C:\big").unwrap(), content);
}

#[tokio::test]
async fn a_connection_that_is_lost_in_an_upload_is_said_and_nothing_is_left() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let before = instance.disk.paths();
    let content = vec![7; 3_000_000];
    let uploading = upload(&*winrm, &content, r"C:\big");
    tokio::pin!(uploading);
    let sends = instance.server.count("Send") + 3;
    let sent = async {
        while instance.server.count("Send") < sends {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        ended = &mut uploading => panic!("{ended:?}"),
        sent = timeout(LIMIT, sent) => sent.unwrap(),
    }
    instance.server.power.off();
    let error = uploading.await.unwrap_err();
    assert!(matches!(error, CommunicatorError::Disconnected { .. }), "{error:?}");
    assert_eq!(instance.disk.paths(), before);
}

pub(crate) async fn upload(
    winrm: &dyn Communicator,
    mut content: &[u8],
    destination: &str,
) -> Result<(), CommunicatorError> {
    let size = content.len() as u64;
    winrm
        .upload(
            Upload {
                content: &mut content,
                size,
                mode: 0o644,
            },
            destination,
        )
        .await
}

#[tokio::test]
async fn a_file_that_cannot_be_read_here_leaves_nothing_there() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(&b"half of it"[..]),
        Err(std::io::Error::other("the disk is broken")),
    ]));
    tokio::pin!(broken);
    let upload = Upload {
        content: &mut broken,
        size: 20,
        mode: 0o644,
    };
    let error = winrm.upload(upload, "C:/half").await.unwrap_err();
    let text = bakelite_engine::chain_of(&error);
    assert_eq!(text, "upload to `C:/half`: the disk is broken");
    assert_eq!(instance.disk.read("C:/half"), None);
    assert_eq!(instance.server.open_shells(), 0);
}
