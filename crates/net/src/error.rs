//! Why another machine is not reached: always with its name, its port and the proxy on the way.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::handshake::Refusal;
use crate::proxies::UnusableProxy;
use crate::trust::TrustError;

/// A connection that was not made.
#[derive(Debug, thiserror::Error)]
#[error("connection to {}:{port}{} failed", bracketed(.host), through(.proxy.as_ref()))]
pub struct DialError {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The proxy on the way, if there is one.
    pub proxy: Option<Via>,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

/// A proxy, as its user knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `HOST:PORT`
    pub address: String,
    /// What names it: a variable of the environment, or an option of a template.
    pub named_by: String,
    /// Where its credentials are given.
    pub credentials: &'static str,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The URL has no host that could be reached, or is of another scheme.
    #[error("`{0}` is not a URL that can be reached")]
    Url(String),
    /// The name has no address.
    #[error("failed to look up the address of `{name}`")]
    Lookup {
        /// The name.
        name: String,
        /// The resolver's error.
        #[source]
        cause: io::Error,
    },
    /// No address answers.
    #[error(transparent)]
    Connect(io::Error),
    /// The proxy itself is not reached.
    #[error(transparent)]
    Unreached(Box<DialError>),
    /// The proxy is reached and leads nowhere.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A variable of the environment does not name a proxy.
    #[error(transparent)]
    Proxy(#[from] UnusableProxy),
    /// The trusted certificates cannot be loaded.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The other side is not a TLS server, or its certificate is not trusted.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

/// A host as it is written before a port: a version 6 address in brackets.
pub(crate) fn bracketed(host: &str) -> String {
    let bare = host.trim_matches(['[', ']']);
    if bare.contains(':') {
        format!("[{bare}]")
    } else {
        bare.to_owned()
    }
}

fn through(proxy: Option<&Via>) -> String {
    proxy.map_or_else(String::new, |via| {
        format!(" through proxy {} ({})", via.address, via.named_by)
    })
}

impl DialError {
    /// The same failure would come each time: it is the configuration that is wrong, here.
    pub fn is_final(&self) -> bool {
        match &self.cause {
            Cause::Url(_) | Cause::Proxy(_) | Cause::Trust(_) => true,
            Cause::Unreached(error) => error.is_final(),
            _ => false,
        }
    }

    /// Is it that the other side's certificate is not trusted?
    pub fn is_about_certificate(&self) -> bool {
        let Cause::Tls(cause) = &self.cause else { return false };
        let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
    }

    /// What to check.
    pub fn help(&self) -> String {
        let Self { host, port, .. } = self;
        match (&self.cause, &self.proxy) {
            (Cause::Url(_), _) => "the URL needs a scheme and the name of a host".to_owned(),
            (Cause::Proxy(_), _) => {
                "a proxy is named as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before the host \
                 where it requires them"
                    .to_owned()
            }
            (Cause::Trust(_), _) => {
                "check that SSL_CERT_FILE names a file of certificates in PEM form, and SSL_CERT_DIR a directory of them".to_owned()
            }
            (Cause::Unreached(_), Some(via)) => format!(
                "check the address of the proxy in {}; hosts that need none are listed in NO_PROXY",
                via.named_by
            ),
            (Cause::Refused(Refusal::CredentialsRequired | Refusal::CredentialsRefused), Some(via)) => {
                format!("check the credentials of the proxy: {}", via.credentials)
            }
            (Cause::Refused(_), Some(via)) => {
                format!("check that the proxy {} may connect to {host}:{port}, and its log", via.address)
            }
            (Cause::Tls(_), _) if self.is_about_certificate() => format!(
                "if the certificate of {host} comes from an authority of your own, name that one's PEM file in SSL_CERT_FILE (for \
                 AWS: AWS_CA_BUNDLE)"
            ),
            (Cause::Tls(_), _) => format!("check that {host}:{port} is a TLS server"),
            (Cause::Lookup { .. }, _) => {
                format!("check the name `{host}` and this machine's DNS; if this machine needs a proxy, set HTTPS_PROXY")
            }
            (Cause::Timeout(_), Some(via)) => {
                format!("check that the proxy {} may connect to {host}:{port}, and that it answers", via.address)
            }
            _ => format!(
                "check that something listens at {host}:{port}, and that no firewall is between; if this machine needs a proxy, set \
                 HTTPS_PROXY"
            ),
        }
    }

    /// The failed connection among the causes of an error, also where it was passed on as an [`io::Error`].
    pub fn among<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DialError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<DialError>() {
                return Some(found);
            }
            let passed_on = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match passed_on {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    fn kind(&self) -> io::ErrorKind {
        match &self.cause {
            Cause::Connect(cause)
            | Cause::Tls(cause)
            | Cause::Lookup { cause, .. }
            | Cause::Refused(Refusal::Lost(cause)) => cause.kind(),
            Cause::Unreached(error) => error.kind(),
            Cause::Timeout(_) => io::ErrorKind::TimedOut,
            Cause::Url(_) | Cause::Proxy(_) | Cause::Trust(_) => io::ErrorKind::InvalidInput,
            Cause::Refused(_) => io::ErrorKind::ConnectionRefused,
        }
    }
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        io::Error::new(error.kind(), error)
    }
}
