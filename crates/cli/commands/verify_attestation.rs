//! `verify-attestation`: is a statement of the post-processor `provenance` signed by this key, and does it say what it should?

use bakelite_post_processors::attestation::key::VerifyingKey;
use bakelite_post_processors::attestation::verify::{Expectations, Verified, verify};

use super::print;
use crate::args::VerifyArgs;
use crate::exit::{Failure, Status};
use crate::process::Process;

pub(super) fn run(args: &VerifyArgs, process: &Process) -> Result<Status, Failure> {
    refuse_what_is_not_supported(args)?;
    let key = key(args, process)?;
    let what = || format!("failed to verify `{}`", args.file);
    let text = std::fs::read_to_string(process.working_directory.join(&args.file))
        .map_err(|error| Failure::new(what()).because(&error))?;
    let expectations = Expectations {
        predicate_type: args.predicate_type.clone(),
        builder_id: args.builder_id.clone(),
        source_uri: args.source_uri.clone(),
        artifact: args.artifact.clone(),
    };
    let verified = verify(&text, key.as_ref(), &expectations, &process.working_directory)
        .map_err(|error| Failure::of(what(), &error.into()))?;
    print(&report(&args.file, &verified, key.is_some()));
    Ok(Status::Ok)
}

/// The key that must have signed it; none where the user wants to look into an unsigned statement.
fn key(args: &VerifyArgs, process: &Process) -> Result<Option<VerifyingKey>, Failure> {
    let path = match (&args.verifier, &args.key) {
        (Some(verifier), Some(key)) if verifier != key => {
            return Err(Failure::new("-key and -verifier mean the same, and they differ"));
        }
        (verifier, key) => verifier.as_ref().or(key.as_ref()),
    };
    match (args.signing_mode.as_deref(), path) {
        (None | Some("key"), Some(path)) if path.contains("://") => Err(Failure::new(format!(
            "failed to use key `{path}`: key management services are not supported"
        ))
        .help("name the file of a public key (PEM)")),
        (None | Some("key"), Some(path)) => {
            let key = VerifyingKey::read(&process.working_directory.join(path));
            key.map(Some)
                .map_err(|error| Failure::of(format!("failed to use key `{path}`"), &error.into()))
        }
        (None | Some("key"), None) => Err(Failure::new(format!("failed to verify `{}`: no key is given", args.file))
            .help("name the key that must have signed it: -verifier=FILE; -signing-mode=none looks into an unsigned statement")),
        (Some("none"), None) => Ok(None),
        (Some("none"), Some(path)) => Err(Failure::new(format!(
            "failed to use key `{path}`: with -signing-mode=none no signature is checked"
        ))),
        (Some(mode @ ("kms" | "keyless")), _) => Err(Failure::new(format!("failed to verify `{}`: signing mode `{mode}` is not supported", args.file))
            .help("bakelite verifies signatures of keys in files: -signing-mode=key")),
        (Some(mode), _) => Err(Failure::new(format!("failed to verify `{}`: `{mode}` is no signing mode", args.file)).help("use `key` or `none`")),
    }
}

fn refuse_what_is_not_supported(args: &VerifyArgs) -> Result<(), Failure> {
    let flags = [
        ("trusted-root-path", args.trusted_root_path.is_some()),
        ("keyless-identity", args.keyless_identity.is_some()),
        ("keyless-oidc-issuer", args.keyless_oidc_issuer.is_some()),
        ("bundle", args.bundle.is_some()),
        ("require-rekor", args.require_rekor),
        ("require-timestamp", args.require_timestamp),
    ];
    match flags.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::new(format!(
            "-{flag} is not supported: keyless signatures, transparency logs and timestamps are not verified"
        ))
        .help("bakelite verifies signatures of keys in files: -signing-mode=key -verifier=FILE")),
    }
}

fn report(file: &str, verified: &Verified, is_signed: bool) -> String {
    let signed = if is_signed {
        "verified: the key has signed it"
    } else {
        "holds together, but is not signed: nothing proves who wrote it"
    };
    let mut lines = vec![
        format!("{file} {signed}"),
        format!("predicate: {}", verified.predicate_type),
    ];
    lines.extend(verified.builder_id.iter().map(|builder| format!("builder: {builder}")));
    lines.extend(verified.subjects.iter().map(|subject| format!("subject: {subject}")));
    lines.join("\n") + "\n"
}
