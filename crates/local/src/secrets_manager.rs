//! Secrets Manager's API, as far as templates need it: secrets of one version, kept with the rest of the state.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::call::JsonCall;
use crate::ids::random_hex;
use crate::moment::Moment;
use crate::state::Secret;
use crate::state::{ACCOUNT, Region};

/// Answers a call of an action.
pub(crate) fn answer(action: &str, call: &JsonCall<'_>) -> Result<Value, ApiError> {
    match action {
        "CreateSecret" => create_secret(call),
        "DeleteSecret" => delete_secret(call),
        "GetSecretValue" => get_secret_value(call),
        "PutSecretValue" => put_secret_value(call),
        _ => Err(call.unknown(action)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateSecret {
    name: String,
    client_request_token: Option<String>,
    /// Taken, and not shown by any action here.
    #[serde(rename = "Description")]
    _description: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
}

fn create_secret(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: CreateSecret = call.input()?;
    let region = &call.credential.region;
    let secret = Secret {
        arn: format!(
            "arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{}-{}",
            input.name,
            random_hex(6)
        ),
        created: Moment::now(),
        version: input.client_request_token.unwrap_or_else(|| random_hex(32)),
        string: input.secret_string,
        binary: input.secret_binary,
        name: input.name,
    };
    call.cloud.change(region, |region| {
        if region.secrets.contains_key(&secret.name) {
            return Err(ApiError::new(
                "ResourceExistsException",
                format!("The secret `{}` already exists.", secret.name),
            ));
        }
        region.secrets.insert(secret.name.clone(), secret.clone());
        Ok(())
    })?;
    Ok(named(&secret))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetSecretValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

fn get_secret_value(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: GetSecretValue = call.input()?;
    let secret = call.cloud.read(&call.credential.region, |region| {
        find(region, &input.secret_id).cloned()
    })??;
    let other_version = input.version_id.is_some_and(|version| version != secret.version);
    if other_version || input.version_stage.is_some_and(|stage| stage != CURRENT) {
        return Err(ApiError::new(
            "ResourceNotFoundException",
            "The local cloud keeps only the current version of a secret.",
        ));
    }
    let mut answer = named(&secret);
    answer["CreatedDate"] = json!(secret.created.seconds());
    answer["VersionStages"] = json!([CURRENT]);
    if let Some(text) = &secret.string {
        answer["SecretString"] = json!(text);
    }
    if let Some(bytes) = &secret.binary {
        answer["SecretBinary"] = json!(bytes);
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutSecretValue {
    secret_id: String,
    client_request_token: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
}

fn put_secret_value(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: PutSecretValue = call.input()?;
    call.cloud.change(&call.credential.region, |region| {
        let name = find(region, &input.secret_id)?.name.clone();
        let secret = region.secrets.get_mut(&name).ok_or_else(absent)?;
        secret.version = input.client_request_token.unwrap_or_else(|| random_hex(32));
        secret.string = input.secret_string;
        secret.binary = input.secret_binary;
        Ok(named(secret))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteSecret {
    secret_id: String,
    /// A secret goes at once here, however long AWS would keep it.
    #[serde(rename = "RecoveryWindowInDays")]
    _recovery_window_in_days: Option<u32>,
    #[serde(rename = "ForceDeleteWithoutRecovery")]
    _force: Option<bool>,
}

fn delete_secret(call: &JsonCall<'_>) -> Result<Value, ApiError> {
    let input: DeleteSecret = call.input()?;
    call.cloud.change(&call.credential.region, |region| {
        let name = find(region, &input.secret_id)?.name.clone();
        let secret = region.secrets.remove(&name).ok_or_else(absent)?;
        Ok(json!({ "ARN": secret.arn, "Name": secret.name, "DeletionDate": Moment::now().seconds() }))
    })
}

/// The label of the version that counts.
const CURRENT: &str = "AWSCURRENT";

fn named(secret: &Secret) -> Value {
    json!({ "ARN": secret.arn, "Name": secret.name, "VersionId": secret.version })
}

/// The secret of a name or an ARN.
fn find<'a>(region: &'a Region, id: &str) -> Result<&'a Secret, ApiError> {
    let mut secrets = region.secrets.values();
    secrets
        .find(|secret| secret.name == id || secret.arn == id)
        .ok_or_else(absent)
}

fn absent() -> ApiError {
    ApiError::new(
        "ResourceNotFoundException",
        "The secret does not exist in the local cloud.",
    )
}
