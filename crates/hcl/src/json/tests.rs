//! Readings of JSON texts and their errors.

use std::fmt::Write;

use proptest::prelude::*;

use super::{body, expression, parse_file};
use crate::diagnostic::Diagnostics;
use crate::native::sketch;
use crate::source::SourceMap;
use crate::syntax::{Body, ExpressionKind};

/// The value as JSON, and the errors with their ranges.
fn read(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let value = parse_file(text, file, &mut diagnostics);
    let mut out = value.as_ref().map(sketch::json).unwrap_or_default();
    for diagnostic in &diagnostics {
        let place = diagnostic.place.unwrap();
        write!(
            out,
            "\n{} `{}`: {}",
            sources.describe(place),
            sources.slice(place),
            diagnostic.summary
        )
        .unwrap();
        if let Some(help) = &diagnostic.help {
            write!(out, " ({help})").unwrap();
        }
    }
    out
}

#[test]
fn values() {
    let table = [
        ("null", "null"),
        (" [true, false ,1, -0.5e+3, \"a\"]\n", "[true,false,1,-0.5e+3,\"a\"]"),
        ("{\"a\": {}, \"a\": []}", "{\"a\":{},\"a\":[]}"),
        (
            r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d""#,
            "\"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\té😀\u{fffd}\"",
        ),
        ("\u{feff}{}", "{}"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
    ];
    for (text, value) in table {
        assert_eq!(read(text), value);
    }
}

#[test]
fn errors_read_well() {
    let table = [
        "",
        "{\"variable\": {\"x\": }",
        "{\"a\": 1,}",
        "[1, 2,]",
        "{\"a\" 1, \"b\": 2}",
        "{\"a\" = 1, \"b\": 2}",
        "{\"a\": 1 \"b\": 2}",
        "[1 2]",
        "{a: 1, 'b': 2, \"c\": 'd'}",
        "{\"a\": True, \"b\": None, \"c\": undefined}",
        "[01, 1., .5, +1, 0x10, 1e, -]",
        "{\"a\": \"b\n, \"c\": 1}",
        "\"\\x \\u12 \t\"",
        "{\"a\": [1, 2}\n",
        "{\"a\": 1] ",
        "// why\n{\"a\": 1 /* b */}",
        "{} {}",
        "{\"a\": [\n",
        "{,}",
    ];
    let all: String = table
        .iter()
        .map(|text| format!("{}\n{}\n\n", text.replace('\n', "⏎"), read(text)))
        .collect();
    insta::assert_snapshot!(all);
}

#[test]
fn depth_and_length_are_limited() {
    for text in [
        "[".repeat(10_000),
        "{\"a\":".repeat(10_000),
        "[".repeat(10_000) + &"]".repeat(10_000),
    ] {
        let read = read(&text);
        assert_eq!(read.lines().filter(|line| line.contains(": ")).count(), 1);
        assert!(read.contains("too deep"));
    }
    assert!(read(&" ".repeat(crate::native::MAX_BYTES + 1)).contains("too long"));
    assert!(read(&("[".to_owned() + &"?,".repeat(1_000))).contains("too many"));
}

/// The template of a string's expression, and where an error in it is placed.
fn template(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let expression = expression(&parse_file(text, file, &mut diagnostics).unwrap());
    let ExpressionKind::JsonString(inner, _) = &expression.kind else {
        return sketch::expression(&expression);
    };
    match &inner.kind {
        ExpressionKind::Unreadable(errors) => sources.slice(errors.iter().next().unwrap().place.unwrap()).to_owned(),
        _ => sketch::expression(&expression),
    }
}

#[test]
fn strings_are_templates() {
    let table = [
        (r#""a""#, r#"(json "a" "a")"#),
        (r#""${a}""#, r#"(json "${a}" (template a))"#),
        (r#""$${a}""#, r#"(json "$${a}" "${a}")"#),
        (
            r#""\\n${a(\"b\")}""#,
            r#"(json "\\n${a(\"b\")}" (template "\\n" (call a "b")))"#,
        ),
        ("[1, -0, null]", "(tuple 1 -0 null)"),
        (r#"{"${a}": true}"#, r#"(object (json "${a}" (template a))=true)"#),
        // Errors are kept, and placed exactly when there is no escape.
        (r#""x ${a b}""#, "b"),
        (r#""\"${a b}""#, r#""\"${a b}""#),
    ];
    for (text, tree) in table {
        assert_eq!(template(text), tree, "{text}");
    }
}

#[test]
fn bodies_are_objects_without_comments() {
    let properties = |text: &str| {
        let mut sources = SourceMap::default();
        let file = sources.add("x", text);
        let mut diagnostics = Diagnostics::default();
        let value = parse_file(text, file, &mut diagnostics).unwrap();
        let Body::Json(body) = body(value, &mut diagnostics) else {
            return String::new();
        };
        let names: Vec<_> = body.properties.into_iter().map(|(name, _)| name.text).collect();
        format!("{} {}", names.join(","), diagnostics.iter().count())
    };
    assert_eq!(properties(r#"{"//": "c", "a": 1, "b": 2, "a": 3}"#), "a,b,a 0");
    assert_eq!(properties(r#"[{"a": 1}, {"b": 2}, 3]"#), "a,b 1");
    assert_eq!(properties("1"), " 1");
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"${", "1", "-", "0.", "e", "true", "nul", "\\", "\\u12",
        "\\ud800", "\n", " ", "é", "//", "#", "/*", "'", "\0", "\u{1}",
    ]);
    prop::collection::vec(piece, 0..50).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics(text in pieces()) {
        let mut sources = SourceMap::default();
        let file = sources.add("x", text.as_str());
        let mut diagnostics = Diagnostics::default();
        if let Some(value) = parse_file(&text, file, &mut diagnostics) {
            expression(&value);
            body(value, &mut diagnostics);
        }
    }

    /// What another reader accepts we accept, with the same value.
    #[test]
    fn agrees_with_another_reader(text in pieces()) {
        let read = read(&text);
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            prop_assert!(!read.contains('\n'), "{read}");
            prop_assert_eq!(value.is_object(), read.starts_with('{'));
            prop_assert_eq!(value.is_array(), read.starts_with('['));
        } else if !text.contains("\\ud800") {
            prop_assert!(read.is_empty() || read.contains('\n'), "{read}");
        }
    }
}
