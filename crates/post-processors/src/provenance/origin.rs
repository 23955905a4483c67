//! Who bakes, and from which source: what a CI system says in the environment, else what git says of the working directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use bakelite_engine::provisioner::RunContext;
use serde::Serialize;
use tokio::process::Command;

/// Who bakes when no CI system says so.
const LOCAL: &str = "https://packer.io/local-build";
/// Variables that name who bakes; the first that is set counts.
const BUILDERS: &[&str] = &["GITHUB_WORKFLOW_REF", "CI_JOB_URL", "CI_PIPELINE_URL", "BUILD_URL"];
/// Variables that name the run; the first that is set counts.
const INVOCATIONS: &[&str] = &["GITHUB_RUN_ID", "CI_PIPELINE_ID", "CI_JOB_ID", "BUILD_ID"];

/// Who bakes, in which run, from which source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) builder_id: String,
    pub(super) invocation_id: String,
    pub(super) source: Option<Dependency>,
}

/// Something that went into the artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Dependency {
    pub(super) uri: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) digest: BTreeMap<&'static str, String>,
}

impl Dependency {
    fn new(uri: String, commit: &str) -> Self {
        Self {
            uri,
            digest: BTreeMap::from([("gitCommit", commit.to_owned())]),
        }
    }
}

impl Origin {
    /// Finds out. A source that the template names replaces the one that is found; its commit stays.
    pub(super) async fn find(run: &RunContext, source_uri: Option<&str>) -> Origin {
        let environment = &run.environment;
        let found = match of_ci(environment) {
            Some(source) => Some(source),
            None => of_git(&run.working_directory).await,
        };
        let source = match source_uri {
            None => found,
            Some(uri) => Some(Dependency {
                uri: uri.to_owned(),
                digest: found.map(|found| found.digest).unwrap_or_default(),
            }),
        };
        let first = |names: &[&str]| names.iter().find_map(|name| set(environment, name)).map(str::to_owned);
        Origin {
            builder_id: first(BUILDERS).map_or_else(|| LOCAL.to_owned(), |url| without_user(&url)),
            invocation_id: first(INVOCATIONS).unwrap_or_else(|| run.id.clone()),
            source,
        }
    }
}

fn set<'a>(environment: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    environment
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

/// The source as GitHub or GitLab names it.
fn of_ci(environment: &BTreeMap<String, String>) -> Option<Dependency> {
    let set = |name| set(environment, name);
    if let (Some(repository), Some(commit)) = (set("GITHUB_REPOSITORY"), set("GITHUB_SHA")) {
        let server = set("GITHUB_SERVER_URL").unwrap_or("https://github.com");
        let at = set("GITHUB_REF").map_or_else(String::new, |name| format!("@{name}"));
        return Some(Dependency::new(
            format!("git+{}/{repository}{at}", without_user(server).trim_end_matches('/')),
            commit,
        ));
    }
    let (url, commit) = (set("CI_PROJECT_URL")?, set("CI_COMMIT_SHA")?);
    let at = match (set("CI_COMMIT_TAG"), set("CI_COMMIT_REF_NAME")) {
        (Some(tag), _) => format!("@refs/tags/{tag}"),
        (None, Some(branch)) => format!("@refs/heads/{branch}"),
        (None, None) => String::new(),
    };
    Some(Dependency::new(format!("git+{}{at}", without_user(url)), commit))
}

/// The source as git knows it; none where there is no git, no repository or no commit.
async fn of_git(directory: &Path) -> Option<Dependency> {
    let commit = git(directory, &["rev-parse", "--verify", "HEAD"]).await?;
    let url = match git(directory, &["remote", "get-url", "origin"]).await {
        Some(url) => as_url(&url),
        None => format!("file://{}", git(directory, &["rev-parse", "--show-toplevel"]).await?),
    };
    let branch = git(directory, &["symbolic-ref", "--short", "--quiet", "HEAD"]).await;
    let at = branch.map_or_else(String::new, |name| format!("@refs/heads/{name}"));
    Some(Dependency::new(format!("git+{url}{at}"), &commit))
}

/// What git answers, if it succeeds.
async fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(directory).kill_on_drop(true);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim_end().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// A remote as a URL: `git@host:path` is SSH, a path is a file. Who logs in is not said.
fn as_url(remote: &str) -> String {
    if remote.contains("://") {
        return without_user(remote);
    }
    match remote.split_once(':') {
        Some((host, path)) if !host.contains('/') => {
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("ssh://{host}/{}", path.trim_start_matches('/'))
        }
        _ => format!("file://{remote}"),
    }
}

/// A URL without the user and password in it.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    fn uri(variables: &[(&str, &str)]) -> Option<String> {
        of_ci(&environment(variables)).map(|source| format!("{} {}", source.uri, source.digest["gitCommit"]))
    }

    #[test]
    fn ci_systems_name_the_source() {
        let github = [("GITHUB_REPOSITORY", "acme/images"), ("GITHUB_SHA", "c0ffee")];
        assert_eq!(uri(&github).unwrap(), "git+https://github.com/acme/images c0ffee");
        let own = [
            github[0],
            github[1],
            ("GITHUB_SERVER_URL", "https://git.acme.example"),
            ("GITHUB_REF", "refs/heads/main"),
        ];
        assert_eq!(
            uri(&own).unwrap(),
            "git+https://git.acme.example/acme/images@refs/heads/main c0ffee"
        );
        let gitlab = [
            ("CI_PROJECT_URL", "https://user:token@gitlab.com/acme/images"),
            ("CI_COMMIT_SHA", "c0ffee"),
            ("CI_COMMIT_REF_NAME", "main"),
        ];
        assert_eq!(
            uri(&gitlab).unwrap(),
            "git+https://gitlab.com/acme/images@refs/heads/main c0ffee"
        );
        assert_eq!(uri(&[("GITHUB_SHA", "c0ffee"), ("CI_PROJECT_URL", "x")]), None);
    }

    #[test]
    fn remotes_are_urls_without_users() {
        assert_eq!(
            as_url("git@github.com:acme/images.git"),
            "ssh://github.com/acme/images.git"
        );
        assert_eq!(as_url("https://me:pw@host:8443/a@b.git"), "https://host:8443/a@b.git");
        assert_eq!(as_url("https://host"), "https://host");
        assert_eq!(as_url("/srv/git/images"), "file:///srv/git/images");
    }
}
