//! Go's `printf`: verbs, flags, width and precision; what does not fit is written into the text, as Go does.

use std::fmt::Write as _;

use super::value::GoValue;
use crate::show::{general, quote};

/// The text of a format with its arguments.
pub(super) fn format(format: &str, arguments: &[GoValue]) -> String {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = rest.next() {
        if out.len() > super::LONGEST {
            // Whoever called complains about the length.
            return out;
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = rest.next_if(|c| matches!(c, '+' | '-' | '#' | ' ' | '0')) {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.left = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        spec.width = size(&mut rest, arguments, &mut next);
        if rest.next_if_eq(&'.').is_some() {
            spec.precision = Some(size(&mut rest, arguments, &mut next).unwrap_or(0));
        }
        match rest.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.get(next) {
                None => {
                    let _ = write!(out, "%!{verb}(MISSING)");
                }
                Some(argument) => {
                    next += 1;
                    out.push_str(&spec.pad(&spec.one(verb, argument), argument));
                }
            },
        }
    }
    let extra: Vec<String> = arguments.iter().skip(next).map(typed).collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

/// Wider than anything that is meant.
const WIDEST: usize = 10_000;

fn size(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, arguments: &[GoValue], next: &mut usize) -> Option<usize> {
    if rest.next_if_eq(&'*').is_some() {
        let argument = arguments.get(*next);
        *next += 1;
        return match argument {
            Some(GoValue::Int(number)) => usize::try_from(*number).ok().map(|size| size.min(WIDEST)),
            _ => None,
        };
    }
    let mut digits = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() {
        None
    } else {
        Some(digits.parse().unwrap_or(WIDEST).min(WIDEST))
    }
}

fn typed(argument: &GoValue) -> String {
    match argument {
        GoValue::Nothing => "<nil>".to_owned(),
        _ => format!("{}={}", argument.type_name(), argument.print()),
    }
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one of printf's flags")]
struct Spec {
    plus: bool,
    left: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Spec {
    fn one(&self, verb: char, argument: &GoValue) -> String {
        match (verb, argument) {
            ('v', GoValue::Text(text)) if self.sharp => quote(text),
            ('v' | 'd', GoValue::Int(_)) => self.signed(&argument.print()),
            ('v', GoValue::Nothing) => "<nil>".to_owned(),
            ('t', GoValue::Bool(truth)) => truth.to_string(),
            ('T', _) => argument.type_name().to_owned(),
            ('s', GoValue::Text(text)) => self.cut(text),
            ('q', GoValue::Text(text)) => quote(&self.cut(text)),
            ('x', GoValue::Text(text)) => hexadecimal(text),
            ('X', GoValue::Text(text)) => hexadecimal(text).to_uppercase(),
            ('b', GoValue::Int(number)) => self.based(*number, |n| format!("{n:b}"), "0b"),
            ('o', GoValue::Int(number)) => self.based(*number, |n| format!("{n:o}"), "0"),
            ('x', GoValue::Int(number)) => self.based(*number, |n| format!("{n:x}"), "0x"),
            ('X', GoValue::Int(number)) => self.based(*number, |n| format!("{n:X}"), "0X"),
            ('c', GoValue::Int(number)) => character(*number).to_string(),
            ('q', GoValue::Int(number)) => format!("'{}'", character(*number)),
            ('U', GoValue::Int(number)) => format!("U+{number:04X}"),
            ('f' | 'F', GoValue::Float(number)) => {
                let precision = self.precision.unwrap_or(6);
                self.signed(&format!("{number:.precision$}"))
            }
            ('e', GoValue::Float(number)) => self.signed(&self.exponent(*number)),
            ('E', GoValue::Float(number)) => self.signed(&self.exponent(*number).to_uppercase()),
            ('v' | 'g' | 'G', GoValue::Float(number)) => self.signed(&general(*number)),
            ('v', _) => argument.print(),
            ('s' | 'd', GoValue::List(elements)) => {
                let all: Vec<String> = elements.iter().map(|element| self.one(verb, element)).collect();
                format!("[{}]", all.join(" "))
            }
            _ => format!("%!{verb}({})", typed(argument)),
        }
    }

    fn exponent(&self, number: f64) -> String {
        let precision = self.precision.unwrap_or(6);
        let text = format!("{number:.precision$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        format!(
            "{mantissa}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        )
    }

    fn signed(&self, text: &str) -> String {
        match text.starts_with(['-', '+']) {
            false if self.plus => format!("+{text}"),
            false if self.space => format!(" {text}"),
            _ => text.to_owned(),
        }
    }

    fn based(&self, number: i64, digits: fn(u64) -> String, prefix: &str) -> String {
        let sign = if number < 0 { "-" } else { "" };
        let prefix = if self.sharp { prefix } else { "" };
        self.signed(&format!("{sign}{prefix}{}", digits(number.unsigned_abs())))
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(count) => text.chars().take(count).collect(),
            None => text.to_owned(),
        }
    }

    fn pad(&self, text: &str, argument: &GoValue) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return text.to_owned();
        }
        if self.left {
            return format!("{text}{}", " ".repeat(missing));
        }
        let is_number = matches!(argument, GoValue::Int(_) | GoValue::Float(_));
        if self.zero && is_number {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        let filler = if self.zero { "0" } else { " " };
        format!("{}{text}", filler.repeat(missing))
    }
}

fn hexadecimal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn character(number: i64) -> char {
    u32::try_from(number)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}
