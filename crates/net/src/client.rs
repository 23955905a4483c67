//! The HTTP client on top of the network.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::http::header::PROXY_AUTHORIZATION;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tower_service::Service;

use crate::error::DialError;
use crate::network::{Connection, Forwarding, Network};

/// An HTTP/1.1 client that keeps connections for later requests.
#[derive(Debug)]
pub struct HttpClient<B> {
    network: Arc<Network>,
    client: Client<Connector, B>,
}

/// Why a request got no answer. It shows the cause, which is a [`DialError`] where there was no connection.
#[derive(Debug)]
pub struct RequestError(legacy::Error);

/// What can be done about a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestErrorKind {
    /// Nothing: the request or the configuration is wrong, and so it is the next time.
    Final,
    /// There is no connection; the request was not sent.
    Unreached,
    /// The connection was lost, perhaps after the request was sent.
    Lost,
    /// The other side does not speak HTTP.
    Protocol,
}

impl<B> HttpClient<B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// A client of its own for this network.
    pub fn new(network: Network) -> Self {
        let network = Arc::new(network);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(Connector(Arc::clone(&network)));
        Self { network, client }
    }

    /// Sends a request with an absolute URL. Redirects are not followed.
    pub async fn request(&self, mut request: Request<B>) -> Result<Response<Incoming>, RequestError> {
        // A proxy that is not usable fails the connection.
        if let Ok(Some(Forwarding { login: Some(login) })) = self.network.forwarding(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login);
        }
        self.client.request(request).await.map_err(RequestError)
    }
}

impl RequestError {
    /// What can be done about it.
    pub fn kind(&self) -> RequestErrorKind {
        let hyper = self.0.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
        match (DialError::among(&self.0), hyper) {
            (Some(dial), _) if dial.is_final() => RequestErrorKind::Final,
            (Some(_), _) => RequestErrorKind::Unreached,
            (None, Some(error)) if error.is_user() => RequestErrorKind::Final,
            (None, Some(error)) if error.is_parse() => RequestErrorKind::Protocol,
            (None, Some(_)) => RequestErrorKind::Lost,
            (None, None) => RequestErrorKind::Final,
        }
    }

    fn shown(&self) -> &(dyn Error + 'static) {
        match DialError::among(&self.0) {
            Some(dial) => dial,
            None => self.0.source().unwrap_or(&self.0),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.shown(), formatter)
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.shown())
    }
}

/// The network as a connector of the library's client.
#[derive(Debug, Clone)]
struct Connector(Arc<Network>);

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let network = Arc::clone(&self.0);
        Box::pin(async move { network.http(&url).await.map(TokioIo::new) })
    }
}
