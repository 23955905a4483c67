//! Services that speak the Query protocol: from the request to the service's table of actions, and the form of answers and errors.

use std::sync::Arc;
use std::time::Instant;

use hyper::Method;

use crate::api_error::ApiError;
use crate::call::{Accepted, Call};
use crate::cloud::Cloud;
use crate::ec2;
use crate::iam;
use crate::query::Parameters;
use crate::refusals;
use crate::sts;
use crate::xml::Element;

/// A service behind the endpoint that speaks the Query protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Sts,
    Iam,
}

impl Service {
    pub(crate) fn named(name: &str) -> Result<Service, ApiError> {
        match name {
            "ec2" => Ok(Service::Ec2),
            "sts" => Ok(Service::Sts),
            "iam" => Ok(Service::Iam),
            other => Err(ApiError::new(
                "InvalidAction",
                format!("The local cloud does not support the service `{other}`"),
            )),
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Service::Ec2 => ec2::NAMESPACE,
            Service::Sts => sts::NAMESPACE,
            Service::Iam => iam::NAMESPACE,
        }
    }

    fn version(self) -> &'static str {
        match self {
            Service::Ec2 => ec2::VERSION,
            Service::Sts => sts::VERSION,
            Service::Iam => iam::VERSION,
        }
    }

    /// Returns an answer's document; the two services put the request id in different places.
    fn describe_answer(self, action: &str, answer: Element, id: &str) -> String {
        let name = format!("{action}Response");
        match self {
            Service::Ec2 => Element::body()
                .text("requestId", id)
                .with(answer)
                .document(&name, ec2::NAMESPACE),
            Service::Sts | Service::Iam => answer
                .child(Element::new("ResponseMetadata").text("RequestId", id))
                .document(&name, self.namespace()),
        }
    }

    pub(crate) fn describe_error(self, error: &ApiError, id: &str) -> String {
        let fault = if error.status < 500 { "Sender" } else { "Receiver" };
        match self {
            Service::Ec2 => {
                let error = Element::new("Error")
                    .text("Code", &error.code)
                    .text("Message", &error.message);
                let errors = Element::body()
                    .child(Element::new("Errors").child(error))
                    .text("RequestID", id);
                errors.document("Response", ec2::NAMESPACE)
            }
            Service::Sts | Service::Iam => {
                let error = Element::new("Error")
                    .text("Type", fault)
                    .text("Code", &error.code)
                    .text("Message", &error.message);
                Element::body()
                    .child(error)
                    .text("RequestId", id)
                    .document("ErrorResponse", self.namespace())
            }
        }
    }
}

/// Answers a call, whose parameters are in the body of a POST and in the query of a GET.
pub(crate) async fn answer(cloud: Arc<Cloud>, request: Accepted, id: &str) -> Result<String, ApiError> {
    let credential = request.credential;
    let service = Service::named(&credential.service)?;
    let mut parameters = if request.parts.method == Method::GET {
        Parameters::parse(request.parts.uri.query().unwrap_or_default().as_bytes())?
    } else {
        Parameters::parse(&request.body)?
    };
    // A call waits, and all that is needed of its body is read.
    drop(request.body);
    let action = parameters
        .text("Action")
        .ok_or_else(|| ApiError::new("MissingAction", "The request has no action"))?;
    let version = parameters
        .text("Version")
        .ok_or_else(|| ApiError::missing_parameter("Version"))?;
    if version != service.version() {
        let message = format!("The API version {version} is not supported; use {}", service.version());
        return Err(ApiError::new("NoSuchVersion", message));
    }
    tracing::debug!(request = id, region = credential.region, action, "call");
    if let Some(denied) = cloud.refusals.denied(&credential.service, &action, &parameters) {
        return Err(match service {
            Service::Ec2 => refusals::unauthorized(&credential.access_key, &denied),
            Service::Sts | Service::Iam => {
                refusals::access_denied(403, "AccessDenied", &credential.access_key, &denied)
            }
        });
    }
    if matches!(service, Service::Ec2) {
        cloud.throttle.admit(Instant::now())?;
    }
    cloud.fresh.check(&action, &parameters, &credential.region)?;
    let answer = match service {
        Service::Ec2 => {
            check_region(&cloud, &credential.region)?;
            let call = Call::new(Arc::clone(&cloud), credential.region, parameters)?;
            let mut answer = ec2::act(&action, call).await?;
            cloud.fresh.veil(&action, &mut answer);
            answer
        }
        Service::Sts => sts::act(&action, parameters, &credential, &cloud.keys)?,
        Service::Iam => iam::act(&action, Call::new(cloud, credential.region, parameters)?)?,
    };
    Ok(service.describe_answer(&action, answer, id))
}

fn check_region(cloud: &Cloud, region: &str) -> Result<(), ApiError> {
    if ec2::regions::exists(region) || region == cloud.region {
        return Ok(());
    }
    Err(ApiError::with_status(
        401,
        "AuthFailure",
        format!("Credential should be scoped to a valid region, not '{region}'"),
    ))
}
