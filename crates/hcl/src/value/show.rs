//! Values as text for people who debug or read an error, in the notation of templates. How `console` prints them is not decided here.

use std::fmt::{self, Write};

use super::{Kind, Value};

impl fmt::Display for Value {
    /// In the notation of templates; sensitive values are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.marks.is_sensitive() {
            return f.write_str("(sensitive)");
        }
        match &self.kind {
            Kind::Null(_) => f.write_str("null"),
            Kind::Unknown(_) => f.write_str("(not known yet)"),
            Kind::Bool(truth) => write!(f, "{truth}"),
            Kind::Number(number) => write!(f, "{number}"),
            Kind::String(text) => f.write_str(&quoted(text)),
            Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
                f.write_str("[")?;
                for (at, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Kind::Map(_, members) | Kind::Object(members) => {
                f.write_str("{")?;
                for (at, (name, member)) in members.iter().enumerate() {
                    write!(f, "{}{} = {member}", if at == 0 { "" } else { ", " }, quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Text as a template has it between quotes, with the quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(character) = rest.next() {
        let opens = matches!(character, '$' | '%') && rest.peek() == Some(&'{');
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Doubling it would be ambiguous after another one.
            _ if opens && before == character => escape(character, &mut out),
            _ if opens => out.extend([character, character]),
            _ if character.is_control() || is_invisible(character) => escape(character, &mut out),
            _ => out.push(character),
        }
        before = character;
    }
    out.push('"');
    out
}

fn escape(character: char, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\u{:04x}", u32::from(character));
}

/// Marks of direction, separators and the like, which would change how the text around them looks.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::Diagnostics;
    use crate::evaluate::literal;
    use crate::native::parse_expression;
    use crate::number::Number;
    use crate::source::SourceMap;
    use crate::types::Type;
    use crate::value::equality::same;

    #[test]
    fn quotes_what_would_be_read_otherwise() {
        assert_eq!(quoted("a\"b\\c\nd\te"), r#""a\"b\\c\nd\te""#);
        assert_eq!(quoted("${x} %{y} $x %"), r#""$${x} %%{y} $x %""#);
        assert_eq!(quoted("$${x}\u{7}\u{202e}é"), r#""$\u0024{x}\u0007\u202eé""#);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::bool),
            any::<i64>().prop_map(Value::int),
            (any::<i32>(), 1..1000i64).prop_map(|(a, b)| {
                let quotient = Number::parse("1")
                    .unwrap()
                    .mul(&Number::from(a))
                    .unwrap()
                    .div(&Number::from(b));
                Value::number(quotient.unwrap())
            }),
            "[a$%{}\"\\\\~\n\r é\u{1}\u{301}]{0,8}".prop_map(Value::string),
            any::<String>().prop_map(Value::string),
            Just(Value::null(Type::Dynamic)),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::tuple),
                proptest::collection::vec(("[a${\"]{0,3}", inner), 0..4).prop_map(Value::object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same_value(value in value()) {
            let text = value.to_string();
            let file = SourceMap::default().add("t", text.as_str());
            let mut diagnostics = Diagnostics::default();
            let read = literal(&parse_expression(&text, file, 0, &mut diagnostics), &mut diagnostics);
            prop_assert!(diagnostics.is_empty(), "{}: {:?}", text, diagnostics);
            prop_assert!(same(&read, &value), "{} read as {}", text, read);
        }
    }
}
