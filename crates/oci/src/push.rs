//! Pushing: contents that the registry lacks, then the manifest, which makes them an image.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use tokio_util::io::ReaderStream;
use url::Url;

use crate::digest::Digest;
use crate::error::OciError;
use crate::layout::Image;
use crate::registry::{Ask, Body, Registry, filled, nothing};

/// How much of a file is read at a time.
const PIECE: usize = 128 * 1024;

impl Registry {
    /// Pushes an image under the reference that the registry was opened for; answers the digest of its manifest.
    pub async fn push(&self, image: &Image) -> Result<Digest, OciError> {
        self.push_blob(&image.layer.digest, image.layer.size, &Source::File(image.path.clone()))
            .await?;
        let config = Bytes::copy_from_slice(&image.config);
        self.push_blob(&Digest::of(&config), config.len() as u64, &Source::Memory(config))
            .await?;
        let manifest = Bytes::copy_from_slice(&image.manifest);
        let body = || filled(manifest.clone());
        let ask = Ask {
            method: Method::PUT,
            url: format!("manifests/{}", self.reference().version()),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(crate::manifest::MANIFEST))]),
            body: &body,
            what: "the manifest".to_owned(),
        };
        self.ask(&ask).await?;
        Ok(Digest::of(&manifest))
    }

    async fn push_blob(&self, digest: &Digest, size: u64, source: &Source) -> Result<(), OciError> {
        let request = |method, url: String, headers, what: &str| Ask {
            method,
            url,
            headers,
            body: &nothing,
            what: format!("{what} {digest}"),
        };
        let known = self
            .ask_raw(&request(
                Method::HEAD,
                format!("blobs/{digest}"),
                HeaderMap::new(),
                "the search for",
            ))
            .await?;
        if known.status() == StatusCode::OK {
            return Ok(());
        }
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("0"))]);
        let what = format!("the upload of {digest}");
        let begun = self
            .ask(&request(
                Method::POST,
                "blobs/uploads/".to_owned(),
                headers,
                "the upload of",
            ))
            .await?;
        let place = begun.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let place = place.ok_or_else(|| self.malformed(&what, "no place to upload to"))?;
        let mut url = self
            .upload_url(place)
            .ok_or_else(|| self.malformed(&what, "a place to upload to that is no URL of its own"))?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let body = || source.body();
        let ask = Ask {
            method: Method::PUT,
            url: url.into(),
            headers: HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
                (CONTENT_LENGTH, HeaderValue::from(size)),
            ]),
            body: &body,
            what,
        };
        self.ask(&ask).await.map(drop)
    }
}

/// Where the bytes of a content come from.
enum Source {
    File(PathBuf),
    Memory(Bytes),
}

impl Source {
    fn body(&self) -> Body {
        match self {
            Source::Memory(bytes) => filled(bytes.clone()),
            Source::File(path) => file(path),
        }
    }
}

/// A body that reads the file while it is sent.
fn file(path: &Path) -> Body {
    let path = path.to_owned();
    let opened = async move {
        let file = tokio::fs::File::open(path).await?;
        Ok::<_, std::io::Error>(ReaderStream::with_capacity(file, PIECE).map_ok(Frame::data))
    };
    StreamBody::new(Box::pin(futures::stream::once(opened).try_flatten())).boxed_unsync()
}

impl Registry {
    fn upload_url(&self, place: &str) -> Option<Url> {
        let base = self.url_of_repository()?;
        let url = base.join(place).ok()?;
        let origin = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        (url.scheme() == "https" || origin(&url) == origin(&base)).then_some(url)
    }
}
