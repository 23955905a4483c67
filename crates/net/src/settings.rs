//! What the environment says about a store of secrets or settings (Vault, Consul): strings, booleans, and whom to trust.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::fetch::Trust;
use crate::proxies::Environment;

/// A variable of the environment that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingError {
    /// It is required.
    #[error("`{0}` must be set")]
    Missing(&'static str),
    /// Its value means nothing.
    #[error("`{variable}` is `{value}`: {expected}")]
    Value {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
}

impl SettingError {
    /// What to do, where that is known.
    pub fn help(&self) -> Option<&'static str> {
        (*self == Self::Missing("VAULT_TOKEN"))
            .then_some("log in to Vault and set it: VAULT_TOKEN=$(vault print token)")
    }
}

/// A variable that is set and not empty.
pub fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let value = environment.get(name).map(|value| value.trim());
    value.filter(|value| !value.is_empty())
}

/// A variable that is a boolean.
pub fn switch(environment: &Environment, name: &'static str) -> Result<Option<bool>, SettingError> {
    let Some(value) = variable(environment, name) else {
        return Ok(None);
    };
    match value.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Ok(Some(true)),
        "0" | "f" | "false" => Ok(Some(false)),
        _ => Err(SettingError::Value {
            variable: name,
            value: value.to_owned(),
            expected: "it must be `true` or `false`",
        }),
    }
}

/// Whom to trust by two variables: one that names a file of authorities, and one that trusts everyone.
pub fn trust(environment: &Environment, authorities: &str, everyone: bool) -> Trust {
    match variable(environment, authorities) {
        _ if everyone => Trust::Everyone,
        Some(file) => Trust::File(PathBuf::from(file)),
        None => Trust::System,
    }
}

/// A path in a store as a path of a URL.
pub fn url_path(text: &str) -> String {
    const OUTSIDE: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text.trim_start_matches('/'), OUTSIDE).to_string()
}
