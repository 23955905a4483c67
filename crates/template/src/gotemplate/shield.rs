//! What `build.*` holds comes from others: names and tags of images, answers of instances. A `{{` in it is text and never a template.
//! So its braces go through the evaluation of an option in disguise, and get their own shape back when the option's own `{{ }}` have
//! been rendered. Functions that count or encode bytes see the disguise.

use std::sync::Arc;

use bakelite_hcl::value::{Kind, Value};

/// Stands for a brace: a noncharacter, which no text has.
const DISGUISED: char = '\u{fdd0}';

/// The value with its braces in disguise. What is secret is ours, and is looked for as it is.
pub(crate) fn shielded(value: &Value) -> Value {
    if value.marks.is_sensitive() {
        return value.clone();
    }
    let each = |elements: &Arc<[Value]>| elements.iter().map(shielded).collect::<Arc<[Value]>>();
    let members = |members: &Arc<bakelite_hcl::value::Members>| {
        Arc::new(
            members
                .iter()
                .map(|(name, member)| (disguised(name), shielded(member)))
                .collect(),
        )
    };
    let kind = match &value.kind {
        Kind::String(text) => Kind::String(disguised(text)),
        Kind::List(of, elements) => Kind::List(of.clone(), each(elements)),
        Kind::Set(of, elements) => Kind::Set(of.clone(), each(elements)),
        Kind::Tuple(elements) => Kind::Tuple(each(elements)),
        Kind::Map(of, all) => Kind::Map(of.clone(), members(all)),
        Kind::Object(all) => Kind::Object(members(all)),
        other => other.clone(),
    };
    Value {
        kind,
        marks: value.marks,
    }
}

fn disguised(text: &Arc<str>) -> Arc<str> {
    if text.contains('{') {
        text.replace('{', DISGUISED.encode_utf8(&mut [0; 4])).into()
    } else {
        text.clone()
    }
}

/// A text that has been rendered, its braces as they were.
pub(crate) fn unshielded(text: String) -> String {
    if text.contains(DISGUISED) {
        text.replace(DISGUISED, "{")
    } else {
        text
    }
}

/// A text that is rendered later: its braces as a template that gives a brace.
pub(crate) fn until_rendered(text: &str) -> String {
    text.replace(DISGUISED, "{{ \"{\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_disguised_everywhere_but_in_secrets() {
        let value = Value::object([("a{", Value::tuple(vec![Value::string("{{ x }}")]))]);
        let shielded_value = shielded(&value);
        assert!(!format!("{shielded_value:?}").contains("\"{"));
        let secret = Value::string("{{").with_marks(bakelite_hcl::marks::Marks::SENSITIVE);
        assert_eq!(shielded(&secret).as_str(), Some("{{"));
    }
}
