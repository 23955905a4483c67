//! Which proxy a URL is reached through: `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, except for the hosts in `NO_PROXY`.

use std::collections::BTreeMap;

use hyper::Uri;
use hyper::http::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;

/// The variables of the environment that decide how others are reached: where they are the same, so is the way.
pub const VARIABLES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Environment variables.
pub type Environment = BTreeMap<String, String>;

/// Never reached through a proxy, which would reach itself or its own neighbours: this machine, and the addresses that mean something
/// else on each machine, where clouds keep their metadata.
const NEVER: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";

/// The proxies of an environment. The name of a variable in upper case goes before the one in lower case; an empty one counts as not
/// set.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Setting>,
    https: Option<Setting>,
    exceptions: Vec<Exception>,
}

#[derive(Debug, Clone)]
struct Setting {
    variable: String,
    value: String,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone)]
struct Exception {
    /// A host with everything below it, an address, a network, or `*`.
    host: String,
    /// Without one: all.
    port: Option<u16>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP: CONNECT, or requests that it forwards.
    Http,
    /// The same inside TLS.
    Https,
    /// SOCKS version 5.
    Socks5,
}

/// A proxy that a variable names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The variable, as it is spelled in the environment.
    pub variable: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization` that its URL holds, for HTTP.
    pub authorization: Option<HeaderValue>,
    /// User and password that its URL holds, for SOCKS.
    pub login: Option<(String, String)>,
}

/// A variable that names no usable proxy. The value is shown without user and password.
#[derive(Debug, thiserror::Error)]
#[error("`{variable}` is `{value}`, which is not the URL of a proxy")]
pub struct UnusableProxy {
    variable: String,
    value: String,
}

/// A variable that is set and not blank, in upper case or else in lower case, with its name.
fn setting(environment: &Environment, name: &str) -> Option<Setting> {
    [name.to_owned(), name.to_lowercase()].into_iter().find_map(|variable| {
        let value = environment.get(&variable)?.trim();
        (!value.is_empty()).then(|| Setting {
            value: value.to_owned(),
            variable,
        })
    })
}

impl Proxies {
    /// Those that an environment names.
    pub fn of(environment: &Environment) -> Self {
        let all = setting(environment, "ALL_PROXY");
        let no = setting(environment, "NO_PROXY").map_or_else(String::new, |no| no.value);
        Self {
            http: setting(environment, "HTTP_PROXY").or_else(|| all.clone()),
            https: setting(environment, "HTTPS_PROXY").or(all),
            exceptions: no
                .split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(Exception::of)
                .collect(),
        }
    }

    /// The proxy for a URL (`http`, `https`, `ws` or `wss`), if it is not reached directly.
    pub fn proxy_for(&self, url: &Uri) -> Result<Option<Proxy>, UnusableProxy> {
        let (setting, usual_port) = match url.scheme_str() {
            Some("https" | "wss") => (&self.https, 443),
            _ => (&self.http, 80),
        };
        let (Some(setting), Some(host)) = (setting, url.host()) else {
            return Ok(None);
        };
        let Ok(target) = format!("http://{host}/").parse() else {
            return Ok(None);
        };
        if self.is_exception(&target, url.port_u16().unwrap_or(usual_port)) {
            return Ok(None);
        }
        setting.proxy(&target).map(Some)
    }

    fn is_exception(&self, target: &Uri, port: u16) -> bool {
        let hosts = self
            .exceptions
            .iter()
            .filter(|exception| exception.port.is_none_or(|only| only == port))
            .map(|exception| exception.host.as_str());
        let no: Vec<&str> = std::iter::once(NEVER).chain(hosts).collect();
        let matcher = Matcher::builder().all("http://proxy").no(no.join(",")).build();
        matcher.intercept(target).is_none()
    }
}

impl Exception {
    /// `HOST`, `HOST:PORT`, `[IPV6]:PORT`, `ADDRESS/BITS`; `*.HOST` means what `.HOST` does.
    fn of(entry: &str) -> Self {
        let (host, port) = match entry.rsplit_once(':') {
            // More colons without brackets: an IPv6 address.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => (entry, None),
            },
            _ => (entry, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = match host.strip_prefix("*.") {
            Some(below) => format!(".{below}"),
            None => host.to_owned(),
        };
        Self { host, port }
    }
}

impl Setting {
    fn proxy(&self, target: &Uri) -> Result<Proxy, UnusableProxy> {
        let unusable = || UnusableProxy {
            variable: self.variable.clone(),
            value: match (self.value.rsplit_once('@'), self.value.split_once("://")) {
                (Some((_, rest)), Some((scheme, _))) => format!("{scheme}://{rest}"),
                (Some((_, rest)), None) => rest.to_owned(),
                (None, _) => self.value.clone(),
            },
        };
        let found = Matcher::builder().all(self.value.as_str()).build().intercept(target);
        let found = found.ok_or_else(unusable)?;
        let (protocol, usual_port) = match found.uri().scheme_str() {
            Some("http") => (Protocol::Http, 80),
            Some("https") => (Protocol::Https, 443),
            Some("socks5" | "socks5h") => (Protocol::Socks5, 1080),
            _ => return Err(unusable()),
        };
        let host = found
            .uri()
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(unusable)?;
        Ok(Proxy {
            variable: self.variable.clone(),
            protocol,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: found.uri().port_u16().unwrap_or(usual_port),
            authorization: found.basic_auth().cloned(),
            login: found
                .raw_auth()
                .map(|(user, password)| (user.to_owned(), password.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Proxies::of(&owned.collect())
    }

    /// `VARIABLE PROTOCOL HOST:PORT` of the proxy for a URL.
    fn found(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.proxy_for(&url.parse().unwrap()).unwrap()?;
        let Proxy {
            variable,
            protocol,
            host,
            port,
            ..
        } = proxy;
        Some(format!("{variable} {protocol:?} {host}:{port}"))
    }

    #[test]
    fn a_proxy_is_for_its_scheme_and_all_proxy_for_the_rest() {
        let only_https = proxies(&[("HTTPS_PROXY", "http://p.test:3128")]);
        let wanted = Some("HTTPS_PROXY Http p.test:3128".to_owned());
        assert_eq!(found(&only_https, "https://h.test/"), wanted);
        assert_eq!(found(&only_https, "wss://h.test/"), wanted);
        assert_eq!(found(&only_https, "http://h.test/"), None);
        assert_eq!(found(&only_https, "ws://h.test/"), None);

        let both = proxies(&[("HTTP_PROXY", "p.test:1"), ("ALL_PROXY", "socks5://s.test")]);
        assert_eq!(
            found(&both, "http://h.test/").as_deref(),
            Some("HTTP_PROXY Http p.test:1")
        );
        assert_eq!(
            found(&both, "https://h.test/").as_deref(),
            Some("ALL_PROXY Socks5 s.test:1080")
        );
        assert_eq!(found(&proxies(&[]), "https://h.test/"), None);
    }

    #[test]
    fn upper_case_goes_first_and_empty_is_not_set() {
        let both = proxies(&[
            ("HTTPS_PROXY", "http://upper.test"),
            ("https_proxy", "http://lower.test"),
        ]);
        assert_eq!(
            found(&both, "https://h.test/").as_deref(),
            Some("HTTPS_PROXY Http upper.test:80")
        );
        let empty = proxies(&[
            ("HTTPS_PROXY", " "),
            ("https_proxy", "https://lower.test"),
            ("NO_PROXY", ""),
            ("no_proxy", "in.test"),
        ]);
        assert_eq!(
            found(&empty, "https://h.test/").as_deref(),
            Some("https_proxy Https lower.test:443")
        );
        assert_eq!(found(&empty, "https://in.test/"), None);
    }

    #[test]
    fn exceptions_are_names_addresses_networks_and_ports() {
        let list =
            "in.test, .lab.test,*.star.test,10.0.0.0/8,192.0.2.7,2001:db8::/32,only.test:8443,[2001:db9::1]:8443";
        let some = proxies(&[("ALL_PROXY", "http://p.test:1"), ("NO_PROXY", list)]);
        for direct in [
            "https://in.test/",
            "https://a.IN.test/",
            "http://a.lab.test/",
            "http://lab.test/",
            "https://a.star.test/",
            "https://10.1.2.3/",
            "http://192.0.2.7:5985/",
            "https://[2001:db8::5]/",
            "https://only.test:8443/",
            "https://[2001:db9::1]:8443/",
        ] {
            assert_eq!(found(&some, direct), None, "{direct}");
        }
        for proxied in [
            "https://begin.test/",
            "https://11.1.2.3/",
            "http://192.0.2.8/",
            "https://[2001:db9::5]/",
            "https://only.test/",
            "https://[2001:db9::1]/",
        ] {
            assert!(found(&some, proxied).is_some(), "{proxied}");
        }
        let none = proxies(&[("ALL_PROXY", "http://p.test:1"), ("NO_PROXY", "*")]);
        assert_eq!(found(&none, "https://h.test/"), None);
    }

    #[test]
    fn this_machine_and_its_metadata_need_no_proxy() {
        let all = proxies(&[("ALL_PROXY", "http://p.test:1")]);
        for url in [
            "http://localhost:1/",
            "http://127.0.0.1:1/",
            "https://127.8.8.8/",
            "http://[::1]:1/",
            "http://169.254.169.254/latest/",
            "http://169.254.170.2/",
            "http://[fd00:ec2::254]/",
        ] {
            assert_eq!(found(&all, url), None, "{url}");
        }
    }

    #[test]
    fn logins_are_in_the_url() {
        let of = |value: &str| {
            let proxies = proxies(&[("ALL_PROXY", value)]);
            proxies.proxy_for(&Uri::from_static("http://h.test/")).unwrap().unwrap()
        };
        assert_eq!(of("http://me:p%40w@p.test").authorization.unwrap(), "Basic bWU6cEB3");
        assert_eq!(
            of("socks5://me:p%40w@p.test").login,
            Some(("me".to_owned(), "p@w".to_owned()))
        );
        assert_eq!(of("http://p.test").authorization, None);
    }

    #[test]
    fn what_is_no_proxy_is_an_error_that_hides_its_login_where_it_would_be_used() {
        for (value, shown) in [
            ("ftp://me:s3cret@p.test:1", "ftp://p.test:1"),
            ("socks4://me:s3cret@p.test:1", "socks4://p.test:1"),
            ("http://me:s3cret@", "http://"),
            ("a b", "a b"),
        ] {
            let proxies = proxies(&[("HTTPS_PROXY", value), ("NO_PROXY", "in.test")]);
            let error = proxies.proxy_for(&Uri::from_static("https://h.test/")).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`HTTPS_PROXY` is `{shown}`, which is not the URL of a proxy")
            );
            assert_eq!(found(&proxies, "https://in.test/"), None);
            assert_eq!(found(&proxies, "http://h.test/"), None);
        }
    }
}
