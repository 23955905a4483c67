//! Snapshots: what images are made of. The snapshot of a root device keeps the root that the bake left behind.

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::page::Page;
use crate::ec2::tags::{self};
use crate::ids::ResourceKind;
use crate::ids::absent;
use crate::moment::Moment;
use crate::state::Snapshot;
use crate::state::Tags;
use crate::state::image::EVERYONE;
use crate::state::{ACCOUNT, Region};
use crate::xml::Element;

const FILTERS: FilterTable<Snapshot> = &[
    ("snapshot-id", |snapshot| vec![snapshot.id.clone()]),
    ("volume-id", |snapshot| vec![snapshot.volume_id.clone()]),
    ("volume-size", |snapshot| vec![snapshot.size_gib.to_string()]),
    ("description", |snapshot| vec![snapshot.description.clone()]),
    ("status", |snapshot| vec![snapshot.state().to_owned()]),
    ("progress", |snapshot| vec![snapshot.progress().to_owned()]),
    ("encrypted", |snapshot| vec![snapshot.encrypted.to_string()]),
    ("start-time", |snapshot| vec![snapshot.started.to_string()]),
    ("owner-id", |_| vec![ACCOUNT.to_owned()]),
    ("storage-tier", |_| vec!["standard".to_owned()]),
];

pub(crate) fn describe_snapshots(mut call: Call) -> Answer {
    let (ids, owners) = (call.parameters.list("SnapshotId"), call.parameters.list("Owner"));
    let _restorable_by = call.parameters.list("RestorableBy");
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    let page = Page::take(&mut call.parameters)?;
    call.accept()?;
    let ours = owners.is_empty() || owners.iter().any(|owner| owner == "self" || owner == ACCOUNT);
    let items = call.read(|region| {
        for id in &ids {
            region.snapshot(id)?;
        }
        let wanted = region
            .snapshots
            .values()
            .filter(|snapshot| ours && (ids.is_empty() || ids.contains(&snapshot.id)))
            .filter(|snapshot| filters.match_item(FILTERS, snapshot, region.tags_of(&snapshot.id)));
        Ok::<_, ApiError>(
            wanted
                .map(|snapshot| describe(snapshot, region.tags_of(&snapshot.id)))
                .collect(),
        )
    })??;
    let (items, next) = page.cut(items);
    Ok(Element::body().list("snapshotSet", items).maybe("nextToken", next))
}

pub(crate) fn describe(snapshot: &Snapshot, tags: &Tags) -> Element {
    let done = Moment::now() >= snapshot.completed;
    Element::body()
        .text("snapshotId", &snapshot.id)
        .text("volumeId", &snapshot.volume_id)
        .text("status", snapshot.state())
        .text("startTime", snapshot.started)
        .text("progress", snapshot.progress())
        .text("ownerId", ACCOUNT)
        .text("volumeSize", snapshot.size_gib)
        .text("description", &snapshot.description)
        .text("encrypted", snapshot.encrypted)
        .maybe("kmsKeyId", snapshot.kms_key_id.as_ref())
        .text("storageTier", "standard")
        .maybe("completionTime", done.then_some(snapshot.completed))
        .with(tags::tag_set(tags))
}

pub(crate) async fn delete_snapshot(mut call: Call) -> Answer {
    let id = call.parameters.required("SnapshotId")?;
    call.accept()?;
    call.change(|region| delete(region, &id))?;
    call.cloud.remove_unused_roots().await;
    Ok(Element::body().yes())
}

/// Deletes a snapshot that no image uses.
pub(crate) fn delete(region: &mut Region, id: &str) -> Result<(), ApiError> {
    if !region.snapshots.contains_key(id) {
        return Err(absent(ResourceKind::Snapshot, id));
    }
    if let Some(image) = region
        .images
        .values()
        .find(|image| image.snapshot_ids().any(|used| used == id))
    {
        return Err(ApiError::new(
            "InvalidSnapshot.InUse",
            format!("The snapshot {id} is currently in use by {}", image.id),
        ));
    }
    region.snapshots.remove(id);
    region.tags.remove(id);
    Ok(())
}

pub(crate) fn describe_snapshot_attribute(mut call: Call) -> Answer {
    let id = call.parameters.required("SnapshotId")?;
    let attribute = call.parameters.required("Attribute")?;
    call.accept()?;
    let snapshot = call.read(|region| region.snapshot(&id).cloned())??;
    let answer = Element::body().text("snapshotId", &id);
    match attribute.as_str() {
        "createVolumePermission" => {
            let permissions = snapshot.shared_with.iter().map(|account| {
                let name = if account == EVERYONE { "group" } else { "userId" };
                Element::body().text(name, account)
            });
            Ok(answer.list("createVolumePermission", permissions))
        }
        "productCodes" => Ok(answer.list("productCodes", [])),
        other => Err(ApiError::invalid_value("attribute", other)),
    }
}

pub(crate) fn modify_snapshot_attribute(mut call: Call) -> Answer {
    let id = call.parameters.required("SnapshotId")?;
    let _attribute = call.parameters.word("Attribute", &["createVolumePermission"])?;
    let operation = call.parameters.word("OperationType", &["add", "remove"])?;
    let mut listed = call.parameters.list("UserId");
    listed.extend(call.parameters.list("UserGroup"));
    let mut add = take_accounts(&mut call, "CreateVolumePermission.Add")?;
    let mut remove = take_accounts(&mut call, "CreateVolumePermission.Remove")?;
    call.accept()?;
    match operation.as_deref() {
        Some("remove") => remove.extend(listed),
        Some(_) => add.extend(listed),
        // As for images, a list without operation may only repeat the other form.
        None if add.is_empty() && remove.is_empty() => return Err(ApiError::missing_parameter("OperationType")),
        None => {}
    }
    check_accounts(add.iter().chain(&remove))?;
    call.change(|region| {
        let snapshot = region.snapshot_mut(&id)?;
        snapshot.shared_with.extend(add);
        snapshot.shared_with.retain(|account| !remove.contains(account));
        Ok(())
    })?;
    Ok(Element::body().yes())
}

fn take_accounts(call: &mut Call, name: &str) -> Result<Vec<String>, ApiError> {
    let mut accounts = Vec::new();
    for mut permission in call.parameters.items(name) {
        accounts.extend(permission.text("UserId"));
        accounts.extend(permission.text("Group"));
        permission.finish()?;
    }
    Ok(accounts)
}

/// Checks that each entry is an account id or the group of all.
pub(crate) fn check_accounts<'a>(accounts: impl Iterator<Item = &'a String>) -> Result<(), ApiError> {
    for account in accounts {
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !is_account && account != EVERYONE {
            return Err(ApiError::new(
                "InvalidAMIAttributeItemValue",
                format!("Invalid attribute item value \"{account}\" for userId item type."),
            ));
        }
    }
    Ok(())
}
