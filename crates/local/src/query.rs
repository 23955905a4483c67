//! The Query protocol's requests: a form whose dotted names (`Filter.1.Value.2`) make groups of typed parameters.
//!
//! Taking a parameter removes it. What is left when an action has taken what it knows is unknown to it, so the list of
//! an action's parameters has one home, the code that reads them, and every call is strict.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::api_error::ApiError;

/// Parts of a dotted name; EC2's deepest (`LaunchSpecification.NetworkInterface.1.PrivateIpAddresses.1.Primary`) has six.
const MAX_DEPTH: usize = 10;

/// The most parameters of a request. A description of 1,000 instances and a launch with 50 tags for each kind of resource stay below.
const MOST_PARAMETERS: usize = 10_000;

/// Parameters of a request, or a group of them. They are kept as the list that they came as, by their dotted names: a tree of nodes
/// would take many times what the names take that make it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// The dotted name of the group as the client wrote it, for error messages; empty for the whole request.
    path: String,
    /// Values by what follows the group's name and its dot.
    values: BTreeMap<String, String>,
}

impl Parameters {
    /// Parses an `application/x-www-form-urlencoded` body or a query string.
    pub(crate) fn parse(form: &[u8]) -> Result<Parameters, ApiError> {
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(form) {
            if name.split('.').count() > MAX_DEPTH {
                return Err(ApiError::unknown_parameter(&name));
            }
            if values.len() == MOST_PARAMETERS {
                return Err(ApiError::new(
                    "MalformedQueryString",
                    format!("The request has more than {MOST_PARAMETERS} parameters"),
                ));
            }
            if values.contains_key(&*name) {
                return Err(ApiError::new(
                    "MalformedQueryString",
                    format!("The parameter {name} is specified more than once"),
                ));
            }
            values.insert(name.into_owned(), value.into_owned());
        }
        let path = String::new();
        Ok(Parameters { path, values })
    }

    /// A request that the cloud makes of itself.
    pub(crate) fn of(values: BTreeMap<String, String>) -> Parameters {
        Parameters {
            path: String::new(),
            values,
        }
    }

    /// All names that are still here, with their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes all that is here.
    pub(crate) fn into_values(self) -> BTreeMap<String, String> {
        self.values
    }

    /// Gives a parameter a value unless it has one.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        self.values.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Returns the name that a parameter of this group has in the request.
    pub(crate) fn name_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Takes a string; dots in the name lead into groups.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a string; an empty one is none.
    pub(crate) fn filled(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Takes a string that the action cannot do without.
    pub(crate) fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.filled(name)
            .ok_or_else(|| ApiError::missing_parameter(&self.name_of(name)))
    }

    /// Takes a number.
    pub(crate) fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let path = self.name_of(name);
        self.text(name)
            .map(|text| text.parse().map_err(|_| ApiError::invalid_value(&path, &text)))
            .transpose()
    }

    /// Takes a boolean.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(ApiError::invalid_value(&self.name_of(name), other)),
        }
    }

    /// Takes one of the words that an option allows.
    pub(crate) fn word(&mut self, name: &str, allowed: &[&str]) -> Result<Option<String>, ApiError> {
        match self.text(name) {
            Some(word) if !allowed.contains(&word.as_str()) => Err(ApiError::invalid_value(&self.name_of(name), &word)),
            word => Ok(word),
        }
    }

    /// Takes the texts of a list (`InstanceId.1`, `InstanceId.2`, …) in the order of their numbers.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        let below = self.below(name);
        let numbers = below
            .iter()
            .filter_map(|rest| Some((rest.parse::<u64>().ok()?, format!("{name}.{rest}"))));
        let mut members: Vec<(u64, String)> = numbers.collect();
        members.sort();
        members
            .into_iter()
            .filter_map(|(_, member)| self.text(&member))
            .collect()
    }

    /// Takes the members of a list of groups (`Filter.1.Name`, …) in the order of their numbers.
    ///
    /// Whoever takes them has to [`finish`](Parameters::finish) each of them.
    pub(crate) fn items(&mut self, name: &str) -> Vec<Parameters> {
        let mut members: BTreeMap<(u64, String), Parameters> = BTreeMap::new();
        for below in self.below(name) {
            let (member, rest) = below.split_once('.').unwrap_or((&below, ""));
            let Ok(number) = member.parse() else { continue };
            let Some(value) = self.text(&format!("{name}.{below}")) else {
                continue;
            };
            let group = members
                .entry((number, member.to_owned()))
                .or_insert_with(|| Parameters {
                    path: self.name_of(&format!("{name}.{member}")),
                    values: BTreeMap::new(),
                });
            group.values.insert(rest.to_owned(), value);
        }
        members.into_values().collect()
    }

    /// Takes a group (`Ebs.*`), when any of it is given. Whoever takes it has to finish it.
    pub(crate) fn group(&mut self, name: &str) -> Option<Parameters> {
        let mut values = BTreeMap::new();
        for below in self.below(name) {
            if let Some(value) = self.text(&format!("{name}.{below}")) {
                values.insert(below, value);
            }
        }
        // The group's own name with a value: nothing that any action knows, left for `finish` to name.
        if let Some(value) = self.text(name) {
            values.insert(String::new(), value);
        }
        (!values.is_empty()).then(|| Parameters {
            path: self.name_of(name),
            values,
        })
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), ApiError> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(left) if left.is_empty() => Err(ApiError::unknown_parameter(&self.path)),
            Some(left) => Err(ApiError::unknown_parameter(&self.name_of(left))),
        }
    }

    /// Returns a digest of everything that is still here, but for some names at the top.
    pub(crate) fn digest(&self, without: &[&str]) -> String {
        let mut digest = Sha256::new();
        for (name, value) in self.values.iter().filter(|(name, _)| {
            let top = name.split('.').next().unwrap_or(name);
            !without.contains(&top)
        }) {
            // Lengths keep neighbours apart: `a=bc` and `ab=c` differ.
            for text in [name, value] {
                digest.update(text.len().to_le_bytes());
                digest.update(text);
            }
        }
        hex::encode(digest.finalize())
    }

    /// What follows a group's name and its dot in the names of its parameters.
    fn below(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}.");
        let group = self.values.range(prefix.clone()..);
        group
            .map_while(|(name, _)| name.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(form: &str) -> Parameters {
        Parameters::parse(form.as_bytes()).unwrap()
    }

    #[test]
    fn takes_texts_lists_groups_and_finishes_empty() {
        let mut form = parse(
            "Action=X&InstanceId.10=ten&InstanceId.2=two&InstanceId.1=one&Placement.Tenancy=default\
             &Filter.1.Name=name&Filter.1.Value.1=a%20b&Filter.1.Value.2=c%2Bd+e&DryRun=true&MaxCount=3",
        );
        assert_eq!(form.text("Action").unwrap(), "X");
        assert_eq!(form.list("InstanceId"), ["one", "two", "ten"]);
        assert_eq!(form.text("Placement.Tenancy").unwrap(), "default");
        assert_eq!(form.boolean("DryRun"), Ok(Some(true)));
        assert_eq!(form.number::<u32>("MaxCount"), Ok(Some(3)));
        let mut filters = form.items("Filter");
        assert_eq!(filters.len(), 1);
        assert_eq!(filters[0].required("Name").unwrap(), "name");
        assert_eq!(filters[0].list("Value"), ["a b", "c+d e"]);
        assert_eq!(filters[0].finish(), Ok(()));
        assert_eq!(form.finish(), Ok(()));
    }

    #[test]
    fn names_what_nobody_took() {
        let mut form = parse("Filter.1.Name=x&Filter.1.Vlaue.1=y&Extra=1");
        assert_eq!(
            form.clone().finish().unwrap_err().message,
            "The parameter Extra is not recognized"
        );
        let mut filter = form.items("Filter").remove(0);
        filter.text("Name");
        assert_eq!(
            filter.finish().unwrap_err().message,
            "The parameter Filter.1.Vlaue.1 is not recognized"
        );
    }

    #[test]
    fn refuses_duplicates_bad_numbers_and_endless_names() {
        assert_eq!(Parameters::parse(b"A=1&A=2").unwrap_err().code, "MalformedQueryString");
        assert_eq!(
            parse("A=x").number::<u32>("A").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(parse("A=maybe").boolean("A").unwrap_err().code, "InvalidParameterValue");
        assert_eq!(parse("").required("A").unwrap_err().code, "MissingParameter");
        assert_eq!(
            Parameters::parse("a.".repeat(50_000).as_bytes()).unwrap_err().code,
            "UnknownParameter"
        );
    }

    /// A request's memory is what its names and values take and one entry for each, however many dots the names have.
    #[test]
    fn dots_in_names_cost_nothing_and_parameters_are_counted() {
        let dotted: Vec<String> = (0..MOST_PARAMETERS)
            .map(|number| format!("{number:x}.1.2.3.4.5.6.7.8.9"))
            .collect();
        let form = parse(&dotted.join("&"));
        let characters: usize = form.values.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(characters, dotted.iter().map(String::len).sum::<usize>());
        assert_eq!(form.values.len(), MOST_PARAMETERS);
        let error = Parameters::parse(format!("{}&x=1", dotted.join("&")).as_bytes()).unwrap_err();
        assert_eq!(error.code, "MalformedQueryString");
    }

    #[test]
    fn what_a_group_does_not_know_is_named_whole() {
        for (form, unknown) in [
            ("Filter.1=x", "Filter.1"),
            ("Filter.1.=x", "Filter.1"),
            ("Filter.1.Name.x=y", "Filter.1.Name.x"),
        ] {
            let error = parse(form).items("Filter").remove(0).finish().unwrap_err();
            assert_eq!(error.message, format!("The parameter {unknown} is not recognized"));
        }
        let error = parse("Ebs=x").group("Ebs").unwrap().finish().unwrap_err();
        assert_eq!(error.message, "The parameter Ebs is not recognized");
        assert!(parse("Ebss.x=1").group("Ebs").is_none());
    }

    proptest! {
        #[test]
        fn never_panics(form in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Parameters::parse(&form);
        }

        #[test]
        fn every_value_can_be_taken_once(values in proptest::collection::vec(".{0,12}", 1..8)) {
            let mut encoder = form_urlencoded::Serializer::new(String::new());
            for (number, value) in values.iter().enumerate() {
                encoder.append_pair(&format!("List.{}", number + 1), value);
            }
            let mut form = parse(&encoder.finish());
            prop_assert_eq!(form.list("List"), values);
            prop_assert!(form.finish().is_ok());
            prop_assert!(form.list("List").is_empty());
        }
    }
}
