//! MIME multipart messages, in which user data has several parts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Multipart messages within each other.
const DEEPEST: usize = 8;

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its content type, in lower case and without parameters.
    pub(super) content_type: String,
    /// The file name that it is to have.
    pub(super) file_name: Option<String>,
    /// Its content, decoded.
    pub(super) content: Vec<u8>,
}

/// Whether user data is a message, as cloud-init decides it.
pub(super) fn is_message(data: &[u8]) -> bool {
    let start = &data[..data.len().min(4096)];
    !data.starts_with(b"#")
        && String::from_utf8_lossy(start)
            .to_ascii_lowercase()
            .contains("mime-version:")
}

/// The parts of a message, those of messages in it as well; the error is a fragment.
pub(super) fn parts(message: &[u8]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    take(message, 0, &mut parts)?;
    Ok(parts)
}

fn take(message: &[u8], depth: usize, parts: &mut Vec<Part>) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("multipart messages are nested more than {DEEPEST} deep"));
    }
    let (headers, body) = split_headers(message);
    let header = |name: &str| {
        headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    };
    let content_type = header("content-type").unwrap_or("text/plain");
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if kind.starts_with("multipart/") {
        let boundary = parameter(content_type, "boundary").ok_or("the multipart message has no boundary")?;
        for part in split_at(body, &boundary)? {
            take(part, depth + 1, parts)?;
        }
        return Ok(());
    }
    let encoding = header("content-transfer-encoding")
        .unwrap_or("7bit")
        .trim()
        .to_ascii_lowercase();
    let content = match encoding.as_str() {
        "7bit" | "8bit" | "binary" => body.to_vec(),
        "base64" => {
            let letters: Vec<u8> = body
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            BASE64_STANDARD
                .decode(letters)
                .map_err(|_| "a part of the multipart message is not base64")?
        }
        "quoted-printable" => unquoted(body),
        other => return Err(format!("the Content-Transfer-Encoding `{other}` is not supported")),
    };
    parts.push(Part {
        content_type: kind,
        file_name: header("content-disposition").and_then(|value| parameter(value, "filename")),
        content,
    });
    Ok(())
}

/// The headers, with their names in lower case, and what follows the first empty line.
fn split_headers(message: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        let line = String::from_utf8_lossy(line);
        if line.trim().is_empty() {
            break;
        }
        match (line.starts_with([' ', '\t']), headers.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (_, _, Some((name, value))) => {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            _ => {}
        }
    }
    (headers, rest)
}

/// A parameter of a header, without its quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|parameter| {
        let (other, value) = parameter.split_once('=')?;
        let is_it = other.trim().eq_ignore_ascii_case(name);
        is_it.then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What lies between the lines of a boundary.
fn split_at<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, String> {
    let (between, last) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts = Vec::new();
    let (mut begin, mut at) = (None, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let is_last = text == last.as_bytes();
        if is_last || text == between.as_bytes() {
            if let Some(begin) = begin {
                parts.push(without_line_end(body.get(begin..at).unwrap_or_default()));
            }
            begin = Some(at + line.len());
        }
        at += line.len();
        if is_last {
            return Ok(parts);
        }
    }
    // As mail programs do, a message that is cut off ends where the text does.
    match begin {
        Some(begin) => parts.push(body.get(begin..).unwrap_or_default()),
        None => return Err(format!("the multipart message has no part: no line `{between}`")),
    }
    Ok(parts)
}

/// The line end before a boundary belongs to the boundary.
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

fn unquoted(body: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'=' {
            content.push(*first);
        } else if let Some(after) = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n")) {
            rest = after;
        } else if let Some(byte) = after
            .get(..2)
            .and_then(|digits| hex::decode(digits).ok()?.first().copied())
        {
            content.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            content.push(b'=');
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Content-Type: multipart/mixed;\n boundary=\"==B==\"\nMIME-Version: 1.0\n\npreamble\n--==B==\n\
        Content-Type: text/cloud-config; charset=\"us-ascii\"\nContent-Disposition: attachment; filename=\"a.yaml\"\n\n\
        #cloud-config\nruncmd: [ls]\n--==B==\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\n\
        IyEvYmluL3NoCg==\n--==B==\nContent-Transfer-Encoding: quoted-printable\n\n#!/bin/sh=0Aecho a=\nb\n--==B==--\nafter\n";

    #[test]
    fn parts_are_decoded() {
        assert!(is_message(MESSAGE.as_bytes()));
        let shown: Vec<_> = parts(MESSAGE.as_bytes())
            .unwrap()
            .into_iter()
            .map(|part| {
                (
                    part.content_type,
                    part.file_name,
                    String::from_utf8(part.content).unwrap(),
                )
            })
            .collect();
        let expected = [
            ("text/cloud-config", Some("a.yaml"), "#cloud-config\nruncmd: [ls]"),
            ("text/x-shellscript", None, "#!/bin/sh\n"),
            ("text/plain", None, "#!/bin/sh\necho ab"),
        ];
        let expected = expected.map(|(kind, name, text)| (kind.to_owned(), name.map(str::to_owned), text.to_owned()));
        assert_eq!(shown, expected);
        let windows = parts(MESSAGE.replace('\n', "\r\n").as_bytes()).unwrap();
        assert_eq!(windows[0].content, b"#cloud-config\r\nruncmd: [ls]");
    }

    #[test]
    fn broken_messages_are_errors() {
        for message in [
            "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\nx",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\nx",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n%",
            "MIME-Version: 1.0\nContent-Transfer-Encoding: uuencode\n\nx",
        ] {
            assert!(parts(message.as_bytes()).is_err(), "{message}");
        }
    }
}
