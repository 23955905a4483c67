//! What others say (an instance, a server, AWS) is data. Here it becomes text that can be shown at a terminal: nothing in it can move
//! the cursor, change the title, reach the clipboard, or look like a line of ours.

use std::borrow::Cow;
use std::fmt::Write as _;

/// An untrusted text in an error is cut after this many bytes.
const LONGEST_QUOTE: usize = 1024;

/// Colours (`ESC [ … m`) with more parameters than fit in this many bytes are no colours.
const LONGEST_COLOR: usize = 64;

/// What ends all colours.
const RESET: &str = "\u{1b}[0m";

/// The text with control characters and escape sequences as visible escapes, such as `\x1b` and `\u{202e}`. Line breaks and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    text.chars().for_each(|character| show(character, &mut shown));
    Cow::Owned(shown)
}

/// The same as one line: line breaks and tabs are visible escapes, too.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let is_break = |character| matches!(character, '\n' | '\t');
    match visible(text) {
        shown if !shown.contains(is_break) => shown,
        shown => Cow::Owned(shown.replace('\n', "\\n").replace('\t', "\\t")),
    }
}

/// An untrusted text as part of an error: one line that is not endless.
pub fn quoted(text: &str) -> String {
    let text = text.trim_end();
    let cut = text.floor_char_boundary(LONGEST_QUOTE);
    let (start, rest) = text.split_at(cut);
    let mut quoted = one_line(start).into_owned();
    if !rest.is_empty() {
        // Writing to a `String` cannot fail.
        let _ = write!(quoted, "… ({} more bytes)", rest.len());
    }
    quoted
}

/// The text as [`visible`] has it, but with its colours, which end with each line.
pub fn coloured(text: &str) -> Cow<'_, str> {
    with_colours(text, true)
}

/// The text as [`visible`] has it, its colours taken away.
pub fn colourless(text: &str) -> Cow<'_, str> {
    with_colours(text, false)
}

fn with_colours(text: &str, keep: bool) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
        }
        line_with_colours(line, keep, &mut shown);
    }
    Cow::Owned(shown)
}

fn line_with_colours(mut line: &str, keep: bool, shown: &mut String) {
    let mut is_coloured = false;
    while let Some(character) = line.chars().next() {
        let (piece, rest) = line.split_at(colour(line).unwrap_or(character.len_utf8()));
        if piece.len() == character.len_utf8() {
            show(character, shown);
        } else if keep {
            shown.push_str(piece);
            is_coloured = !matches!(piece, RESET | "\u{1b}[m");
        }
        line = rest;
    }
    if is_coloured {
        shown.push_str(RESET);
    }
}

/// How long the colour is with which the text begins: `ESC [`, digits with `;` and `:`, `m`.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.bytes().take(LONGEST_COLOR).position(|byte| byte == b'm')?;
    let is_colour = parameters
        .bytes()
        .take(length)
        .all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
    is_colour.then_some("\u{1b}[".len() + length + "m".len())
}

/// Adds a character, or the escape that stands for it.
fn show(character: char, shown: &mut String) {
    // Writing to a `String` cannot fail.
    let _ = match u32::from(character) {
        _ if !is_hidden(character) => {
            shown.push(character);
            Ok(())
        }
        code @ 0..=0x7f => write!(shown, "\\x{code:02x}"),
        code => write!(shown, "\\u{{{code:x}}}"),
    };
}

/// Does a terminal act on this character instead of showing it? C0 and C1 controls, line and paragraph separators, and what changes
/// the direction of writing.
fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_seen_instead() {
        assert_eq!(
            visible("a\tb\n\u{1b}[1A\u{1b}[2K==> \u{7}\r\u{9b}\u{7f}\u{202e}"),
            "a\tb\n\\x1b[1A\\x1b[2K==> \\x07\\x0d\\u{9b}\\x7f\\u{202e}"
        );
        assert!(matches!(visible("größer\n"), Cow::Borrowed(_)));
        assert_eq!(one_line("a\nb\tc\r"), "a\\nb\\tc\\x0d");
    }

    #[test]
    fn colours_stay_and_end_with_the_line() {
        assert_eq!(
            coloured("\u{1b}[1;31mred\nnot\u{1b}[38:5:7m\u{1b}[0m red"),
            "\u{1b}[1;31mred\u{1b}[0m\nnot\u{1b}[38:5:7m\u{1b}[0m red"
        );
        assert_eq!(colourless("\u{1b}[1;31mred\u{1b}[m"), "red");
    }

    #[test]
    fn what_only_resembles_a_colour_is_seen() {
        let long = format!("\u{1b}[{}m", "1;".repeat(100));
        for forged in [
            "\u{1b}[2J",
            "\u{1b}[?1m",
            "\u{1b}[1 m",
            "\u{1b}[31",
            "\u{9b}31m",
            "\u{1b}]0;m",
            &long,
        ] {
            assert!(!coloured(forged).contains(['\u{1b}', '\u{9b}']), "{forged:?}");
        }
    }

    #[test]
    fn a_quote_is_one_line_and_not_endless() {
        assert_eq!(quoted("no such\nfile\r\n"), "no such\\nfile");
        let long = "é".repeat(LONGEST_QUOTE);
        assert_eq!(quoted(&long), format!("{}… (1024 more bytes)", "é".repeat(512)));
    }

    /// Texts in which what matters is frequent.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "\\PC{0,4}",
            any::<char>().prop_map(String::from),
            "\u{1b}\\[[0-9;:]{0,3}[mAJ]?",
            Just("\n".to_owned()),
            Just("\u{1b}".to_owned()),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in texts()) {
            prop_assert!(!visible(&text).contains(is_hidden));
            prop_assert!(!colourless(&text).contains(is_hidden));
            prop_assert!(!quoted(&text).contains(['\n', '\t']));
        }

        #[test]
        fn of_escape_sequences_only_colours_are_left(text in texts()) {
            let shown = coloured(&text).into_owned();
            for (at, _) in shown.match_indices(is_hidden) {
                prop_assert!(colour(&shown[at..]).is_some(), "{shown:?}");
            }
            for line in shown.split('\n') {
                let last = line.rfind('\u{1b}').map_or(RESET, |at| &line[at..]);
                let is_reset = last.starts_with(RESET) || last.starts_with("\u{1b}[m");
                prop_assert!(is_reset, "{shown:?}");
            }
        }

        #[test]
        fn twice_is_once(text in texts()) {
            let once = visible(&text).into_owned();
            prop_assert_eq!(visible(&once), once.as_str());
            let once = coloured(&text).into_owned();
            prop_assert_eq!(coloured(&once), once.as_str());
            let once = colourless(&text).into_owned();
            prop_assert_eq!(colourless(&once), once.as_str());
        }

        #[test]
        fn as_many_lines_as_before(text in texts()) {
            prop_assert_eq!(coloured(&text).split('\n').count(), text.split('\n').count());
        }
    }
}
