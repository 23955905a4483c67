//! `gc`: removes what killed runs left behind, wherever they left it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "amazon")]
use async_trait::async_trait;
use bakelite_engine::foreign::one_line;
use bakelite_engine::gc::{Collected, collect};
use bakelite_engine::private_file::ThisMachine;
use bakelite_engine::undo::Undo;
#[cfg(feature = "amazon")]
use bakelite_engine::undo::{Patience, Resource, UndoError};

#[cfg(feature = "amazon")]
use super::build;
use super::local::{self, Cloud};
use super::{print, print_error};
use crate::args::GcArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;

/// The detail of a resource that lives in a local cloud: the folder of its state.
const LOCAL: &str = "local";

pub(super) async fn run(args: &GcArgs, process: &Process) -> Result<Status, Failure> {
    let journals = process.journal_folder()?;
    let failure = |error| Failure::new("read the journals").because(&error);
    let listed = collect(&journals, &[], true).await.map_err(failure)?;
    for refused in &listed.refused {
        let path = refused.path.display().to_string();
        print_error(&format!(
            "Journal `{}` is not obeyed: {}. If it is none of yours, remove it.\n",
            one_line(&path),
            refused.reason
        ));
    }
    let status = if listed.refused.is_empty() {
        Status::Ok
    } else {
        Status::Failed
    };
    let listed = listed.collected;
    if listed.is_empty() {
        print("Nothing was left behind.\n");
        return Ok(status);
    }
    if args.dry_run {
        for one in &listed {
            print(&format!("{}\n", named(one)));
        }
        return Ok(status);
    }
    let mut clouds = BTreeMap::new();
    for folder in listed.iter().filter_map(|one| one.resource.details.get(LOCAL)) {
        if !clouds.contains_key(folder) {
            clouds.insert(folder.clone(), local::reopen(PathBuf::from(folder), process).await?);
        }
    }
    let owners = owners(&clouds, process);
    let collected = collect(&journals, &owners, false).await.map_err(failure);
    for cloud in clouds.into_values() {
        cloud.shutdown().await;
    }
    Ok(report(&collected?.collected, status))
}

/// A resource and its run, in one line whatever their names are.
fn named(one: &Collected) -> String {
    one_line(&format!("{} of run {}", one.resource.describe(), one.run)).into_owned()
}

fn report(collected: &[Collected], status: Status) -> Status {
    for one in collected {
        let what = named(one);
        match &one.error {
            None => print(&format!("{what} is gone\n")),
            Some(error) => print(&format!("{what} is still there: {}\n", one_line(error))),
        }
    }
    if collected.iter().all(|one| one.error.is_none()) {
        status
    } else {
        Status::Failed
    }
}

#[cfg(feature = "amazon")]
fn owners(clouds: &BTreeMap<String, Cloud>, process: &Process) -> Vec<Arc<dyn Undo>> {
    let environment = |cloud: Option<&Cloud>| {
        let mut context = build::run_context(process, false, false);
        if let Some(cloud) = cloud {
            cloud.take_the_place_of_aws(&mut context);
        }
        bakelite_aws::undo::AwsUndo::within(context.environment)
    };
    let local = clouds
        .iter()
        .map(|(folder, cloud)| (folder.clone(), environment(Some(cloud))))
        .collect();
    let anywhere = Anywhere {
        aws: environment(None),
        local,
    };
    vec![Arc::new(anywhere), Arc::new(ThisMachine)]
}

#[cfg(not(feature = "amazon"))]
fn owners(_clouds: &BTreeMap<String, Cloud>, _process: &Process) -> Vec<Arc<dyn Undo>> {
    vec![Arc::new(ThisMachine)]
}

#[cfg(feature = "amazon")]
/// The undo of AWS and of the local clouds: the resource says where it is.
struct Anywhere {
    aws: Arc<dyn Undo>,
    local: BTreeMap<String, Arc<dyn Undo>>,
}

#[cfg(feature = "amazon")]
#[async_trait]
impl Undo for Anywhere {
    fn owner(&self) -> &'static str {
        self.aws.owner()
    }

    async fn undo(&self, resource: &Resource, patience: Patience) -> Result<(), UndoError> {
        let local = resource.details.get(LOCAL).and_then(|folder| self.local.get(folder));
        local.unwrap_or(&self.aws).undo(resource, patience).await
    }
}
