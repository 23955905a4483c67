//! Signed statements about artifacts: in-toto statements in DSSE envelopes, the keys that sign them, and checking both. The
//! post-processor `provenance` writes them, the command `verify-attestation` reads them.

mod envelope;
pub mod key;
pub(crate) mod statement;
pub mod verify;

pub(crate) use envelope::sign;
