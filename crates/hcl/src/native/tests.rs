//! Readings of native texts and their errors.

use std::fmt::Write;

use proptest::prelude::*;

use super::{MAX_DEPTH, is_identifier, parse_expression, parse_file, parse_template, sketch};
use crate::diagnostic::Diagnostics;
use crate::source::SourceMap;

/// The tree of an expression, or the lines of its errors.
fn expression(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let expression = parse_expression(text, file, 0, &mut diagnostics);
    if diagnostics.is_empty() {
        sketch::expression(&expression)
    } else {
        told(&sources, &diagnostics)
    }
}

fn template(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let expression = parse_template(text, file, 0, &mut diagnostics);
    if diagnostics.is_empty() {
        sketch::expression(&expression)
    } else {
        told(&sources, &diagnostics)
    }
}

/// The tree of a file and its errors.
fn file(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let body = parse_file(text, file, &mut diagnostics);
    sketch::body(&body) + &told(&sources, &diagnostics)
}

/// Complaints as people read them, without drawing.
fn told(sources: &SourceMap, diagnostics: &Diagnostics) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let place = diagnostic.place.map(|place| {
            let end = sources.get(place.file).unwrap().line_column(place.end as usize);
            format!("{}-{end}", sources.describe(place))
        });
        writeln!(
            out,
            "{}: {}. {}",
            place.unwrap_or_default(),
            diagnostic.summary,
            diagnostic.detail
        )
        .unwrap();
        for (place, what) in &diagnostic.related {
            writeln!(out, "    {}: {what}", sources.describe(*place)).unwrap();
        }
        if let Some(help) = &diagnostic.help {
            writeln!(out, "    help: {help}").unwrap();
        }
    }
    out
}

/// The lines at which a file has errors, those of related places included.
fn error_lines(text: &str) -> Vec<usize> {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    parse_file(text, file, &mut diagnostics);
    let places = diagnostics
        .iter()
        .flat_map(|d| d.place.into_iter().chain(d.related.iter().map(|(place, _)| *place)));
    places
        .map(|place| sources.get(place.file).unwrap().line_column(place.start as usize).line)
        .collect()
}

#[test]
fn values_and_operators() {
    let table = [
        ("1.50", "1.5"),
        ("007", "7"),
        (r#""a\tb\u00e9\U0001F600\"""#, "\"a\\tbé😀\\\"\""),
        ("true", "true"),
        ("null", "null"),
        ("a-b", "a-b"),
        ("a - b", "(Subtract a b)"),
        ("2 -2", "(Subtract 2 2)"),
        ("1 + 2 * 3 - 4", "(Subtract (Add 1 (Multiply 2 3)) 4)"),
        ("a || b && c == d < e", "(Or a (And b (Equal c (Less d e))))"),
        ("!a && -b.c", "(And (Not a) (Negate b.c))"),
        ("--1", "(Negate (Negate 1))"),
        ("a ? b : c ? d : e", "(? a b (? c d e))"),
        ("(a)", "(paren a)"),
        ("(\n1 +\n2\n)", "(paren (Add 1 2))"),
        ("# one\n/* two */ a // three", "a"),
    ];
    for (text, tree) in table {
        assert_eq!(expression(text), tree, "{text}");
    }
}

#[test]
fn traversals_and_splats() {
    let table = [
        ("a.b[0].c", "a.b[0].c"),
        ("a.0.b", "a[0].b"),
        ("a [ 0 ] . b", "a[0].b"),
        ("a[*].b[0]", "(splat a @.b[0])"),
        ("a.*.b.0[1]", "(splat a @.b[0])[1]"),
        ("a[*]", "(splat a @)"),
        ("a[*].b[*].c", "(splat a (splat @.b @.c))"),
        ("f(a)[*]", "(splat (call f a) @)"),
        ("[1][0]", "(tuple 1)[0]"),
        ("\"x\".y", "\"x\".y"),
    ];
    for (text, tree) in table {
        assert_eq!(expression(text), tree, "{text}");
    }
}

#[test]
fn brackets() {
    let table = [
        ("f()", "(call f)"),
        ("f(a, b...)", "(call f a b...)"),
        ("f(\n a,\n b,\n)", "(call f a b)"),
        ("a::b(c)", "(call a::b c)"),
        ("[]", "(tuple)"),
        ("[1, 2,]", "(tuple 1 2)"),
        ("{}", "(object)"),
        (
            "{ a = 1, \"b\" : 2\n (c) = 3\n\n 4 = 5, if = 6 }",
            "(object a=1 \"b\"=2 (paren c)=3 4=5 if=6)",
        ),
        ("{ \"${a}-b\" = 1 }", "(object (template a \"-b\")=1)"),
        ("[for v in a : v.b if v.c]", "(for v in=a value=v.b if=v.c)"),
        (
            "{ for k, v in a : k => v... if k != \"x\" }",
            "(for k,v in=a key=k value=v group if=(NotEqual k \"x\"))",
        ),
        ("[for\n v\n in a :\n v\n]", "(for v in=a value=v)"),
        ("({ a = 1\n b = [\n2\n] })", "(paren (object a=1 b=(tuple 2)))"),
    ];
    for (text, tree) in table {
        assert_eq!(expression(text), tree, "{text}");
    }
}

#[test]
fn templates() {
    let table = [
        (r#""a${b}c""#, r#"(template "a" b "c")"#),
        (r#""${b}""#, "(template b)"),
        (r#""$${b} %%{c} $b 100% $""#, r#""${b} %{c} $b 100% $""#),
        (r#""${"a${b}"}""#, r#"(template (template "a" b))"#),
        (r#""${ { a = 1 }["a"] }""#, r#"(template (object a=1)["a"])"#),
        (r#""a  ${~ b ~}  c""#, r#"(template "a" b "c")"#),
        (r#"" ${~ b }""#, r#"(template "" b)"#),
        (
            r#""%{ if a }x%{ else }y%{ endif }""#,
            r#"(template (if a "x" else "y"))"#,
        ),
        (
            r#""%{ for k, v in a ~} ${v}%{ endfor }""#,
            r#"(template (for k,v in=a "" v))"#,
        ),
        (
            r#""%{ for a in b }%{ if a }${a}%{ endif }%{ endfor }""#,
            "(template (for a in=b (if a a else)))",
        ),
        ("\"${\n  a\n}\"", "(template a)"),
    ];
    for (text, tree) in table {
        assert_eq!(expression(text), tree, "{text}");
    }
    assert_eq!(template("a\\n\"b\" $${c}"), r#""a\\n\"b\" ${c}""#);
    assert_eq!(template("${a}"), "(template a)");
    // A strip marker reaches to the end of its line, not into the indentation of the next one.
    assert_eq!(
        template("%{ for a in b ~}\n  ${a}\n%{ endfor ~}\n"),
        r#"(template (for a in=b "  " a "\n") "")"#
    );
}

#[test]
fn heredocs() {
    let table = [
        ("<<A\nx\n  y\nA\n", r#""x\n  y\n""#),
        ("<<A\n\nA\n", r#""\n""#),
        ("<<A\nA\n", r#""""#),
        ("<<A\r\nx\r\nA\r\n", r#""x\r\n""#),
        ("<<-A\n    a\n   b\n\n     c\n  A\n", r#"" a\nb\n\n  c\n""#),
        ("<<-A\n\ta\n\t\tb\n\tA\n", r#""a\n\tb\n""#),
        ("<<-A\n    a\n      \n    b\n    A\n", r#""a\n      \nb\n""#),
        ("<<-A\n    ${x} y\n      z\n    A\n", r#"(template "" x " y\n  z\n")"#),
        ("<<-A\n  a\n${x}\n  A\n", r#"(template "  a\n" x "\n")"#),
        ("<<A\nA B\n AB\n  A  \n", r#""A B\n AB\n""#),
        (
            "<<A\n\\n ${\"q\"} $${x} %%{y}\nA\n",
            r#"(template "\\n " "q" " ${x} %{y}\n")"#,
        ),
        ("[<<A\nx\nA\n, <<B\ny\nB\n]", r#"(tuple "x\n" "y\n")"#),
        ("f(<<A\nx\nA\n)", r#"(call f "x\n")"#),
        ("<<A\n${f(<<B\ny\nB\n)}\nA\n", r#"(template (call f "y\n") "\n")"#),
        // What a strip marker joins is one line, so its indentation stays.
        (
            "<<-A\n    %{ if a ~}\n    b\n    %{ endif }\n    A\n",
            r#"(template "" (if a "    b\n" else) "\n")"#,
        ),
    ];
    for (text, tree) in table {
        assert_eq!(expression(text), tree, "{text:?}");
    }
}

#[test]
fn files() {
    let text = "\u{feff}a = 1\r\nb \"c\" d {\r\n  e = [\r\n    2,\r\n  ]\r\n\r\n  f {}\r\n  g { h = 3 }\r\n}";
    insta::assert_snapshot!(file(text));
}

#[test]
fn identifiers() {
    for good in ["a", "_a", "a-b", "é9", "日本"] {
        assert!(is_identifier(good), "{good}");
    }
    for bad in ["", "-a", "9a", "a b", "a.b", "\u{301}a"] {
        assert!(!is_identifier(bad), "{bad}");
    }
}

/// Wrong files, each with the lines that must be named. The rest of each is read nevertheless.
const WRONG: &[(&str, &[usize])] = &[
    ("a => 1\n", &[1]),
    ("a: 1\n", &[1]),
    ("a += 1\n", &[1]),
    ("a === 1\n", &[1]),
    ("1a = 2\n", &[1]),
    ("-a = 1\n", &[1]),
    ("\"a\" = 1\n", &[1]),
    ("a.b = 1\n", &[1]),
    ("a\n", &[1]),
    ("5\n", &[1]),
    ("a =\nb = 1\n", &[1]),
    ("a = 1,\nb = 2\n", &[1]),
    ("a = 1 b = 2\n", &[1]),
    ("a = 1 ; b = 2\n", &[1]),
    ("a \"b\"\n", &[1]),
    ("b {};\n", &[1]),
    ("b\n{\n}\n", &[1]),
    ("b { a = 1, c = 2 }\n", &[1]),
    ("b { a = 1\n  c = 2\n}\n", &[1]),
    ("b { c {} }\n", &[1]),
    ("b {\n  a = 1 }\n", &[2]),
    ("b {\n}\n}\n", &[3]),
    ("b {\n  a = 1\n", &[1]),
    ("b {\n  a = {\n    c = 1\n}\n", &[1]),
    ("b \"x${c}\" {\n}\n", &[1]),
    ("a = 1\na = 2\n", &[2, 1]),
    ("a = 'b'\n", &[1]),
    ("a = `b`\n", &[1]),
    ("a = 1 /* b\nc = 2\n", &[1]),
    ("a = 1 +\n2\n", &[1]),
    ("a = 1 *\nb = 2\n", &[1]),
    ("a = b ? c\n", &[1]),
    ("a = !\n", &[1]),
    ("a = ()\n", &[1]),
    ("a = b..c\n", &[1]),
    ("a = b.\n", &[1]),
    ("a = b.0.1\n", &[1]),
    ("a = b.*.*\n", &[1]),
    ("a = [1 2]\n", &[1]),
    ("b {\n  a = [1, 2\n  c = 3\n}\n", &[3]),
    ("b {\n  a = [\n}\n", &[3]),
    ("b {\n  a = f(\n}\n", &[3]),
    ("b {\n  a = x[0\n}\n", &[3]),
    ("b {\n  a = x[*\n}\n", &[3]),
    ("a = f(x..., y)\n", &[1]),
    ("a = b::c\n", &[1]),
    ("a = [for x in y x]\n", &[1]),
    ("a = [for x of y : x]\n", &[1]),
    ("a = {for x in y : x}\n", &[1]),
    ("a = [for x in y : x => 1]\n", &[1]),
    ("a = { x = 1 y = 2 }\n", &[1]),
    ("a = { x.y = 2 }\n", &[1]),
    ("a = { x }\n", &[1]),
    ("a = \"${}\"\n", &[1]),
    ("a = \"${b c}\"\n", &[1]),
    ("a = \"%{ if b }c\"\n", &[1]),
    ("a = \"%{ endif }\"\n", &[1]),
    ("a = \"%{ else }\"\n", &[1]),
    ("a = \"%{ while b }\"\n", &[1]),
    ("a = \"\\d\"\n", &[1]),
    ("a = \"\\u12\"\n", &[1]),
    ("a = \"b\nc = 1\n", &[1, 2]),
    ("a = \"x ${b\"\nc = 1\n", &[1, 2]),
    ("a = \"b\n  c\"\nd = 1\n", &[1, 2]),
    ("a = <<\nx\n", &[1, 2]),
    ("a = <<A B\nc = 1\n", &[1]),
    ("a = <<A\nb\n", &[1, 3]),
    ("a = <<A\n${b(}\nA\n", &[2]),
    ("a = 1_000\n", &[1]),
    ("a = 0x10\n", &[1]),
    ("a = .5\n", &[1]),
    ("a = \u{a0}1\n", &[1]),
    (
        "b {\n  a = 1 2\n  c = [3 4, 5 6]\n  d = { e = 7 8\n f = 9 9 }\n}\ng = )\n",
        &[2, 3, 3, 4, 5, 7],
    ),
];

#[test]
fn errors_are_placed_and_do_not_spread() {
    for (text, lines) in WRONG {
        let found = error_lines(text);
        assert!(
            lines.iter().all(|line| found.contains(line)),
            "{text:?}: {found:?} has not all of {lines:?}"
        );
    }
}

#[test]
fn errors_read_well() {
    let all: String = WRONG.iter().fold(String::new(), |mut out, (text, _)| {
        writeln!(out, "{}\n{}", text.trim_end().replace('\n', " ⏎ "), file(text)).unwrap();
        out
    });
    insta::assert_snapshot!(all);
}

#[test]
fn columns_count_what_people_see() {
    assert!(file("a = [\"日本\", \"é\" \"x\"]\n").contains("x:1:16-1:17: a comma is missing here"));
    assert!(file("\t\ta = [1 2]\n").contains("x:1:10-1:11: "));
    // The end of a line is a place, up to the beginning of the next one.
    assert!(file("a = b ? c\n").contains("x:1:10-2:1: "));
}

/// Trees are walked and dropped by recursion, also in the evaluator: depth is an error long before the stack of a test's thread ends.
#[test]
fn depth_is_limited() {
    let many = 10_000;
    let deep = [
        "[".repeat(many),
        "(".repeat(many) + "1" + &")".repeat(many),
        "[".repeat(many) + &"]".repeat(many),
        "{a=".repeat(many),
        "f(".repeat(many) + &")".repeat(many),
        "\"${".repeat(many),
        "\"${".repeat(many) + "1" + &"}\"".repeat(many),
        "!".repeat(many) + "a",
        "a".to_owned() + &".b".repeat(many),
        "a".to_owned() + &"[0]".repeat(many),
        "a".to_owned() + &"[*]".repeat(many),
        "a?b:".repeat(many) + "c",
        "[for a in b:".repeat(many),
        "\"".to_owned() + &"%{if a}".repeat(many) + &"%{endif}".repeat(many) + "\"",
    ];
    for text in &deep {
        assert!(expression(text).contains("too deep"), "{}", text.get(..20).unwrap());
        assert!(file(&format!("a = {text}\n")).contains("too deep"));
    }
    assert!(file(&("b {\n".repeat(many) + &"}\n".repeat(many))).contains("too deep"));
    let fits = MAX_DEPTH - 1;
    assert!(!expression(&("[".repeat(fits) + &"]".repeat(fits))).contains("too deep"));
}

#[test]
fn the_number_of_complaints_is_limited() {
    let text = "a = )\n".repeat(1_000);
    assert_eq!(error_lines(&text).len(), super::MAX_COMPLAINTS + 1);
    let lexical = "a = ?;\n".repeat(1_000);
    assert!(error_lines(&lexical).len() <= super::MAX_COMPLAINTS + 1);
}

#[test]
fn too_long_texts_are_refused() {
    let text = "a".repeat(super::MAX_BYTES + 1);
    assert!(file(&text).contains("too long"));
}

/// Pieces of the language in any order: more errors than from characters at random.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b", "for", "in", "if", "1", "0.5", "\"", "\"x\"", "${", "%{", "}", "{", "[", "]", "(", ")", "~}", "\n",
        "\r\n", " ", "=", "==", "=>", ",", ".", "...", ":", "::", "?", "*", "-", "!", "&&", "&", "<<A\n", "<<-A\n",
        "A\n", "\\", "\\u", "$$", "%%{", "#", "//", "/*", "*/", "é", "\u{301}", "'", ";", "endif", "endfor", "else",
        "\u{feff}", "\0",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics(text in pieces()) {
        file(&text);
        expression(&text);
        template(&text);
    }

    #[test]
    fn no_characters_panic(text in "\\PC*") {
        file(&text);
        expression(&text);
        template(&text);
    }

    #[test]
    fn tokens_cover_the_text_in_order(text in pieces()) {
        let mut sources = SourceMap::default();
        let file = sources.add("x", text.as_str());
        let positions = super::Positions::From(file, 0);
        let found = super::lexer::tokenize(&text, super::Start::Code, &positions, true);
        let mut end = 0;
        for token in &found.tokens {
            prop_assert!(end <= token.start && token.start <= token.end, "{token:?}");
            let between = text.get(end as usize..token.start as usize).unwrap();
            prop_assert!(between.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\u{feff}')), "{between:?}");
            end = token.end;
        }
        let open = found.tokens.iter().filter(|t| matches!(t.kind, super::TokenKind::Interpolation | super::TokenKind::Directive));
        let closed = found.tokens.iter().filter(|t| t.kind == super::TokenKind::SequenceEnd);
        prop_assert_eq!(open.count(), closed.count());
    }
}

#[test]
fn what_the_end_of_the_text_cuts_off_is_an_error() {
    for text in [
        "\"",
        "\"a",
        "\"${",
        "\"${a",
        "\"${a\n}",
        "\"${a\n}b",
        "\"%{ if a }",
        "<<A\n",
        "<<A\n${",
        "<<A\n${\"",
        "(",
        "a.",
        "/*",
    ] {
        assert!(expression(text).contains("x:"), "{text:?}");
        assert!(file(&format!("a = {text}")).contains("x:"), "{text:?}");
    }
}
