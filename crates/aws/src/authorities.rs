//! Who vouches for AWS's servers: whom this machine trusts, unless `AWS_CA_BUNDLE` or `ca_bundle` of the profile names a file with
//! others. Then those take the place of this machine's, as in AWS's own tools.

use std::path::PathBuf;

pub(crate) use bakelite_net::trust::BundleError;
use bakelite_net::trust::bundle;
use rustls::pki_types::CertificateDer;

use crate::credentials::{AccessError, Environment, Profiles, in_home, variable};

/// The authorities that are named instead of this machine's.
#[derive(Debug, Clone)]
pub(crate) struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Those that the environment or the profile names, if any.
    pub(crate) async fn named(
        environment: &Environment,
        profiles: &Profiles,
    ) -> Result<Option<Authorities>, AccessError> {
        let of_environment = variable(environment, "AWS_CA_BUNDLE");
        let (by, path) = match (of_environment, profiles.setting("ca_bundle")) {
            (Some(path), _) => ("`AWS_CA_BUNDLE`".to_owned(), path),
            (None, Some(path)) => (format!("`ca_bundle` of profile `{}`", profiles.name), path),
            (None, None) => return Ok(None),
        };
        let file = PathBuf::from(in_home(path, environment));
        match bundle(&file).await {
            Ok(certificates) => Ok(Some(Self(certificates))),
            Err(cause) => Err(AccessError::Bundle { by, file, cause }),
        }
    }

    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::access::{AccessOptions, AssumeRole};
    use crate::client::Aws;

    /// A server of AWS behind a certificate of an authority that only its PEM file knows.
    struct Server {
        authority: String,
        endpoint: String,
        _tasks: tokio::task::JoinSet<()>,
    }

    impl Server {
        async fn start() -> Server {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
            Server {
                authority: format!(
                    "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                    BASE64_STANDARD.encode(authority.der())
                ),
                endpoint,
                _tasks: tasks,
            }
        }
    }

    async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let (mut request, mut bytes) = (String::new(), [0; 4096]);
            // The form is short and says first what it asks for.
            while !request.contains("Action=") {
                match stream.read(&mut bytes).await {
                    Ok(count @ 1..) => request.push_str(&String::from_utf8_lossy(&bytes[..count])),
                    _ => break,
                }
            }
            let body = if request.contains("Action=AssumeRole") {
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                 <AccessKeyId>AK2</AccessKeyId><SecretAccessKey>SK2</SecretAccessKey><SessionToken>T</SessionToken>\
                 <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
            } else {
                "<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>"
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AK"),
            ("AWS_SECRET_ACCESS_KEY", "SK"),
            ("AWS_REGION", "eu-west-1"),
        ];
        keys.iter()
            .chain(pairs)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn once() -> AccessOptions {
        AccessOptions {
            max_retries: Some(1),
            skip_credential_validation: true,
            ..AccessOptions::default()
        }
    }

    async fn is_reached(options: &AccessOptions, environment: &Environment) -> bool {
        let aws = Aws::reach(options, environment).await.unwrap();
        let answered = aws.ec2().describe_regions().send().await;
        answered.is_ok()
    }

    fn written(directory: &Path, name: &str, text: &str) -> String {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    #[tokio::test]
    async fn a_bundle_is_who_vouches_for_every_service() {
        let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
        let bundle = written(directory.path(), "bundle.pem", &server.authority);
        let endpoint = ("AWS_ENDPOINT_URL", server.endpoint.as_str());
        assert!(!is_reached(&once(), &environment(&[endpoint])).await);

        let named = environment(&[endpoint, ("AWS_CA_BUNDLE", &bundle)]);
        assert!(is_reached(&once(), &named).await);
        let insecure = AccessOptions {
            insecure_skip_tls_verify: true,
            ..once()
        };
        assert!(is_reached(&insecure, &environment(&[endpoint])).await);
        let role = AccessOptions {
            assume_role: Some(AssumeRole {
                role_arn: Some("arn:aws:iam::123456789012:role/baker".into()),
                ..AssumeRole::default()
            }),
            ..once()
        };
        assert!(is_reached(&role, &named).await);
    }

    #[tokio::test]
    async fn a_profile_names_a_bundle_for_itself() {
        let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
        let bundle = written(directory.path(), "bundle.pem", &server.authority);
        let config =
            format!("[profile ci]\nca_bundle = {bundle}\naws_access_key_id = AK\naws_secret_access_key = SK\n");
        let config = written(directory.path(), "config", &config);
        let environment = environment(&[
            ("AWS_ENDPOINT_URL", &server.endpoint),
            ("AWS_CONFIG_FILE", &config),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ]);
        let of_profile = AccessOptions {
            profile: Some("ci".into()),
            ..once()
        };
        let named = async |options| {
            let profiles = Profiles::read(options, &environment).await;
            Authorities::named(&environment, &profiles).await.unwrap()
        };
        assert_eq!(named(&of_profile).await.unwrap().certificates().len(), 1);
        assert!(named(&once()).await.is_none());
        let with_keys = AccessOptions {
            access_key: Some("AK".into()),
            secret_key: Some("SK".into()),
            ..of_profile
        };
        assert!(is_reached(&with_keys, &environment).await);
    }

    #[tokio::test]
    async fn a_bundle_that_cannot_be_used_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem").display().to_string();
        let empty = written(directory.path(), "empty.pem", "no certificate\n");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = written(directory.path(), "broken.pem", broken);
        for (path, why) in [
            (missing, "failed to read it: No such file or directory"),
            (empty, "no certificate in PEM form"),
            (broken, "failed to read the certificates in it: "),
        ] {
            let environment = environment(&[("AWS_CA_BUNDLE", &path)]);
            let error = Aws::reach(&once(), &environment).await.unwrap_err();
            let text = bakelite_engine::chain_of(&error);
            assert!(
                text.starts_with(&format!(
                    "failed to use the authorities that `AWS_CA_BUNDLE` names, `{path}`: "
                )),
                "{text}"
            );
            assert!(text.contains(why), "{text}");
        }
    }
}
