//! Who calls which service where: read from the Signature Version 4 scope. Signatures are not verified: every key is
//! welcome here, but a request without one is as wrong as it is at AWS.

use crate::api_error::ApiError;

/// The credential scope of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

impl Credential {
    /// Reads the `Authorization` header.
    pub(crate) fn from_header(header: Option<&str>) -> Result<Credential, ApiError> {
        let Some(header) = header else {
            return Err(ApiError::with_status(
                403,
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ));
        };
        let malformed = || {
            ApiError::with_status(
                401,
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
            )
        };
        let fields = header.strip_prefix(ALGORITHM).ok_or_else(malformed)?;
        let scope = fields
            .split(',')
            .find_map(|field| field.trim().strip_prefix("Credential="))
            .ok_or_else(malformed)?;
        Credential::from_scope(scope).ok_or_else(malformed)
    }

    /// Reads `KEY/DATE/REGION/SERVICE/aws4_request`; a key may hold slashes, the rest not.
    fn from_scope(scope: &str) -> Option<Credential> {
        let mut parts = scope.rsplitn(5, '/');
        if parts.next()? != "aws4_request" {
            return None;
        }
        let service = parts.next()?.to_owned();
        let region = parts.next()?.to_owned();
        let _date = parts.next()?;
        let access_key = parts.next()?.to_owned();
        (!access_key.is_empty() && !region.is_empty()).then_some(Credential {
            access_key,
            region,
            service,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_key_region_and_service() {
        let header =
            "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=00";
        let credential = Credential::from_header(Some(header)).unwrap();
        assert_eq!(
            (
                credential.access_key.as_str(),
                credential.region.as_str(),
                credential.service.as_str()
            ),
            ("AKID", "eu-west-1", "ec2")
        );
    }

    #[test]
    fn refuses_absent_and_broken_headers() {
        assert_eq!(
            Credential::from_header(None).unwrap_err().code,
            "MissingAuthenticationToken"
        );
        for header in [
            "",
            "Basic eDp5",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b/c",
            "AWS4-HMAC-SHA256 Credential=/d/r/s/aws4_request",
        ] {
            assert_eq!(
                Credential::from_header(Some(header)).unwrap_err().code,
                "AuthFailure",
                "{header}"
            );
        }
    }
}
