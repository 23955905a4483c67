//! Key pairs: made or imported; only the public part is kept.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::api_error::ApiError;
use crate::call::{Answer, Call};
use crate::ec2::filters::{FilterTable, Filters};
use crate::ec2::tags::{self, TagSpecifications};
use crate::ids::{ResourceKind, absent, unknown_key_pair};
use crate::keys;
use crate::moment::Moment;
use crate::state::KeyPair;
use crate::state::Region;
use crate::state::Tags;
use crate::xml::Element;

/// Longest name of a key pair, in characters.
const LONGEST_NAME: usize = 255;

pub(crate) async fn create_key_pair(mut call: Call) -> Answer {
    let name = take_name(&mut call)?;
    let key_type = call
        .parameters
        .word("KeyType", &["rsa", "ed25519"])?
        .unwrap_or_else(|| "rsa".to_owned());
    let format = call.parameters.word("KeyFormat", &["pem", "ppk"])?;
    let tags = TagSpecifications::take(&mut call.parameters, &[ResourceKind::KeyPair])?.of(ResourceKind::KeyPair);
    call.accept()?;
    if format.as_deref() == Some("ppk") {
        return Err(ApiError::unsupported(
            "the local cloud supports only the key format pem",
        ));
    }
    // Told before the work too, though the answer that counts is given when the pair is added.
    call.read(|region| check_free(region, &name))??;
    let key = if key_type == "rsa" {
        call.cloud.rsa_keys.take().await?
    } else {
        keys::new_ed25519()?
    };
    let pair = add(&call, name, &key_type, key.fingerprint, &key.public_line, &tags)?;
    Ok(Element::body()
        .text("keyName", &pair.name)
        .text("keyFingerprint", &pair.fingerprint)
        .text("keyMaterial", key.private_pem)
        .text("keyPairId", &pair.id)
        .with(tags::tag_set(&tags)))
}

pub(crate) fn import_key_pair(mut call: Call) -> Answer {
    let name = take_name(&mut call)?;
    let material = call.parameters.required("PublicKeyMaterial")?;
    let tags = TagSpecifications::take(&mut call.parameters, &[ResourceKind::KeyPair])?.of(ResourceKind::KeyPair);
    call.accept()?;
    let material = BASE64_STANDARD
        .decode(material.trim())
        .map_err(|_| ApiError::new("InvalidKey.Format", "Key is not valid base64"))?;
    let key = keys::import(&material)?;
    let pair = add(&call, name, key.key_type, key.fingerprint, &key.public_line, &tags)?;
    Ok(Element::body()
        .text("keyName", &pair.name)
        .text("keyFingerprint", &pair.fingerprint)
        .text("keyPairId", &pair.id)
        .with(tags::tag_set(&tags)))
}

fn take_name(call: &mut Call) -> Result<String, ApiError> {
    let name = call.parameters.required("KeyName")?;
    let fits = name.chars().count() <= LONGEST_NAME && name.is_ascii();
    if fits {
        Ok(name)
    } else {
        Err(ApiError::invalid_value("keyName", &name))
    }
}

fn check_free(region: &Region, name: &str) -> Result<(), ApiError> {
    match region.key_pairs.get(name) {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            "InvalidKeyPair.Duplicate",
            format!("The keypair '{name}' already exists."),
        )),
    }
}

fn add(
    call: &Call,
    name: String,
    key_type: &str,
    fingerprint: String,
    public_line: &str,
    tags: &Tags,
) -> Result<KeyPair, ApiError> {
    let pair = KeyPair {
        id: ResourceKind::KeyPair.new_id(),
        // As EC2 hands it to instances: the comment is the name.
        public_line: format!("{public_line} {name}"),
        name,
        key_type: key_type.to_owned(),
        fingerprint,
        created: Moment::now(),
    };
    call.change(|region| {
        check_free(region, &pair.name)?;
        region.key_pairs.insert(pair.name.clone(), pair.clone());
        region.tag(&pair.id, tags);
        Ok(())
    })?;
    Ok(pair)
}

const FILTERS: FilterTable<KeyPair> = &[
    ("key-name", |pair| vec![pair.name.clone()]),
    ("key-pair-id", |pair| vec![pair.id.clone()]),
    ("fingerprint", |pair| vec![pair.fingerprint.clone()]),
];

pub(crate) fn describe_key_pairs(mut call: Call) -> Answer {
    let (names, ids) = (call.parameters.list("KeyName"), call.parameters.list("KeyPairId"));
    let with_public_key = call.parameters.boolean("IncludePublicKey")?.unwrap_or(false);
    let filters = Filters::take(&mut call.parameters, FILTERS)?;
    call.accept()?;
    call.read(|region| {
        check_known(region, &names, &ids)?;
        let items = region
            .key_pairs
            .values()
            .filter(|pair| names.is_empty() && ids.is_empty() || names.contains(&pair.name) || ids.contains(&pair.id))
            .filter(|pair| filters.match_item(FILTERS, pair, region.tags_of(&pair.id)))
            .map(|pair| {
                Element::body()
                    .text("keyPairId", &pair.id)
                    .text("keyName", &pair.name)
                    .text("keyFingerprint", &pair.fingerprint)
                    .text("keyType", &pair.key_type)
                    .maybe("publicKey", with_public_key.then_some(&pair.public_line))
                    .text("createTime", pair.created)
                    .with(tags::tag_set(region.tags_of(&pair.id)))
            });
        Ok(Element::body().list("keySet", items))
    })?
}

fn check_known(region: &Region, names: &[String], ids: &[String]) -> Result<(), ApiError> {
    if let Some(name) = names.iter().find(|name| !region.key_pairs.contains_key(*name)) {
        return Err(unknown_key_pair(name));
    }
    match ids
        .iter()
        .find(|id| !region.key_pairs.values().any(|pair| pair.id == **id))
    {
        Some(id) => Err(absent(ResourceKind::KeyPair, id)),
        None => Ok(()),
    }
}

/// Deletes a pair; one that does not exist is no error, so that a repeated call succeeds.
pub(crate) fn delete_key_pair(mut call: Call) -> Answer {
    let (name, id) = (call.parameters.text("KeyName"), call.parameters.text("KeyPairId"));
    call.accept()?;
    if name.is_none() && id.is_none() {
        return Err(ApiError::missing_parameter("KeyName"));
    }
    let deleted = call.change(|region| {
        let found = region
            .key_pairs
            .values()
            .find(|pair| Some(&pair.name) == name.as_ref() || Some(&pair.id) == id.as_ref());
        let Some(pair) = found.cloned() else { return Ok(None) };
        region.key_pairs.remove(&pair.name);
        region.tags.remove(&pair.id);
        Ok(Some(pair.id))
    })?;
    Ok(Element::body().yes().maybe("keyPairId", deleted))
}
