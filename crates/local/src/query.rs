//! The Query protocol's requests: a form whose dotted names (`Filter.1.Value.2`) make a tree of typed parameters.
//!
//! Taking a parameter removes it. What is left when an action has taken what it knows is unknown to it, so the list of
//! an action's parameters has one home, the code that reads them, and every call is strict.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::api_error::ApiError;

/// Parts of a dotted name; EC2's deepest (`LaunchSpecification.NetworkInterface.1.PrivateIpAddresses.1.Primary`) has six.
const MAX_DEPTH: usize = 10;

/// A node of the request's parameters: its own value and the parameters below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// The dotted name as the client wrote it, for error messages.
    path: String,
    value: Option<String>,
    children: BTreeMap<String, Parameters>,
}

impl Parameters {
    /// Parses an `application/x-www-form-urlencoded` body or a query string.
    pub(crate) fn parse(form: &[u8]) -> Result<Parameters, ApiError> {
        let mut root = Parameters::default();
        for (name, value) in form_urlencoded::parse(form) {
            root.insert(&name, value.into_owned())?;
        }
        Ok(root)
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        if name.split('.').count() > MAX_DEPTH {
            return Err(ApiError::unknown_parameter(name));
        }
        let mut node = self;
        for part in name.split('.') {
            let path = if node.path.is_empty() {
                part.to_owned()
            } else {
                format!("{}.{part}", node.path)
            };
            node = node.children.entry(part.to_owned()).or_insert_with(|| Parameters {
                path,
                ..Parameters::default()
            });
        }
        match node.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(ApiError::new(
                "MalformedQueryString",
                format!("The parameter {name} is given twice"),
            )),
        }
    }

    /// Returns the name that a parameter below this node has in the request.
    pub(crate) fn name_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Takes a text; dots in the name lead into groups.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match name.split_once('.') {
            None => self.children.get_mut(name)?.value.take(),
            Some((group, rest)) => self.children.get_mut(group)?.text(rest),
        }
    }

    /// Takes a text that the action cannot do without.
    pub(crate) fn required(&mut self, name: &str) -> Result<String, ApiError> {
        match self.text(name) {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(ApiError::missing_parameter(&self.name_of(name))),
        }
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
        self.numbered(name)
            .into_iter()
            .filter_map(|member| member.value.take())
            .collect()
    }

    /// Takes the members of a list of groups (`Filter.1.Name`, …) in the order of their numbers.
    ///
    /// Whoever takes them has to [`finish`](Parameters::finish) each of them.
    pub(crate) fn items(&mut self, name: &str) -> Vec<Parameters> {
        self.numbered(name)
            .into_iter()
            .map(std::mem::take)
            .filter(|member| !member.is_empty())
            .collect()
    }

    /// Takes a group (`Ebs.*`), when any of it is given. Whoever takes it has to finish it.
    pub(crate) fn group(&mut self, name: &str) -> Option<Parameters> {
        let group = match name.split_once('.') {
            None => std::mem::take(self.children.get_mut(name)?),
            Some((group, rest)) => self.children.get_mut(group)?.group(rest)?,
        };
        (!group.is_empty()).then_some(group)
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), ApiError> {
        match self.first_left() {
            None => Ok(()),
            Some(path) => Err(ApiError::unknown_parameter(path)),
        }
    }

    /// Returns a digest of everything that is still here, but for some names at the top.
    pub(crate) fn digest(&self, without: &[&str]) -> String {
        let mut digest = Sha256::new();
        for (name, child) in self
            .children
            .iter()
            .filter(|(name, _)| !without.contains(&name.as_str()))
        {
            child.digest_into(name, &mut digest);
        }
        hex::encode(digest.finalize())
    }

    fn digest_into(&self, name: &str, digest: &mut Sha256) {
        // Lengths keep neighbours apart: `a=bc` and `ab=c` differ.
        for text in [name, self.value.as_deref().unwrap_or("\0")] {
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
        digest.update(self.children.len().to_le_bytes());
        self.children
            .iter()
            .for_each(|(name, child)| child.digest_into(name, digest));
    }

    fn first_left(&self) -> Option<&str> {
        if self.value.is_some() {
            return Some(&self.path);
        }
        self.children.values().find_map(Parameters::first_left)
    }

    fn is_empty(&self) -> bool {
        self.first_left().is_none()
    }

    fn numbered(&mut self, name: &str) -> Vec<&mut Parameters> {
        if let Some((group, rest)) = name.split_once('.') {
            return self
                .children
                .get_mut(group)
                .map(|group| group.numbered(rest))
                .unwrap_or_default();
        }
        let Some(list) = self.children.get_mut(name) else {
            return Vec::new();
        };
        let mut members: Vec<(u64, &mut Parameters)> = list
            .children
            .iter_mut()
            .filter_map(|(number, member)| Some((number.parse().ok()?, member)))
            .collect();
        members.sort_by_key(|(number, _)| *number);
        members.into_iter().map(|(_, member)| member).collect()
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
