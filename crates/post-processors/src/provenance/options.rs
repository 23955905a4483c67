//! Options of provenance, and which go together.

use std::collections::BTreeMap;
use std::path::Path;

use bakelite_engine::error::Error;
use bakelite_template::component::Complaint;
use schemars::JsonSchema;
use serde::Deserialize;

use super::sbom::Format;
use crate::attestation::key::{SigningKey, VerifyingKey};

/// Options of provenance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ProvenanceOptions {
    /// `false` passes the artifact on and writes nothing.
    pub(super) provenance: bool,
    /// The `buildType` of the statement.
    pub(super) build_type: String,
    /// Directory of the files, created when it is not there; default: that of the artifact's first file, else `.`.
    pub(super) output_dir: Option<String>,
    /// The template's name, recorded as `externalParameters.template`.
    pub(super) template: Option<String>,
    /// What `-only` was, recorded as `externalParameters.onlyBuilds`.
    pub(super) only_builds: Vec<String>,
    /// Values of variables to record as `externalParameters.userVariables`, besides those of the environment (`PKR_VAR_name`).
    /// Sensitive ones are recorded as `[sensitive value redacted]`.
    pub(super) user_variables: BTreeMap<String, String>,
    /// Where the template comes from; default: what GitHub or GitLab says in the environment, else what git reports of the directory.
    pub(super) source_uri: Option<String>,
    /// Write the SBOM that a provisioner `sbom` made of the instance, and a statement with it.
    pub(super) sbom: bool,
    /// The format that the SBOM must have; default: either.
    pub(super) sbom_format: Option<Format>,
    /// Not supported: an SBOM is made on the instance, by the provisioner `sbom`.
    #[schemars(extend("x-unsupported" = "nothing is scanned on this machine; the provisioner `sbom` makes an SBOM on the instance"))]
    pub(super) sbom_scan_path: Option<String>,
    /// Not supported: it is about layers of container images.
    #[schemars(extend("x-unsupported" = "it is about layers of container images; the provisioner `sbom` makes an SBOM on the instance"))]
    pub(super) sbom_scope: Option<String>,
    /// Not supported: the SBOM has all packages of the instance.
    #[schemars(extend("x-unsupported" = "the provisioner `sbom` lists all packages of the instance"))]
    pub(super) sbom_exclude: Option<Vec<String>>,
    /// How the statement is signed.
    pub(super) signing_mode: SigningMode,
    /// File of the private key (PEM): Ed25519, ECDSA P-256 or P-384, RSA; PKCS#8, SEC1 or PKCS#1, without a passphrase.
    pub(super) signer: Option<String>,
    /// The same as `signer`.
    pub(super) key: Option<String>,
    /// File of the public key (PEM) that must verify what was signed; default: the private key's other half.
    pub(super) verifier: Option<String>,
    /// Not supported: of keyless signing.
    #[schemars(extend("x-unsupported" = "keyless signing is not supported; sign with a key: signing_mode = \"key\""))]
    pub(super) fulcio_url: Option<String>,
    /// Not supported: of keyless signing.
    #[schemars(extend("x-unsupported" = "transparency logs are not supported; sign with a key: signing_mode = \"key\""))]
    pub(super) rekor_url: Option<String>,
    /// Not supported: of keyless signing. `false` is what happens.
    #[schemars(extend("x-unsupported" = "transparency logs are not supported"))]
    pub(super) upload_tlog: bool,
    /// Not supported: of keyless signing.
    #[schemars(extend("x-unsupported" = "keyless signing is not supported; sign with a key: signing_mode = \"key\""))]
    pub(super) trusted_root_path: Option<String>,
    /// Not supported: of keyless signing.
    #[schemars(extend("x-unsupported" = "keyless signing is not supported; sign with a key: signing_mode = \"key\""))]
    pub(super) keyless_identity: Option<String>,
    /// Not supported: of keyless signing.
    #[schemars(extend("x-unsupported" = "keyless signing is not supported; sign with a key: signing_mode = \"key\""))]
    pub(super) keyless_oidc_issuer: Option<String>,
}

/// How a statement is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SigningMode {
    /// Not at all.
    #[default]
    None,
    /// With the private key in the file `signer`.
    Key,
    /// With a key of a key management service.
    #[schemars(extend("x-unsupported" = "sign with a key's file: signing_mode = \"key\""))]
    Kms,
    /// Without a key of one's own.
    #[schemars(extend("x-unsupported" = "sign with a key's file: signing_mode = \"key\""))]
    Keyless,
}

impl Default for ProvenanceOptions {
    fn default() -> Self {
        Self {
            provenance: true,
            build_type: "https://packer.io/buildtypes/hcl2/v1".into(),
            output_dir: None,
            template: None,
            only_builds: Vec::new(),
            user_variables: BTreeMap::new(),
            source_uri: None,
            sbom: false,
            sbom_format: None,
            sbom_scan_path: None,
            sbom_scope: None,
            sbom_exclude: None,
            signing_mode: SigningMode::None,
            signer: None,
            key: None,
            verifier: None,
            fulcio_url: None,
            rekor_url: None,
            upload_tlog: false,
            trusted_root_path: None,
            keyless_identity: None,
            keyless_oidc_issuer: None,
        }
    }
}

impl ProvenanceOptions {
    /// The private key's file, with the option that names it; none when nothing is to be signed.
    pub(super) fn signing_key(&self) -> Option<(&'static str, &str)> {
        if self.signing_mode != SigningMode::Key {
            return None;
        }
        let signer = self.signer.as_deref().map(|path| ("signer", path));
        signer.or_else(|| Some(("key", self.key.as_deref()?)))
    }

    pub(super) fn check(&self, complaints: &mut Vec<Complaint>) {
        self.check_mode(complaints);
        self.check_keys(complaints);
    }

    /// Reads the keys, so that a wrong one is known before a bake and not after it.
    pub(super) fn check_files(&self, complaints: &mut Vec<Complaint>) {
        if let Some((option, path)) = self.signing_key()
            && let Err(error) = SigningKey::read(Path::new(path))
        {
            let error = Error::from(error).during(format!("`{path}` cannot sign"));
            complaints.push(error.complaint(option));
        }
        if let Some(path) = &self.verifier
            && let Err(error) = VerifyingKey::read(Path::new(path))
        {
            let error = Error::from(error).during(format!("`{path}` cannot verify"));
            complaints.push(error.complaint("verifier"));
        }
    }

    fn check_mode(&self, complaints: &mut Vec<Complaint>) {
        let key_is_given = self.signer.is_some() || self.key.is_some();
        let complaint = match self.signing_mode {
            SigningMode::None if key_is_given => {
                let option = if self.signer.is_some() { "signer" } else { "key" };
                Complaint::error(
                    option,
                    "a key is given, but `signing_mode` does not ask for a signature",
                )
                .help("set signing_mode = \"key\"")
            }
            SigningMode::Key if !key_is_given => {
                Complaint::error("signing_mode", "`signer` must be given to sign with a key")
                    .help("name the file of a private key: signer = \"key.pem\"")
            }
            _ => return,
        };
        complaints.push(complaint);
    }

    fn check_keys(&self, complaints: &mut Vec<Complaint>) {
        if let (Some(signer), Some(key)) = (&self.signer, &self.key)
            && signer != key
        {
            let message = "`key` means the same as `signer`, and they differ";
            complaints.push(Complaint::error("key", message).help("give one of them"));
        }
        for (option, path) in [
            ("signer", &self.signer),
            ("key", &self.key),
            ("verifier", &self.verifier),
        ] {
            if let Some(path) = path.as_deref().filter(|path| path.contains("://")) {
                let message = format!("`{path}` is a key of a key management service, which is not supported");
                complaints.push(Complaint::error(option, message).help("name the file of a key (PEM)"));
            }
        }
        if self.verifier.is_some() && self.signing_mode != SigningMode::Key {
            let message = "a verifier is given, but `signing_mode` does not ask for a signature";
            complaints.push(Complaint::error("verifier", message).help("set signing_mode = \"key\""));
        }
    }
}
