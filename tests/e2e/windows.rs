//! A bake over WinRM, against a machine that plays Windows: scripts that are tried again, another user's password, a restart, files.

use std::sync::atomic::{AtomicUsize, Ordering};

use bakelite_test_support::test_context;
use bakelite_test_support::wsman::{Host, Played, Setup, WsMan};

const PASSWORD: &str = "T0p secret of another user";

#[tokio::test(flavor = "multi_thread")]
async fn a_bake_of_windows() {
    let tries = AtomicUsize::new(0);
    let host = Host::new(move |script| {
        let (_, password) = script.user.clone().unwrap_or_default();
        let number = tries.fetch_add(1, Ordering::SeqCst);
        Played {
            says: format!("run {number}, password {password:?}\n"),
            status: u32::from(number == 0),
            ..Played::default()
        }
    });
    let server = WsMan::start(Setup::default(), host.machine()).await;
    let context = test_context!();
    context.file("notes.txt", "notes\n").template(&format!(
        r#"
variable "password" {{
  sensitive = true
  default   = "{PASSWORD}"
}}
source "null" "a" {{
  communicator   = "winrm"
  winrm_host     = "127.0.0.1"
  winrm_port     = {}
  winrm_username = "Administrator"
  winrm_password = "correct horse"
}}
build {{
  sources = ["source.null.a"]
  provisioner "powershell" {{
    max_retries       = 1
    inline            = ["install"]
    elevated_user     = "me"
    elevated_password = var.password
  }}
  provisioner "windows-restart" {{}}
  provisioner "windows-shell" {{
    inline = ["echo batch"]
  }}
  provisioner "file" {{
    source      = "notes.txt"
    destination = "C:\\Notes\\"
  }}
}}
"#,
        server.address.port()
    ));
    let ran = tokio::task::block_in_place(|| context.run(["build", "-color=false", "t.pkr.hcl"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for text in [
        "run 0, password Some(\"<sensitive>\")",
        "trying again (1 try left): Script exited with non-zero exit status: 1. Allowed exit codes are: [0]",
        "run 1, password Some(\"<sensitive>\")",
        "EC2AMAZ restarted.",
        "Machine successfully restarted, moving on",
        "run 2, password None",
        "Uploading notes.txt => C:\\Notes\\",
    ] {
        assert!(said.contains(text), "`{text}` is not in {said}");
    }
    assert!(!said.contains(PASSWORD), "{said}");
    assert_eq!(server.power.times_off(), 1);
    assert_eq!(host.files(), [r"C:\Notes\notes.txt"]);
    assert_eq!((host.tasks(), server.open_shells()), (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_runs_too_long_does_not_stay() {
    let host = Host::new(|script| Played {
        hangs: script.text().contains("hang"),
        ..Played::default()
    });
    let server = WsMan::start(Setup::default(), host.machine()).await;
    let context = test_context!();
    context.file("hang.ps1", "hang").template(&format!(
        r#"
source "null" "a" {{
  communicator   = "winrm"
  winrm_host     = "127.0.0.1"
  winrm_port     = {}
  winrm_username = "Administrator"
  winrm_password = "correct horse"
}}
build {{
  sources = ["source.null.a"]
  provisioner "powershell" {{
    script            = "hang.ps1"
    elevated_user     = "me"
    elevated_password = "secret"
    timeout           = "2s"
    continue_on_error = true
  }}
  provisioner "windows-shell" {{
    inline            = ["hang"]
    timeout           = "2s"
    continue_on_error = true
  }}
}}
"#,
        server.address.port()
    ));
    let ran = tokio::task::block_in_place(|| context.run(["build", "-color=false", "t.pkr.hcl"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((host.files(), host.tasks()), (Vec::new(), Vec::new()), "{ran:?}");
}
