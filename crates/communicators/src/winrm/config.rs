//! What a connection by WinRM needs, whatever the options are called that it comes from.

use std::time::Duration;

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Config {
    /// Name or address; one of version 6 with or without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) tls: bool,
    /// The certificate of the service is not verified.
    pub(crate) insecure: bool,
    /// Authentication by NTLM instead of Basic.
    pub(crate) ntlm: bool,
    /// The environment's proxies are not used.
    pub(crate) no_proxy: bool,
    /// How long to wait for the service.
    pub(crate) timeout: Duration,
    /// The pause between the first connection and the one that is used.
    pub(crate) pause: Option<Duration>,
}

impl Config {
    /// The URL of the service.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = &self.host;
        if host.contains(':') && !host.starts_with('[') {
            format!("{scheme}://[{host}]:{}/wsman", self.port)
        } else {
            format!("{scheme}://{host}:{}/wsman", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_brackets_around_an_address_of_version_6() {
        let config = |host: &str, tls| Config {
            host: host.into(),
            port: 5985,
            tls,
            ..Config::default()
        };
        assert_eq!(config("fe80::1", false).url(), "http://[fe80::1]:5985/wsman");
        assert_eq!(config("h", true).url(), "https://h:5985/wsman");
    }
}
