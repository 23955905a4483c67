//! PowerShell's words: strings in quotes, and scripts as one argument that every shell passes on as it is.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Is this one of the characters that PowerShell reads as a single quote?
fn is_single_quote(character: char) -> bool {
    matches!(character, '\'' | '\u{2018}'..='\u{201b}')
}

/// A string literal of PowerShell in which nothing is expanded.
pub fn single_quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for character in text.chars() {
        quoted.push(character);
        if is_single_quote(character) {
            quoted.push(character);
        }
    }
    quoted.push('\'');
    quoted
}

/// A value as it is written between double quotes of PowerShell, escaped with backticks. Also typographic quotes end a string there.
pub fn within_double_quotes(value: &str) -> String {
    let mut escaped = String::new();
    for character in value.chars() {
        if matches!(character, '$' | '"' | '`' | '\'' | '\u{201c}'..='\u{201e}') {
            escaped.push('`');
        }
        escaped.push(character);
    }
    escaped
}

/// The command line with which a PowerShell (`powershell`, `pwsh`) runs a script, without the user's profile and without a question to
/// anybody. Of letters that no shell in between touches.
pub fn command_line(program: &str, script: &str) -> String {
    let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = BASE64_STANDARD.encode(bytes);
    format!("{program} -NoProfile -NonInteractive -EncodedCommand {encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_quote_that_powershell_knows_is_doubled() {
        assert_eq!(single_quoted("it's $x"), "'it''s $x'");
        assert_eq!(single_quoted("‘’‚‛"), "'‘‘’’‚‚‛‛'");
        assert_eq!(single_quoted(""), "''");
    }

    #[test]
    fn a_value_between_double_quotes_is_escaped_with_backticks() {
        assert_eq!(within_double_quotes(r#"a$b"c`d'e\"#), r#"a`$b`"c``d`'e\"#);
        assert_eq!(within_double_quotes("“x”"), "`“x`”");
    }

    #[test]
    fn a_script_is_encoded_as_utf_16() {
        assert_eq!(
            command_line("pwsh", "'ü'"),
            "pwsh -NoProfile -NonInteractive -EncodedCommand JwD8ACcA"
        );
    }
}
