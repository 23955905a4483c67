//! Filters of Describe calls: names with lists of patterns; all filters must match, one pattern of each is enough.

use crate::api_error::ApiError;
use crate::pattern::matches;
use crate::query::Parameters;
use crate::state::Tags;

/// What a Describe call can filter by: a filter's name, and the values that an item has for it.
pub(crate) type FilterTable<T> = &'static [(&'static str, fn(&T) -> Vec<String>)];

/// The filters of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Vec<Filter>);

#[derive(Debug, Clone)]
struct Filter {
    name: String,
    patterns: Vec<String>,
}

/// Most values that one filter may have.
const MOST_VALUES: usize = 200;

impl Filters {
    /// Takes `Filter.N.Name` and `Filter.N.Value.M`, and checks that the call knows each.
    pub(crate) fn take<T>(parameters: &mut Parameters, table: FilterTable<T>) -> Result<Filters, ApiError> {
        let mut filters = Vec::new();
        for mut filter in parameters.items("Filter") {
            let name = filter.required("Name")?;
            let patterns = filter.list("Value");
            filter.finish()?;
            let known = is_tag_filter(&name) || table.iter().any(|(known, _)| *known == name);
            if !known {
                return Err(ApiError::invalid_parameter(format!("The filter '{name}' is invalid")));
            }
            if patterns.is_empty() {
                return Err(ApiError::invalid_parameter(format!(
                    "The filter '{name}' has no values"
                )));
            }
            if patterns.len() > MOST_VALUES {
                return Err(ApiError::new(
                    "FilterLimitExceeded",
                    "The maximum number of filter values is 200",
                ));
            }
            filters.push(Filter { name, patterns });
        }
        Ok(Filters(filters))
    }

    /// Returns whether an item with these tags passes all filters.
    pub(crate) fn match_item<T>(&self, table: FilterTable<T>, item: &T, tags: &Tags) -> bool {
        self.0.iter().all(|filter| {
            let values = filter.values_of(table, item, tags);
            values
                .iter()
                .any(|value| filter.patterns.iter().any(|pattern| matches(pattern, value)))
        })
    }
}

impl Filter {
    fn values_of<T>(&self, table: FilterTable<T>, item: &T, tags: &Tags) -> Vec<String> {
        if let Some(key) = self.name.strip_prefix("tag:") {
            return tags.get(key).cloned().into_iter().collect();
        }
        match self.name.as_str() {
            "tag-key" => tags.keys().cloned().collect(),
            "tag-value" => tags.values().cloned().collect(),
            name => table
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, values)| values(item))
                .unwrap_or_default(),
        }
    }
}

fn is_tag_filter(name: &str) -> bool {
    name.starts_with("tag:") || name == "tag-key" || name == "tag-value"
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(&'static str);
    const TABLE: FilterTable<Thing> = &[("name", |thing| vec![thing.0.to_owned()])];

    fn select(form: &str, thing: &Thing, tags: &Tags) -> Result<bool, ApiError> {
        let mut parameters = Parameters::parse(form.as_bytes()).unwrap();
        Ok(Filters::take(&mut parameters, TABLE)?.match_item(TABLE, thing, tags))
    }

    #[test]
    fn all_filters_must_match_one_value_each() {
        let tags = Tags::from([("team".to_owned(), "web".to_owned())]);
        let thing = Thing("one");
        let cases = [
            ("", true),
            ("Filter.1.Name=name&Filter.1.Value.1=two&Filter.1.Value.2=o*", true),
            ("Filter.1.Name=name&Filter.1.Value.1=two", false),
            (
                "Filter.1.Name=tag:team&Filter.1.Value.1=web&Filter.2.Name=tag-key&Filter.2.Value.1=team",
                true,
            ),
            ("Filter.1.Name=tag:team&Filter.1.Value.1=api", false),
            ("Filter.1.Name=tag:other&Filter.1.Value.1=*", false),
        ];
        for (form, expected) in cases {
            assert_eq!(select(form, &thing, &tags), Ok(expected), "{form}");
        }
        let unknown = select("Filter.1.Name=nmae&Filter.1.Value.1=x", &thing, &tags).unwrap_err();
        assert_eq!(unknown.message, "The filter 'nmae' is invalid");
    }
}
