//! The `Authorization` header of a request: who calls which service where, and the signature over it.

/// The credential scope of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) access_key: String,
    /// `YYYYMMDD`
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

/// A header of Signature Version 4, read and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) credential: Credential,
    /// Names of the headers that are signed, in lower case.
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: Vec<u8>,
}

/// The one algorithm that is spoken here.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What every scope ends with.
pub(crate) const TERMINATOR: &str = "aws4_request";

impl Authorization {
    /// Reads the header; the error is what it lacks.
    pub(crate) fn read(header: &str) -> Result<Authorization, &'static str> {
        let fields = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let fields = fields.ok_or("the algorithm is not AWS4-HMAC-SHA256")?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) = field.trim().split_once('=').ok_or("a field has no value")?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err("it has a field that is none of Credential, SignedHeaders and Signature"),
            };
            if place.replace(value).is_some() {
                return Err("a field is there twice");
            }
        }
        let scope = credential.and_then(Credential::from_scope);
        let names = signed_headers.ok_or("it names no signed headers")?;
        let signature = signature.and_then(|digits| hex::decode(digits).ok());
        Ok(Authorization {
            credential: scope.ok_or("its credential is not KEY/DATE/REGION/SERVICE/aws4_request")?,
            signed_headers: names.split(';').map(str::to_owned).collect(),
            signature: signature.ok_or("it has no signature")?,
        })
    }
}

impl Credential {
    /// Reads `KEY/DATE/REGION/SERVICE/aws4_request`.
    fn from_scope(scope: &str) -> Option<Credential> {
        let mut parts = scope.split('/').map(str::to_owned);
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let credential = Credential {
            access_key: next()?,
            date: next()?,
            region: next()?,
            service: next()?,
        };
        (next()? == TERMINATOR && parts.next().is_none()).then_some(credential)
    }

    /// `DATE/REGION/SERVICE/aws4_request`
    pub(crate) fn scope(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_all_fields() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/ec2/aws4_request, SignedHeaders=host;x-amz-date,Signature=00ff";
        let read = Authorization::read(header).unwrap();
        assert_eq!(read.credential.access_key, "AKID");
        assert_eq!(read.credential.scope(), "20261121/eu-west-1/ec2/aws4_request");
        assert_eq!(read.signed_headers, ["host", "x-amz-date"]);
        assert_eq!(read.signature, [0, 255]);
    }

    #[test]
    fn refuses_broken_headers() {
        let whole = "AWS4-HMAC-SHA256 Credential=a/d/r/s/aws4_request, SignedHeaders=host, Signature=00";
        assert!(Authorization::read(whole).is_ok());
        for header in [
            "",
            "Basic eDp5",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b/c",
            &whole.replace("a/d", "/d"),
            &whole.replace("aws4_request", "aws4_request/x"),
            &whole.replace("Signature=00", "Signature=0g"),
            &whole.replace("Signature=00", ""),
            &whole.replace("HMAC-SHA256", "ECDSA-P256-SHA256"),
            &format!("{whole}, Signature=00"),
            &format!("{whole}, Other=1"),
        ] {
            assert!(Authorization::read(header).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(header in "(AWS4-HMAC-SHA256 )?(Credential=|Signature=|SignedHeaders=|[a-z/,;= ]|.){0,40}") {
            let _ = Authorization::read(&header);
        }
    }
}
