//! The instance metadata service: what an instance asks at 169.254.169.254 about itself, as its metadata options say.
//!
//! The socket listens in the instance's own network, so that nobody else can ask, and what answers is the cloud's process. The hop limit
//! of tokens is that of the packets that carry them, as on EC2: who is further away than that gets none.

mod documents;
mod tokens;

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::tokens::Tokens;
use crate::access_keys::TemporaryKey;
use crate::cloud::Cloud;
use crate::moment::Moment;
use crate::state::Iam;
use crate::state::instance::Instance;

/// Connections of an instance at a time; more wait.
const MOST_CONNECTIONS: usize = 64;
/// How long the head of a request may take, and a connection may idle.
const HEAD: Duration = Duration::from_secs(30);
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// How long credentials are good, and how long before their end there are new ones.
const CREDENTIALS: Duration = Duration::from_hours(6);
const RENEWAL: Duration = Duration::from_mins(15);
const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_LIFE: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The service of one instance, from a boot to the next.
struct Service {
    cloud: Arc<Cloud>,
    region: String,
    instance: String,
    tokens: Tokens,
    credentials: Mutex<Option<Issued>>,
}

/// The credentials of a role, and when they were issued.
#[derive(Clone)]
struct Issued {
    role: String,
    key: TemporaryKey,
    at: Moment,
}

/// Why there is no document for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused(StatusCode);

/// Answers an instance for as long as this is waited for; never returns.
pub(crate) async fn serve(listener: std::net::TcpListener, cloud: Arc<Cloud>, region: String, instance: String) {
    let service = Arc::new(Service {
        cloud,
        region,
        instance,
        tokens: Tokens::default(),
        credentials: Mutex::default(),
    });
    match listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener))
    {
        Ok(listener) => accept(&listener, &service).await,
        Err(error) => tracing::warn!(instance = service.instance, %error, "no metadata service"),
    }
    std::future::pending::<()>().await;
}

async fn accept(listener: &TcpListener, service: &Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve_connection(stream, Arc::clone(service)))),
                Err(error) => return tracing::warn!(instance = service.instance, %error, "metadata service ends"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, service: Arc<Service>) {
    // The same socket, for the hop limit of what it sends.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return;
    };
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let response = service.answer(&request.into_parts().0, &socket);
        async { Ok::<_, Infallible>(response) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "connection to a metadata service");
    }
}

impl Service {
    fn answer(&self, request: &Parts, socket: &OwnedFd) -> Response<Full<Bytes>> {
        let result = self.find_instance().and_then(|found| {
            let is_token = request.method == Method::PUT && request.uri.path() == TOKEN_PATH;
            if !is_token {
                return self.document(request, &found);
            }
            let hops = u32::from(found.instance.metadata_options.hop_limit);
            rustix::net::sockopt::set_ip_ttl(socket, hops).map_err(|_| Refused(StatusCode::INTERNAL_SERVER_ERROR))?;
            self.issue_token(request)
        });
        result.unwrap_or_else(|Refused(status)| {
            let reason = status.canonical_reason().unwrap_or_default();
            let code = status.as_u16();
            let page = format!("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html><head><title>{code} - {reason}</title></head><body><h1>{code} - {reason}</h1></body></html>\n");
            response(status, "text/html", page.into())
        })
    }

    fn issue_token(&self, request: &Parts) -> Result<Response<Full<Bytes>>, Refused> {
        // A request that a proxy passed on is not the instance's own.
        if request.headers.contains_key("x-forwarded-for") {
            return Err(Refused(StatusCode::FORBIDDEN));
        }
        let life = request
            .headers
            .get(TOKEN_LIFE)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let life = life.ok_or(Refused(StatusCode::BAD_REQUEST))?;
        let token = self.tokens.issue(life).ok_or(Refused(StatusCode::BAD_REQUEST))?;
        let mut response = response(StatusCode::OK, "text/plain", token.into());
        response.headers_mut().insert(TOKEN_LIFE, HeaderValue::from(life));
        // The connection keeps its hop limit to its end: a token that was lost is not repeated with another one.
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(response)
    }

    fn document(&self, request: &Parts, found: &Found) -> Result<Response<Full<Bytes>>, Refused> {
        match request.headers.get(TOKEN) {
            Some(token) if !self.tokens.is_good(token.as_bytes()) => return Err(Refused(StatusCode::UNAUTHORIZED)),
            None if found.instance.metadata_options.http_tokens == "required" => {
                return Err(Refused(StatusCode::UNAUTHORIZED));
            }
            _ => {}
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED));
        }
        let role = found.role.as_deref().and_then(|role| self.credentials_of(role));
        let documents = documents::of(&self.region, found, role.as_ref());
        let document = documents::find(&documents, request.uri.path());
        let (form, text) = document.ok_or(Refused(StatusCode::NOT_FOUND))?;
        Ok(response(StatusCode::OK, form, text.into()))
    }

    /// Looks at the instance as it is now.
    fn find_instance(&self) -> Result<Found, Refused> {
        let found = self.cloud.directory.read(|state| {
            let region = state.regions.get(&self.region)?;
            let instance = region.instance(&self.instance).ok()?.clone();
            let profile = instance.instance_profile.as_deref();
            let profile = profile.and_then(|arn| arn.rsplit('/').next());
            let (role, profile_id) = profile.map(|name| role_of(&state.iam, name)).unwrap_or_default();
            let group_name = |id: &String| Some(region.security_groups.get(id)?.name.clone());
            Some(Found {
                role,
                profile_id,
                groups: instance.security_groups.iter().filter_map(group_name).collect(),
                tags: region.tags_of(&instance.id).clone(),
                instance,
            })
        });
        match found {
            Ok(Some(found)) if found.instance.metadata_options.http_endpoint == "disabled" => {
                Err(Refused(StatusCode::FORBIDDEN))
            }
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Refused(StatusCode::NOT_FOUND)),
            Err(error) => {
                tracing::warn!(instance = self.instance, %error, "metadata service");
                Err(Refused(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// The credentials of a role: the same until shortly before they expire.
    fn credentials_of(&self, role: &str) -> Option<Issued> {
        let now = Moment::now();
        let mut issued = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if !issued
            .as_ref()
            .is_some_and(|issued| issued.role == role && now.plus(RENEWAL) < issued.key.expires)
        {
            *issued = Some(Issued {
                role: role.to_owned(),
                key: self.cloud.keys.issue(CREDENTIALS),
                at: now,
            });
        }
        issued.clone()
    }
}

/// An instance, and what its documents need besides.
#[derive(Debug, Clone)]
struct Found {
    instance: Instance,
    tags: crate::state::Tags,
    /// Names of its security groups.
    groups: Vec<String>,
    role: Option<String>,
    profile_id: String,
}

/// The role of an instance profile, and the profile's id. A profile of the account's own is taken to hold a role of the same name.
fn role_of(iam: &Iam, profile: &str) -> (Option<String>, String) {
    match iam.profiles.get(profile) {
        Some(known) => (known.role.clone(), known.id.clone()),
        None => (Some(profile.to_owned()), "AIPAGIVEN".to_owned()),
    }
}

fn response(status: StatusCode, form: &'static str, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(form));
    response
        .headers_mut()
        .insert("server", HeaderValue::from_static("EC2ws"));
    response
}

/// The host name that EC2 gives an instance with that address.
fn host_name(region: &str, address: Ipv4Addr) -> String {
    let [one, two, three, four] = address.octets();
    let domain = match region {
        "us-east-1" => "ec2.internal".to_owned(),
        other => format!("{other}.compute.internal"),
    };
    format!("ip-{one}-{two}-{three}-{four}.{domain}")
}
