//! Functions that make fingerprints, secrets and names: hashes, bcrypt, RSA, UUIDs.

use md5::{Digest, Md5};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use uuid::Uuid;

use super::arguments::{failed, number, shown, text, wrong};
use super::encoding::decode_base64;
use super::{Call, Function, FunctionError, Returns, Run};
use crate::value::Value;

/// Hashes, cryptography and identifiers.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "bcrypt",
        doc: "A bcrypt hash of a password, another one at every call. The cost is from 4 to 14, 10 when it is not given or \
              less; each step doubles the time.",
        parameters: &[text("password")],
        variadic: Some(&number("cost")),
        result: Returns::STRING,
        examples: &[("length(bcrypt(\"secret\", 4))", "60")],
        run: Run::Plain(bcrypt),
    },
    Function {
        name: "md5",
        doc: "The MD5 hash of a string's UTF-8 bytes, in hexadecimal.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("md5(\"hello\")", "5d41402abc4b2a76b9719d911017c592")],
        run: Run::Plain(hashed::<Md5>),
    },
    Function {
        name: "rsadecrypt",
        doc: "The plaintext of an RSA ciphertext (base64, PKCS #1 v1.5 padding), by a private key in PEM form; AWS encrypts \
              Windows passwords so.",
        parameters: &[text("ciphertext"), text("private_key")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("can(rsadecrypt(\"AAAA\", \"no key\"))", "false")],
        run: Run::Plain(rsadecrypt),
    },
    Function {
        name: "sha1",
        doc: "The SHA-1 hash of a string's UTF-8 bytes, in hexadecimal.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("sha1(\"hello\")", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d")],
        run: Run::Plain(hashed::<sha1::Sha1>),
    },
    Function {
        name: "sha256",
        doc: "The SHA-256 hash of a string's UTF-8 bytes, in hexadecimal.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[(
            "sha256(\"hello\")",
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        )],
        run: Run::Plain(hashed::<sha2::Sha256>),
    },
    Function {
        name: "sha512",
        doc: "The SHA-512 hash of a string's UTF-8 bytes, in hexadecimal.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("substr(sha512(\"hello\"), 0, 16)", "9b71d224bd62f378")],
        run: Run::Plain(hashed::<sha2::Sha512>),
    },
    Function {
        name: "uuidv4",
        doc: "A random UUID, another one at every call.",
        parameters: &[],
        variadic: None,
        result: Returns::STRING,
        examples: &[("length(uuidv4())", "36")],
        run: Run::Plain(|_| Ok(Value::string(Uuid::new_v4().to_string()))),
    },
    Function {
        name: "uuidv5",
        doc: "The UUID of a name in a namespace: `dns`, `url`, `oid`, `x500`, or a UUID.",
        parameters: &[text("namespace"), text("name")],
        variadic: None,
        result: Returns::STRING,
        examples: &[(
            "uuidv5(\"dns\", \"example.com\")",
            "cfbff0d1-9375-5685-968c-48ce8b15ae17",
        )],
        run: Run::Plain(uuidv5),
    },
];

fn hashed<D: Digest>(call: &Call<'_>) -> Result<Value, FunctionError> {
    Ok(Value::string(hex::encode(D::digest(call.text(0)?.as_bytes()))))
}

fn bcrypt(call: &Call<'_>) -> Result<Value, FunctionError> {
    const DEFAULT_COST: i64 = 10;
    /// 14 takes about a second; the algorithm's own limit, 31, a day.
    const HIGHEST_COST: i64 = 14;
    if call.arguments.len() > 2 {
        return Err(failed("a password and at most one cost are required"));
    }
    let password = call.text(0)?;
    let cost = if call.arguments.len() > 1 {
        call.integer(1)?
    } else {
        DEFAULT_COST
    };
    let cost = if cost < 4 { DEFAULT_COST } else { cost };
    let cost = u32::try_from(cost.min(HIGHEST_COST + 1)).unwrap_or(0);
    if i64::from(cost) > HIGHEST_COST {
        return Err(failed(format!(
            "a cost of at most {HIGHEST_COST} is required: each step doubles the time"
        )));
    }
    if password.len() > 72 {
        return Err(failed("a password of at most 72 bytes is required"));
    }
    call.pay(8192 << cost)?;
    let hash = bcrypt::hash_with_result(password, cost).map_err(|error| failed(error.to_string()))?;
    Ok(Value::string(hash.format_for_version(bcrypt::Version::TwoA)))
}

fn rsadecrypt(call: &Call<'_>) -> Result<Value, FunctionError> {
    let ciphertext = decode_base64(call.text(0)?).map_err(|message| wrong(0, message))?;
    let pem = call.text(1)?.trim();
    let key = RsaPrivateKey::from_pkcs1_pem(pem)
        .ok()
        .or_else(|| RsaPrivateKey::from_pkcs8_pem(pem).ok())
        .ok_or_else(|| wrong(1, "an RSA private key in PEM form, without a passphrase, is required"))?;
    let plain = key
        .decrypt(Pkcs1v15Encrypt, &ciphertext)
        .map_err(|_| failed("the ciphertext was not encrypted for this key"))?;
    Ok(Value::string(String::from_utf8_lossy(&plain)))
}

fn uuidv5(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (namespace, name) = (call.text(0)?, call.text(1)?);
    let namespace = match namespace {
        "dns" => Uuid::NAMESPACE_DNS,
        "url" => Uuid::NAMESPACE_URL,
        "oid" => Uuid::NAMESPACE_OID,
        "x500" => Uuid::NAMESPACE_X500,
        _ => Uuid::parse_str(namespace).map_err(|_| {
            failed(format!(
                "the namespace {} is neither a UUID nor `dns`, `url`, `oid` or `x500`",
                shown(namespace)
            ))
        })?,
    };
    Ok(Value::string(Uuid::new_v5(&namespace, name.as_bytes()).to_string()))
}
