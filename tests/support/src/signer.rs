//! Requests to a cloud, signed by the SDK's signer, as bytes that a test can change before it sends them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;

use crate::eventually::LIMIT;

/// An access key, with the session token that belongs to it when it is temporary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `AWS_ACCESS_KEY_ID`
    pub id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret: String,
    /// `AWS_SESSION_TOKEN`
    pub token: Option<String>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`
    pub method: String,
    /// `/`, with a query
    pub path: String,
    /// Headers, besides the length of the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// A request to a host and port.
    pub fn new(host: &str, method: &str, path: &str, body: &str) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![("host".to_owned(), host.to_owned())],
            body: body.to_owned(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another value of a header.
    #[must_use]
    pub fn changed(mut self, name: &str, value: &str) -> Request {
        let header = self.headers.iter_mut().find(|(known, _)| known == name);
        value.clone_into(&mut header.unwrap().1);
        self
    }

    /// The same, signed for a service in a region at a time.
    #[must_use]
    pub fn signed(mut self, key: &Key, service: &str, region: &str, time: SystemTime) -> Request {
        let credentials = Credentials::new(&key.id, &key.secret, key.token.clone(), None, "tests");
        let identity = credentials.into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let url = format!("http://{}{}", self.headers[0].1, self.path);
        let body = SignableBody::Bytes(self.body.as_bytes());
        let signable = SignableRequest::new(&self.method, url, headers, body).unwrap();
        let (instructions, _) = sign(signable, &parameters.into()).unwrap().into_parts();
        let more: Vec<(String, String)> = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.headers.extend(more);
        self
    }

    /// The request as it goes over the wire, on a connection of its own.
    pub fn bytes(&self) -> Vec<u8> {
        let (method, path, body) = (&self.method, &self.path, &self.body);
        let headers: String = self
            .headers
            .iter()
            .flat_map(|(name, value)| [name.as_str(), ": ", value, "\r\n"])
            .collect();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
        format!("{head}{body}").into_bytes()
    }

    /// Sends it to an address, which need not be the one that it is for; returns head and body of the answer.
    pub fn send(&self, address: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // A request that is refused early may not be read to its end: the answer counts, not the write.
        let _ = stream.write_all(&self.bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}
