//! XML of the other side, read within limits: what takes little on the line must not take much here.

use bakelite_engine::untrusted::quoted;
use roxmltree::{Document, ParsingOptions};

/// Elements and texts: a service sends some dozen, and each takes more memory than the four bytes of `<b/>`.
const MOST_NODES: u32 = 20_000;

/// Equals signs up to the next tag, as every attribute has one: the parser compares each attribute of a tag with each.
const MOST_ATTRIBUTES: usize = 500;

/// Declarations of name spaces: the parser copies them to each tag below that has its own.
const MOST_NAME_SPACES: usize = 200;

/// Why a document is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// There is more in it than any answer of a service has.
    #[error("it has more attributes than any answer")]
    Attributes,
    /// It is malformed, or has too many elements.
    #[error("{}", quoted(&.0.to_string()))]
    Malformed(roxmltree::Error),
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, XmlError> {
    let attributes = |part: &str| part.bytes().filter(|byte| *byte == b'=').count();
    if text.split('<').any(|part| attributes(part) > MOST_ATTRIBUTES)
        || text.matches("xmlns").count() > MOST_NAME_SPACES
    {
        return Err(XmlError::Attributes);
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(XmlError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_small_on_the_line_becomes_big_here() {
        let many = format!("<a>{}</a>", "<b/>".repeat(1_000_000));
        let deep = format!("{}{}", "<a>".repeat(600_000), "</a>".repeat(600_000));
        let entities = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbb'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>";
        let numbered = |count: u32, form: &str| -> String {
            let one = |number: u32| form.replace('#', &number.to_string());
            (0..count).map(one).collect::<Vec<_>>().concat()
        };
        let attributes = numbered(300_000, " a#='>'");
        let spaces = numbered(10_000, "<a xmlns:a#='x'>");
        for text in [many.as_str(), &deep, entities, &format!("<a{attributes}/>"), &spaces] {
            assert!(parse(text).is_err());
        }
        let shallow = format!("{}{}", "<a>".repeat(19_000), "</a>".repeat(19_000));
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let parsed = thread.spawn(move || parse(&shallow).is_ok()).unwrap();
        assert!(parsed.join().unwrap());
    }
}
