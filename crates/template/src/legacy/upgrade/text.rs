//! Texts with `{{ }}` as HCL templates: what HCL can say itself is said in HCL, the rest stays.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::gotemplate::{self, GoValue, Library};

/// What stands between these is HCL already and is not escaped. Both are private to this module: no text has them.
const OPEN: char = '\u{f0001}';
const CLOSE: char = '\u{f0002}';

/// Translates texts.
pub(super) struct Texts {
    /// Variables that became locals.
    locals: BTreeSet<String>,
    uses_timestamp: Cell<bool>,
}

#[expect(clippy::unwrap_used, reason = "the expression is a constant that every use reads")]
static FIELD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\.([A-Za-z_][A-Za-z0-9_]*)").unwrap());

/// Words of actions that are more than calls: a text with them stays as it is.
const CONTROL: &[&str] = &["if", "range", "with", "define", "template", "block", "else", "end"];

/// A text that is HCL already.
pub(super) fn raw(text: &str) -> String {
    format!("{OPEN}{text}{CLOSE}")
}

impl Texts {
    pub(super) fn new(locals: impl Iterator<Item = String>) -> Self {
        Self {
            locals: locals.collect(),
            uses_timestamp: Cell::new(false),
        }
    }

    /// Has any text used the time?
    pub(super) fn uses_timestamp(&self) -> bool {
        self.uses_timestamp.get()
    }

    /// A text as a quoted template.
    pub(super) fn expression(&self, text: &str) -> String {
        let rendered = self.rendered(text);
        let mut out = String::from("\"");
        let mut depth = 0usize;
        let mut outside = String::new();
        for c in rendered.chars() {
            match c {
                OPEN => {
                    out.push_str(&escape(&std::mem::take(&mut outside)));
                    depth += 1;
                }
                CLOSE => depth = depth.saturating_sub(1),
                _ if depth > 0 => out.push(c),
                _ => outside.push(c),
            }
        }
        out.push_str(&escape(&outside));
        out.push('"');
        out
    }

    fn rendered(&self, text: &str) -> String {
        if !text.contains("{{") || is_controlled(text) {
            return text.to_owned();
        }
        let mut fields = serde_json::Map::new();
        for found in FIELD.captures_iter(text) {
            let name = found.get(1).map_or("", |name| name.as_str());
            fields.insert(name.to_owned(), format!("{{{{ .{name} }}}}").into());
        }
        gotemplate::render_by(text, &fields, self).unwrap_or_else(|_| text.to_owned())
    }

    fn call_in_hcl(&self, name: &str, arguments: &[&str]) -> Option<String> {
        let quoted: Vec<String> = arguments.iter().map(|argument| self.expression(argument)).collect();
        let quoted = quoted.join(", ");
        Some(match (name, arguments) {
            ("user", [name]) if self.locals.contains(*name) => format!("local.{name}"),
            ("user", [name]) => format!("var.{name}"),
            ("build", [key]) => format!("build.{key}"),
            ("timestamp", []) => {
                self.uses_timestamp.set(true);
                "local.timestamp".to_owned()
            }
            ("isotime", []) => "timestamp()".to_owned(),
            ("isotime", _) => format!("legacy_isotime({quoted})"),
            ("strftime", _) => format!("legacy_strftime({quoted})"),
            ("template_dir", []) => "path.root".to_owned(),
            ("pwd", []) => "path.cwd".to_owned(),
            ("packer_version", []) => "packer.version".to_owned(),
            ("uuid", []) => "uuidv4()".to_owned(),
            ("build_name", []) => "build.name".to_owned(),
            ("build_type", []) => "build.type".to_owned(),
            ("env" | "consul_key" | "vault" | "aws_secretsmanager" | "aws_secretsmanager_raw", _) => {
                format!("{name}({quoted})")
            }
            _ => return None,
        })
    }
}

fn is_controlled(text: &str) -> bool {
    text.split("{{").skip(1).any(|action| {
        let word = action
            .trim_start_matches(['-', ' '])
            .split([' ', '}'])
            .next()
            .unwrap_or_default();
        CONTROL.contains(&word) || word.starts_with('$')
    })
}

impl Library for Texts {
    fn is_known(&self, _: &str) -> bool {
        true
    }

    fn call(&self, name: &str, arguments: &[GoValue]) -> Result<Option<GoValue>, String> {
        let texts: Vec<String> = arguments.iter().map(GoValue::print).collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        if let Some(hcl) = self.call_in_hcl(name, &borrowed) {
            return Ok(Some(raw(&format!("${{{hcl}}}")).into()));
        }
        let arguments: Vec<String> = borrowed.iter().map(|text| format!("`{text}`")).collect();
        Ok(Some(format!("{{{{ {name} {} }}}}", arguments.join(" ")).into()))
    }
}

/// A string between quotes in HCL, which has other escapes than Go's `%q` (`show::quote`): `${` and `%{` begin something here, and `\a`
/// and `\x07` mean nothing.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if rest.peek() == Some(&'{') => {
                out.push(c);
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
