//! The same playbook over every way to the instance.

use bakelite_test_support::sshd::Setup;
use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn through_the_adapter_with_the_sftp_server_of_the_instance() {
    let bench = Bench::new(Setup::default()).await;
    bench
        .play_all(json!({"extra_arguments": ["-e", "ansible_ssh_transfer_method=sftp"]}))
        .await;
}
