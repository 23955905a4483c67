//! Bodies against schemas.

use std::fmt::Write;

use super::{BodySchema, Content};
use crate::diagnostic::Diagnostics;
use crate::native::sketch;
use crate::source::SourceMap;
use crate::syntax::{Body, Item, NativeBody};
use crate::{json, native};

struct Read {
    sources: SourceMap,
    body: Body,
    diagnostics: Diagnostics,
}

fn read(text: &str) -> Read {
    let mut sources = SourceMap::default();
    let file = sources.add("x", text);
    let mut diagnostics = Diagnostics::default();
    let body = if text.starts_with(['{', '[']) {
        let value = json::parse_file(text, file, &mut diagnostics).unwrap();
        json::body(value, &mut diagnostics)
    } else {
        native::parse_file(text, file, &mut diagnostics)
    };
    Read {
        sources,
        body,
        diagnostics,
    }
}

impl Read {
    fn told(&self) -> String {
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            let place = diagnostic.place.unwrap();
            write!(
                out,
                "\n{} `{}`: ",
                self.sources.describe(place),
                self.sources.slice(place)
            )
            .unwrap();
            write!(out, "{}. {}", diagnostic.summary, diagnostic.detail).unwrap();
            for (place, what) in &diagnostic.related {
                write!(out, " ({}: {what})", self.sources.describe(*place)).unwrap();
            }
            if let Some(help) = &diagnostic.help {
                write!(out, " → {help}").unwrap();
            }
        }
        out
    }
}

/// Content as a body in native syntax would show it.
fn show(content: Content) -> String {
    let attributes = content.attributes.into_iter().map(Item::Attribute);
    let items = attributes.chain(content.blocks.into_iter().map(Item::Block)).collect();
    let place = crate::source::Place::new(SourceMap::default().add("x", ""), 0..0);
    sketch::body(&Body::Native(NativeBody {
        items,
        place,
        incomplete: place,
    }))
}

fn schema() -> BodySchema<'static> {
    BodySchema {
        attributes: vec![("name", true), ("size", false)],
        blocks: vec![("source", &["type", "name"]), ("step", &[]), ("tag", &["key"])],
    }
}

fn content(text: &str) -> String {
    let mut read = read(text);
    let content = read.body.content(&schema(), &mut read.diagnostics);
    show(content) + read.told().trim_start()
}

#[test]
fn native_and_json_hold_the_same() {
    let native = content(
        "name = \"a\"\nsize = 1\nsource \"t\" \"n\" {\n}\nsource t m {\n}\nstep {\n}\nstep {\n}\ntag \"k\" {\n}\n",
    );
    assert!(native.contains("source \"t\" \"n\""));
    let objects =
        content(r#"{"name": "a", "size": 1, "source": {"t": {"n": {}, "m": {}}}, "step": [{}, {}], "tag": {"k": {}}}"#);
    let arrays = content(
        r#"{"//": "why", "size": 1, "name": "a", "source": [{"t": [{"n": {}}]}, {"t": {"m": [{}]}}], "step": [{}, null, {}], "tag": {"//": 1, "k": {}}}"#,
    );
    let lines = |text: &str| {
        let plain = text
            .replace("(json \"a\" \"a\")", "\"a\"")
            .replace("(json)\n", "")
            .replace("  ", "");
        let mut lines: Vec<_> = plain.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&native), lines(&objects));
    assert_eq!(lines(&native), lines(&arrays));
}

#[test]
fn errors_read_well() {
    let texts = [
        "",
        "nme = 1\nsize = 2\n",
        "name = 1\nsorce \"a\" \"b\" {\n}\n",
        "name = 1\nstep = {}\nsize {\n}\nstpe = 1\nsizes {\n}\n",
        "name = 1\nsource \"a\" {\n}\nsource \"a\" \"b\" \"c\" {\n}\nstep \"a\" {\n}\n",
        "{}",
        "{\"nme\": 1,\n \"name\": 2, \"name\": 3}",
        "{\"name\": 1, \"source\": {\"a\": 1}, \"step\": 1, \"tag\": {}}",
        "{\"name\": 1, \"source\": {\"a\": [1, {}]}}",
    ];
    let all: String = texts
        .iter()
        .map(|text| format!("{}\n{}\n\n", text.trim_end().replace('\n', " ⏎ "), content(text)))
        .collect();
    insta::assert_snapshot!(all);
}

#[test]
fn what_the_schema_does_not_name_is_left() {
    for text in [
        "name = 1\nother = 2\nmore {\n}\nstep {\n}\n",
        r#"{"name": 1, "other": 2, "more": {}, "step": {}}"#,
    ] {
        let mut read = read(text);
        let (content, rest) = read.body.partial_content(&schema(), &mut read.diagnostics);
        assert_eq!((content.attributes.len(), content.blocks.len()), (1, 1));
        let more = BodySchema {
            attributes: vec![("other", true)],
            blocks: vec![("more", &[])],
        };
        let rest = rest.content(&more, &mut read.diagnostics);
        assert_eq!((rest.attributes.len(), rest.blocks.len()), (1, 1));
        assert!(read.diagnostics.is_empty(), "{}", read.told());
    }
}

#[test]
fn bodies_as_attributes() {
    let mut native = read("a = 1\nb {\n}\n");
    assert_eq!(native.body.attributes(&mut native.diagnostics).len(), 1);
    assert!(native.told().contains("x:2:1 `b`: a block `b` cannot stand here"));
    let mut json = read(r#"{"a": 1, "//": 2, "b": {}, "a": 3}"#);
    let found = json.body.attributes(&mut json.diagnostics);
    assert_eq!(found.len(), 2);
    assert_eq!(json.sources.slice(found.first().unwrap().place), r#""a": 1"#);
    assert!(json.told().contains("x:1:28 `\"a\"`: `a` is set twice"));
}
