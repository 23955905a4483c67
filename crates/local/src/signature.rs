//! Signature Version 4, the receiver's side: what was signed is made anew of the bytes that came, and its signature compared.
//!
//! Written out rather than taken from the SDK: `aws-sigv4` only signs, and this crate has no part of the SDK. It is 80 lines of HMAC;
//! the tests sign with `aws-sigv4`, and the AWS CLI and boto3 call the API in those of the program.

use hmac::{Hmac, Mac as _};
use hyper::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::credential::{ALGORITHM, Authorization, TERMINATOR};

/// What a signature covers.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// As it came, without `?`.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// `x-amz-date`, as it came.
    pub(crate) date: &'a str,
    /// SHA-256 of the body that came, in hexadecimal digits.
    pub(crate) payload: &'a str,
}

impl Signed<'_> {
    /// Whether whoever has the secret has signed this. The comparison takes the same time wherever signatures differ.
    pub(crate) fn is_by(&self, secret: &str, authorization: &Authorization) -> bool {
        let credential = &authorization.credential;
        let parts = [&credential.date, &credential.region, &credential.service, TERMINATOR];
        let key = parts.iter().fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            keyed(&key, part.as_bytes()).finalize().into_bytes().to_vec()
        });
        let canonical = Sha256::digest(self.canonical(&authorization.signed_headers));
        let scope = credential.scope();
        let text = format!("{ALGORITHM}\n{}\n{scope}\n{}", self.date, hex::encode(canonical));
        keyed(&key, text.as_bytes())
            .verify_slice(&authorization.signature)
            .is_ok()
    }

    /// The canonical request. Its path is `/`: nothing is anywhere else.
    fn canonical(&self, signed_headers: &[String]) -> Vec<u8> {
        let mut text = format!("{}\n/\n{}\n", self.method, canonical_query(self.query)).into_bytes();
        for name in signed_headers {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            for (place, value) in self.headers.get_all(name).iter().enumerate() {
                if place > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(&one_spaced(value.as_bytes()));
            }
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(signed_headers.join(";").as_bytes());
        text.push(b'\n');
        text.extend_from_slice(self.payload.as_bytes());
        text
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text);
    mac
}

/// The value without spaces around it, and with one where there are several.
fn one_spaced(value: &[u8]) -> Vec<u8> {
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

/// Names and values decoded as those who act on them decode them, encoded in the one way that signatures know, and in order.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(&decoded(name)), encoded(&decoded(value)))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(byte) = bytes.get(place) {
        let escape = bytes.get(place + 1..place + 3).filter(|_| *byte == b'%');
        let escaped = escape.and_then(|digits| hex::decode(digits).ok());
        place += if escaped.is_some() { 3 } else { 1 };
        match (escaped, byte) {
            (Some(escaped), _) => decoded.extend(escaped),
            (None, b'+') => decoded.push(b' '),
            (None, byte) => decoded.push(*byte),
        }
    }
    decoded
}

fn encoded(bytes: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    /// The example of "Create a signed AWS API request" in IAM's user guide, with the keys of AWS's documentation.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    const HEADERS: [(&str, &str); 3] = [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("host", "iam.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
    ];

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn is_signed(method: &str, query: &str, headers: &HeaderMap, body: &str, secret: &str) -> bool {
        let signed = Signed {
            method,
            query,
            headers,
            date: headers.get("x-amz-date").unwrap().to_str().unwrap(),
            payload: &hex::encode(Sha256::digest(body)),
        };
        signed.is_by(secret, &Authorization::read(AUTHORIZATION).unwrap())
    }

    #[test]
    fn the_published_example_is_signed_and_no_change_of_it_is() {
        let query = "Action=ListUsers&Version=2010-05-08";
        let right = headers(&HEADERS);
        assert!(is_signed("GET", query, &right, "", SECRET));
        assert!(is_signed(
            "GET",
            "Version=2010%2D05-08&Action=%4cistUsers",
            &right,
            "",
            SECRET
        ));
        assert!(!is_signed("POST", query, &right, "", SECRET));
        assert!(!is_signed(
            "GET",
            "Action=ListRoles&Version=2010-05-08",
            &right,
            "",
            SECRET
        ));
        assert!(!is_signed("GET", &format!("{query}&Extra="), &right, "", SECRET));
        assert!(!is_signed("GET", query, &right, "x", SECRET));
        assert!(!is_signed("GET", query, &right, "", "wJalrXUtnFEMI"));
        for (name, value) in [
            ("host", "evil.example"),
            ("x-amz-date", "20150830T123601Z"),
            ("content-type", "text/plain"),
        ] {
            let mut changed = right.clone();
            changed.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert!(!is_signed("GET", query, &changed, "", SECRET), "{name}");
        }
        let mut twice = right;
        twice.append("host", HeaderValue::from_static("evil.example"));
        assert!(!is_signed("GET", query, &twice, "", SECRET));
    }

    #[test]
    fn headers_and_queries_have_one_form() {
        assert_eq!(one_spaced(b"  a   b \tc "), b"a b \tc");
        assert_eq!(
            canonical_query("b=2&a=%c3%a9+x&a&%2b=~&&c=a=b&%zz=%"),
            "%25zz=%25&%2B=~&a=&a=%C3%A9%20x&b=2&c=a%3Db"
        );
    }

    proptest! {
        /// What is signed decides about what is understood: two queries of the same form have the same parameters.
        #[test]
        fn the_canonical_query_means_what_the_query_means(query in "[ab%2=&+4é.]{0,30}") {
            let canonical = canonical_query(&query);
            let mut meant: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let mut signed: Vec<_> = form_urlencoded::parse(canonical.as_bytes()).into_owned().collect();
            // Pairs without a name and value are no parameters.
            signed.retain(|pair| *pair != (String::new(), String::new()));
            meant.retain(|pair| *pair != (String::new(), String::new()));
            meant.sort();
            signed.sort();
            prop_assert_eq!(signed, meant);
            prop_assert_eq!(canonical_query(&canonical), canonical);
        }
    }
}
