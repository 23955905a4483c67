//! References: `REGISTRY/REPOSITORY:TAG` or `REGISTRY/REPOSITORY@DIGEST`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// Where images are when no registry is named.
const USUAL_REGISTRY: &str = "docker.io";
/// The host that answers for it.
const USUAL_HOST: &str = "registry-1.docker.io";
/// The longest name of a repository.
const LONGEST_NAME: usize = 255;
/// The longest tag.
const LONGEST_TAG: usize = 128;

/// An image in a registry. As with Docker, `debian` is `docker.io/library/debian:latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry as it is written, with its port where it has one.
    pub registry: String,
    /// The repository's name, without the registry.
    pub repository: String,
    /// What names the image in its repository.
    pub version: Version,
}

/// What names an image in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// A name that may mean another image tomorrow.
    Tag(String),
    /// The digest of its manifest, or of the index of its manifests: always the same image. A tag before it says nothing more.
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not the name of an image: {why}")]
pub struct NotAReference {
    text: String,
    why: &'static str,
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Reference, NotAReference> {
        let wrong = |why| NotAReference {
            text: text.escape_debug().to_string(),
            why,
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is a registry's port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first.to_ascii_lowercase(), rest.to_owned()),
            _ => (USUAL_REGISTRY.to_owned(), name.to_owned()),
        };
        let registry = match registry.as_str() {
            "index.docker.io" | USUAL_HOST => USUAL_REGISTRY.to_owned(),
            _ => registry,
        };
        if url::Url::parse(&format!("https://{registry}/")).map_or(true, |url| !url.username().is_empty()) {
            return Err(wrong("its registry is not a host with an optional port"));
        }
        let repository = if registry == USUAL_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository
        };
        if repository.len() > LONGEST_NAME || !repository.split('/').all(is_part) {
            return Err(wrong(
                "a repository consists of lower-case letters, digits and `.`, `_`, `-`, in parts separated by `/`",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag consists of at most 128 letters, digits and `.`, `_`, `-`"));
        }
        let version = match digest {
            Some(digest) => Version::Digest(
                digest
                    .parse()
                    .map_err(|_| wrong("its digest is not `sha256:` and 64 hexadecimal digits"))?,
            ),
            None => Version::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Ok(Reference {
            registry,
            repository,
            version,
        })
    }
}

/// A first part is a registry when it looks like a host: with a dot or a port, or `localhost`.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn is_part(part: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(inner) && part.bytes().last().is_some_and(inner);
    ends && part.bytes().all(|byte| inner(byte) || b"._-".contains(&byte))
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl Reference {
    /// Host and port of the registry's API.
    pub fn host(&self) -> &str {
        if self.registry == USUAL_REGISTRY {
            USUAL_HOST
        } else {
            &self.registry
        }
    }

    /// Is the registry on this machine's loopback, where it is usually not encrypted?
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.registry)
    }

    /// The tag or the digest, as it stands in a URL.
    pub fn version(&self) -> String {
        match &self.version {
            Version::Tag(tag) => tag.clone(),
            Version::Digest(digest) => digest.to_string(),
        }
    }
}

/// Does this host, with or without a port, lie on this machine's loopback?
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Ok(url) = url::Url::parse(&format!("http://{authority}/")) else {
        return false;
    };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.version {
            Version::Tag(_) => ':',
            Version::Digest(_) => '@',
        };
        write!(
            formatter,
            "{}/{}{separator}{}",
            self.registry,
            self.repository,
            self.version()
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, expected) in [
            ("debian", "docker.io/library/debian:latest".to_owned()),
            ("debian:12", "docker.io/library/debian:12".to_owned()),
            ("someone/image", "docker.io/someone/image:latest".to_owned()),
            ("localhost/image:1", "localhost/image:1".to_owned()),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest".to_owned()),
            (
                "registry-1.docker.io/library/debian:12",
                "docker.io/library/debian:12".to_owned(),
            ),
            (&format!("quay.io/a/b:tag@{digest}"), format!("quay.io/a/b@{digest}")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), expected);
        }
        for text in [
            "",
            "/",
            "a//b",
            "UPPER",
            "a:b:c/d",
            "a@sha256:12",
            "..",
            "x/../y",
            "host.example/",
            "a:",
            "u:p@host/x",
            "a.b:x/y",
            "-a",
            "a\n",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_a_reference_stays_one(text in "[a-z0-9./:@_-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let shown = reference.to_string();
                prop_assert_eq!(shown.parse::<Reference>().unwrap(), reference);
                prop_assert!(!shown.contains("/../") && !shown.contains("//"));
            }
        }
    }
}
