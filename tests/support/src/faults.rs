//! A proxy between a program and a cloud's endpoint, which makes one call fail in one way, or all calls of an action. Everything else
//! passes, on connections that are kept open as the cloud itself keeps them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clouds::{Endpoint, signal};
use crate::signer::Request;

/// A call, as it can be named before it is made: what it asks for, where, and how many of the same were before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `RunInstances`; one that only tries it is `RunInstances (dry run)`.
    pub action: String,
    /// The region that it is signed for.
    pub region: String,
    /// 1 for the first of this action in this region.
    pub number: usize,
}

impl Call {
    /// The action without what is said about it.
    pub fn operation(&self) -> &str {
        self.action.split(' ').next().unwrap_or_default()
    }

    /// Whether it can change anything.
    pub fn only_reads(&self) -> bool {
        let reads = ["Describe", "Get", "List"];
        self.action.ends_with("(dry run)") || reads.iter().any(|verb| self.action.starts_with(verb))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{} in {}", self.action, self.number, self.region)
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is answered that there are too many calls.
    Throttle,
    /// It is answered that the service fails.
    Internal,
    /// It is never answered.
    Hang,
    /// The connection ends before the call reaches the cloud.
    DropBefore,
    /// The connection ends after the cloud did what was asked.
    DropAfter,
    /// The call and all later ones of its action are refused.
    Refuse,
    /// The call and all later ones of its action are answered that the service fails.
    FailForGood,
    /// The program is killed when the cloud has done what was asked.
    Kill,
}

impl Fault {
    /// Whether all later calls of the action fail, too.
    pub fn is_for_good(self) -> bool {
        matches!(self, Fault::Refuse | Fault::FailForGood)
    }

    /// Whether the cloud gets the call.
    fn passes(self) -> bool {
        matches!(self, Fault::DropAfter | Fault::Kill)
    }
}

/// A proxy. It ends with the process of the test.
pub struct FaultProxy {
    /// Its own endpoint.
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    cloud: Endpoint,
    state: Mutex<State>,
    /// Notified whenever the program that is watched changes, which ends what hangs for the one before it.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts the programs.
    program: u64,
    process: Option<u32>,
    fault: Option<(Call, Fault)>,
    calls: Vec<Call>,
    counts: BTreeMap<(String, String), usize>,
    struck: usize,
    /// Calls that the cloud is about to answer.
    under_way: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultProxy {
    /// Before this cloud, without a fault.
    pub fn before(cloud: &Endpoint) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            cloud: cloud.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(&shared, &client.unwrap()));
            }
        });
        FaultProxy { url, shared }
    }

    /// Begins to count from one for a program that is about to start, with this fault.
    pub fn arm(&self, fault: Option<(Call, Fault)>) {
        let mut state = self.shared.lock();
        let (program, under_way) = (state.program + 1, state.under_way);
        *state = State {
            program,
            fault,
            under_way,
            ..State::default()
        };
        self.shared.changed.notify_all();
    }

    /// Names the program, whose calls wait until it is known.
    pub fn watch(&self, process: u32) {
        self.shared.lock().process = Some(process);
        self.shared.changed.notify_all();
    }

    /// Waits until the cloud has answered what it was asked: a program that was killed does not wait for that itself.
    pub fn settle(&self) {
        let state = self.shared.lock();
        let limit = Duration::from_secs(30);
        let settled = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| state.under_way > 0);
        let waited = settled.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!waited.timed_out(), "the cloud does not answer");
    }

    /// The calls since it was armed, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// How many calls the fault struck.
    pub fn struck(&self) -> usize {
        self.shared.lock().struck
    }
}

/// The requests of one connection.
fn serve(shared: &Shared, client: &TcpStream) {
    let mut reader = BufReader::new(client);
    while let Some((head, body)) = read(&mut reader) {
        let (call, fault, program) = admit(shared, &head, &body);
        let passes = fault.is_none_or(Fault::passes);
        let answer = passes.then(|| forward(&shared.cloud, &head, &body));
        shared.lock().under_way -= 1;
        shared.changed.notify_all();
        let answer = match fault {
            None => answer,
            Some(Fault::Throttle | Fault::Internal | Fault::Refuse | Fault::FailForGood) => {
                fault.map(|fault| failure(fault, &head, &call))
            }
            Some(Fault::Hang) => {
                hang(shared, program);
                None
            }
            Some(Fault::DropBefore | Fault::DropAfter) => None,
            Some(Fault::Kill) => {
                let process = shared.lock().process.expect("the program is known when it is watched");
                signal(process, "KILL");
                None
            }
        };
        let Some(answer) = answer else { break };
        let mut client = client;
        if client.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Counts a call, and finds what becomes of it.
fn admit(shared: &Shared, head: &str, body: &str) -> (Call, Option<Fault>, u64) {
    let mut state = shared.lock();
    if state.fault.as_ref().is_some_and(|(_, fault)| *fault == Fault::Kill) {
        let limit = Duration::from_secs(30);
        let waited = shared
            .changed
            .wait_timeout_while(state, limit, |state| state.process.is_none());
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    let (action, region) = asked(head, body);
    let count = state.counts.entry((action.clone(), region.clone())).or_default();
    *count += 1;
    let call = Call {
        action,
        region,
        number: *count,
    };
    state.calls.push(call.clone());
    state.under_way += 1;
    let fault = state.fault.as_ref().and_then(|(at, fault)| {
        let strikes = if fault.is_for_good() {
            at.operation() == call.operation() && state.struck > 0 || *at == call
        } else {
            *at == call
        };
        strikes.then_some(*fault)
    });
    state.struck += usize::from(fault.is_some());
    (call, fault, state.program)
}

/// Waits until another program is watched.
fn hang(shared: &Shared, program: u64) {
    let state = shared.lock();
    let limit = Duration::from_mins(10);
    // Whoever waits that long is not waiting any more.
    drop(
        shared
            .changed
            .wait_timeout_while(state, limit, |state| state.program == program),
    );
}

/// Reads one request: its head and its body. None: the connection is at its end.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = header(&head, "content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// The parts of the scope that a request is signed for: date, region, service.
fn scope(head: &str) -> Vec<&str> {
    let scope = header(head, "authorization").and_then(|value| value.split_once("Credential="));
    let (scope, _) = scope.map_or("", |(_, scope)| scope).split_once(',').unwrap_or_default();
    scope.split('/').skip(1).collect()
}

/// The action of a request and its region.
fn asked(head: &str, body: &str) -> (String, String) {
    let target = header(head, "x-amz-target").and_then(|target| target.rsplit('.').next());
    let parameter = |name: &str| {
        let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let action = target.or_else(|| parameter("Action")).unwrap_or("unknown");
    let tries = parameter("DryRun") == Some("true");
    let region = scope(head).get(1).map_or("unknown", |region| *region).to_owned();
    (format!("{action}{}", if tries { " (dry run)" } else { "" }), region)
}

/// Sends a request to the cloud, signed anew for the cloud's own address; answers what goes back to the program.
fn forward(cloud: &Endpoint, head: &str, body: &str) -> String {
    let scope = scope(head);
    let mut request = Request::new(cloud.address(), "POST", "/", body);
    for name in ["content-type", "x-amz-target"] {
        if let Some(value) = header(head, name) {
            request = request.with(name, value);
        }
    }
    let (region, service) = (scope.get(1).unwrap_or(&""), scope.get(2).unwrap_or(&""));
    let (head, body) = request
        .signed(&cloud.key, service, region, SystemTime::now())
        .send(cloud.address());
    let kept = head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    format!("{}\r\n\r\n{body}", kept.collect::<Vec<_>>().join("\r\n"))
}

/// The answer of a fault, as the service writes it that the call is for.
fn failure(fault: Fault, head: &str, call: &Call) -> String {
    let service = *scope(head).get(2).unwrap_or(&"");
    let (status, code) = match (fault, service) {
        (Fault::Throttle, "ec2") => (503, "RequestLimitExceeded"),
        (Fault::Throttle, "iam" | "sts") => (400, "Throttling"),
        (Fault::Throttle, _) => (400, "ThrottlingException"),
        (Fault::Refuse, "ec2") => (403, "UnauthorizedOperation"),
        (Fault::Refuse, "iam" | "sts") => (403, "AccessDenied"),
        (Fault::Refuse, _) => (400, "AccessDeniedException"),
        (_, "ec2") => (500, "InternalError"),
        (_, "iam") => (500, "ServiceFailure"),
        (_, "sts") => (500, "InternalFailure"),
        _ => (500, "InternalServerError"),
    };
    let message = format!("the test lets {} fail", call.action);
    let (kind, body) = match service {
        "ec2" => (
            "text/xml;charset=UTF-8",
            format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
                 <RequestID>test</RequestID></Response>"
            ),
        ),
        "iam" | "sts" => (
            "text/xml;charset=UTF-8",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>test</RequestId></ErrorResponse>"
            ),
        ),
        _ => (
            "application/x-amz-json-1.1",
            format!("{{\"__type\":\"{code}\",\"message\":\"{message}\"}}"),
        ),
    };
    let length = body.len();
    format!("HTTP/1.1 {status} it\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}
