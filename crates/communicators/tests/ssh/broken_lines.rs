//! Lines that break at every phase of every operation, in every way: what can go on goes on to the right end, everything else fails
//! clearly and soon, and no command runs twice.

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bakelite_communicators::connect::ConnectError;
use bakelite_engine::communicator::{Communicator, CommunicatorError, Exit, Running};
use bakelite_test_support::faulty_line::{Break, Direction, FaultyLine};
use bakelite_test_support::sshd::Setup;
use futures::stream::{self, StreamExt as _};
use tokio::time::timeout;

use crate::files::{METHODS, upload};
use crate::instance::{Instance, outcome};

/// A peer that is silent is noticed after four of these.
const KEEPALIVE: &str = r#""ssh_keep_alive_interval": "500ms", "ssh_timeout": "5s""#;

/// Longer than any part of an operation may take on a busy machine: keepalives are missed after 2 s, `ssh_timeout` ends after 5 s.
const SOON: Duration = Duration::from_secs(30);

/// Operations that are under way at a time.
const AT_ONCE: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// From the connection to the end of the login.
    Connect,
    /// A command with output.
    Exec,
    /// A command that ends the connection, as a restart does.
    Reboot,
    Upload(&'static str),
    Download(&'static str),
}

const OPERATIONS: [Operation; 9] = [
    Operation::Connect,
    Operation::Exec,
    Operation::Reboot,
    Operation::Upload(METHODS[0]),
    Operation::Upload(METHODS[1]),
    Operation::Upload(METHODS[2]),
    Operation::Download(METHODS[0]),
    Operation::Download(METHODS[1]),
    Operation::Download(METHODS[2]),
];

const BREAKS: [Break; 4] = [
    Break::Reset,
    Break::Close,
    Break::Stall,
    Break::Delay(Duration::from_millis(300)),
];

/// Where in an operation the line breaks, of the bytes that it has in that direction.
#[derive(Debug, Clone, Copy)]
enum Point {
    First,
    /// Behind the first packets, which open a channel and ask for the command.
    Behind(u64),
    Quarter,
    Middle,
    Late,
    Last,
}

impl Point {
    fn of(self, bytes: u64) -> u64 {
        match self {
            Point::First => 0,
            Point::Behind(packets) => packets,
            Point::Quarter => bytes / 4,
            Point::Middle => bytes / 2,
            Point::Late => bytes - bytes / 8,
            Point::Last => bytes - 1,
        }
    }
}

impl Operation {
    fn more(self) -> String {
        match self {
            Operation::Upload(method) | Operation::Download(method) => format!("{KEEPALIVE}, {method}"),
            _ => KEEPALIVE.to_owned(),
        }
    }

    /// Channels are opened first, and answers come last; a connection has more phases, and so has what must not be done twice.
    fn points(self) -> &'static [Point] {
        match self {
            Operation::Connect => &[Point::First, Point::Quarter, Point::Middle, Point::Late, Point::Last],
            Operation::Exec => &[
                Point::First,
                Point::Behind(50),
                Point::Behind(80),
                Point::Behind(120),
                Point::Middle,
                Point::Last,
            ],
            _ => &[Point::First, Point::Middle, Point::Last],
        }
    }
}

/// What of the instance all cells share.
struct Place {
    instance: Instance,
    content: Vec<u8>,
    cells: Cell<usize>,
}

impl Place {
    async fn new() -> Place {
        let instance = Instance::start(Setup::default()).await;
        let content = (0..200_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
            .collect();
        let place = Place {
            instance,
            content,
            cells: Cell::new(0),
        };
        std::fs::write(place.path("content"), &place.content).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.instance.sshd.directory().join(name)
    }

    async fn cell(&self, operation: Operation) -> At<'_> {
        let line = FaultyLine::to(self.instance.sshd.address).await;
        let number = self.cells.replace(self.cells.get() + 1);
        At {
            place: self,
            operation,
            line,
            counter: self.path(&format!("counter-{number}")),
            target: self.path(&format!("target-{number}")),
        }
    }
}

/// One operation over a line of its own.
struct At<'a> {
    place: &'a Place,
    operation: Operation,
    line: FaultyLine,
    /// A line for each time that the command ran.
    counter: PathBuf,
    target: PathBuf,
}

/// What was done, and how often it had to be begun again.
#[derive(Debug)]
enum End {
    Done,
    /// It failed with an error that says why.
    Failed(String),
}

impl At<'_> {
    async fn connect(&self) -> Result<Arc<dyn Communicator>, ConnectError> {
        let mut options = self.place.instance.options(&self.operation.more());
        options.ssh_port = Some(self.line.address.port());
        self.place.instance.try_connect(&Instance::target(), &options).await
    }

    /// Does it once, as provisioners do: what was certainly not begun is begun again.
    async fn go(&self, ssh: Option<&dyn Communicator>) -> End {
        let Some(ssh) = ssh else {
            return match self.connect().await {
                Ok(_) => End::Done,
                Err(error) => End::Failed(bakelite_engine::chain_of(&error)),
            };
        };
        for _ in 0..3 {
            match self.attempt(ssh).await {
                Ok(end) => return end,
                Err(CommunicatorError::Disconnected { .. }) => {}
                // A server that is killed by the command may not get to its answer.
                Err(CommunicatorError::Unanswered { .. })
                    if self.operation == Operation::Reboot && self.runs() == 1 =>
                {
                    return End::Done;
                }
                Err(error @ CommunicatorError::Unanswered { .. }) => return End::Failed(error.to_string()),
                Err(error) => panic!("{self}: {error:?}"),
            }
        }
        panic!("{self}: it is lost again and again, and was broken once");
    }

    async fn attempt(&self, ssh: &dyn Communicator) -> Result<End, CommunicatorError> {
        let content = &self.place.content;
        match self.operation {
            Operation::Connect => unreachable!("it has no connection yet"),
            Operation::Exec => {
                let command = format!(
                    "echo run >> {}; cat {}",
                    self.counter.display(),
                    self.place.path("content").display()
                );
                let ran = outcome(without_input(ssh.exec(&command).await?)).await;
                if ran.exit == Exit::Disconnected {
                    return Ok(End::Failed("the connection was lost".into()));
                }
                assert_eq!(ran.exit, Exit::Status(0), "{self}");
                assert!(ran.stdout == *content, "{self}: {} bytes", ran.stdout.len());
            }
            Operation::Reboot => {
                let command = format!("echo run >> {}; kill -9 $PPID", self.counter.display());
                let ran = outcome(without_input(ssh.exec(&command).await?)).await;
                assert_eq!(ran.exit, Exit::Disconnected, "{self}");
                ssh.disconnected().await;
                // A command of a lost connection is ended by the server, perhaps before it has begun.
                if self.runs() == 0 {
                    return Ok(End::Failed("the connection was lost before it ran".into()));
                }
            }
            Operation::Upload(_) => {
                upload(ssh, content, 0o644, &self.target).await?;
                assert!(std::fs::read(&self.target).unwrap() == *content, "{self}");
            }
            Operation::Download(_) => {
                let mut back = Vec::new();
                ssh.download(self.place.path("content").to_str().unwrap(), &mut back)
                    .await?;
                assert!(back == *content, "{self}");
            }
        }
        Ok(End::Done)
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(&self.counter)
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// The bytes of the operation in each direction on a whole line.
    async fn measured(&self) -> [u64; 2] {
        let carried = || [Direction::ToServer, Direction::ToClient].map(|way| self.line.carried(way));
        let ssh = match self.operation {
            Operation::Connect => None,
            _ => Some(self.connect().await.unwrap()),
        };
        let before = carried();
        assert!(matches!(self.go(ssh.as_deref()).await, End::Done), "{self}");
        let after = carried();
        [after[0] - before[0], after[1] - before[1]]
    }

    async fn broken(&self, direction: Direction, what: Break, after: u64) {
        let ssh = match self.operation {
            Operation::Connect => None,
            _ => Some(self.connect().await.unwrap()),
        };
        self.line.arm(direction, what, after);
        let within = timeout(SOON, self.go(ssh.as_deref())).await;
        let told = format!("{self} {direction:?} {what:?} after {after}");
        let end = within.unwrap_or_else(|_| panic!("{told}: nothing for {SOON:?}"));
        let struck = self.line.disarm();
        match &end {
            End::Done => {}
            End::Failed(why) => assert!(
                struck && !matches!(what, Break::Delay(_)) && !why.is_empty(),
                "{told}: {why}"
            ),
        }
        let Some(ssh) = ssh else { return };
        // Whatever became of it, the instance can be used again.
        let again = async {
            let running = ssh
                .exec("echo on")
                .await
                .map_err(CommunicatorError::of_repeatable_command);
            let running = match running {
                // Nobody had noticed that the connection was lost.
                Err(CommunicatorError::Disconnected { .. }) => ssh.exec("echo on").await,
                running => running,
            };
            outcome(without_input(
                running.unwrap_or_else(|error| panic!("{told}: {error:?}")),
            ))
            .await
        };
        let ran = timeout(SOON, again)
            .await
            .unwrap_or_else(|_| panic!("{told}: no further command"));
        assert_eq!(ran.stdout, b"on\n", "{told}");
        assert!(self.runs() <= 1, "{told}: it ran {} times", self.runs());
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.operation)
    }
}

fn without_input(mut running: Running) -> Running {
    drop(running.stdin.take());
    running
}

#[tokio::test]
async fn wherever_a_line_breaks_an_operation_goes_on_or_fails_clearly_and_soon() {
    let place = Place::new().await;
    let mut cells = Vec::new();
    for operation in OPERATIONS {
        let bytes = place.cell(operation).await.measured().await;
        for (direction, bytes) in [Direction::ToServer, Direction::ToClient].into_iter().zip(bytes) {
            for point in operation.points() {
                cells.extend(BREAKS.map(|what| (operation, direction, what, point.of(bytes))));
            }
        }
    }
    assert!(cells.len() > 200, "{} cells", cells.len());
    let running = cells.into_iter().map(|(operation, direction, what, after)| {
        let place = &place;
        async move {
            let at = place.cell(operation).await;
            at.broken(direction, what, after).await;
            at.counter
        }
    });
    let counters: Vec<PathBuf> = stream::iter(running).buffer_unordered(AT_ONCE).collect().await;
    // A command that nobody heard of any more may still have begun.
    for counter in counters {
        let runs = std::fs::read_to_string(&counter).unwrap_or_default().lines().count();
        assert!(runs <= 1, "{} ran {runs} times", counter.display());
    }
}
