//! CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>).

use serde_json::{Map, Value, json};

use super::document::Identity;
use super::licence::{Licence, Licences, expression};
use super::packages::{Inventory, Package, System};

/// The document.
pub(super) fn document(inventory: &Inventory, identity: &Identity) -> Value {
    let components: Vec<Value> = inventory.packages.iter().map(component).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": identity.serial.urn().to_string(),
        "version": 1,
        "metadata": {
            "timestamp": identity.time,
            "tools": { "components": [{ "type": "application", "name": "bakelite", "version": env!("CARGO_PKG_VERSION") }] },
            "component": operating_system(&inventory.system, identity.title(inventory)),
        },
        "components": components,
    })
}

fn operating_system(system: &System, title: &str) -> Value {
    let mut component = Map::new();
    component.insert("bom-ref".into(), json!("operating-system"));
    component.insert("type".into(), json!("operating-system"));
    component.insert("name".into(), json!(title));
    for (key, value) in [("version", &system.version), ("description", &system.name)] {
        if !value.is_empty() {
            component.insert(key.into(), json!(value));
        }
    }
    let properties = [
        ("bakelite:distribution", &system.id),
        ("bakelite:kernel", &system.kernel),
    ];
    component.insert("properties".into(), self::properties(&properties));
    Value::Object(component)
}

fn component(package: &Package) -> Value {
    let mut component = Map::new();
    component.insert("bom-ref".into(), json!(package.purl));
    component.insert("type".into(), json!("library"));
    if !package.supplier.is_empty() {
        component.insert("publisher".into(), json!(package.supplier));
    }
    component.insert("name".into(), json!(package.name));
    component.insert("version".into(), json!(package.version));
    if !package.licences.is_empty() {
        component.insert("licenses".into(), licences(&package.licences));
    }
    component.insert("purl".into(), json!(package.purl));
    if !package.location.is_empty() {
        component.insert(
            "properties".into(),
            properties(&[("bakelite:location", &package.location)]),
        );
    }
    Value::Object(component)
}

/// Identifiers and names stand in a list, an expression stands alone.
fn licences(licences: &Licences) -> Value {
    let all_spdx = licences.iter().all(|one| matches!(one, Licence::Spdx(_)));
    if all_spdx && !licences.iter().all(Licence::is_simple) {
        return json!([{ "expression": expression(licences.iter().map(Licence::text)) }]);
    }
    let list = licences.iter().map(|one| {
        let key = if one.is_simple() { "id" } else { "name" };
        json!({ "license": { key: one.text() } })
    });
    list.collect()
}

fn properties(properties: &[(&str, &String)]) -> Value {
    let given = properties.iter().filter(|(_, value)| !value.is_empty());
    given
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}
