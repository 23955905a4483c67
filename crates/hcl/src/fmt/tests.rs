//! What the formatter makes of texts.

use proptest::prelude::*;

use super::format;
use crate::diagnostic::Diagnostics;
use crate::native::{parse_file, sketch};
use crate::source::SourceMap;

/// A text, and how it is written.
const TABLE: &[(&str, &str)] = &[
    ("", ""),
    ("\n\n  \nb {\n\n\n}\n\n", "\n\n\nb {\n\n\n}\n\n"),
    ("b{\na=1\n}", "b {\n  a = 1\n}"),
    ("b   \"x\"   y{}\n", "b \"x\" y {}\n"),
    ("b{a=1}\n", "b { a = 1 }\n"),
    ("b {\r\n  a=1\r\n}\r\n", "b {\r\n  a = 1\r\n}\r\n"),
    ("b {\n\ta\t=\t1  \n}  \n", "b {\n  a = 1\n}\n"),
    ("a = 1+2*3-4/5%6\n", "a = 1 + 2 * 3 - 4 / 5 % 6\n"),
    ("a = !b&&-c||d==- 1\n", "a = !b && -c || d == -1\n"),
    ("a = b?c:- d\n", "a = b ? c : -d\n"),
    ("a = (1)-1\n", "a = (1) - 1\n"),
    ("a = f ( 1,2 )\n", "a = f(1, 2)\n"),
    ("a = f(b ...)\n", "a = f(b...)\n"),
    ("a = n :: f()\n", "a = n::f()\n"),
    ("a = b . c . 0 [ 1 ] [ * ] . d\n", "a = b.c.0[1][*].d\n"),
    ("a = b.0 .1\n", "a = b.0 .1\n"),
    ("a = [ 1,2 ]\n", "a = [1, 2]\n"),
    ("a = {b=1,c=2}\nd={ }\n", "a = { b = 1, c = 2 }\nd = {}\n"),
    ("a = [for x in[1]:x if(x)]\n", "a = [for x in [1] : x if(x)]\n"),
    ("a = {for k,v in b:k=>v...}\n", "a = { for k, v in b : k => v... }\n"),
    (
        "a = \"x${  f(  \"y\" ) }z%{ if  true }q%{  endif  }\"\n",
        "a = \"x${f(\"y\")}z%{if true}q%{endif}\"\n",
    ),
    ("a = \"${~ b ~}${ {c=1} }\"\n", "a = \"${~b~}${ { c = 1 } }\"\n"),
    ("a = [1,2,\n3]\n", "a = [1, 2,\n3]\n"),
    ("b {\na = (\n1 +\n2\n)\n}\n", "b {\n  a = (\n    1 +\n    2\n  )\n}\n"),
    ("a = [f({\nb = 1\n})]\n", "a = [f({\n  b = 1\n})]\n"),
    (
        "a = [{\nb = 1\n}, {\nb = 2\n}]\n",
        "a = [{\n  b = 1\n  }, {\n  b = 2\n}]\n",
    ),
    ("a = \"${\n1\n}\"\n", "a = \"${\n  1\n}\"\n"),
    (
        "a = 1\nbbb = 2\n\ncc = 3\nd = 4\n# e\nffff = 5\n",
        "a   = 1\nbbb = 2\n\ncc = 3\nd  = 4\n# e\nffff = 5\n",
    ),
    (
        "a = 1\nbbb = {\nc = 1\ndd = 2\n}\ne = 3\n",
        "a = 1\nbbb = {\n  c  = 1\n  dd = 2\n}\ne = 3\n",
    ),
    ("é = 1\nbb = 2\n", "é  = 1\nbb = 2\n"),
    (
        "a = 1 # b\ncc = 22 // d\ne = 3\nf {   # g\n}\n",
        "a  = 1  # b\ncc = 22 // d\ne  = 3\nf { # g\n}\n",
    ),
    (
        "b {\n# c\n/* d */a = 1/* e */\n}\n",
        "b {\n  # c\n  /* d */ a = 1 /* e */\n}\n",
    ),
    ("/* a\n  b */\nc = 1\n", "/* a\n  b */\nc = 1\n"),
    (
        "b {\na=<<-E\n x   y\n  ${  z }\n   E\n}\n",
        "b {\n  a = <<-E\n x   y\n  ${  z }\n   E\n}\n",
    ),
    ("b {\na = f(<<E\n x\nE\n)\n}\n", "b {\n  a = f(<<E\n x\nE\n  )\n}\n"),
    ("\u{feff}a=1\n", "\u{feff}a = 1\n"),
];

#[test]
fn texts_are_written_canonically() {
    for (text, formatted) in TABLE {
        assert_eq!(format(text), *formatted, "{text:?}");
        assert_eq!(format(formatted), *formatted, "not idempotent");
    }
}

/// The tree without places, or nothing when the text cannot be parsed.
fn tree(text: &str) -> Option<String> {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let body = parse_file(text, file, &mut diagnostics);
    (!diagnostics.has_errors()).then(|| sketch::body(&body))
}

/// An expression in any layout.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "a-b",
        "1",
        "0.5",
        "true",
        "\"x\"",
        "\"  ${ a }  \"",
        "\"%{ if a ~} b %{~ else }c%{endif}\"",
        "<<E\n x  ${ a }\nE\n",
        "<<-E\n   x\n  %{ for a in b ~}\n  y\n  %{ endfor }\n E\n",
    ]);
    let space = prop::sample::select(vec!["", " ", "  ", "\t", " /* c */ "]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, move |inner| {
        let space = space.clone();
        let join = prop::sample::select(vec!["+", " - ", " -", "*", "/", "%", "==", "&&", "||", "<", ">="]);
        prop_oneof![
            (inner.clone(), join, inner.clone()).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
            (inner.clone(), space.clone()).prop_map(|(a, s)| format!("(-{s}{a})")),
            (inner.clone(), space.clone()).prop_map(|(a, s)| format!("!{s}{a}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}?{b}:{c})")),
            (inner.clone(), space.clone(), inner.clone()).prop_map(|(a, s, b)| format!("[{s}{a}{s},\n{b}{s}]")),
            (inner.clone(), space.clone()).prop_map(|(a, s)| format!("({a}){s}[{s}0{s}]{s}.{s}b")),
            (inner.clone(), inner.clone(), space.clone()).prop_map(|(a, b, s)| format!("f{s}({a}{s},{b}\n...)")),
            (inner.clone(), inner.clone(), space)
                .prop_map(|(a, b, s)| format!("{{{s}k{s}={s}({a})\n (\"l\")={s}({b}){s}}}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[for x in {a}:{b} if x]")),
        ]
    })
}

fn body() -> impl Strategy<Value = String> {
    let space = prop::sample::select(vec!["", " ", "\n", "  # c\n", "\r\n", "\n\n"]);
    let item = (expression(), prop::bool::ANY, space).prop_map(|(e, block, s)| {
        if block {
            format!("x \"y\"{{\nv=({e}\n)\n}}\n{s}")
        } else {
            format!("v{}=({e}\n)\n{s}", e.len())
        }
    });
    prop::collection::vec(item, 0..4).prop_map(|items| items.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(512)))]

    #[test]
    fn meaning_is_kept_and_formatting_is_idempotent(text in body()) {
        let formatted = format(&text);
        prop_assert_eq!(tree(&formatted), tree(&text));
        prop_assert_eq!(format(&formatted), formatted);
    }

    #[test]
    fn nothing_panics(text in "[ab01 \\n\\t\"${}%~()\\[\\]=<E-]{0,80}") {
        format(&text);
    }
}
