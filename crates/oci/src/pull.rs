//! Pulling: the manifest for this machine, and the contents that it names, as files.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use hyper::header::{ACCEPT, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use hyper::{Method, StatusCode};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::digest::{Digest, Digesting};
use crate::error::OciError;
use crate::manifest::{ACCEPTED, ARCHITECTURE, Answered, Descriptor, Manifest};
use crate::reference::{Reference, Version};
use crate::registry::{Ask, Registry, SILENCE, nothing};

/// How many layers are downloaded at a time.
const AT_ONCE: usize = 3;
/// How often a download may be cut without bringing anything.
const MOST_CUTS: u32 = 4;
/// The largest layer.
const LARGEST_LAYER: u64 = 32 << 30;
/// The most layers of one image.
const MOST_LAYERS: usize = 500;

/// What a reference names: the manifest for this machine's architecture.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The image that was asked for.
    pub reference: Reference,
    /// The digest of its manifest for this machine: the same digest is the same image.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
}

/// How far a pull is, in bytes of compressed layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is there.
    pub done: u64,
    /// All.
    pub total: u64,
}

impl Registry {
    /// Asks what the reference names. One request where the image is for one platform, two where it is for several.
    pub async fn resolve(&self) -> Result<Resolved, OciError> {
        let reference = self.reference();
        let unresolved = |source| match source {
            OciError::Status {
                status: StatusCode::NOT_FOUND,
                ..
            } => OciError::Unknown(Box::new(reference.clone())),
            other => other,
        };
        let expected = match &reference.version {
            Version::Digest(digest) => Some(digest),
            Version::Tag(_) => None,
        };
        let (digest, answered) = self
            .manifest(&reference.version(), expected)
            .await
            .map_err(unresolved)?;
        let index = match answered {
            Answered::Manifest(manifest) => return self.resolved(digest, manifest),
            Answered::Index(index) => index,
        };
        let wanted = index.for_architecture(ARCHITECTURE).ok_or_else(|| OciError::Platform {
            reference: Box::new(reference.clone()),
            wanted: ARCHITECTURE,
            found: index.platforms(),
        })?;
        match self
            .manifest(&wanted.digest.to_string(), Some(&wanted.digest))
            .await
            .map_err(unresolved)?
        {
            (digest, Answered::Manifest(manifest)) => self.resolved(digest, manifest),
            (_, Answered::Index(_)) => Err(self.malformed("the manifest", "an index within an index")),
        }
    }

    fn resolved(&self, digest: Digest, manifest: Manifest) -> Result<Resolved, OciError> {
        let reference = self.reference().clone();
        let no_root = |what| OciError::NotARoot {
            reference: Box::new(reference.clone()),
            what,
        };
        if manifest.layers.is_empty() {
            return Err(no_root("no layers"));
        }
        if manifest.layers.len() > MOST_LAYERS || manifest.layers.iter().any(|layer| layer.size > LARGEST_LAYER) {
            return Err(no_root("more than 500 layers, or one of more than 32 GiB"));
        }
        if !manifest.layers.iter().all(Descriptor::is_layer) {
            return Err(no_root("other things than layers of a file system"));
        }
        Ok(Resolved {
            reference,
            digest,
            manifest,
        })
    }

    async fn manifest(&self, version: &str, expected: Option<&Digest>) -> Result<(Digest, Answered), OciError> {
        let what = "the manifest";
        let ask = Ask {
            method: Method::GET,
            url: format!("manifests/{version}"),
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(ACCEPTED))]),
            body: &nothing,
            what: what.to_owned(),
        };
        let answer = self.ask(&ask).await?;
        let content = self.whole(answer, what).await?;
        let found = Digest::of(&content);
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(self.damaged(what, found, expected));
        }
        let answered =
            Answered::read(&content).ok_or_else(|| self.malformed(what, "what is neither a manifest nor an index"))?;
        Ok((found, answered))
    }

    fn damaged(&self, what: &'static str, found: Digest, expected: &Digest) -> OciError {
        OciError::Digest {
            what,
            reference: Box::new(self.reference().clone()),
            found,
            expected: expected.clone(),
        }
    }

    /// Downloads the layers into a directory, as files named by their digests, and returns their paths, the lowest layer first. What is
    /// there in part, also from another run, is completed; what is whole is not asked for again. Nobody else may be at it.
    pub async fn layers(
        &self,
        resolved: &Resolved,
        directory: &Path,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<PathBuf>, OciError> {
        let layers = &resolved.manifest.layers;
        let mut wanted: Vec<&Descriptor> = Vec::new();
        for layer in layers {
            if !wanted.iter().any(|known| known.digest == layer.digest) {
                wanted.push(layer);
            }
        }
        let total = wanted.iter().map(|layer| layer.size).sum();
        let done = AtomicU64::new(0);
        let report = |more: u64| {
            let done = done.fetch_add(more, Ordering::Relaxed) + more;
            progress(Progress { done, total });
        };
        let report: &(dyn Fn(u64) + Sync) = &report;
        report(0);
        let mut downloads = Vec::with_capacity(wanted.len());
        for layer in wanted {
            downloads.push(self.blob(layer, directory, report));
        }
        stream::iter(downloads)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(layers.iter().map(|layer| directory.join(layer.digest.hex())).collect())
    }

    /// Downloads one content, from where it was cut.
    async fn blob(&self, wanted: &Descriptor, directory: &Path, report: &(dyn Fn(u64) + Sync)) -> Result<(), OciError> {
        let (whole, part) = (
            directory.join(wanted.digest.hex()),
            directory.join(format!("{}.part", wanted.digest.hex())),
        );
        if tokio::fs::metadata(&whole)
            .await
            .is_ok_and(|found| found.len() == wanted.size)
        {
            report(wanted.size);
            return Ok(());
        }
        let mut download = Download::resume(&part, wanted.size).await?;
        report(download.length);
        let mut cuts = 0;
        while download.length < wanted.size {
            let before = download.length;
            match self.receive(wanted, &mut download, report).await {
                Ok(()) | Err(OciError::Unreachable { .. } | OciError::Silent { .. }) if download.length > before => {
                    cuts = 0;
                }
                Err(error @ OciError::Unreachable { .. }) if cuts == MOST_CUTS => return Err(error),
                Ok(()) | Err(OciError::Unreachable { .. }) => cuts += 1,
                Err(error) => return Err(error),
            }
            if cuts > MOST_CUTS {
                return Err(OciError::Cut {
                    registry: self.reference().registry.clone(),
                    digest: wanted.digest.clone(),
                    times: cuts,
                });
            }
        }
        let found = download.finish().await?;
        if found != wanted.digest {
            tokio::fs::remove_file(&part)
                .await
                .map_err(OciError::file("remove", &part))?;
            return Err(self.damaged("a layer", found, &wanted.digest));
        }
        tokio::fs::rename(&part, &whole)
            .await
            .map_err(OciError::file("rename", &part))
    }

    /// Receives as much as comes; the end of the answer, a cut included, is no error when something has come.
    async fn receive(
        &self,
        wanted: &Descriptor,
        download: &mut Download,
        report: &(dyn Fn(u64) + Sync),
    ) -> Result<(), OciError> {
        let mut headers = HeaderMap::new();
        if let (true, Ok(range)) = (
            download.length > 0,
            HeaderValue::from_str(&format!("bytes={}-", download.length)),
        ) {
            headers.insert(RANGE, range);
        }
        let what = format!("layer {}", wanted.digest);
        let ask = Ask {
            method: Method::GET,
            url: format!("blobs/{}", wanted.digest),
            headers,
            body: &nothing,
            what: what.clone(),
        };
        let answer = self.ask(&ask).await?;
        let continues = answer.status() == StatusCode::PARTIAL_CONTENT;
        if continues {
            let start = format!("bytes {}-", download.length);
            let range = answer
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|range| range.to_str().ok());
            if !range.is_some_and(|range| range.starts_with(&start)) {
                return Err(self.malformed(what, "another part than was asked for"));
            }
        } else if download.length > 0 {
            download.restart().await?; // it knows no ranges; what is reported stays a little ahead then
        }
        let mut body = answer.into_body();
        loop {
            let frame = timeout(SILENCE, body.frame()).await.map_err(|_| OciError::Silent {
                registry: self.reference().registry.clone(),
                seconds: SILENCE.as_secs(),
            })?;
            // A cut is seen by what is missing.
            let Some(Ok(frame)) = frame else { return Ok(()) };
            let Ok(bytes) = frame.into_data() else { continue };
            if download.length + bytes.len() as u64 > wanted.size {
                return Err(self.malformed(what, "more than its size"));
            }
            download.take(&bytes).await?;
            report(bytes.len() as u64);
        }
    }
}

/// A file that grows, and the digest of what is in it.
struct Download {
    path: PathBuf,
    file: File,
    length: u64,
    digesting: Digesting,
}

impl Download {
    /// Takes up what an earlier attempt has left, of at most `size` bytes.
    async fn resume(path: &Path, size: u64) -> Result<Download, OciError> {
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(path)
            .await;
        let file = opened.map_err(OciError::file("write", path))?;
        let copy = file
            .try_clone()
            .await
            .map_err(OciError::file("read", path))?
            .into_std()
            .await;
        let read = tokio::task::spawn_blocking(move || digest_of(copy)).await;
        let (length, digesting) = read
            .map_err(std::io::Error::other)
            .and_then(|read| read)
            .map_err(OciError::file("read", path))?;
        let mut download = Download {
            path: path.to_owned(),
            file,
            length,
            digesting,
        };
        if length > size {
            download.restart().await?;
        }
        Ok(download)
    }

    async fn restart(&mut self) -> Result<(), OciError> {
        self.file
            .set_len(0)
            .await
            .map_err(OciError::file("write", &self.path))?;
        (self.length, self.digesting) = (0, Digesting::default());
        Ok(())
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), OciError> {
        self.file
            .write_all(bytes)
            .await
            .map_err(OciError::file("write", &self.path))?;
        self.digesting.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    async fn finish(&mut self) -> Result<Digest, OciError> {
        self.file.flush().await.map_err(OciError::file("write", &self.path))?;
        Ok(std::mem::take(&mut self.digesting).finish())
    }
}

fn digest_of(mut file: std::fs::File) -> std::io::Result<(u64, Digesting)> {
    let (mut length, mut digesting) = (0, Digesting::default());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((length, digesting)),
            count => {
                digesting.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}
