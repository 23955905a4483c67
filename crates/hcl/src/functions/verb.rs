//! The verbs of `format`: `%-8s`, `%08.3f`, `%[2]d`; how they are read and how each shows a value.

use std::fmt;

use unicode_segmentation::UnicodeSegmentation;

use super::decimal::Digits;
use super::json;
use crate::convert;
use crate::number::Number;
use crate::types::Type;
use crate::value::{Kind, Value};

/// No width or precision is larger: a format is for lines that people read.
const WIDEST: usize = 1 << 16;

/// A part of a format.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// Text as it is.
    Text(&'a str),
    /// A place for a value.
    Verb(Verb<'a>),
}

/// A place for a value.
#[derive(Debug)]
pub(super) struct Verb<'a> {
    /// As it is written, for errors.
    written: &'a str,
    /// The index of the value, from 0; the next one when it is not said.
    pub(super) argument: Option<usize>,
    /// Some of `+ - 0 #` and space.
    flags: &'a str,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

impl fmt::Display for Verb<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.written)
    }
}

/// The parts of a format; the error is a fragment.
pub(super) fn pieces(format: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (text, verb) = rest.split_at(at);
        pieces.push(Piece::Text(text));
        if let Some(after) = verb.strip_prefix("%%") {
            pieces.push(Piece::Text("%"));
            rest = after;
            continue;
        }
        let (read, after) = read(verb)?;
        pieces.push(Piece::Verb(read));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// Reads a verb and gives what follows it.
fn read(whole: &str) -> Result<(Verb<'_>, &str), String> {
    let mut rest = whole.get(1..).unwrap_or_default();
    let mut argument = argument_index(&mut rest)?;
    let flags = rest
        .get(..rest.len() - rest.trim_start_matches(['+', '-', ' ', '0', '#']).len())
        .unwrap_or_default();
    rest = rest.get(flags.len()..).unwrap_or_default();
    let width = size(&mut rest)?.unwrap_or(0);
    let precision = match rest.strip_prefix('.') {
        Some(after) => {
            rest = after;
            Some(size(&mut rest)?.unwrap_or(0))
        }
        None => None,
    };
    if argument.is_none() {
        argument = argument_index(&mut rest)?;
    }
    let Some(letter) = rest.chars().next() else {
        return Err(format!("the format ends within the verb `{whole}`"));
    };
    rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    let written = whole.strip_suffix(rest).unwrap_or(whole);
    if !"vtbdoxXeEfgGsq".contains(letter) {
        return Err(format!("`{written}` is no verb of a format"));
    }
    let verb = Verb {
        written,
        argument,
        flags,
        width,
        precision,
        letter,
    };
    Ok((verb, rest))
}

/// `[n]`, counting from 1.
fn argument_index(rest: &mut &str) -> Result<Option<usize>, String> {
    let Some(after) = rest.strip_prefix('[') else {
        return Ok(None);
    };
    let wrong = || "between `[` and `]` stands the number of a value, from 1".to_owned();
    let (number, after) = after.split_once(']').ok_or_else(wrong)?;
    let number: usize = number.parse().map_err(|_| wrong())?;
    *rest = after;
    number.checked_sub(1).map(Some).ok_or_else(wrong)
}

fn size(rest: &mut &str) -> Result<Option<usize>, String> {
    let digits = rest.len() - rest.trim_start_matches(|next: char| next.is_ascii_digit()).len();
    let (number, after) = rest.split_at_checked(digits).unwrap_or_default();
    *rest = after;
    if number.is_empty() {
        return Ok(None);
    }
    let size = number.parse().ok().filter(|size| *size <= WIDEST);
    size.map(Some)
        .ok_or_else(|| format!("no width or precision is larger than {WIDEST}"))
}

/// A known value as a verb shows it; the error is a fragment.
pub(super) fn show(verb: &Verb<'_>, value: &Value) -> Result<String, String> {
    if value.is_null() && verb.letter != 'v' {
        return Err("a null cannot be shown".to_owned());
    }
    let converted = |kind: &Type| convert::convert(value, kind).map_err(|error| error.to_string());
    match verb.letter {
        'v' => as_it_is(verb, value),
        's' | 'q' => {
            let text = converted(&Type::String)?;
            let text = text.as_str().unwrap_or_default();
            // A precision of 0 is none for text.
            let cut: String = match verb.precision.filter(|precision| *precision > 0) {
                Some(precision) => text.graphemes(true).take(precision).collect(),
                None => text.to_owned(),
            };
            Ok(padded(verb, if verb.letter == 'q' { json::quote(&cut) } else { cut }))
        }
        't' => Ok(converted(&Type::Bool)?.as_bool().unwrap_or_default().to_string()),
        letter => {
            let number = converted(&Type::Number)?;
            let number = number.as_number().ok_or("a number is required")?;
            if matches!(letter, 'e' | 'E' | 'f' | 'g' | 'G') {
                Ok(decimal(verb, number))
            } else {
                integer(verb, number)
            }
        }
    }
}

/// `%v`: text and numbers plainly, the rest, and everything with `#`, as JSON.
fn as_it_is(verb: &Verb<'_>, value: &Value) -> Result<String, String> {
    let shown = match &value.kind {
        Kind::String(text) if !verb.has('#') => text.to_string(),
        Kind::Number(number) if !verb.has('#') => match Digits::shortest(number) {
            Some(digits) => format!("{}{}", minus_of(number), digits.general(None, 'e')),
            None => number.to_string(),
        },
        _ => json::encode(value).map_err(|error| error.to_string())?,
    };
    Ok(padded(verb, shown))
}

fn minus_of(number: &Number) -> &'static str {
    if number.is_negative() { "-" } else { "" }
}

/// Text brought to the width, which counts what a reader sees as a character.
fn padded(verb: &Verb<'_>, text: String) -> String {
    let missing = verb.width.saturating_sub(text.graphemes(true).count());
    if missing == 0 {
        return text;
    }
    let padding = if verb.has('0') { "0" } else { " " }.repeat(missing);
    if verb.has('-') {
        text + &padding
    } else {
        padding + &text
    }
}

fn sign(verb: &Verb<'_>, number: &Number) -> &'static str {
    if number.is_negative() && !(number.is_zero() && number.is_integer() && !verb.is_decimal()) {
        "-"
    } else if verb.has('+') {
        "+"
    } else if verb.has(' ') {
        " "
    } else {
        ""
    }
}

impl Verb<'_> {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    fn is_decimal(&self) -> bool {
        matches!(self.letter, 'e' | 'E' | 'f' | 'g' | 'G')
    }

    /// Sign and digits with padding between, before or behind them.
    fn spread(&self, sign: &str, digits: &str, zeros_allowed: bool) -> String {
        let padding = self.width.saturating_sub(sign.len() + digits.len());
        if self.has('-') && !(self.is_decimal() && self.has('0')) {
            format!("{sign}{digits}{}", " ".repeat(padding))
        } else if self.has('0') && zeros_allowed {
            format!("{sign}{}{digits}", "0".repeat(padding))
        } else {
            format!("{}{sign}{digits}", " ".repeat(padding))
        }
    }
}

/// `%b %d %o %x %X`
fn integer(verb: &Verb<'_>, number: &Number) -> Result<String, String> {
    let magnitude = number
        .integer_magnitude()
        .ok_or_else(|| format!("an integer is required, not {number}"))?;
    let (base, prefix) = match verb.letter {
        'b' => (2, "0b"),
        'o' => (8, "0"),
        'x' => (16, "0x"),
        'X' => (16, "0X"),
        _ => (10, ""),
    };
    let mut digits = magnitude.in_radix(base).to_string();
    if verb.letter == 'X' {
        digits = digits.to_uppercase();
    }
    let digits = match verb.precision {
        Some(0) if magnitude.is_zero() => String::new(),
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let before = format!("{}{}", sign(verb, number), if verb.has('#') { prefix } else { "" });
    Ok(verb.spread(&before, &digits, verb.precision.is_none()))
}

/// `%e %E %f %g %G`
fn decimal(verb: &Verb<'_>, number: &Number) -> String {
    let exponent_letter = if verb.letter.is_uppercase() { 'E' } else { 'e' };
    let general = matches!(verb.letter, 'g' | 'G');
    let digits = if general && verb.precision.is_none() {
        Digits::shortest(number)
    } else {
        Digits::exact(number)
    };
    let Some(digits) = digits else {
        let sign = if number.is_negative() {
            "-"
        } else if verb.has(' ') {
            " "
        } else {
            "+"
        };
        return verb.spread(sign, "Inf", false);
    };
    let precision = verb.precision.unwrap_or(6);
    let text = match verb.letter {
        'f' => digits.fixed(precision),
        'e' | 'E' => digits.scientific(precision, exponent_letter),
        _ => digits.general(verb.precision, exponent_letter),
    };
    verb.spread(sign(verb, number), &text, true)
}
