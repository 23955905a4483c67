//! The environment variables that bakelite reads, each once, here. Components see the environment through
//! `RunContext::environment`, never by themselves.

use std::collections::BTreeMap;

/// A variable that the program itself reads, with what it does; the reference page is made of this table.
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) doc: &'static str,
}

/// Everything that the program itself reads.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable {
        name: "PKR_VAR_name",
        doc: "The value of the template variable `name`; `-var` and var files go before it.",
    },
    Variable {
        name: "PACKER_NO_COLOR",
        doc: "Any value: no colours.",
    },
    Variable {
        name: "NO_COLOR",
        doc: "Any value: no colours (<https://no-color.org>).",
    },
    Variable {
        name: "XDG_STATE_HOME",
        doc: "Where journals and the local cloud's state are kept; without it `~/.local/state`.",
    },
    Variable {
        name: "HOME",
        doc: "The home folder, for `~` in paths.",
    },
    Variable {
        name: "TMPDIR",
        doc: "Where temporary files are made.",
    },
    Variable {
        name: "AWS_ENDPOINT_URL",
        doc: "Another endpoint for all AWS services, as in the AWS SDKs; `AWS_ENDPOINT_URL_EC2` and the like go before it.",
    },
    Variable {
        name: "AWS_REGION",
        doc: "The region when the template names none; all other `AWS_*` variables of the SDKs work too.",
    },
];

/// The process's environment. Names and values that are no UTF-8 are left out: nothing in a template could refer to them.
pub(crate) fn read() -> BTreeMap<String, String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
