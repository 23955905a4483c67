//! A line that breaks anywhere while a script is uploaded, run and removed: the script runs once at most, and what stays on the instance
//! is named.

use std::rc::Rc;
use std::time::Duration;

use bakelite_test_support::faulty_line::{Break, Direction, FaultyLine};
use bakelite_test_support::sshd::{Setup, Sshd};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::workbench::Workbench;

/// The places where the line breaks, evenly spread over what it carries.
const PLACES: u64 = 12;

/// Longer than anything may take: a silent peer is noticed after 2 s, and what the instance still has is removed within 30 s.
const SOON: Duration = Duration::from_mins(1);

/// A script over a line of its own.
struct Scene {
    bench: Workbench,
    line: FaultyLine,
}

impl Scene {
    async fn new(sshd: &Sshd) -> Scene {
        let line = FaultyLine::to(sshd.address).await;
        let bench = Workbench::connected(json!({
            "ssh_port": line.address.port(), "ssh_username": sshd.username, "ssh_private_key_file": sshd.key_file,
            "ssh_keep_alive_interval": "500ms",
        }))
        .await;
        Scene { bench, line }
    }

    async fn provision(&self) -> Result<(), String> {
        let count = format!("echo run >> {}", self.bench.path("counter"));
        let options = json!({"inline": [count, "echo done"], "remote_folder": self.bench.path("remote")});
        self.bench.provision("shell", options).await
    }

    fn runs(&self) -> usize {
        let counted = std::fs::read_to_string(self.bench.path("counter"));
        counted.unwrap_or_default().lines().count()
    }

    /// What is carried in each direction from the first byte of the upload to the last of the removal.
    async fn measured(&self) -> [u64; 2] {
        let carried = || [Direction::ToServer, Direction::ToClient].map(|way| self.line.carried(way));
        let before = carried();
        self.provision().await.unwrap();
        let after = carried();
        [after[0] - before[0], after[1] - before[1]]
    }

    async fn broken(&self, direction: Direction, what: Break, after: u64) {
        self.line.arm(direction, what, after);
        let told = format!("{direction:?} {what:?} after {after}");
        let provisioned = timeout(SOON, self.provision()).await;
        let result = provisioned.unwrap_or_else(|_| panic!("{told}: nothing for {SOON:?}"));
        let said = self.bench.said().join("\n");
        let told = format!("{told}: {result:?}\n{said}");
        match &result {
            Ok(()) => assert_eq!(self.runs(), 1, "{told}"),
            Err(error) => {
                assert!(self.runs() <= 1, "{told}: it ran {} times", self.runs());
                assert!(
                    error.contains("disconnected") || error.contains("was lost") || error.contains("is lost"),
                    "{told}"
                );
            }
        }
        for left in self.bench.names("remote") {
            assert!(
                said.contains(&left) && said.contains("stays on the instance"),
                "{left}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn wherever_a_line_breaks_a_script_runs_once_and_what_stays_is_named() {
    let sshd = Sshd::start(Setup::default()).await;
    let bytes = Scene::new(&sshd).await.measured().await;
    let mut cells = Vec::new();
    for (direction, bytes) in [Direction::ToServer, Direction::ToClient].into_iter().zip(bytes) {
        for place in 0..PLACES {
            cells.extend([Break::Reset, Break::Stall].map(|what| (direction, what, bytes * place / PLACES)));
        }
    }
    let (sshd, at_once) = (Rc::new(sshd), Rc::new(Semaphore::new(12)));
    let all = async {
        let mut running = JoinSet::new();
        for (direction, what, after) in cells {
            let (sshd, at_once) = (Rc::clone(&sshd), Rc::clone(&at_once));
            running.spawn_local(async move {
                let _one = at_once.acquire().await.unwrap();
                Scene::new(&sshd).await.broken(direction, what, after).await;
            });
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    };
    LocalSet::new().run_until(all).await;
}
