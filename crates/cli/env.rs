//! The environment variables that bakelite reads, each once, here. Components see the environment through
//! `RunContext::environment`, never by themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A variable, with what it does; help and the reference page are made of this table.
struct Variable {
    name: &'static str,
    doc: &'static str,
}

/// Everything that is read, by the program itself or by its components.
const VARIABLES: &[Variable] = &[
    Variable {
        name: "PKR_VAR_name",
        doc: "The value of the template variable `name`. Var files and `-var` count for more.",
    },
    Variable {
        name: "PACKER_LOG",
        doc: "Write a log to standard error: `1`, or the least level (`error`, `warn`, `info`, `debug`, `trace`); empty or `0`: none.",
    },
    Variable {
        name: "PACKER_LOG_PATH",
        doc: "Write the log to this file instead, also when `PACKER_LOG` is not set.",
    },
    Variable {
        name: "PACKER_NO_COLOR",
        doc: "Any value: no colours unless `-color` asks for them.",
    },
    Variable {
        name: "NO_COLOR",
        doc: "The same, for all programs (<https://no-color.org>).",
    },
    Variable {
        name: "XDG_STATE_HOME",
        doc: "Journals, the local cloud and the console's history are kept in `bakelite` below it; without it, below `~/.local/state`.",
    },
    Variable {
        name: "BAKELITE_JOURNAL",
        doc: "The directory of journals, which machines may share, where `-journal` is not given.",
    },
    Variable {
        name: "HOME",
        doc: "The home directory, for `~` in paths.",
    },
    Variable {
        name: "TMPDIR",
        doc: "Where temporary files are made; without it, `/tmp`.",
    },
    Variable {
        name: "JOB_COMPLETION_INDEX, JOB_COMPLETIONS, AWS_BATCH_JOB_ARRAY_INDEX, AWS_BATCH_JOB_ARRAY_SIZE, CI_NODE_INDEX, CI_NODE_TOTAL",
        doc: "The part of the builds and the number of parts, for `-partition=auto` alone.",
    },
    Variable {
        name: "HTTP_PROXY, HTTPS_PROXY, NO_PROXY",
        doc: "Proxies for AWS, the data source `http`, Vault and Consul, WinRM, and the hosts that are reached without them.",
    },
    Variable {
        name: "SSH_AUTH_SOCK",
        doc: "The SSH agent, where `ssh_agent_auth` asks for it; offered to instances unless `ssh_disable_agent_forwarding` is set.",
    },
    Variable {
        name: "BAKELITE_SSH_PASSPHRASE",
        doc: "The passphrase of protected private keys, which are else asked for at the terminal.",
    },
    Variable {
        name: "BAKELITE_LOCAL_PULL",
        doc: "Whether the local cloud pulls the distributions of well-known AMIs: `auto`, or `never`, where `-local-pull` is not given.",
    },
    Variable {
        name: "DOCKER_CONFIG",
        doc: "The directory whose `config.json` has the credentials of container registries; without it, `~/.docker`.",
    },
    Variable {
        name: "AWS_…",
        doc: "Credentials, region, profile and endpoints as the AWS SDKs read them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_EC2` and so on.",
    },
    Variable {
        name: "AWS_CA_BUNDLE",
        doc: "A PEM file with the authorities that vouch for AWS's servers, instead of those that this machine trusts; before `ca_bundle` of the profile, which means the same. It is for all of AWS's services, Session Manager's data channel included.",
    },
    Variable {
        name: "AWS_MAX_ATTEMPTS, AWS_POLL_DELAY_SECONDS",
        doc: "How often and how long apart AWS is asked whether something is ready, where the template has no `aws_polling`.",
    },
    Variable {
        name: "BAKELITE_CHECKIP_URL",
        doc: "Asked for the public address of this machine, which `temporary_security_group_source_public_ip` admits; without it, `https://checkip.amazonaws.com`.",
    },
    Variable {
        name: "VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT, VAULT_SKIP_VERIFY",
        doc: "The server that the function `vault` and `vault_aws_engine` of the Amazon components ask.",
    },
    Variable {
        name: "CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_SSL, CONSUL_HTTP_SSL_VERIFY, CONSUL_CACERT, CONSUL_NAMESPACE",
        doc: "The server that the function `consul_key` asks.",
    },
];

/// The end of the program's help: the table.
pub(crate) fn help() -> String {
    VARIABLES.iter().fold("Environment:".to_owned(), |mut text, variable| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  {}\n          {}", variable.name, variable.doc);
        text
    })
}

/// The process's environment. Names and values that are no UTF-8 are left out: nothing in a template could refer to them.
pub(crate) fn read() -> BTreeMap<String, String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page as the table has it.
    fn page() -> String {
        let head = "# Environment variables\n\n\
            Made of the table in `crates/cli/env.rs`; a test compares them. In a template, `env()` in the default of a variable reads\n\
            any variable, and local scripts get the whole environment.\n\n\
            | variable | what it does |\n|---|---|\n";
        VARIABLES.iter().fold(head.to_owned(), |page, variable| {
            let names: Vec<String> = variable.name.split(", ").map(|name| format!("`{name}`")).collect();
            page + &format!("| {} | {} |\n", names.join(", "), variable.doc)
        })
    }

    #[test]
    fn the_reference_page_is_this_table() {
        let written = include_str!("../../docs/reference/environment.md");
        assert!(
            written == page(),
            "docs/reference/environment.md should be:\n\n{}",
            page()
        );
    }
}
