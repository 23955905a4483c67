//! docs/reference/components and docs/reference/unsupported.md: generated from what the components declare and from the examples in
//! docs/examples/components. The test below writes the pages when `BAKELITE_UPDATE` is set, and fails when they are out of date.

#![expect(
    clippy::format_push_string,
    reason = "pages read best as the pieces that they are made of"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bakelite_engine::registry::Registry;
use bakelite_hcl::types::Type;
use bakelite_template::component::{Component, ComponentKind, Yields};
use bakelite_template::plugins;
use bakelite_template::schema::{Accepts, Choice, Field, FieldKind, Schema};

/// All components, by kind and name.
fn components(registry: &Registry) -> Vec<Component> {
    let mut components: Vec<Component> = registry.iter().map(|one| one.component).collect();
    components.sort_by_key(|component| (component.kind, component.name));
    components
}

/// The pages of components by their file names, the overview among them.
fn pages(components: &[Component]) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut overview = "# Components\n\nThe components that are built in. Options that all provisioners or all post-processors have are on the page\n\
        of [common arguments](../common-arguments.md); what is missing is on the page of [what is not supported](../unsupported.md).\n"
        .to_owned();
    let mut kind = None;
    for component in components {
        if kind.replace(component.kind) != Some(component.kind) {
            overview += &format!("\n## {}s\n\n", capitalized(&component.kind.to_string()));
        }
        let file = format!("{}.md", file_name(component));
        overview += &format!("- [`{}`]({file}): {}\n", component.name, component.doc);
        pages.insert(file, page(component));
    }
    pages.insert("index.md".into(), overview);
    pages
}

/// The name of a component's page and of its example, without their endings.
fn file_name(component: &Component) -> String {
    format!("{}-{}", component.kind, component.name).replace(' ', "-")
}

fn page(component: &Component) -> String {
    let mut text = format!(
        "# {} `{}`\n\n{}\n",
        capitalized(&component.kind.to_string()),
        component.name,
        component.doc
    );
    text += &example(component);
    let schema = (component.schema)();
    text += "\n## Options\n";
    if schema.fields.is_empty() {
        text += "\nIt has no options of its own.\n";
    } else {
        text += &format!("\n{}", table(&schema));
        blocks(&schema, "", &mut text);
    }
    match component.kind {
        ComponentKind::Provisioner | ComponentKind::PostProcessor => {
            text += &format!(
                "\nBesides these it takes the [common arguments of {}s](../common-arguments.md#{}s).\n",
                component.kind, component.kind
            );
        }
        ComponentKind::Builder | ComponentKind::DataSource => {}
    }
    text + &yields(component)
}

/// The component's example, which tests/e2e/documentation.rs runs.
fn example(component: &Component) -> String {
    let name = format!("{}.pkr.hcl", file_name(component));
    let path = root().join("docs/examples/components").join(&name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The file's opening comment is the text above the block.
    let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    let template: Vec<&str> = text.lines().skip(comment.len()).collect();
    let comment: Vec<&str> = comment.iter().map(|line| line.trim_start_matches(['#', ' '])).collect();
    format!(
        "\n## Example\n\n{} ([`{name}`](../../examples/components/{name}))\n\n```hcl\n{}\n```\n",
        comment.join("\n"),
        template.join("\n")
    )
}

/// What the rest of a template can refer to because of the component.
fn yields(component: &Component) -> String {
    match component.yields {
        Yields::Nothing | Yields::BuildData([]) => String::new(),
        Yields::BuildData(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`build.{key}`")).collect();
            format!(
                "\n## Values in `build`\n\nProvisioners and post-processors can use, besides [those of every builder](../../language/builds.md#build):\n{}.\n",
                keys.join(", ")
            )
        }
        Yields::Data(kind) => {
            let mut text = format!(
                "\n## Attributes\n\n`data.{}.NAME` has these attributes:\n\n",
                component.name
            );
            if let Type::Object(object) = kind() {
                for (name, kind) in object.attributes {
                    text += &format!("- `{name}`: {kind}\n");
                }
            }
            text
        }
    }
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
    let mut fields: Vec<&Field> = schema.fields.iter().collect();
    fields.sort_by_key(|field| !field.required);
    let rows: Vec<String> = fields.into_iter().map(row).collect();
    format!("| option | type | default | |\n|---|---|---|---|\n{}", rows.concat())
}

fn row(field: &Field) -> String {
    let mut notes = vec![cell(&field.doc)];
    notes.extend(choices(field).iter().filter_map(choice));
    if field.late {
        notes.push("[Templated at run time](../common-arguments.md#templated-at-run-time).".into());
    }
    if field.sensitive {
        notes.push("Sensitive: masked in all output.".into());
    }
    if let Some(reason) = &field.unsupported {
        notes.push(refused(reason));
    }
    let default = field.default.as_ref().filter(|default| !default.is_null());
    let default = match default {
        Some(default) => format!("`{default}`"),
        None if field.required => "**required**".into(),
        None => String::new(),
    };
    format!(
        "| `{}` | {} | {default} | {} |\n",
        field.name,
        kind(field),
        notes.join(" ")
    )
}

/// The values of an option that takes only certain strings.
fn choices(field: &Field) -> &[Choice] {
    match &field.accepts {
        Accepts::OneOf(choices) => choices,
        _ => &[],
    }
}

/// What there is to know about one value, if anything.
fn choice(choice: &Choice) -> Option<String> {
    let refused = choice.unsupported.as_deref().map(refused);
    let aliases: Vec<String> = choice.aliases.iter().map(|alias| format!("`\"{alias}\"`")).collect();
    let aliases = (!aliases.is_empty()).then(|| format!("Also {}.", aliases.join(", ")));
    let notes: Vec<String> = [
        cell(&choice.doc),
        aliases.unwrap_or_default(),
        refused.unwrap_or_default(),
    ]
    .into();
    let notes: Vec<&str> = notes
        .iter()
        .map(String::as_str)
        .filter(|note| !note.is_empty())
        .collect();
    (!notes.is_empty()).then(|| format!("`\"{}\"`: {}", choice.value, notes.join(" ")))
}

/// Why an option or a value of it is refused.
fn refused(reason: &str) -> String {
    let reason = cell(reason);
    if reason.to_lowercase().contains("not supported") {
        format!("**{}.**", capitalized(&reason))
    } else {
        format!("**Not supported: {reason}.**")
    }
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
        (FieldKind::Attribute(kind), Accepts::Integer { .. }) if kind.to_string() == "number" => "integer".into(),
        (FieldKind::Attribute(kind), _) => kind.to_string(),
    }
}

/// The page of what Packer has and bakelite has not: its opening by hand, the rest from the declarations.
fn unsupported(components: &[Component]) -> String {
    let mut text = include_str!("unsupported.md").to_owned();
    text += &missing(components);
    text += "\n## Options\n\nThese are recognized, and an error names them where a template uses them.\n";
    for component in components {
        let mut rows = String::new();
        refusals(&(component.schema)(), "", &mut rows);
        if !rows.is_empty() {
            text += &format!(
                "\n### [{} `{}`](components/{}.md)\n\n| option | |\n|---|---|\n{rows}",
                capitalized(&component.kind.to_string()),
                component.name,
                file_name(component)
            );
        }
    }
    text
}

/// The components of Packer and of the plugins that are known by name which are not built in, by plugin.
fn missing(components: &[Component]) -> String {
    let has = |kind, name: &str| components.iter().any(|one| one.kind == kind && one.name == name);
    let mut by_plugin: Vec<(&str, Vec<String>)> = Vec::new();
    for (kind, name, plugin) in plugins::missing(&has) {
        let plugin = plugin.map_or("Packer itself", |plugin| plugin.source);
        let component = format!("{kind} `{name}`");
        match by_plugin.last_mut().filter(|(last, _)| *last == plugin) {
            Some((_, names)) => names.push(component),
            None => by_plugin.push((plugin, vec![component])),
        }
    }
    let rows: Vec<String> = by_plugin
        .iter()
        .map(|(plugin, names)| format!("| {plugin} | {} |\n", names.join(", ")))
        .collect();
    format!("\n## Components\n\n| of | not built in |\n|---|---|\n{}", rows.concat())
}

/// A row for each option and each value that is refused, nested blocks included.
fn refusals(schema: &Schema, above: &str, rows: &mut String) {
    for field in &schema.fields {
        let path = format!("{above}{}", field.name);
        if let Some(reason) = &field.unsupported {
            *rows += &format!("| `{path}` | {} |\n", cell(reason));
            continue;
        }
        for choice in choices(field) {
            if let Some(reason) = &choice.unsupported {
                *rows += &format!("| `{path} = \"{}\"` | {} |\n", choice.value, cell(reason));
            }
        }
        if let FieldKind::Block(inner) | FieldKind::Blocks(inner) = &field.kind {
            refusals(inner, &format!("{path}."), rows);
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn capitalized(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn directory() -> PathBuf {
    root().join("docs/reference/components")
}

#[test]
fn the_pages_are_what_the_components_declare() {
    let components = components(&super::registry());
    let pages = pages(&components);
    let unsupported = unsupported(&components);
    let unsupported_file = root().join("docs/reference/unsupported.md");
    if crate::env::read().contains_key("BAKELITE_UPDATE") {
        let _ = std::fs::remove_dir_all(directory());
        std::fs::create_dir_all(directory()).unwrap();
        for (file, text) in &pages {
            std::fs::write(directory().join(file), text).unwrap();
        }
        std::fs::write(&unsupported_file, &unsupported).unwrap();
    }
    let written: BTreeMap<String, String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert_eq!(written, pages, "run it again with BAKELITE_UPDATE=1");
    assert_eq!(
        std::fs::read_to_string(unsupported_file).unwrap(),
        unsupported,
        "run it again with BAKELITE_UPDATE=1"
    );
}

/// Every page of the book is in its table of contents.
#[test]
fn the_summary_is_complete() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut pending = vec![root().join("docs")];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let page = path.strip_prefix(root().join("docs")).unwrap().display().to_string();
            let is_page = path.extension().is_some_and(|extension| extension == "md") && page != "SUMMARY.md";
            assert!(
                !is_page || summary.contains(&format!("({page})")),
                "{page} is not in docs/SUMMARY.md"
            );
        }
    }
}

/// The guide to permissions has the whole table of features. `BAKELITE_UPDATE=1` writes it.
#[test]
fn the_policy_of_the_guide_is_the_table_of_features() {
    let page = root().join("docs/guide/iam.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- policy: generated -->\n", "<!-- end of policy -->\n");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let policy = bakelite_builder_amazon::policy::whole();
    let wanted = format!("{before}{begin}\n```json\n{policy:#}\n```\n\n{end}{after}");
    if crate::env::read().contains_key("BAKELITE_UPDATE") {
        std::fs::write(&page, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written == wanted, "run it again with BAKELITE_UPDATE=1");
}
