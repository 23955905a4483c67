//! Eventual consistency, when it is asked for: what was made a moment ago is unknown to every call until it is old enough.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api_error::ApiError;
use crate::ids::{ResourceKind, absent, unknown_key_pair};
use crate::query::Parameters;
use crate::state::State;
use crate::xml::Element;

/// Something that can be made, as calls refer to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    Id(String),
    /// A key pair, with its region.
    KeyPair(String, String),
    Role(String),
    Profile(String),
}

/// What no call finds yet. It is of this process alone, as calls are.
#[derive(Debug)]
pub(crate) struct Fresh {
    delay: Duration,
    made: Mutex<BTreeMap<Name, Instant>>,
}

/// All that exists.
pub(crate) fn names(state: &State) -> HashSet<Name> {
    let mut names = HashSet::new();
    for (name, region) in &state.regions {
        // The default group is there before anybody makes anything.
        let made_groups = region.security_groups.values();
        let made_groups = made_groups
            .filter(|group| group.name != "default")
            .map(|group| &group.id);
        let kinds: [Vec<&String>; 6] = [
            region.instances.keys().collect(),
            region.images.keys().collect(),
            region.snapshots.keys().collect(),
            region.volumes.keys().collect(),
            made_groups.collect(),
            region.launch_templates.keys().collect(),
        ];
        names.extend(kinds.into_iter().flatten().cloned().map(Name::Id));
        for pair in region.key_pairs.values() {
            names.insert(Name::Id(pair.id.clone()));
            names.insert(Name::KeyPair(name.clone(), pair.name.clone()));
        }
    }
    names.extend(state.iam.roles.keys().cloned().map(Name::Role));
    names.extend(state.iam.profiles.keys().cloned().map(Name::Profile));
    names
}

impl Fresh {
    pub(crate) fn new(delay: Duration) -> Fresh {
        Fresh {
            delay,
            made: Mutex::default(),
        }
    }

    /// Takes down what was made now.
    pub(crate) fn note(&self, names: impl Iterator<Item = Name>) {
        let now = Instant::now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, since| now.duration_since(*since) < self.delay);
        made.extend(names.map(|name| (name, now)));
    }

    fn hides(&self, name: &Name) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(name).is_some_and(|since| since.elapsed() < self.delay)
    }

    /// The error of a call that refers to something that is not visible yet.
    pub(crate) fn check(&self, action: &str, parameters: &Parameters, region: &str) -> Result<(), ApiError> {
        if self.delay.is_zero() {
            return Ok(());
        }
        // Whoever makes what exists gets the error for that, whether it is visible or not; deleting a key pair never fails.
        let takes_names = !matches!(
            action,
            "CreateKeyPair" | "ImportKeyPair" | "DeleteKeyPair" | "CreateRole" | "CreateInstanceProfile"
        );
        for (parameter, value) in parameters.iter() {
            let (name, error): (Name, fn(&str) -> ApiError) = match parameter {
                "RoleName" if takes_names => (Name::Role(value.to_owned()), no_role),
                "InstanceProfileName" if takes_names => (Name::Profile(value.to_owned()), no_profile),
                "IamInstanceProfile.Name" => (Name::Profile(value.to_owned()), invalid_profile),
                _ if takes_names && parameter.split('.').next() == Some("KeyName") => {
                    let name = Name::KeyPair(region.to_owned(), value.to_owned());
                    (name, unknown_key_pair)
                }
                _ => (Name::Id(value.to_owned()), absent_id),
            };
            if self.hides(&name) {
                return Err(error(value));
            }
        }
        Ok(())
    }

    /// Removes from the answer of a description what is not visible yet.
    pub(crate) fn veil(&self, action: &str, answer: &mut Element) {
        if self.delay.is_zero() || !action.starts_with("Describe") {
            return;
        }
        answer.remove_members(&|texts| {
            // What a member describes is the first that it names.
            let id = texts.iter().find(|text| ResourceKind::of(text).is_some());
            id.is_some_and(|id| self.hides(&Name::Id((*id).to_owned())))
        });
    }
}

fn absent_id(id: &str) -> ApiError {
    absent(ResourceKind::of(id).unwrap_or(ResourceKind::Instance), id)
}

/// The error for a role that is not there.
pub(crate) fn no_role(name: &str) -> ApiError {
    no_entity(format!("The role with name {name} cannot be found."))
}

/// The error for an instance profile that is not there.
pub(crate) fn no_profile(name: &str) -> ApiError {
    no_entity(format!("Instance Profile {name} cannot be found."))
}

/// The error for a launch with an instance profile that is not there.
pub(crate) fn invalid_profile(name: &str) -> ApiError {
    ApiError::invalid_parameter(format!(
        "Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    ))
}

fn no_entity(message: String) -> ApiError {
    ApiError::with_status(404, "NoSuchEntity", message)
}
