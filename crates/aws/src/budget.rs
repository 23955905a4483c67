//! The account's budget of EC2 calls: a bucket of tokens for each action in each region, so that a run of hundreds of bakes slows down
//! before EC2 throttles it, and with it everybody else in the account. What EC2 throttles nevertheless is repeated by [`crate::retry`], and
//! the SDK's clients go on at the pace that EC2 then allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tokio::time::Instant;

use crate::call::pause;
use crate::logged::Call;

/// A call that would have to wait longer is made after this time: then EC2 decides. It is less than a call may take with all that is repeated.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// What EC2 grants for an action in a region.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    /// Calls that can be made at once.
    capacity: f64,
    /// Calls that can be made in each second after that.
    refill: f64,
}

const fn rate(capacity: f64, refill: f64) -> Rate {
    Rate { capacity, refill }
}

/// Actions that only read.
const READING: Rate = rate(100.0, 20.0);

/// Actions that change something, also those that are called resource-intensive.
const CHANGING: Rate = rate(50.0, 5.0);

/// Actions that have a bucket of another size.
const OF_THEIR_OWN: &[(&[&str], Rate)] = &[
    (
        &[
            "RunInstances",
            "StartInstances",
            "EnableFastLaunch",
            "DisableFastLaunch",
        ],
        rate(5.0, 2.0),
    ),
    (&["CopyImage"], rate(100.0, 1.0)),
    (&["CreateTags", "DeleteTags"], rate(100.0, 10.0)),
    (
        &[
            "AssociateIamInstanceProfile",
            "CreateLaunchTemplateVersion",
            "CreateNetworkInterface",
            "CreateSnapshot",
            "CreateSnapshots",
            "CreateVolume",
            "DeleteNetworkInterface",
            "DeleteSnapshot",
            "DeleteVolume",
            "DeregisterImage",
            "ModifyImageAttribute",
            "ModifyInstanceMetadataOptions",
            "ModifySnapshotAttribute",
            "TerminateInstances",
        ],
        rate(100.0, 5.0),
    ),
];

/// What EC2 grants by default: each action has a bucket of its own, in each region of an account ("Request throttling for the Amazon EC2
/// API", <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>, "Request token bucket sizes and refill rates"). The
/// buckets of instances, of which `RunInstances` takes as well (1000, and 2 for each second), are never emptied before those of calls.
fn rate_of(action: &str) -> Rate {
    let own = OF_THEIR_OWN.iter().find(|(actions, _)| actions.contains(&action));
    let reads = ["Describe", "Get", "List", "Search"]
        .iter()
        .any(|word| action.starts_with(word));
    own.map_or(if reads { READING } else { CHANGING }, |(_, rate)| *rate)
}

/// The tokens of one action in one region.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// Less than nothing when calls wait for tokens to come.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: rate.capacity,
            at: now,
        }
    }

    /// Takes a token; answers how long it takes until it is there.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * self.rate.refill).min(self.rate.capacity) - 1.0;
        Duration::from_secs_f64((-self.tokens / self.rate.refill).max(0.0))
    }
}

/// The buckets of an account.
#[derive(Debug, Default)]
struct Budget(Mutex<BTreeMap<(String, String), Bucket>>);

impl Budget {
    /// Waits until EC2 is likely to take the call.
    async fn take(&self, region: String, action: String) {
        let wait = self.reserve(region, action, Instant::now());
        if !wait.is_zero() {
            pause(wait).await;
        }
    }

    fn reserve(&self, region: String, action: String, now: Instant) -> Duration {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rate_of(&action);
        let bucket = buckets
            .entry((region, action))
            .or_insert_with(|| Bucket::full(rate, now));
        bucket.take(now).min(LONGEST_WAIT)
    }
}

/// A connector whose calls of EC2 keep to the budget. Only AWS itself has it: the local cloud and other endpoints take what they can.
#[derive(Debug)]
pub(crate) struct Budgeted {
    connector: SharedHttpConnector,
    budget: Arc<Budget>,
}

impl Budgeted {
    pub(crate) fn new(connector: SharedHttpConnector) -> Self {
        Self {
            connector,
            budget: Arc::default(),
        }
    }
}

impl HttpConnector for Budgeted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some((region, action)) = of_ec2(&request) else {
            return self.connector.call(request);
        };
        let (connector, budget) = (self.connector.clone(), Arc::clone(&self.budget));
        HttpConnectorFuture::new(async move {
            budget.take(region, action).await;
            connector.call(request).await
        })
    }
}

/// Region and action of a call of EC2 that AWS itself answers.
fn of_ec2(request: &HttpRequest) -> Option<(String, String)> {
    let (_, behind) = request.uri().split_once("://")?;
    let host = behind.split(['/', ':', '?']).next()?;
    let is_aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
        .iter()
        .any(|end| host.ends_with(end));
    let call = Call::of(request);
    let is_ec2 = is_aws && call.service.as_deref() == Some("ec2");
    call.region.filter(|_| is_ec2).map(|region| (region, call.action))
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;
    use futures::future::join_all;

    use super::*;

    const HOST: &str = "https://ec2.eu-west-1.amazonaws.com/";

    fn request(endpoint: &str, region: &str, action: &str) -> HttpRequest {
        let mut request = HttpRequest::new(SdkBody::from(format!("Action={action}&Version=2016-11-15")));
        request.set_uri(endpoint).unwrap();
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKIA1/20261122/{region}/ec2/aws4_request, Signature=5e5e");
        request.headers_mut().insert("authorization", scope);
        request
    }

    /// EC2 as its documentation has it: whoever finds no token in the bucket of the action is throttled.
    #[derive(Debug, Default)]
    struct Ec2 {
        buckets: Mutex<BTreeMap<String, Bucket>>,
        throttled: Mutex<Vec<String>>,
    }

    #[derive(Debug, Clone, Default)]
    struct Server(Arc<Ec2>);

    impl HttpConnector for Server {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let (action, now) = (Call::of(&request).action, Instant::now());
            let mut buckets = self.0.buckets.lock().unwrap();
            let bucket = buckets
                .entry(action.clone())
                .or_insert_with(|| Bucket::full(rate_of(&action), now));
            // The clock of the tests counts milliseconds.
            if bucket.take(now) > Duration::from_millis(2) {
                self.0.throttled.lock().unwrap().push(action);
            }
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::empty())))
        }
    }

    /// The calls of a bake, a few more of each than it makes.
    const OF_A_BAKE: &[(&str, usize)] = &[
        ("DescribeImages", 20),
        ("DescribeInstances", 30),
        ("DescribeSubnets", 3),
        ("DescribeSnapshots", 20),
        ("CreateKeyPair", 2),
        ("CreateSecurityGroup", 2),
        ("AuthorizeSecurityGroupIngress", 3),
        ("RunInstances", 3),
        ("CreateTags", 10),
        ("StopInstances", 2),
        ("CreateImage", 2),
        ("CopyImage", 5),
        ("ModifyImageAttribute", 10),
        ("TerminateInstances", 3),
        ("DeleteKeyPair", 2),
        ("DeleteSecurityGroup", 10),
    ];

    async fn bake(ec2: &SharedHttpConnector) {
        for (action, times) in OF_A_BAKE {
            let calls = (0..*times).map(|_| ec2.call(request(HOST, "eu-west-1", action)));
            for answer in join_all(calls).await {
                answer.unwrap();
            }
        }
    }

    fn budgeted(server: &Server) -> SharedHttpConnector {
        SharedHttpConnector::new(Budgeted::new(SharedHttpConnector::new(server.clone())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_bake_by_itself_never_waits() {
        let begun = Instant::now();
        bake(&budgeted(&Server::default())).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_of_many_bakes_slows_down_before_ec2_does() {
        let server = Server::default();
        let ec2 = budgeted(&server);
        let begun = Instant::now();
        join_all((0..30).map(|_| bake(&ec2))).await;
        assert_eq!(*server.0.throttled.lock().unwrap(), Vec::<String>::new());
        assert!(begun.elapsed() > Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_wait_for_tokens_of_their_action_and_region_alone() {
        let budget = Budget::default();
        let now = Instant::now();
        let wait = |region: &str, action: &str| budget.reserve(region.into(), action.into(), now);
        for _ in 0..5 {
            assert_eq!(wait("eu-west-1", "RunInstances"), Duration::ZERO);
        }
        assert_eq!(wait("eu-west-1", "RunInstances"), Duration::from_millis(500));
        assert_eq!(wait("eu-west-1", "RunInstances"), Duration::from_secs(1));
        assert_eq!(wait("us-east-1", "RunInstances"), Duration::ZERO);
        for _ in 0..100 {
            assert_eq!(wait("eu-west-1", "DescribeImages"), Duration::ZERO);
        }
        assert_eq!(wait("eu-west-1", "DescribeImages"), Duration::from_millis(50));
        for _ in 0..1000 {
            assert!(wait("eu-west-1", "RunInstances") <= LONGEST_WAIT);
        }
        assert!(LONGEST_WAIT < crate::retry::CALL_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_fills_up_to_its_capacity() {
        let mut bucket = Bucket::full(rate(2.0, 1.0), Instant::now());
        for _ in 0..2 {
            assert_eq!(bucket.take(Instant::now()), Duration::ZERO);
        }
        assert_eq!(bucket.take(Instant::now()), Duration::from_secs(1));
        pause(Duration::from_mins(1)).await;
        for _ in 0..2 {
            assert_eq!(bucket.take(Instant::now()), Duration::ZERO);
        }
        assert_eq!(bucket.take(Instant::now()), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_ends_with_who_waits_for_it() {
        let server = Server::default();
        let ec2 = budgeted(&server);
        let calls = (0..20).map(|_| ec2.call(request(HOST, "eu-west-1", "RunInstances")));
        let waiting = tokio::time::timeout(Duration::from_secs(1), join_all(calls)).await;
        assert!(waiting.is_err());
        let made = server.0.buckets.lock().unwrap()["RunInstances"].tokens;
        assert!((-3.0..=0.5).contains(&made), "{made}");
    }

    #[test]
    fn only_ec2_of_aws_itself_has_a_budget() {
        let of = |endpoint: &str| of_ec2(&request(endpoint, "eu-west-1", "RunInstances"));
        let counted = Some(("eu-west-1".to_owned(), "RunInstances".to_owned()));
        for endpoint in [
            HOST,
            "https://ec2.cn-north-1.amazonaws.com.cn/",
            "https://ec2.eu-west-1.api.aws/",
            "https://vpce-1-2.ec2.eu-west-1.vpce.amazonaws.com/",
        ] {
            assert_eq!(of(endpoint), counted, "{endpoint}");
        }
        for endpoint in [
            "http://127.0.0.1:4599/",
            "http://localhost:5000/",
            "https://amazonaws.com.test/",
        ] {
            assert_eq!(of(endpoint), None, "{endpoint}");
        }
        let mut of_ssm = request("https://ssm.eu-west-1.amazonaws.com/", "eu-west-1", "x");
        let scope = "AWS4-HMAC-SHA256 Credential=AKIA1/20261122/eu-west-1/ssm/aws4_request, Signature=5e5e";
        of_ssm.headers_mut().insert("authorization", scope);
        assert_eq!(of_ec2(&of_ssm), None);
    }

    #[test]
    fn each_action_has_the_published_rate() {
        for (action, expected) in [
            ("DescribeInstances", READING),
            ("GetPasswordData", READING),
            ("CreateImage", CHANGING),
            ("AuthorizeSecurityGroupIngress", CHANGING),
            ("RunInstances", rate(5.0, 2.0)),
            ("CopyImage", rate(100.0, 1.0)),
            ("TerminateInstances", rate(100.0, 5.0)),
            ("CreateTags", rate(100.0, 10.0)),
        ] {
            assert_eq!(rate_of(action), expected, "{action}");
        }
    }
}
