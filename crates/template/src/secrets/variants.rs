//! How a secret may look where it comes to stand: the one rule, for everything that is shown. docs/guide/secrets.md says it for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::show::quote;

/// Only from this many characters on a secret is looked for in other forms than its own and that between quotes.
const SHORTEST: usize = 3;
/// From this many bytes on a secret is looked for in base64 and in hexadecimal digits: what is shorter is found in ordinary text.
const SHORTEST_ENCODED: usize = 6;
/// Texts longer than this (a whole script, an archive) are looked for as they are and between quotes only.
const LONGEST: usize = 64 << 10;

/// Everything that a secret is looked for as, the secret itself first.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut found = Found::default();
    found.add(text.to_owned());
    between_quotes(text, &mut found);
    if (SHORTEST..).contains(&text.chars().count()) && text.len() <= LONGEST {
        in_shells(text, &mut found);
        in_urls(text, &mut found);
        in_markup(text, &mut found);
        if text.len() >= SHORTEST_ENCODED {
            encoded(text.as_bytes(), &mut found);
        }
    }
    found.all
}

/// Forms, each once, in the order in which they were found.
#[derive(Default)]
struct Found {
    all: Vec<String>,
    known: BTreeSet<String>,
}

impl Found {
    fn add(&mut self, text: String) {
        if !text.is_empty() && self.known.insert(text.clone()) {
            self.all.push(text);
        }
    }
}

/// Between double quotes: JSON as we, Go and Python write it, Go's and Rust's literals, HCL's; and each of them between quotes again.
fn between_quotes(text: &str, found: &mut Found) {
    let ours = json(text);
    let go = json_of_go(&ours);
    let once = [
        ours.replace('/', "\\/"),
        json_in_ascii(&go),
        json_in_ascii(&ours),
        go,
        ours,
        unquoted(&quote(text)),
        unquoted(&format!("{text:?}")),
        hcl(text),
    ];
    for form in once {
        let again = json(&form);
        found.add(json_of_go(&again));
        found.add(again);
        found.add(form);
    }
}

fn json(text: &str) -> String {
    // Texts can always be written.
    serde_json::to_string(text).map_or_else(|_| text.to_owned(), |quoted| unquoted(&quoted))
}

/// Go escapes what HTML or JavaScript would take for something of theirs.
fn json_of_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

fn json_in_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

fn hcl(text: &str) -> String {
    json(text).replace("${", "$${").replace("%{", "%%{")
}

fn unquoted(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(quoted).to_owned()
}

/// In scripts of shells: between single quotes (which `set -x` prints, too), between double ones, as `printf %q` writes it; in PowerShell.
fn in_shells(text: &str, found: &mut Found) {
    found.add(text.replace('\'', r"'\''"));
    found.add(text.replace('\'', r#"'"'"'"#));
    found.add(text.replace('\'', "''"));
    found.add(escaped(text, '\\', |c| matches!(c, '\\' | '"' | '$' | '`')));
    found.add(escaped(text, '\\', |c| matches!(c, '\\' | '"' | '$' | '`' | '!')));
    found.add(escaped(text, '`', |c| matches!(c, '`' | '"' | '$')));
    // As bash does, and without the comma; as dash's and busybox's users do with `sed`: whatever is no letter and no digit.
    let of_bash = |c| " |&;<>()$`\\\"'*?[]!{}^".contains(c);
    found.add(escaped(text, '\\', |c| of_bash(c) || c == ','));
    found.add(escaped(text, '\\', of_bash));
    found.add(escaped(text, '\\', |c| {
        c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_'
    }));
    for printable in [true, false] {
        found.add(ansi_c(text, printable));
    }
}

fn escaped(text: &str, mark: char, is_special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_special(c) {
            out.push(mark);
        }
        out.push(c);
    }
    out
}

/// `$'…'`, with letters that are not ASCII as they are or by their bytes.
fn ansi_c(text: &str, printable: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{1b}' => out.push_str("\\E"),
            _ if c.is_control() || !(c.is_ascii() || printable) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
            _ => out.push(c),
        }
    }
    out
}

/// In URLs: what the parts of a URL and the libraries leave as it is differs, as do the space and the case of the digits.
fn in_urls(text: &str, found: &mut Found) {
    // A query in Go and Python, a path in Go, JavaScript's encodeURIComponent and encodeURI, Python's quote.
    for kept in ["-_.~", "-_.~$&+=:@", "-_.!~*'()", "-_.!~*'();/?:@&=+$,#", "-_.~/"] {
        let upper = percent(text, kept, true);
        found.add(upper.replace("%20", "+"));
        found.add(upper);
        let lower = percent(text, kept, false);
        found.add(lower.replace("%20", "+"));
        found.add(lower);
    }
}

fn percent(text: &str, kept: &str, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || kept.contains(c) {
            out.push(c);
        } else if upper {
            let _ = write!(out, "%{byte:02X}");
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

/// In XML and HTML, with the ways to write quotes and line ends that there are.
fn in_markup(text: &str, found: &mut Found) {
    let base = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for (double, single) in [
        ("\"", "'"),
        ("&quot;", "'"),
        ("&quot;", "&apos;"),
        ("&quot;", "&#39;"),
        ("&quot;", "&#x27;"),
        ("&#34;", "&#39;"),
    ] {
        let quotes = base.replace('"', double).replace('\'', single);
        found.add(
            quotes
                .replace('\t', "&#x9;")
                .replace('\n', "&#xA;")
                .replace('\r', "&#xD;"),
        );
        found.add(quotes);
    }
}

/// In base64 of both alphabets and in hexadecimal digits, also as a part of something longer that was encoded as a whole.
fn encoded(bytes: &[u8], found: &mut Found) {
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        let whole = engine.encode(bytes);
        let padding = "=".repeat((4 - whole.len() % 4) % 4);
        found.add(whole.clone() + &padding);
        found.add(whole);
        for before in 0..3 {
            found.add(base64_within(&engine, before, bytes));
        }
    }
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    found.add(hex.to_uppercase());
    found.add(hex);
}

/// The digits that depend on nothing but these bytes, when `before` others (modulo 3) stand before them.
fn base64_within(engine: &GeneralPurpose, before: usize, bytes: &[u8]) -> String {
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
    let digits = engine.encode(&padded);
    // A digit is six bits. The first bits are those of what stands before, and the last digit may share its bits with what follows.
    let first = (before * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    digits.get(first..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Be\"ta\\S<e>c&r+e't/02=% é";

    #[test]
    fn a_secret_is_known_in_all_the_forms_that_it_takes() {
        let forms = of(SECRET);
        for form in [
            SECRET,
            r#"Be\"ta\\S<e>c&r+e't/02=% é"#,
            r#"Be\"ta\\S\u003ce\u003ec\u0026r+e't/02=% é"#,
            r#"Be\"ta\\S\u003ce\u003ec\u0026r+e't/02=% \u00e9"#,
            r#"Be\\\"ta\\\\S<e>c&r+e't/02=% é"#,
            r#"Be\\\"ta\\\\S\\u003ce\\u003ec\\u0026r+e't/02=% é"#,
            "Be%22ta%5CS%3Ce%3Ec%26r%2Be%27t%2F02%3D%25+%C3%A9",
            "Be%22ta%5cS%3ce%3ec%26r%2be%27t%2f02%3d%25%20%c3%a9",
            "Be%22ta%5CS%3Ce%3Ec&r+e%27t%2F02=%25%20%C3%A9",
            "Be&quot;ta\\S&lt;e&gt;c&amp;r+e&#39;t/02=% é",
            "Be&#34;ta\\S&lt;e&gt;c&amp;r+e&#39;t/02=% é",
            "Be\"ta\\S&lt;e&gt;c&amp;r+e't/02=% é",
            r#"Be"ta\S<e>c&r+e'\''t/02=% é"#,
            r#"Be"ta\S<e>c&r+e'"'"'t/02=% é"#,
            r#"Be\"ta\\S<e>c&r+e't/02=% é"#,
            r#"Be\"ta\\S\<e\>c\&r+e\'t/02=%\ é"#,
            "QmUidGFcUzxlPmMmcitlJ3QvMDI9JSDDqQ==",
            "QmUidGFcUzxlPmMmcitlJ3QvMDI9JSDDqQ",
            "4265227461",
        ] {
            let found = forms.iter().any(|known| known == form || known.starts_with(form));
            assert!(found, "{form} is missing in {forms:#?}");
        }
    }

    #[test]
    fn bash_and_python_agree() {
        let printed = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(program)
                .args(arguments)
                .env("LC_ALL", "C.UTF-8")
                .output();
            output.ok().map(|output| String::from_utf8(output.stdout).unwrap())
        };
        for secret in [
            SECRET,
            "a,b{c}d[e]^f~g#h!i",
            "two\nlines\tand 'quotes'",
            "plain-Secret_01",
        ] {
            let forms = of(secret);
            let holds = |text: &str| forms.iter().any(|form| text.contains(form.as_str()));
            let python = "import sys,json,base64,html,shlex,urllib.parse as u,xml.sax.saxutils as x\ns=sys.argv[1]\n\
                          for t in (json.dumps(s),json.dumps(json.dumps(s)),u.quote(s),u.quote(s,safe=''),u.quote_plus(s),html.escape(s),x.escape(s),\
                          x.quoteattr(s).replace('\\n','&#xA;') if '\\n' not in s else x.escape(s),shlex.quote(s),\
                          *[base64.b64encode(b'x'*i+s.encode()+b'y'*j).decode() for i in range(4) for j in range(4)],\
                          *[base64.urlsafe_b64encode(b'x'*i+s.encode()).decode() for i in range(4)],s.encode().hex()): print(t, end='\\0')";
            let texts = [
                printed(
                    "bash",
                    &["-c", "printf '%q\\0' \"$1\"; printf '%s\\0' \"${1@Q}\"", "-", secret],
                ),
                printed("python3", &["-c", python, secret]),
            ];
            for text in texts.iter().flatten().flat_map(|all| all.split_terminator('\0')) {
                assert!(holds(text), "{text:?} shows {secret:?}");
            }
        }
    }

    #[test]
    fn short_secrets_are_not_looked_for_in_digits() {
        assert_eq!(of("a"), ["a"]);
        assert_eq!(of("abcde"), ["abcde"]);
        assert!(of("abcdef").iter().any(|form| form == "616263646566"));
    }
}
