//! `local du`, `local rm` and `local prune`: what takes space, and making room.

use bakelite_local::{Usage, Used};
use serde_json::json;

use crate::args::LocalCloudArgs;
use crate::cloud::{Cloud, failure};
use crate::exit::{Failure, Status};
use crate::print::{print, print_exactly};
use crate::process::Process;

/// Lists what takes space.
pub(super) async fn usage(args: &LocalCloudArgs, json: bool, process: &Process) -> Result<Status, Failure> {
    let cloud = Cloud::start_for_build(args, process).await?;
    let usage = cloud.usage().await;
    cloud.shutdown().await;
    let Usage { used, free } = usage.map_err(|error| failure("failed to measure the local cloud", &error))?;
    let total: u64 = used.iter().map(|one| one.bytes).sum();
    if json {
        let used = used.iter();
        let used = used.map(|one| json!({ "kind": one.by.word(), "id": one.id, "name": one.name, "bytes": one.bytes }));
        let used: Vec<_> = used.collect();
        print_exactly(&format!(
            "{:#}\n",
            json!({ "used": used, "total": total, "free": free })
        ));
        return Ok(Status::Ok);
    }
    used.iter().for_each(print_used);
    print(&format!("{:>8}  in all, {} free\n", size(total), size(free)));
    Ok(Status::Ok)
}

/// Removes images.
pub(super) async fn remove(args: &LocalCloudArgs, images: &[String], process: &Process) -> Result<Status, Failure> {
    let cloud = Cloud::start_for_build(args, process).await?;
    let mut result = Ok(Status::Ok);
    for image in images {
        match cloud.remove_image(image).await {
            Ok((id, bytes)) => print(&format!("{id} is gone, {} freed\n", size(bytes))),
            Err(error) => {
                result = Err(failure(format!("failed to remove `{image}`"), &error));
                break;
            }
        }
    }
    cloud.shutdown().await;
    result
}

/// Removes what no image needs.
pub(super) async fn prune(
    args: &LocalCloudArgs,
    stopped: bool,
    dry_run: bool,
    process: &Process,
) -> Result<Status, Failure> {
    let cloud = Cloud::start_for_build(args, process).await?;
    let pruned = cloud.prune(stopped, dry_run).await;
    cloud.shutdown().await;
    let pruned = pruned.map_err(|error| failure("failed to prune the local cloud", &error))?;
    pruned.iter().for_each(print_used);
    let bytes = pruned.iter().map(|one| one.bytes).sum();
    let what = if dry_run { "would be freed" } else { "freed" };
    print(&format!("{:>8}  {what}\n", size(bytes)));
    Ok(Status::Ok)
}

fn print_used(used: &Used) {
    let name = used.name.as_deref().unwrap_or_default();
    let line = format!("{:>8}  {:11}  {}  {name}", size(used.bytes), used.by.word(), used.id);
    print(&format!("{}\n", line.trim_end()));
}

/// In the largest unit of which it is at least one, with one digit after the point.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (1_600_000, "1.5M"),
            (5 << 30, "5.0G"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
