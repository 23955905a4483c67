//! SPDX 2.3 (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::{Identity, sha256};
use super::licence::{Licence, Licences, expression};
use super::packages::{Inventory, Package};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const SYSTEM: &str = "SPDXRef-OperatingSystem";

/// The document.
pub(super) fn document(inventory: &Inventory, identity: &Identity) -> Value {
    let title = identity.title(inventory);
    // Licences that SPDX does not know, by the reference that stands for them.
    let mut named = BTreeMap::new();
    let mut packages = vec![operating_system(inventory, title)];
    packages.extend(inventory.packages.iter().map(|one| package(one, &mut named)));
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", SYSTEM)];
    let contained = inventory
        .packages
        .iter()
        .map(|one| relationship(SYSTEM, "CONTAINS", &id(one)));
    relationships.extend(contained);
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": title,
        "documentNamespace": identity.serial.urn().to_string(),
        "creationInfo": { "created": identity.time, "creators": [format!("Tool: bakelite-{}", env!("CARGO_PKG_VERSION"))] },
        "packages": packages,
        "relationships": relationships,
    });
    if !named.is_empty() {
        let infos = named.into_iter().map(|(reference, name)| {
            json!({ "licenseId": reference, "name": name, "extractedText": format!("The package names its licence \"{name}\".") })
        });
        document["hasExtractedLicensingInfos"] = infos.collect();
    }
    document
}

fn operating_system(inventory: &Inventory, title: &str) -> Value {
    let system = &inventory.system;
    let mut fields = common(SYSTEM, title, &system.version);
    fields.insert("primaryPackagePurpose".into(), json!("OPERATING-SYSTEM"));
    if !system.name.is_empty() {
        fields.insert("summary".into(), json!(system.name));
    }
    if !system.kernel.is_empty() {
        fields.insert("comment".into(), json!(format!("kernel: {}", system.kernel)));
    }
    Value::Object(fields)
}

fn package(package: &Package, named: &mut BTreeMap<String, String>) -> Value {
    let mut fields = common(&id(package), &package.name, &package.version);
    if !package.supplier.is_empty() {
        fields.insert("supplier".into(), json!(supplier(&package.supplier)));
    }
    if let Some(declared) = declared(&package.licences, named) {
        fields.insert("licenseDeclared".into(), json!(declared));
    }
    if !package.location.is_empty() {
        fields.insert("sourceInfo".into(), json!(format!("found at {}", package.location)));
    }
    let reference =
        json!({ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl });
    fields.insert("externalRefs".into(), json!([reference]));
    Value::Object(fields)
}

/// What every package has. Nothing was looked into, so nothing is concluded.
fn common(id: &str, name: &str, version: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("SPDXID".into(), json!(id));
    fields.insert("name".into(), json!(name));
    if !version.is_empty() {
        fields.insert("versionInfo".into(), json!(version));
    }
    fields.insert("downloadLocation".into(), json!("NOASSERTION"));
    fields.insert("filesAnalyzed".into(), json!(false));
    for field in ["licenseConcluded", "licenseDeclared", "copyrightText"] {
        fields.insert(field.into(), json!("NOASSERTION"));
    }
    fields
}

/// The same package has the same id in every document.
fn id(package: &Package) -> String {
    let sum = sha256(package.purl.as_bytes());
    format!(
        "SPDXRef-Package-{}-{}",
        plain(&package.name),
        sum.get(..12).unwrap_or_default()
    )
}

fn declared(licences: &Licences, named: &mut BTreeMap<String, String>) -> Option<String> {
    let texts: Vec<String> = licences
        .iter()
        .map(|one| match one {
            Licence::Spdx(text) => text.clone(),
            Licence::Named(name) => {
                let sum = sha256(name.as_bytes());
                let reference = format!("LicenseRef-{}", sum.get(..12).unwrap_or_default());
                named.insert(reference.clone(), name.clone());
                reference
            }
        })
        .collect();
    (!texts.is_empty()).then(|| expression(texts.iter().map(String::as_str)))
}

/// `Name <address>` as `Organization: Name (address)`.
fn supplier(text: &str) -> String {
    match text
        .split_once('<')
        .map(|(name, address)| (name.trim(), address.trim_end_matches('>').trim()))
    {
        Some((name, address)) if !name.is_empty() && !address.is_empty() => format!("Organization: {name} ({address})"),
        _ => format!("Organization: {}", text.trim()),
    }
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// Letters, digits, `.` and `-` stay.
fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    text.chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}
