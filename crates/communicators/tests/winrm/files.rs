//! Files over WinRM.

use bakelite_engine::communicator::CommunicatorError;
use bakelite_test_support::wsman::{Fault, Process, Setup, Trouble, WsMan};

use crate::instance::Instance;
use crate::troubles::upload;

#[tokio::test]
async fn files_of_all_sizes_arrive_and_come_back_as_they_were() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    for size in [0, 1, 2, 49_151, 49_152, 49_153, 1_000_000] {
        let content: Vec<u8> = (0..251).cycle().take(size).collect();
        let path = format!("C:/some directory/it's ä {size}.bin");
        upload(&*winrm, &content, &path).await.unwrap();
        assert_eq!(instance.disk.read(&path).as_ref(), Some(&content), "{size}");
        let mut back = Vec::new();
        winrm.download(&path, &mut back).await.unwrap();
        assert_eq!(back, content);
    }
    assert_eq!(
        instance.server.option("WINRS_CONSOLEMODE_STDIN").as_deref(),
        Some("FALSE")
    );
    assert_eq!(instance.server.open_shells(), 0);
}

#[tokio::test]
async fn a_file_takes_few_shells_and_no_command_line_for_each_piece() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let before = instance.server.count("Command");
    upload(&*winrm, &vec![1; 2_000_000], "C:/x").await.unwrap();
    assert_eq!(instance.server.count("Command"), before + 1);
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_file_is_an_error_with_a_remedy() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    instance.disk.make_directory("C:/target");
    let error = upload(&*winrm, b"x", "C:/target").await.unwrap_err();
    let CommunicatorError::Refused {
        operation,
        message,
        help,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(operation, "upload to `C:/target`");
    assert_eq!(message, r"`C:\target` is a directory");
    assert!(help.unwrap().contains("end it with `/`"));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    let mut nothing = Vec::new();
    let error = winrm.download("C:/no's.txt", &mut nothing).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r"download `C:/no's.txt`: Could not find file 'C:\no's.txt'."
    );
    assert_eq!(nothing, b"");
}

#[tokio::test]
async fn without_input_files_go_over_in_command_lines() {
    let instance = Instance::usual().await;
    let winrm = instance.connect("").await;
    instance.server.trouble("Send", Trouble::Fault(Fault::BROKEN_PIPE));
    instance.server.trouble("Send", Trouble::Fault(Fault::BROKEN_PIPE));
    let content: Vec<u8> = (0..253).cycle().take(20_000).collect();
    let before = instance.server.count("Command");
    upload(&*winrm, &content, r"C:\slow 'way'.bin").await.unwrap();
    assert_eq!(instance.disk.read(r"C:\slow 'way'.bin").unwrap(), content);
    // One that was refused its input; a line each for the beginning, four pieces and the end; the script; the removal.
    assert_eq!(instance.server.count("Command"), before + 9);
    upload(&*winrm, b"", r"C:\empty").await.unwrap();
    assert_eq!(instance.disk.read(r"C:\empty").unwrap(), b"");
    assert!(
        !instance.disk.paths().iter().any(|path| path.contains("bakelite-")),
        "the lines are removed"
    );
}

#[tokio::test]
async fn complaints_of_powershell_lose_their_xml() {
    let mut broken = Instance::usual().await;
    broken.server = WsMan::start(Setup::default(), |process: Process| async move {
        if process.script().unwrap().contains("WinRM connected.") {
            process.stdout.line("WinRM connected.").await;
            return 0;
        }
        let xml = "#< CLIXML\r\n<Objs xmlns=\"urn:x\"><S S=\"Error\">It is &lt;off&gt;._x000D__x000A_</S></Objs>";
        process.stderr.write(xml).await;
        1
    })
    .await;
    let winrm = broken.connect("").await;
    let error = upload(&*winrm, b"x", "C:/x").await.unwrap_err();
    assert_eq!(error.to_string(), "upload to `C:/x`: It is <off>.");
}

#[tokio::test]
async fn a_download_that_is_not_what_was_read_there_is_an_error() {
    let mut instance = Instance::usual().await;
    instance.server = WsMan::start(Setup::default(), |process: Process| async move {
        if process.script().unwrap().contains("WinRM connected.") {
            process.stdout.line("WinRM connected.").await;
        } else {
            process.stdout.write("f \r\n+ YWJj\r\ne 3 00\r\n").await;
        }
        0
    })
    .await;
    let winrm = instance.connect("").await;
    let error = winrm.download("C:/x", &mut Vec::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "download `C:/x`: PowerShell sends a file that is not what was read there"
    );
}
