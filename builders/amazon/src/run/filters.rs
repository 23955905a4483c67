//! Filters of the Describe operations, as templates write them: each value is one record of CSV, so that a comma separates values.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a VPC or security groups are found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetworkFilter {
    /// Filters of the Describe operation, by name. A comma separates values of which one must match.
    pub filters: BTreeMap<String, String>,
    /// One more filter; may be repeated.
    pub filter: Vec<NameValue>,
}

/// How a subnet is found.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SubnetFilter {
    /// Filters of `DescribeSubnets`, by name. A comma separates values of which one must match.
    pub filters: BTreeMap<String, String>,
    /// One more filter; may be repeated.
    pub filter: Vec<NameValue>,
    /// Of several, take the one with the most free addresses.
    pub most_free: bool,
    /// Of several, take any.
    pub random: bool,
}

/// A filter of a Describe operation.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NameValue {
    /// The filter's name, as in the API reference of EC2: `tag:Name`.
    pub name: String,
    /// The value to match; `*` and `?` are wildcards, a comma separates values of which one must match.
    pub value: String,
}

impl NetworkFilter {
    /// Whether it finds nothing in particular: it counts as absent then.
    pub(crate) fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.filter.is_empty()
    }

    /// The filters as a request has them.
    pub(crate) fn list(&self) -> Vec<Filter> {
        list(&merged(&self.filters, &self.filter))
    }

    /// Complains about a filter without effect, and about values that cannot be read. `option` is the block's name.
    pub(crate) fn check(&self, option: &str, complaints: &mut Vec<Complaint>) {
        check_block(option, self.is_empty(), &self.filters, &self.filter, complaints);
    }
}

impl SubnetFilter {
    /// Whether it finds nothing in particular: it counts as absent then.
    pub(crate) fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.filter.is_empty()
    }

    /// The filters as a request has them, with those that the build adds in place of the user's of the same name.
    pub(crate) fn list(&self, added: &[(&str, Option<&str>)]) -> Vec<Filter> {
        let mut filters = merged(&self.filters, &self.filter);
        for (name, value) in added {
            if let Some(value) = value {
                filters.insert((*name).to_owned(), quoted(value));
            }
        }
        list(&filters)
    }

    /// Complains about a filter without effect, and about values that cannot be read. `option` is the block's name.
    pub(crate) fn check(&self, option: &str, complaints: &mut Vec<Complaint>) {
        check_block(option, self.is_empty(), &self.filters, &self.filter, complaints);
    }
}

fn check_block(
    option: &str,
    is_empty: bool,
    map: &BTreeMap<String, String>,
    blocks: &[NameValue],
    complaints: &mut Vec<Complaint>,
) {
    if is_empty {
        let message = format!("`{option}` without `filters` has no effect");
        complaints.push(Complaint::warning(option, message));
    }
    check(option, &merged(map, blocks), complaints);
}

/// Complains about values that name nothing.
pub(crate) fn check(option: &str, filters: &BTreeMap<String, String>, complaints: &mut Vec<Complaint>) {
    for (name, _) in filters.iter().filter(|(_, value)| value.is_empty()) {
        let path = if option.is_empty() {
            "filters".to_owned()
        } else {
            format!("{option}.filters")
        };
        let message = format!("the value of filter `{name}` in `{path}` must not be empty");
        complaints.push(Complaint::error(format!("{path}.{name}"), message));
    }
}

/// The filters of a map and of blocks; a block goes before a member of the map.
fn merged(map: &BTreeMap<String, String>, blocks: &[NameValue]) -> BTreeMap<String, String> {
    let mut filters = map.clone();
    filters.extend(blocks.iter().map(|filter| (filter.name.clone(), filter.value.clone())));
    filters
}

/// The filters as a request has them.
pub(crate) fn list(filters: &BTreeMap<String, String>) -> Vec<Filter> {
    let filters = filters.iter();
    filters
        .map(|(name, value)| Filter::builder().name(name).set_values(Some(values(value))).build())
        .collect()
}

/// For messages: `tag:Name` = `web`, ….
pub(crate) fn shown(filters: &[Filter]) -> String {
    let shown = filters.iter().map(|filter| {
        let name = filter.name().unwrap_or_default();
        format!("{name} = `{}`", filter.values().join(", "))
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        "an empty filter".into()
    } else {
        shown.join(", ")
    }
}

/// A value as a record of one field.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

/// The fields of a record of CSV. Spaces before a field do not count; a quote that does not open a field stands for itself, and so does
/// one in a quoted field that nothing follows.
fn values(record: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = Some(record);
    while let Some(text) = rest {
        let text = text.trim_start();
        let (value, after) = match text.strip_prefix('"') {
            Some(text) => quoted_field(text),
            None => match text.split_once(',') {
                Some((value, after)) => (value.to_owned(), Some(after)),
                None => (text.to_owned(), None),
            },
        };
        values.push(value);
        rest = after;
    }
    values
}

/// A field behind its opening quote, and what comes after the comma behind it.
fn quoted_field(text: &str) -> (String, Option<&str>) {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            value.push_str(rest);
            return (value, None);
        };
        value.push_str(before);
        if after.is_empty() {
            return (value, None);
        }
        if let Some(after) = after.strip_prefix(',') {
            return (value, Some(after));
        }
        value.push('"');
        rest = after.strip_prefix('"').unwrap_or(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_separates_values_unless_it_is_quoted() {
        for (record, wanted) in [
            ("x", &["x"][..]),
            ("x, y", &["x", "y"]),
            ("x ,y", &["x ", "y"]),
            (r#""p, q",r, " s""#, &["p, q", "r", " s"]),
            (r#"{"k":"v"}"#, &[r#"{"k":"v"}"#]),
            (" x", &["x"]),
            (r#""a""b""#, &[r#"a"b"#]),
            (r#""a"b"#, &[r#"a"b"#]),
            ("a,", &["a", ""]),
        ] {
            assert_eq!(values(record), wanted, "{record}");
        }
        assert_eq!(values(&quoted(r#"a, "b""#)), [r#"a, "b""#]);
    }

    #[test]
    fn what_the_build_adds_goes_before_the_users() {
        let filter: SubnetFilter = serde_json::from_str(
            r#"{"filters": {"state": "pending", "a": "1"}, "filter": [{"name": "a", "value": "2"}]}"#,
        )
        .unwrap();
        let filters = filter.list(&[("state", Some("available")), ("vpc-id", None)]);
        assert_eq!(shown(&filters), "a = `2`, state = `available`");
    }
}
