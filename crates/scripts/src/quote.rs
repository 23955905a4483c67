//! Text written into other languages: words of a POSIX shell, XML. Those of PowerShell are in [`crate::powershell`].

/// A string as one word of a shell, in which nothing has a meaning, line breaks included.
pub fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path as one word of a shell. A leading `~` keeps its meaning, which is a home directory; a path that starts with `-` gets `./` in
/// front, so that no command takes it for an option.
pub fn path(path: &str) -> String {
    let (home, rest) = split_home(path);
    match rest {
        "" if !home.is_empty() => home.to_owned(),
        rest => format!("{home}{}", word(&not_an_option(rest))),
    }
}

/// The same, but `*`, `?` and `[…]` keep their meaning as well.
pub fn pattern(path: &str) -> String {
    let (home, rest) = split_home(path);
    let mut pattern = home.to_owned();
    for run in not_an_option(rest).split_inclusive(['*', '?', '[', ']']) {
        let plain = run.trim_end_matches(['*', '?', '[', ']']);
        if !plain.is_empty() {
            pattern.push_str(&word(plain));
        }
        pattern.push_str(run.get(plain.len()..).unwrap_or_default());
    }
    pattern
}

/// A string in the text or in an attribute of an XML document. A character that XML cannot contain becomes U+FFFD: left out, it would join
/// what it separates.
pub fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A parser would make a line feed of it.
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' => escaped.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn not_an_option(path: &str) -> String {
    if path.starts_with('-') {
        format!("./{path}")
    } else {
        path.to_owned()
    }
}

/// `~` or `~user` with its slash, and the rest.
fn split_home(path: &str) -> (&str, &str) {
    let end = path.find('/').map_or(path.len(), |slash| slash + 1);
    let (first, rest) = path.split_at(end);
    let is_user = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match first.trim_end_matches('/').strip_prefix('~') {
        Some(user) if is_user(user) => (first, rest),
        _ => ("", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_by_shell(word: &str) -> String {
        let shell = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {word}")])
            .output()
            .unwrap();
        String::from_utf8(shell.stdout).unwrap()
    }

    #[test]
    fn words_and_paths_mean_themselves() {
        assert_eq!(word("/tmp/script_1.sh"), "/tmp/script_1.sh");
        assert_eq!(word("-v"), "-v", "only a path can be meant otherwise");
        assert_eq!(word(""), "''");
        assert_eq!(path("/tmp/with space/$x;y"), "'/tmp/with space/$x;y'");
        assert_eq!(path("/tmp/it's"), r"'/tmp/it'\''s'");
        assert_eq!(path("-rf"), "./-rf");
        assert_eq!(path("-r f"), "'./-r f'");
        assert_eq!(path("~"), "~");
        assert_eq!(path("~/"), "~/");
        assert_eq!(path("~/a b"), "~/'a b'");
        assert_eq!(path("~me/x"), "~me/x");
        assert_eq!(path("~$(x)/y"), "'~$(x)/y'");
        assert_eq!(path(""), "''");
    }

    #[test]
    fn patterns_keep_their_wildcards_only() {
        assert_eq!(pattern("/var/log/*.lo[gx] $"), "/var/log/*.lo[gx]' $'");
        assert_eq!(pattern("~/-*"), "~/./-*");
        assert_eq!(pattern("it's?"), r"'it'\''s'?");
    }

    #[test]
    fn a_shell_reads_words_as_they_were() {
        for text in [
            "it's",
            "a'b'c",
            "$HOME `x` \"q\" \\n",
            "tab\there",
            "new\nline",
            "ünïcode *",
            "~",
        ] {
            assert_eq!(read_by_shell(&word(text)), text);
            assert_eq!(
                read_by_shell(&pattern(&format!("/nosuch/{text}"))),
                format!("/nosuch/{text}")
            );
        }
        assert_eq!(read_by_shell(&path("-n")), "./-n");
    }

    #[test]
    fn xml_is_read_back_as_it_was() {
        let text = "a<b> & \"c\" 'd' \r\n\tü";
        let document = format!("<a b=\"{0}\">{0}</a>", xml(&format!("{text}\0\u{1}\u{ffff}")));
        let document = roxmltree::Document::parse(&document).unwrap();
        let replaced = format!("{text}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(document.root_element().text(), Some(replaced.as_str()));
    }
}
