//! One call of the API: who asks what of which region, and the gate between reading its parameters and acting on them.

use std::sync::Arc;

use bytes::Bytes;
use hyper::http::request::Parts;
use serde::Deserialize;

use crate::api_error::ApiError;
use crate::catalogue;
use crate::cloud::Cloud;
use crate::credential::Credential;
use crate::query::Parameters;
use crate::state::Region;
use crate::state::image::Image;
use crate::xml::Element;

/// An authenticated request.
pub(crate) struct Accepted {
    pub(crate) credential: Credential,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

/// What an action returns: the children of its answer's root element.
pub(crate) type Answer = Result<Element, ApiError>;

/// A call of a service that speaks the Query protocol, routed to its action.
pub(crate) struct Call {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) region: String,
    pub(crate) parameters: Parameters,
    /// A digest of all parameters but the client token, to recognize a repeated request.
    pub(crate) digest: String,
    dry_run: bool,
}

impl Call {
    /// Takes the parameters that every action has.
    pub(crate) fn new(cloud: Arc<Cloud>, region: String, mut parameters: Parameters) -> Result<Call, ApiError> {
        let dry_run = parameters.boolean("DryRun")?.unwrap_or(false);
        let digest = parameters.digest(&["ClientToken"]);
        Ok(Call {
            cloud,
            region,
            parameters,
            digest,
            dry_run,
        })
    }

    /// A call that is a dry run whatever its parameters.
    pub(crate) fn dry(cloud: Arc<Cloud>, region: String, parameters: Parameters) -> Call {
        Call {
            cloud,
            region,
            digest: parameters.digest(&[]),
            parameters,
            dry_run: true,
        }
    }

    /// Refuses parameters that the action did not take, and ends a dry run. Every action calls it once, after it has read
    /// its parameters and before it does anything else.
    pub(crate) fn accept(&self) -> Result<(), ApiError> {
        self.parameters.finish()?;
        if self.dry_run {
            return Err(ApiError::with_status(
                412,
                "DryRunOperation",
                "Request would have succeeded, but DryRun flag is set.",
            ));
        }
        Ok(())
    }

    /// Reads the region as it is now.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Region) -> T) -> Result<T, ApiError> {
        self.cloud.read(&self.region, look)
    }

    /// Changes the region, wholly or not at all.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Region) -> Result<T, ApiError>) -> Result<T, ApiError> {
        self.cloud.change(&self.region, change)
    }

    /// Returns the well-known images and those that the user named.
    pub(crate) fn catalogue(&self) -> Vec<Image> {
        catalogue::images(&self.region, &self.cloud.local_images)
    }
}

/// A call of a service that speaks JSON.
pub(crate) struct JsonCall<'a> {
    pub(crate) cloud: &'a Arc<Cloud>,
    pub(crate) credential: &'a Credential,
    pub(crate) body: &'a [u8],
}

impl<'a> JsonCall<'a> {
    /// The parameters; those that an action does not know are refused.
    pub(crate) fn input<T: Deserialize<'a>>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(self.body).map_err(|error| ApiError::new("ValidationException", error.to_string()))
    }

    /// The error for an action that is not there.
    pub(crate) fn unknown(&self, action: &str) -> ApiError {
        ApiError::new(
            "UnknownOperationException",
            format!(
                "The local cloud does not support the operation `{action}` of `{}`",
                self.credential.service
            ),
        )
    }
}
