//! `manifest merge`: one manifest of those that the parts of a distributed run wrote.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use crate::args::ManifestCommand;
use crate::exit::{Failure, Status};
use crate::print::print_exactly;

pub(super) fn run(command: &ManifestCommand) -> Result<Status, Failure> {
    let ManifestCommand::Merge { output, parts } = command;
    let parts: Result<Vec<_>, Failure> = parts.iter().map(read).collect();
    // The field's tools read it with this indentation.
    let text = format!("{:#}\n", Json::Object(merged(parts?)));
    match output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::new(format!("failed to write `{}`", path.display())).because(&error))?,
        None => print_exactly(&text),
    }
    Ok(Status::Ok)
}

fn read(path: &PathBuf) -> Result<Map<String, Json>, Failure> {
    let failed = || format!("failed to read manifest `{}`", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(failed()).because(&error))?;
    let json: Json = serde_json::from_str(&text).map_err(|error| Failure::new(failed()).because(&error))?;
    match json {
        Json::Object(manifest)
            if manifest
                .get("builds")
                .is_some_and(|builds| builds.is_array() || builds.is_null()) =>
        {
            Ok(manifest)
        }
        _ => Err(not_a_manifest(path)),
    }
}

fn not_a_manifest(path: &Path) -> Failure {
    Failure::new(format!(
        "`{}` is not a manifest: it has no list `builds`",
        path.display()
    ))
}

/// The builds of all, in their order; one that several have is taken once. Of everything else, such as `last_run_uuid`, the last counts.
fn merged(parts: Vec<Map<String, Json>>) -> Map<String, Json> {
    let mut all = Map::new();
    let mut builds: Vec<Json> = Vec::new();
    all.insert("builds".into(), Json::Null);
    for mut part in parts {
        if let Some(Json::Array(more)) = part.remove("builds") {
            for build in more {
                if !builds.contains(&build) {
                    builds.push(build);
                }
            }
        }
        all.extend(part);
    }
    all.insert("builds".into(), Json::Array(builds));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(json: &Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn builds_keep_their_order_and_are_there_once() {
        let first = part(&json!({ "builds": [{ "name": "a" }, { "name": "b" }], "last_run_uuid": "1" }));
        let second = part(&json!({ "builds": [{ "name": "b" }, { "name": "c" }], "last_run_uuid": "2" }));
        let expected = json!({ "builds": [{ "name": "a" }, { "name": "b" }, { "name": "c" }], "last_run_uuid": "2" });
        assert_eq!(Json::Object(merged(vec![first, second])), expected);
    }
}
