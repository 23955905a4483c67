//! Package URLs: how SBOMs name a package (<https://github.com/package-url/purl-spec>).

use std::fmt::Write as _;

/// A package URL; qualifiers without a value are left out, the others sorted by name.
pub(super) fn purl(kind: &str, namespace: &str, name: &str, version: &str, qualifiers: &[(&str, &str)]) -> String {
    let mut text = format!("pkg:{kind}/");
    if !namespace.is_empty() {
        let _ = write!(text, "{}/", encoded(namespace));
    }
    let _ = write!(text, "{}", encoded(name));
    if !version.is_empty() {
        let _ = write!(text, "@{}", encoded(version));
    }
    let mut given: Vec<_> = qualifiers.iter().filter(|(_, value)| !value.is_empty()).collect();
    given.sort_unstable();
    for (index, (name, value)) in given.into_iter().enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        let _ = write!(text, "{separator}{name}={}", encoded(value));
    }
    text
}

/// Letters, digits, `.`, `-`, `_`, `~` and `:` stand for themselves, other bytes as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_encoded_and_qualifiers_sorted() {
        let qualifiers = [("distro", "debian-12"), ("arch", "amd64"), ("upstream", "")];
        assert_eq!(
            purl("deb", "debian", "libstdc++6", "1:12.2.0-14+deb12u1~x", &qualifiers),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=debian-12"
        );
        assert_eq!(
            purl("npm", "@angular", "core", "1.0.0", &[]),
            "pkg:npm/%40angular/core@1.0.0"
        );
    }
}
