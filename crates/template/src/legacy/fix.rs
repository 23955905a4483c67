//! `fix`: options of older versions of Packer in a legacy template, written as they are called today.

use serde_json::{Map, Value as Json};

use crate::outdated::{FUNCTIONS, RENAMED};

type Object = Map<String, Json>;

/// The template with every outdated option replaced, as JSON with sorted names; or why the text is not JSON.
pub fn fix(text: &str) -> Result<String, serde_json::Error> {
    let mut root: Json = serde_json::from_str(text)?;
    each(&mut root, "builders", fix_builder);
    each(&mut root, "provisioners", fix_provisioner);
    if let Some(chains) = root.get_mut("post-processors") {
        fix_post_processors(chains);
    }
    let mut out = serde_json::to_string_pretty(&sorted(root))?;
    out.push('\n');
    Ok(out)
}

/// Lets a fixer see every object of a list.
fn each(root: &mut Json, list: &str, fixer: fn(&mut Object)) {
    let all = root.get_mut(list).and_then(Json::as_array_mut);
    all.into_iter()
        .flatten()
        .filter_map(Json::as_object_mut)
        .for_each(fixer);
}

fn kind(object: &Object) -> String {
    object.get("type").and_then(Json::as_str).unwrap_or_default().to_owned()
}

/// The new name takes the old one's value, unless it has one of its own.
fn rename(object: &mut Object, old: &str) {
    let Some((_, new)) = RENAMED.iter().find(|(name, _)| *name == old) else {
        return;
    };
    if let Some(value) = object.remove(old) {
        object.entry(*new).or_insert(value);
    }
}

fn fix_builder(builder: &mut Object) {
    let types = [
        ("virtualbox", "virtualbox-iso"),
        ("vmware", "vmware-iso"),
        ("parallels", "parallels-iso"),
    ];
    if let Some((_, new)) = types.iter().find(|(old, _)| kind(builder) == *old).copied() {
        builder.insert("type".to_owned(), new.into());
    }
    let kind = kind(builder);
    fix_texts(builder);
    for old in ["ssh_key_path", "ssh_disable_agent", "ssh_wait_timeout"] {
        rename(builder, old);
    }
    if kind.starts_with("amazon") {
        fix_amazon(builder);
    }
    if kind.starts_with("qemu") || kind.starts_with("virtualbox") {
        rename(builder, "ssh_host_port_min");
        rename(builder, "ssh_host_port_max");
    }
    if kind == "qemu"
        && let Some(Json::Number(size)) = builder.get("disk_size").cloned()
    {
        builder.insert("disk_size".to_owned(), format!("{size}M").into());
    }
    if kind.starts_with("parallels") {
        builder.remove("headless");
        builder.remove("parallels_tools_host_path");
    }
    if let Some(Json::Bool(attach)) = builder.remove("guest_additions_attach") {
        builder.insert(
            "guest_additions_mode".to_owned(),
            if attach { "attach" } else { "upload" }.into(),
        );
    }
    if kind.starts_with("hyperv") {
        rename(builder, "clone_from_vmxc_path");
        rename(builder, "cpu");
        rename(builder, "ram_size");
    }
    fix_checksum(builder);
}

fn fix_amazon(builder: &mut Object) {
    rename(builder, "shutdown_behaviour");
    rename(builder, "enhanced_networking");
    builder.remove("spot_price_auto_product");
    if let Some(private) = builder.remove("ssh_private_ip") {
        let is_private = private == Json::Bool(true) || private == "true";
        builder
            .entry("ssh_interface")
            .or_insert(if is_private { "private_ip" } else { "public_ip" }.into());
    }
    if let Some(cidr) = builder.remove("temporary_security_group_source_cidr") {
        let all = builder
            .entry("temporary_security_group_source_cidrs")
            .or_insert(Json::Array(Vec::new()));
        if let (Some(all), true) = (all.as_array_mut(), cidr != "") {
            all.push(cidr);
        }
    }
}

/// `iso_md5`, and a checksum with its type beside it: `TYPE:SUM`.
fn fix_checksum(builder: &mut Object) {
    if let Some(sum) = builder.remove("iso_md5") {
        builder.insert("iso_checksum".to_owned(), sum);
        builder.insert("iso_checksum_type".to_owned(), "md5".into());
    }
    let url = builder.remove("iso_checksum_url");
    let Some(Json::String(kind)) = builder.remove("iso_checksum_type") else {
        if let Some(url) = url.as_ref().and_then(Json::as_str) {
            builder.entry("iso_checksum").or_insert(format!("file:{url}").into());
        }
        return;
    };
    let sum = builder
        .get("iso_checksum")
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned();
    let fixed = match (kind.as_str(), url.as_ref().and_then(Json::as_str)) {
        ("none", _) => "none".to_owned(),
        (_, Some(url)) if sum.is_empty() => format!("file:{url}"),
        (kind, _) if !sum.contains(':') => format!("{kind}:{sum}"),
        _ => sum,
    };
    builder.insert("iso_checksum".to_owned(), fixed.into());
}

/// Names of functions that have changed, in every text.
fn fix_texts(object: &mut Object) {
    for value in object.values_mut() {
        match value {
            Json::String(text) => {
                for created in ["{{.CreateTime}}", "{{ .CreateTime }}"] {
                    *text = text.replace(created, "{{timestamp}}");
                }
                for (old, new) in FUNCTIONS {
                    *text = text.replace(old, new);
                }
            }
            Json::Object(inner) => fix_texts(inner),
            Json::Array(all) => {
                for one in all {
                    let mut single = Object::from_iter([(String::new(), one.take())]);
                    fix_texts(&mut single);
                    *one = single.remove("").unwrap_or_default();
                }
            }
            _ => {}
        }
    }
}

fn fix_provisioner(provisioner: &mut Object) {
    match kind(provisioner).as_str() {
        "ansible-local" => rename(provisioner, "galaxycommand"),
        "powershell" => unescape_powershell(provisioner.get_mut("environment_vars")),
        _ => {}
    }
}

/// Backticks that older versions needed in front of special characters.
fn unescape_powershell(list: Option<&mut Json>) {
    for one in list.and_then(Json::as_array_mut).into_iter().flatten() {
        if let Json::String(text) = one {
            for special in ['$', '"', '\'', '`'] {
                *text = text.replace(&format!("`{special}"), &special.to_string());
            }
        }
    }
}

fn fix_post_processors(value: &mut Json) {
    match value {
        Json::Array(all) => all.iter_mut().for_each(fix_post_processors),
        Json::Object(one) => match kind(one).as_str() {
            "manifest" => rename(one, "filename"),
            "docker-login" | "docker-push" => {
                one.remove("login_email");
            }
            "docker-tag" => {
                if let Some(Json::String(tags)) = one.remove("tag") {
                    let tags: Vec<Json> = tags.split(',').map(|tag| tag.trim().into()).collect();
                    one.insert("tags".to_owned(), Json::Array(tags));
                }
            }
            _ => {}
        },
        _ => {}
    }
}

fn sorted(value: Json) -> Json {
    match value {
        Json::Array(all) => Json::Array(all.into_iter().map(sorted).collect()),
        Json::Object(members) => {
            let mut members: Vec<(String, Json)> = members.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(
                members
                    .into_iter()
                    .map(|(name, member)| (name, sorted(member)))
                    .collect(),
            )
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outdated_options_get_their_present_names() {
        let text = r#"{
            "builders": [{
                "type": "amazon-ebs", "ssh_private_ip": true, "ssh_key_path": "k", "shutdown_behaviour": "stop",
                "ami_name": "a-{{.CreateTime}}", "temporary_security_group_source_cidr": "10.0.0.0/8",
                "enhanced_networking": true, "tags": {"n": "{{clean_ami_name `x`}}"}, "spot_price_auto_product": "x"
            }, {"type": "virtualbox", "iso_checksum": "abc", "iso_checksum_type": "sha256"}],
            "provisioners": [{"type": "powershell", "environment_vars": ["A=`$x"]}],
            "post-processors": [[{"type": "manifest", "filename": "m.json"}]]
        }"#;
        insta::assert_snapshot!(fix(text).unwrap());
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        assert!(fix("{").is_err());
    }
}
