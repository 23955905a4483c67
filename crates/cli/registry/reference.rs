//! docs/reference/components: a page for each component, made of what the component declares. Nobody writes these pages; the test
//! below writes them when `BAKELITE_UPDATE` is set, and fails when they are not what the declarations say.

#![expect(
    clippy::format_push_string,
    reason = "pages read best as the pieces that they are made of"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bakelite_engine::registry::Registry;
use bakelite_template::component::{Component, Yields};
use bakelite_template::schema::{Accepts, Field, FieldKind, Schema};

/// The pages by their file names, the overview among them.
fn pages(registry: &Registry) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut overview =
        "# Components\n\nWhat is built in. Each page is made of the component's own declaration.\n".to_owned();
    let mut components: Vec<Component> = registry.iter().map(|one| one.component).collect();
    components.sort_by_key(|component| (component.kind, component.name));
    let mut kind = None;
    for component in &components {
        if kind.replace(component.kind) != Some(component.kind) {
            overview += &format!("\n## {}s\n\n", capitalized(&component.kind.to_string()));
        }
        let file = format!("{}-{}.md", component.kind, component.name).replace(' ', "-");
        overview += &format!("- [`{}`]({file}): {}\n", component.name, component.doc);
        pages.insert(file, page(component));
    }
    pages.insert("index.md".into(), overview);
    pages
}

fn page(component: &Component) -> String {
    let mut text = format!(
        "# {} `{}`\n\n{}\n",
        capitalized(&component.kind.to_string()),
        component.name,
        component.doc
    );
    let schema = (component.schema)();
    if schema.fields.is_empty() {
        text += "\nIt has no options.\n";
    } else {
        text += "\n## Options\n\n";
        text += &table(&schema);
        blocks(&schema, "", &mut text);
    }
    match component.yields {
        Yields::Nothing | Yields::BuildData([]) => {}
        Yields::BuildData(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`build.{key}`")).collect();
            text += &format!("\n## What it adds to `build`\n\n{}\n", keys.join(", "));
        }
        Yields::Data(kind) => text += &format!("\n## What it answers\n\n`{}`\n", kind()),
    }
    text
}

/// The nested blocks of a schema, each under its path.
fn blocks(schema: &Schema, above: &str, text: &mut String) {
    for field in &schema.fields {
        let (FieldKind::Block(inner) | FieldKind::Blocks(inner)) = &field.kind else {
            continue;
        };
        // What is not supported has no options to explain.
        if field.unsupported.is_some() || inner.fields.is_empty() {
            continue;
        }
        let path = format!("{above}{}", field.name);
        *text += &format!("\n### `{path}`\n\n{}\n\n{}", field.doc.replace('\n', " "), table(inner));
        blocks(inner, &format!("{path}."), text);
    }
}

fn table(schema: &Schema) -> String {
    let rows: Vec<String> = schema.fields.iter().map(row).collect();
    format!("| option | type | default | |\n|---|---|---|---|\n{}", rows.concat())
}

fn row(field: &Field) -> String {
    let mut notes = vec![cell(&field.doc)];
    if field.late {
        notes.push("Rendered when it is used.".into());
    }
    if field.sensitive {
        notes.push("A secret: never shown.".into());
    }
    if let Some(reason) = &field.unsupported {
        notes.push(format!("**{}.**", capitalized(&cell(reason))));
    }
    let default = field.default.as_ref().filter(|default| !default.is_null());
    let default = default.map_or_else(String::new, |default| format!("`{default}`"));
    format!(
        "| `{}` | {} | {default} | {} |\n",
        field.name,
        kind(field),
        notes.join(" ")
    )
}

/// What a value of the option is, in a few words.
fn kind(field: &Field) -> String {
    match (&field.kind, &field.accepts) {
        (FieldKind::Block(_), _) => "block".into(),
        (FieldKind::Blocks(_), _) => "blocks".into(),
        (FieldKind::Attribute(_), Accepts::Duration) => "duration".into(),
        (FieldKind::Attribute(_), Accepts::OneOf(choices)) => {
            let values: Vec<String> = choices.iter().map(|choice| format!("`\"{}\"`", choice.value)).collect();
            values.join(", ")
        }
        (FieldKind::Attribute(kind), Accepts::Integer { .. }) if kind.to_string() == "number" => "whole number".into(),
        (FieldKind::Attribute(kind), _) => kind.to_string(),
    }
}

fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn capitalized(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/components")
}

#[test]
fn the_pages_say_what_the_components_declare() {
    let pages = pages(&super::registry());
    if crate::env::read().contains_key("BAKELITE_UPDATE") {
        let _ = std::fs::remove_dir_all(folder());
        std::fs::create_dir_all(folder()).unwrap();
        for (file, text) in &pages {
            std::fs::write(folder().join(file), text).unwrap();
        }
    }
    let written: BTreeMap<String, String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert_eq!(written, pages, "run it again with BAKELITE_UPDATE=1");
    let summary = std::fs::read_to_string(folder().join("../../SUMMARY.md")).unwrap();
    for file in pages.keys() {
        assert!(
            summary.contains(&format!("(reference/components/{file})")),
            "{file} is not in docs/SUMMARY.md"
        );
    }
}
