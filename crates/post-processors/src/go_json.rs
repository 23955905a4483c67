//! JSON as tools have always got it from Packer: `<`, `>` and `&` escaped, indented by two spaces or compact, no newline at the end.

use serde::Serialize;
use serde_json::Value;

/// Indented by two spaces.
pub(crate) fn indented(value: &impl Serialize) -> String {
    escaped(&format!("{:#}", as_value(value)))
}

/// In one line.
pub(crate) fn compact(value: &impl Serialize) -> String {
    escaped(&as_value(value).to_string())
}

/// As a value.
pub(crate) fn as_value(value: &impl Serialize) -> Value {
    #[expect(
        clippy::unwrap_used,
        reason = "only maps whose keys are no texts fail, and none of ours has such keys"
    )]
    serde_json::to_value(value).unwrap()
}

fn escaped(text: &str) -> String {
    let escapes = [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    escapes.iter().fold(text.to_owned(), |text, (character, escape)| {
        text.replace(*character, escape)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_indented_escaped_and_has_no_newline_at_the_end() {
        let text = indented(&json!({ "builds": [{ "files": null, "custom_data": { "a": "<b>&\u{2028}" } }] }));
        insta::assert_snapshot!(text, @r#"
        {
          "builds": [
            {
              "files": null,
              "custom_data": {
                "a": "\u003cb\u003e\u0026\u2028"
              }
            }
          ]
        }
        "#);
        assert!(!text.ends_with('\n'));
        assert_eq!(compact(&json!({"a": "<"})), r#"{"a":"\u003c"}"#);
    }
}
