//! For tests: a tree written out without its places, so that two trees can be compared and read.

use std::fmt::Write;

use crate::syntax::{Body, Expression, ExpressionKind, Item, JsonKind, JsonValue, Name, ObjectKey, TemplatePart};

/// A body, one item a line.
pub(crate) fn body(body: &Body) -> String {
    let mut out = String::new();
    write_body(&mut out, body, 0);
    out
}

fn write_body(out: &mut String, body: &Body, level: usize) {
    let Body::Native(native) = body else {
        return out.push_str("(json)\n");
    };
    for item in &native.items {
        out.push_str(&"  ".repeat(level));
        match item {
            Item::Attribute(attribute) => {
                writeln!(out, "{} = {}", attribute.name.text, expression(&attribute.expression)).unwrap();
            }
            Item::Block(block) => {
                let labels: String = block.labels.iter().map(|label| format!(" {:?}", label.text)).collect();
                writeln!(out, "{}{labels} {{", block.kind.text).unwrap();
                write_body(out, &block.body, level + 1);
                writeln!(out, "{}}}", "  ".repeat(level)).unwrap();
            }
        }
    }
}

fn all(expressions: &[Expression]) -> String {
    expressions
        .iter()
        .map(|inner| format!(" {}", expression(inner)))
        .collect()
}

fn literal(value: &crate::value::Value) -> String {
    use crate::value::Kind;
    match &value.kind {
        Kind::Null(_) => "null".to_owned(),
        Kind::Bool(truth) => truth.to_string(),
        Kind::Number(number) => number.to_string(),
        Kind::String(text) => format!("{text:?}"),
        other => format!("{other:?}"),
    }
}

/// An expression in prefix form.
pub(crate) fn expression(of: &Expression) -> String {
    match &of.kind {
        ExpressionKind::Literal(value) => literal(value),
        ExpressionKind::Template(parts) => format!("(template{})", template(parts)),
        ExpressionKind::Tuple(elements) => format!("(tuple{})", all(elements)),
        ExpressionKind::Object(items) => {
            let items: String = items
                .iter()
                .map(|(key, value)| format!(" {}={}", object_key(key), expression(value)))
                .collect();
            format!("(object{items})")
        }
        ExpressionKind::Variable(name) => name.clone(),
        ExpressionKind::Attribute(base, name) => format!("{}.{}", expression(base), name.text),
        ExpressionKind::Index(base, index) => format!("{}[{}]", expression(base), expression(index)),
        ExpressionKind::Splat { source, rest } => format!("(splat {} {})", expression(source), expression(rest)),
        ExpressionKind::SplatElement => "@".to_owned(),
        ExpressionKind::Conditional(condition, yes, no) => {
            format!("(? {} {} {})", expression(condition), expression(yes), expression(no))
        }
        ExpressionKind::Operations(first, operations) => operations.iter().fold(expression(first), |left, next| {
            format!("({:?} {left} {})", next.operator, expression(&next.operand))
        }),
        ExpressionKind::Unary(operator, operand) => format!("({operator:?} {})", expression(operand)),
        ExpressionKind::Call {
            name,
            arguments,
            expand_last,
        } => {
            format!(
                "(call {}{}{})",
                name.text,
                all(arguments),
                if *expand_last { "..." } else { "" }
            )
        }
        ExpressionKind::For(of) => {
            let key = of
                .key
                .as_ref()
                .map(|key| format!(" key={}", expression(key)))
                .unwrap_or_default();
            let condition = of
                .condition
                .as_ref()
                .map(|condition| format!(" if={}", expression(condition)))
                .unwrap_or_default();
            let names = names(of.key_name.as_ref(), &of.value_name);
            let group = if of.group { " group" } else { "" };
            format!(
                "(for {names} in={}{key} value={}{group}{condition})",
                expression(&of.collection),
                expression(&of.value)
            )
        }
        ExpressionKind::Parenthesis(inner) => format!("(paren {})", expression(inner)),
        ExpressionKind::JsonString(template, text) => format!("(json {text:?} {})", expression(template)),
        ExpressionKind::Invalid => "(invalid)".to_owned(),
        ExpressionKind::Unreadable(_) => "(unreadable)".to_owned(),
    }
}

fn object_key(key: &ObjectKey) -> String {
    match key {
        ObjectKey::Name(name) => name.text.clone(),
        ObjectKey::Expression(key) => expression(key),
    }
}

fn names(key: Option<&Name>, value: &Name) -> String {
    key.map(|key| format!("{},", key.text)).unwrap_or_default() + &value.text
}

fn template(parts: &[TemplatePart]) -> String {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Literal(text) => format!(" {text:?}"),
        TemplatePart::Interpolation(inner) => format!(" {}", expression(inner)),
        TemplatePart::If { condition, yes, no } => {
            format!(" (if {}{} else{})", expression(condition), template(yes), template(no))
        }
        TemplatePart::For {
            key,
            value,
            collection,
            body,
        } => {
            format!(
                " (for {} in={}{})",
                names(key.as_ref(), value),
                expression(collection),
                template(body)
            )
        }
    };
    parts.iter().map(part).collect()
}

/// A JSON value as JSON, for comparison with another reader.
pub(crate) fn json(value: &JsonValue) -> String {
    match &value.kind {
        JsonKind::Null => "null".to_owned(),
        JsonKind::Bool(truth) => truth.to_string(),
        JsonKind::Number(text) => text.clone(),
        JsonKind::String(text) => format!("{text:?}"),
        JsonKind::Array(elements) => format!("[{}]", elements.iter().map(json).collect::<Vec<_>>().join(",")),
        JsonKind::Object(properties) => {
            let properties: Vec<_> = properties
                .iter()
                .map(|(name, value)| format!("{:?}:{}", name.text, json(value)))
                .collect();
            format!("{{{}}}", properties.join(","))
        }
    }
}
