//! What the fuzzers throw bytes at: the readers of requests, and the actions as far as they read. Public for them alone.

use std::path::Path;

use bytes::Bytes;
use hyper::Request;

use crate::access_keys::AccessKeys;
use crate::authentication::Claim;
use crate::call::{Accepted, Call};
use crate::credential::{Authorization, Credential};
use crate::ec2;
use crate::json_api;
use crate::local_cloud::{LocalCloud, LocalCloudOptions};
use crate::local_error::LocalError;
use crate::moment::Moment;
use crate::query::Parameters;
use crate::signature::Signed;
use crate::sts;
use crate::{Isolation, Latency};

/// A cloud in which nothing is ever launched.
pub struct Desk {
    cloud: LocalCloud,
}

impl Desk {
    /// One in an empty directory.
    pub async fn open(directory: &Path) -> Result<Desk, LocalError> {
        let options = LocalCloudOptions {
            state_dir: directory.to_owned(),
            // Without a probe of sandboxes, which starts this program again; no machine is started either.
            isolation: Isolation::Unisolated,
            limits: crate::limits::Limits::default(),
            latency: Latency::default(),
            images: Vec::new(),
            pulls: crate::PullOptions::default(),
            listen: ([127, 0, 0, 1], 0).into(),
            ssh_port: 0,
            refusals: crate::refusals::Refusals::default(),
            region: "us-east-1".to_owned(),
        };
        let cloud = LocalCloud::start(options).await?;
        Ok(Desk { cloud })
    }

    /// Answers a form as EC2, or as STS when that has its action. Nothing is changed: every call is a dry run, which reads all
    /// parameters of its action and ends there. Returns the code of the answer.
    pub async fn query(&self, form: &[u8]) -> String {
        self.ask(form).await.err().unwrap_or_else(|| "done".to_owned())
    }

    async fn ask(&self, form: &[u8]) -> Result<(), String> {
        let cloud = self.cloud.shared();
        let mut parameters = Parameters::parse(form).map_err(|error| error.code)?;
        let action = parameters.text("Action").unwrap_or_default();
        let _ = (parameters.text("Version"), parameters.text("DryRun"));
        let of_sts = sts::act(&action, parameters.clone(), &credential("sts"), &AccessKeys::new());
        let answer = match of_sts {
            Err(error) if error.code == "InvalidAction" => {
                ec2::act(&action, Call::dry(cloud, "us-east-1".to_owned(), parameters)).await
            }
            other => other,
        };
        answer.map(drop).map_err(|error| error.code)
    }

    /// Answers the target on the first line with the JSON below it. Returns the code of the answer.
    pub fn services(&self, input: &[u8]) -> String {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (target, body) = input.split_at(end);
        let is_ssm = target.starts_with(b"AmazonSSM");
        let Ok(request) = Request::post("/").header("x-amz-target", target).body(()) else {
            return "no header".to_owned();
        };
        let accepted = Accepted {
            credential: credential(if is_ssm { "ssm" } else { "secretsmanager" }),
            parts: request.into_parts().0,
            body: Bytes::copy_from_slice(body),
        };
        let answer = json_api::answer(&self.cloud.shared(), &accepted);
        // What was created goes again, so that the thousandth input finds what the first one found.
        let _ = self.cloud.shared().change("us-east-1", |region| {
            region.secrets.clear();
            Ok(())
        });
        answer.map_or_else(|error| error.code, |_| "done".to_owned())
    }

    /// Ends it.
    pub async fn close(self) {
        self.cloud.shutdown().await;
    }
}

fn credential(service: &str) -> Credential {
    Credential {
        access_key: "AKID".to_owned(),
        date: "20261121".to_owned(),
        region: "us-east-1".to_owned(),
        service: service.to_owned(),
    }
}

/// Reads a head as it comes to a server: the query on the first line, headers on the others. Returns why it was refused.
pub fn signature(input: &[u8]) -> String {
    let mut lines = input.split(|byte| *byte == b'\n');
    let query = lines.next().unwrap_or_default();
    let uri = [b"/?", query].concat();
    let mut request = Request::get(uri.as_slice());
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        request = request.header(name, value.get(1..).unwrap_or_default());
    }
    let Ok(request) = request.body(()) else {
        return "no request".to_owned();
    };
    let _ = crate::server::is_for(&request, ([127, 0, 0, 1], 4599).into());
    let (parts, ()) = request.into_parts();
    let header = parts
        .headers
        .get("authorization")
        .and_then(|header| header.to_str().ok());
    if let Some(Ok(authorization)) = header.map(Authorization::read) {
        let signed = Signed {
            method: "GET",
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            date: "20261121T000000Z",
            payload: "",
        };
        assert!(!signed.is_by("secret", &authorization), "nobody knows the secret");
    }
    let claim = Claim::of(&parts, &AccessKeys::new(), Moment::now());
    claim.map_or_else(|refusal| format!("{refusal:?}"), |_| "claimed".to_owned())
}
