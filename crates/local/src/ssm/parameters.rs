//! Parameters of Systems Manager's Parameter Store, each of one version, kept with the rest of the state.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::call::JsonCall;
use crate::moment::Moment;
use crate::state::{ACCOUNT, Parameter};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetParameter {
    name: String,
    #[serde(default)]
    with_decryption: bool,
}

pub(super) fn get_parameter(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: GetParameter = call.input()?;
    let region = &call.credential.region;
    let (name, selector) = match input.name.split_once(':') {
        Some((name, selector)) if !input.name.starts_with("arn:") => (name.to_owned(), Some(selector.to_owned())),
        _ => (input.name.clone(), None),
    };
    let found = call
        .cloud
        .read(region, |region| region.parameters.get(&name).cloned())?;
    let parameter = found.ok_or_else(|| ApiError::new("ParameterNotFound", ""))?;
    if selector
        .as_ref()
        .is_some_and(|version| *version != parameter.version.to_string())
    {
        return Err(ApiError::new(
            "ParameterVersionNotFound",
            format!(
                "Systems Manager could not find version {} of {name}",
                selector.unwrap_or_default()
            ),
        ));
    }
    // Without decryption a secret is what the key made of it.
    let value = if parameter.kind == "SecureString" && !input.with_decryption {
        format!("kms:alias/aws/ssm:{}", hex::encode(&parameter.value))
    } else {
        parameter.value
    };
    let path = name.strip_prefix('/').unwrap_or(&name);
    Ok(json!({ "Parameter": {
        "Name": name,
        "Type": parameter.kind,
        "Value": value,
        "Version": parameter.version,
        "LastModifiedDate": parameter.modified.seconds(),
        "ARN": format!("arn:aws:ssm:{region}:{ACCOUNT}:parameter/{path}"),
        "DataType": "text",
    }}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutParameter {
    name: String,
    value: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(default)]
    overwrite: bool,
    /// Taken, and not shown by any action here.
    #[serde(rename = "Description")]
    _description: Option<String>,
}

pub(super) fn put_parameter(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: PutParameter = call.input()?;
    if let Some(kind) = input.kind.as_deref()
        && !["String", "StringList", "SecureString"].contains(&kind)
    {
        return Err(ApiError::new(
            "UnsupportedParameterType",
            format!("The parameter type {kind} is not supported"),
        ));
    }
    let version = call.cloud.change(&call.credential.region, |region| {
        let known = region.parameters.get(&input.name);
        let (kind, version) = match (known, input.kind) {
            (Some(_), _) if !input.overwrite => {
                return Err(ApiError::new(
                    "ParameterAlreadyExists",
                    "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
                ));
            }
            (Some(known), kind) => (kind.unwrap_or_else(|| known.kind.clone()), known.version + 1),
            (None, Some(kind)) => (kind, 1),
            (None, None) => {
                return Err(ApiError::new(
                    "ValidationException",
                    "A parameter type is required when you create a parameter.",
                ));
            }
        };
        let parameter = Parameter {
            kind,
            value: input.value,
            version,
            modified: Moment::now(),
        };
        region.parameters.insert(input.name, parameter);
        Ok(version)
    })?;
    Ok(json!({ "Version": version, "Tier": "Standard" }))
}
