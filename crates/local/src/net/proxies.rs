//! The proxy settings of this machine, as instances can use them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _};

use super::policy::{Allowance, NetworkOptions};
use crate::inside::{GATEWAY_NAME, METADATA};

/// Variables that name proxies, in lower case; both spellings are in use.
const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];
const DIRECT: &str = "no_proxy";

impl NetworkOptions {
    /// Puts the proxy settings of an environment into that of instances, and allows instances to reach those proxies. A proxy on the
    /// loopback is named as instances reach it; the metadata service is never asked through one.
    pub fn use_proxies(&mut self, environment: &BTreeMap<String, String>) {
        let mut direct = Vec::new();
        for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
            let lower = name.to_ascii_lowercase();
            if PROXIES.contains(&lower.as_str()) {
                let (value, reached) = inside(value);
                self.allowed.extend(reached.into_iter().map(Allowance::of));
                self.environment.push((name.clone(), value));
            } else if lower == DIRECT {
                direct.push((name.clone(), format!("{value},{METADATA}")));
            }
        }
        if direct.is_empty() && !self.environment.is_empty() {
            direct.push((DIRECT.to_owned(), METADATA.to_string()));
        }
        self.environment.extend(direct);
    }
}

/// The address of a proxy as an instance has to write it, and where it is.
fn inside(url: &str) -> (String, Vec<SocketAddrV4>) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    let (name, port) = match url[host..end].rsplit_once(':') {
        Some((name, port)) => (name, port.parse().unwrap_or_default()),
        None if url.starts_with("https:") => (&url[host..end], 443),
        None if url.starts_with("socks") => (&url[host..end], 1080),
        None => (&url[host..end], 80),
    };
    let loopback = match name {
        "localhost" => Some(Ipv4Addr::LOCALHOST),
        _ => name.parse().ok().filter(Ipv4Addr::is_loopback),
    };
    if let Some(address) = loopback {
        let there = format!("{}{GATEWAY_NAME}{}", &url[..host], &url[host + name.len()..]);
        return (there, vec![SocketAddrV4::new(address, port)]);
    }
    let found = (name, port).to_socket_addrs().into_iter().flatten();
    let reached = found.filter_map(|address| match (address.ip(), address) {
        (IpAddr::V4(_), SocketAddr::V4(address)) => Some(address),
        _ => None,
    });
    (url.to_owned(), reached.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_on_the_loopback_is_behind_the_gateway() {
        let (url, reached) = inside("http://me:secret@localhost:3128/");
        assert_eq!(url, "http://me:secret@host.bakelite.internal:3128/");
        assert_eq!(reached, ["127.0.0.1:3128".parse().unwrap()]);
        assert_eq!(inside("127.0.0.2:8080").0, "host.bakelite.internal:8080");
        let far = inside("http://10.0.0.7");
        assert_eq!(
            far,
            ("http://10.0.0.7".to_owned(), vec!["10.0.0.7:80".parse().unwrap()])
        );
    }

    #[test]
    fn settings_of_both_spellings_arrive_and_nothing_else() {
        let environment = [
            ("HTTP_PROXY", "http://10.0.0.7:3128"),
            ("no_proxy", "example.org"),
            ("HOME", "/root"),
            ("https_proxy", ""),
        ];
        let environment = environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let mut options = NetworkOptions::default();
        options.use_proxies(&environment);
        assert_eq!(options.allowed, ["10.0.0.7:3128".parse().unwrap()]);
        let expected = [
            ("HTTP_PROXY", "http://10.0.0.7:3128"),
            ("no_proxy", "example.org,169.254.169.254"),
        ];
        assert_eq!(
            options.environment,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
