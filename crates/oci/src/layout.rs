//! An image as files: a layer of one tar archive, its configuration and manifest, and the layout in which tools exchange them, as a
//! directory or as a tar archive of one.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::digest::{Digest, Digesting};
use crate::error::OciError;
use crate::manifest::{ARCHITECTURE, CONFIG, Descriptor, INDEX, LAYER_GZIP, MANIFEST};

/// The content of the file that marks a layout.
const MARK: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An image of one layer.
#[derive(Debug)]
pub struct Image {
    /// The compressed layer.
    pub path: PathBuf,
    /// Its name.
    pub layer: Descriptor,
    /// The configuration.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
}

/// What an image is called and where it comes from.
#[derive(Clone, Debug)]
pub struct About {
    /// When it was made, ISO 8601.
    pub created: String,
    /// A line about how.
    pub made_by: String,
    /// A name that tools show: a tag.
    pub name: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
}

impl Image {
    /// Makes an image of a tar archive of its root; the compressed layer is written to `path`. The same archive gives the same image.
    pub fn of_tar(tar: &Path, path: &Path, about: &About) -> Result<Image, OciError> {
        let (layer, diff_id) = compress(tar, path)?;
        let labels: serde_json::Map<_, _> = about
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let config = json!({
            "created": about.created,
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": { "Cmd": ["/bin/sh"], "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created": about.created, "created_by": about.made_by }],
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [layer],
        });
        Ok(Image {
            path: path.to_owned(),
            layer,
            config,
            manifest: manifest.to_string().into_bytes(),
        })
    }

    /// Writes the layout as a directory, which must not exist.
    pub fn write_directory(&self, to: &Path, about: &About) -> Result<(), OciError> {
        std::fs::create_dir(to).map_err(OciError::file("create", to))?;
        let blobs = to.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(OciError::file("create", &blobs))?;
        for (name, content) in self.small_files(about) {
            let path = to.join(name);
            std::fs::write(&path, content).map_err(OciError::file("write", &path))?;
        }
        let layer = blobs.join(self.layer.digest.hex());
        std::fs::copy(&self.path, &layer)
            .map(drop)
            .map_err(OciError::file("write", &layer))
    }

    /// Writes the layout as a tar archive.
    pub fn write_archive(&self, to: impl Write, shown: &Path, about: &About) -> Result<(), OciError> {
        let written = || -> io::Result<()> {
            let mut archive = tar::Builder::new(BufWriter::new(to));
            for directory in ["blobs/", "blobs/sha256/"] {
                append(&mut archive, directory, tar::EntryType::Directory, 0, io::empty())?;
            }
            for (name, content) in self.small_files(about) {
                append(
                    &mut archive,
                    &name,
                    tar::EntryType::Regular,
                    content.len() as u64,
                    content.as_slice(),
                )?;
            }
            let layer = BufReader::new(File::open(&self.path)?);
            append(
                &mut archive,
                &blob(&self.layer.digest),
                tar::EntryType::Regular,
                self.layer.size,
                layer,
            )?;
            archive.into_inner()?.flush()
        };
        written().map_err(OciError::file("write", shown))
    }

    /// Everything but the layer.
    fn small_files(&self, about: &About) -> Vec<(String, Vec<u8>)> {
        let mut manifest = descriptor(MANIFEST, &self.manifest);
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": about.name });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
        vec![
            ("oci-layout".to_owned(), MARK.into()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
            (blob(&Digest::of(&self.manifest)), self.manifest.clone()),
            (blob(&Digest::of(&self.config)), self.config.clone()),
        ]
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content), "size": content.len() })
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    kind: tar::EntryType,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == tar::EntryType::Directory {
        0o755
    } else {
        0o644
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, name, content)
}

/// Compresses a tar archive; answers the descriptor of the result and the digest of the archive.
fn compress(tar: &Path, to: &Path) -> Result<(Descriptor, Digest), OciError> {
    let mut from = File::open(tar).map_err(OciError::file("read", tar))?;
    let mut written = || -> io::Result<(Counted<File>, Digest)> {
        let mut encoder = GzEncoder::new(Counted::new(File::create(to)?), Compression::fast());
        let mut plain = Digesting::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match from.read(&mut buffer)? {
                0 => break,
                count => {
                    plain.update(&buffer[..count]);
                    encoder.write_all(&buffer[..count])?;
                }
            }
        }
        Ok((encoder.finish()?, plain.finish()))
    };
    let (counted, diff_id) = written().map_err(OciError::file("write", to))?;
    let layer = Descriptor {
        media_type: LAYER_GZIP.to_owned(),
        digest: counted.digesting.finish(),
        size: counted.length,
        platform: None,
        annotations: serde_json::Map::new(),
    };
    Ok((layer, diff_id))
}

/// Digests and counts what it passes on.
struct Counted<W> {
    inner: W,
    digesting: Digesting,
    length: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Counted {
            inner,
            digesting: Digesting::default(),
            length: 0,
        }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digesting.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
