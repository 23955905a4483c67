//! A registry of container images on loopback, as far as pulling and pushing need one, with the faults that tests ask for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What the token server gives out.
const TOKEN: &str = "a-token-of-the-test";

/// How a registry lets somebody in.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// Everybody may pass.
    Open,
    /// By user and password with each request.
    Basic(&'static str, &'static str),
    /// By a token, which the token server gives to this user and password.
    Token(&'static str, &'static str),
}

/// A running registry. It ends with this.
pub struct Registry {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    _end: oneshot::Sender<()>,
}

struct Shelf {
    door: Door,
    blobs: BTreeMap<String, Bytes>,
    /// By repository and tag or digest.
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    /// Answers with blobs end after this many bytes.
    cut_after: Option<usize>,
    requests: Vec<String>,
    address: String,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// The digest of a content.
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

impl Registry {
    /// Starts one, which is empty and open.
    pub fn start() -> Registry {
        let (started, address) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let shelf = Arc::new(Mutex::new(Shelf {
            door: Door::Open,
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            cut_after: None,
            requests: Vec::new(),
            address: String::new(),
        }));
        let served = Arc::clone(&shelf);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, served) => {}
                    _ = ended => {}
                }
            });
        });
        let address: SocketAddr = address.recv().unwrap();
        let registry = Registry {
            address,
            shelf,
            _end: end,
        };
        registry.shelf().address = address.to_string();
        registry
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Asks for credentials from now on.
    pub fn close(&self, door: Door) {
        self.shelf().door = door;
    }

    /// Cuts the connection after this many bytes of each blob that is asked for.
    pub fn cut_after(&self, bytes: Option<usize>) {
        self.shelf().cut_after = bytes;
    }

    /// What was asked since the last time: method, path, range.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shelf().requests)
    }

    /// A content that was pushed.
    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.shelf().blobs.get(digest).map(|blob| blob.to_vec())
    }

    /// A manifest that is there.
    pub fn manifest(&self, repository: &str, version: &str) -> Option<serde_json::Value> {
        let found = self
            .shelf()
            .manifests
            .get(&(repository.to_owned(), version.to_owned()))
            .cloned()?;
        serde_json::from_slice(&found.1).ok()
    }

    /// Puts other bytes under the digest of a content.
    pub fn spoil(&self, digest: &str) {
        let mut shelf = self.shelf();
        let blob = shelf.blobs.get_mut(digest).unwrap();
        let mut bytes = blob.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        *blob = bytes.into();
    }

    /// Adds an image of these layers (tar archives, compressed or not) for one architecture behind an index; answers the index's digest
    /// and the layers'.
    pub fn put(&self, repository: &str, tag: &str, architecture: &str, layers: &[Vec<u8>]) -> (String, Vec<String>) {
        let mut shelf = self.shelf();
        let mut descriptors = Vec::new();
        for layer in layers {
            let media_type = match layer.as_slice() {
                [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
                [0x28, 0xb5, ..] => "application/vnd.oci.image.layer.v1.tar+zstd",
                _ => "application/vnd.oci.image.layer.v1.tar",
            };
            descriptors.push(shelf.keep(media_type, layer.clone()));
        }
        let config = json!({ "architecture": architecture, "os": "linux" })
            .to_string()
            .into_bytes();
        let config = shelf.keep("application/vnd.oci.image.config.v1+json", config);
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors });
        let manifest = shelf.keep_manifest(repository, None, MANIFEST, &manifest);
        let described = json!({
            "mediaType": MANIFEST, "digest": manifest.0, "size": manifest.1,
            "platform": { "architecture": architecture, "os": "linux" },
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [described] });
        let (index, _) = shelf.keep_manifest(repository, Some(tag), INDEX, &index);
        (index, layers.iter().map(|layer| digest(layer)).collect())
    }
}

impl Shelf {
    fn keep(&mut self, media_type: &str, content: Vec<u8>) -> serde_json::Value {
        let (digest, size) = (digest(&content), content.len());
        self.blobs.insert(digest.clone(), content.into());
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    fn keep_manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        kind: &str,
        content: &serde_json::Value,
    ) -> (String, usize) {
        let content = Bytes::from(content.to_string());
        let digest = digest(&content);
        for version in [Some(digest.as_str()), tag].into_iter().flatten() {
            self.manifests.insert(
                (repository.to_owned(), version.to_owned()),
                (kind.to_owned(), content.clone()),
            );
        }
        (digest, content.len())
    }

    /// The answer to somebody who may not pass.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (wanted, challenge) = match self.door {
            Door::Open => return None,
            Door::Basic(user, password) => (basic(user, password), "Basic realm=\"test\"".to_owned()),
            Door::Token(..) => (
                format!("Bearer {TOKEN}"),
                format!(
                    "Bearer realm=\"http://{}/token\",service=\"test\",scope=\"repository:x:pull\"",
                    self.address
                ),
            ),
        };
        (shown != wanted).then(|| {
            let refused = Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, challenge);
            refused.body(full("secret words of the registry")).unwrap()
        })
    }

    fn token(&self, headers: &HeaderMap) -> Response<Body> {
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match self.door {
            Door::Token(user, password) if shown == basic(user, password) => {
                Response::new(full(json!({ "token": TOKEN }).to_string()))
            }
            _ => status(StatusCode::UNAUTHORIZED),
        }
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: Bytes) -> Response<Body> {
        let path = path.trim_start_matches("/v2/");
        if let Some((repository, version)) = path.split_once("/manifests/") {
            let key = (repository.to_owned(), version.to_owned());
            if method == Method::PUT {
                let kind = headers
                    .get(CONTENT_TYPE)
                    .map_or(MANIFEST, |kind| kind.to_str().unwrap())
                    .to_owned();
                self.manifests
                    .insert((key.0.clone(), digest(&body)), (kind.clone(), body.clone()));
                self.manifests.insert(key, (kind, body));
                return status(StatusCode::CREATED);
            }
            return match self.manifests.get(&key) {
                Some((kind, content)) => Response::builder()
                    .header(CONTENT_TYPE, kind)
                    .body(full(content.clone()))
                    .unwrap(),
                None => status(StatusCode::NOT_FOUND),
            };
        }
        let Some((_, name)) = path.split_once("/blobs/") else {
            return status(StatusCode::OK);
        };
        if let Some(upload) = name.strip_prefix("uploads/") {
            if upload.is_empty() {
                let place = format!("/v2/{path}one?state=1");
                let begun = Response::builder().status(StatusCode::ACCEPTED).header(LOCATION, place);
                return begun.body(full("")).unwrap();
            }
            let named = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("digest="))
                .unwrap_or_default();
            let named = named.replace("%3A", ":");
            if named != digest(&body) {
                return status(StatusCode::BAD_REQUEST);
            }
            self.blobs.insert(named, body);
            return status(StatusCode::CREATED);
        }
        let Some(blob) = self.blobs.get(name) else {
            return status(StatusCode::NOT_FOUND);
        };
        let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
        let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let rest = blob.slice(start.unwrap_or(0)..);
        let mut answer = Response::builder();
        if let Some(start) = start {
            let range = format!("bytes {start}-{}/{}", blob.len() - 1, blob.len());
            answer = answer.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, range);
        }
        match self.cut_after {
            Some(most) if most < rest.len() => {
                let first = rest.slice(..most);
                let cut = async {
                    // What came before is on its way by then.
                    tokio::task::yield_now().await;
                    Err(std::io::ErrorKind::ConnectionReset.into())
                };
                let pieces = stream::iter([Ok(Frame::data(first))]).chain(stream::once(cut));
                let body = StreamBody::new(pieces).boxed_unsync();
                answer.header("content-length", rest.len()).body(body).unwrap()
            }
            _ => answer.body(full(rest)).unwrap(),
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = status;
    answer
}

async fn serve(listener: TcpListener, shelf: Arc<Mutex<Shelf>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shelf = Arc::clone(&shelf);
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| respond(Arc::clone(&shelf), request));
            // A client that goes away ends its connection.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(shelf: Arc<Mutex<Shelf>>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let mut shelf = shelf.lock().unwrap();
    let path = parts.uri.path().to_owned();
    let range = parts
        .headers
        .get(RANGE)
        .map_or(String::new(), |range| format!(" {}", range.to_str().unwrap()));
    shelf.requests.push(format!("{} {path}{range}", parts.method));
    if path == "/token" {
        return Ok(shelf.token(&parts.headers));
    }
    if let Some(refusal) = shelf.refusal(&parts.headers) {
        return Ok(refusal);
    }
    Ok(shelf.answer(
        &parts.method,
        &path,
        parts.uri.query().unwrap_or_default(),
        &parts.headers,
        body,
    ))
}
