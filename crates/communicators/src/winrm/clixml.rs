//! Complaints of PowerShell: with `-EncodedCommand` it writes them as XML to standard error.

use super::xml;

/// What PowerShell's XML starts with.
const MARK: &str = "#< CLIXML";

/// The complaints in words, without the XML around them.
pub(crate) fn plain(stderr: &str) -> String {
    let Some(start) = stderr.find(MARK) else {
        return stderr.trim().to_owned();
    };
    let (before, xml) = (&stderr[..start], &stderr[start + MARK.len()..]);
    let Ok(document) = xml::parse(xml.trim()) else {
        return stderr.trim().to_owned();
    };
    let errors = document
        .descendants()
        .filter(|node| node.attribute("S") == Some("Error"));
    let text: String = errors.filter_map(|node| node.text()).collect();
    format!("{before}{}", unescaped(&text)).trim().to_owned()
}

/// `_x000D_` stands for a character that XML cannot have.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        let code = rest
            .get(at + 2..at + 6)
            .filter(|_| rest.as_bytes().get(at + 6) == Some(&b'_'));
        let letter = code
            .and_then(|code| u32::from_str_radix(code, 16).ok())
            .and_then(char::from_u32);
        let Some(letter) = letter else {
            plain.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        };
        plain.push_str(&rest[..at]);
        plain.push(letter);
        rest = &rest[at + 7..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_are_found_among_the_xml() {
        let xml = "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">\
                   <S S=\"Error\">It is &lt;bad&gt;_x000D__x000A_</S><S S=\"Error\">really_x</S><S S=\"verbose\">no</S></Objs>";
        assert_eq!(plain(xml), "It is <bad>\r\nreally_x");
        assert_eq!(plain("plain \r\n"), "plain");
        assert_eq!(plain("#< CLIXML <broken"), "#< CLIXML <broken");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(_x|[0-9A-F_]|ä|\\PC){0,20}") {
            let _ = (unescaped(&text), plain(&format!("{MARK}{text}")));
        }
    }
}
