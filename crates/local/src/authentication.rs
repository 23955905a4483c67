//! Authentication of a request, in two parts: the head is checked before any of the body is read, so that
//! a client without a key cannot make this process keep one; the signature, which covers the body, comes last.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::access_keys::{AccessKeys, KeyError};
use crate::api_error::ApiError;
use crate::credential::{Authorization, Credential};
use crate::moment::Moment;
use crate::signature::Signed;

/// How far the clock of a client may be from ours, as at AWS.
const SKEW: Duration = Duration::from_mins(5);

const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
const PAYLOAD: &str = "x-amz-content-sha256";

/// Why a request is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No signature at all.
    Missing,
    /// Not a signature of the kind that is checked here.
    Malformed(&'static str),
    /// A key that this cloud has not given out.
    UnknownKey,
    /// A temporary key after its time.
    ExpiredKey,
    /// Signed at another time than now.
    Expired { signed: String, now: Moment },
    /// Not signed with the key's secret, or changed since.
    Mismatch,
}

/// A request whose head is in order.
#[derive(Debug)]
pub(crate) struct Claim {
    authorization: Authorization,
    secret: String,
    date: String,
}

impl Claim {
    /// Looks at everything that shows without the body.
    pub(crate) fn of(request: &Parts, keys: &AccessKeys, now: Moment) -> Result<Claim, Refusal> {
        let authorization = authorization(request)?;
        let headers = &request.headers;
        let date = one(headers, DATE).ok_or(Refusal::Malformed("there is not exactly one x-amz-date header"))?;
        check_names(headers, &authorization.signed_headers)?;
        let token = headers.get(TOKEN).map(HeaderValue::as_bytes);
        let secret = keys
            .secret(&authorization.credential.access_key, token, now)
            .map_err(|error| match error {
                KeyError::Unknown => Refusal::UnknownKey,
                KeyError::Expired => Refusal::ExpiredKey,
            })?;
        check_date(date, &authorization.credential, now)?;
        Ok(Claim {
            authorization,
            secret,
            date: date.to_owned(),
        })
    }

    /// Compares the signature with the one that the request should have.
    pub(crate) fn prove(self, request: &Parts, body: &[u8]) -> Result<Credential, Refusal> {
        let payload = hex::encode(Sha256::digest(body));
        if request.headers.contains_key(PAYLOAD) && one(&request.headers, PAYLOAD) != Some(&payload) {
            return Err(Refusal::Mismatch);
        }
        let signed = Signed {
            method: request.method.as_str(),
            query: request.uri.query().unwrap_or_default(),
            headers: &request.headers,
            date: &self.date,
            payload: &payload,
        };
        if signed.is_by(&self.secret, &self.authorization) {
            Ok(self.authorization.credential)
        } else {
            Err(Refusal::Mismatch)
        }
    }
}

/// The service that a request claims to be for, however it is signed; for the form of its answer.
pub(crate) fn claimed_service(request: &Parts) -> Option<String> {
    Some(authorization(request).ok()?.credential.service)
}

fn authorization(request: &Parts) -> Result<Authorization, Refusal> {
    if !request.headers.contains_key(AUTHORIZATION) {
        let query = request.uri.query().unwrap_or_default();
        let is_in_query = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "X-Amz-Signature");
        return Err(if is_in_query {
            Refusal::Malformed("signatures in the query are not supported by the local cloud, only those in the header")
        } else {
            Refusal::Missing
        });
    }
    let header = one(&request.headers, AUTHORIZATION.as_str())
        .ok_or(Refusal::Malformed("the Authorization header occurs more than once"))?;
    Authorization::read(header).map_err(Refusal::Malformed)
}

/// The value of a header that is there once.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The host and everything that determines the action has to be signed.
fn check_names(headers: &HeaderMap, signed: &[String]) -> Result<(), Refusal> {
    if !signed.is_sorted() || signed.iter().any(|name| !headers.contains_key(name)) {
        return Err(Refusal::Malformed(
            "SignedHeaders names headers that are missing or out of order",
        ));
    }
    let is_signed = |name: &str| signed.iter().any(|signed| signed == name);
    let must_be = |name: &str| name == "host" || name.starts_with("x-amz-");
    if !is_signed("host")
        || headers
            .keys()
            .any(|name| must_be(name.as_str()) && !is_signed(name.as_str()))
    {
        return Err(Refusal::Malformed("the headers `host` and `x-amz-*` have to be signed"));
    }
    Ok(())
}

fn check_date(date: &str, credential: &Credential, now: Moment) -> Result<(), Refusal> {
    let signed = Moment::parse_basic(date).ok_or(Refusal::Malformed("x-amz-date is not YYYYMMDDThhmmssZ"))?;
    if !date.starts_with(&credential.date) {
        return Err(Refusal::Malformed(
            "the date of the credential is not that of x-amz-date",
        ));
    }
    if signed.plus(SKEW) < now || now.plus(SKEW) < signed {
        let signed = date.to_owned();
        return Err(Refusal::Expired { signed, now });
    }
    Ok(())
}

/// Where keys come from: they are new with each start, so those of yesterday are the usual mistake.
const HELP: &str = "Use the keys that this local cloud printed at its start; each start has new ones.";

impl Refusal {
    fn message(&self) -> String {
        match self {
            Refusal::Missing => "Request is missing Authentication Token".into(),
            Refusal::Malformed(why) => format!("The request's signature cannot be checked: {why}."),
            Refusal::UnknownKey => format!("The security token included in the request is invalid. {HELP}"),
            Refusal::ExpiredKey => "The security token included in the request is expired".into(),
            Refusal::Expired { signed, now } => {
                format!("Signature expired: {signed} is not within 5 minutes of {now}. Set the clock.")
            }
            Refusal::Mismatch => format!(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
                 signing method. {HELP}"
            ),
        }
    }

    /// The error as EC2 answers it.
    pub(crate) fn of_ec2(&self) -> ApiError {
        let validate = "AWS was not able to validate the provided access credentials";
        match self {
            Refusal::Missing => ApiError::with_status(403, "MissingAuthenticationToken", self.message()),
            Refusal::ExpiredKey | Refusal::Expired { .. } => {
                ApiError::new("RequestExpired", format!("Request has expired. {}", self.message()))
            }
            _ => ApiError::with_status(401, "AuthFailure", format!("{validate}. {}", self.message())),
        }
    }

    /// The error as STS answers it.
    pub(crate) fn of_sts(&self) -> ApiError {
        let (status, code) = match self {
            Refusal::Missing => (403, "MissingAuthenticationToken"),
            Refusal::Malformed(_) => (400, "IncompleteSignature"),
            Refusal::UnknownKey => (403, "InvalidClientTokenId"),
            Refusal::ExpiredKey => (403, "ExpiredToken"),
            Refusal::Expired { .. } | Refusal::Mismatch => (403, "SignatureDoesNotMatch"),
        };
        ApiError::with_status(status, code, self.message())
    }

    /// The error as services that speak JSON answer it.
    pub(crate) fn of_json(&self) -> ApiError {
        let code = match self {
            Refusal::Missing => "MissingAuthenticationTokenException",
            Refusal::Malformed(_) => "IncompleteSignatureException",
            Refusal::UnknownKey => "UnrecognizedClientException",
            Refusal::ExpiredKey => "ExpiredTokenException",
            Refusal::Expired { .. } | Refusal::Mismatch => "InvalidSignatureException",
        };
        ApiError::new(code, self.message())
    }
}
