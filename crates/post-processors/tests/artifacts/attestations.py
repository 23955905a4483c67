"""Keys, envelopes and statements of others: cryptography, securesystemslib and in-toto's own bindings.

    attestations.py keys DIRECTORY             private keys in every form, with their public halves
    attestations.py verify ENVELOPE KEY     checks an envelope and the statement in it; prints the statement
    attestations.py statement FILE          checks a statement; prints it
    attestations.py sign STATEMENT KEY      an envelope around a statement, on standard output
"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, rsa
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

PROVENANCE = "https://slsa.dev/provenance/v1"


def keys(directory):
    directory = Path(directory)
    pkcs8, traditional = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
    plain = serialization.NoEncryption()
    made = {
        "ed25519": (ed25519.Ed25519PrivateKey.generate(), [("pkcs8", pkcs8)]),
        "p256": (ec.generate_private_key(ec.SECP256R1()), [("pkcs8", pkcs8), ("sec1", traditional)]),
        "p384": (ec.generate_private_key(ec.SECP384R1()), [("pkcs8", pkcs8), ("sec1", traditional)]),
        "rsa": (rsa.generate_private_key(65537, 2048), [("pkcs8", pkcs8), ("pkcs1", traditional)]),
        "short": (rsa.generate_private_key(65537, 1024), [("pkcs8", pkcs8)]),
        "ed448": (ed448.Ed448PrivateKey.generate(), [("pkcs8", pkcs8)]),
    }
    for name, (key, forms) in made.items():
        for form, kind in forms:
            pem = key.private_bytes(serialization.Encoding.PEM, kind, plain)
            (directory / f"{name}.{form}.pem").write_bytes(pem)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (directory / f"{name}.pub.pem").write_bytes(public)
    key = made["p256"][0]
    locked = serialization.BestAvailableEncryption(b"pw")
    for form, kind in [("locked8", pkcs8), ("locked1", traditional)]:
        (directory / f"p256.{form}.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, locked))


def public_key(path, keyid):
    key = serialization.load_pem_public_key(Path(path).read_bytes())
    scheme = "rsa-pkcs1v15-sha256" if isinstance(key, rsa.RSAPublicKey) else None
    return key, SSlibKey.from_crypto(key, keyid, scheme)


def verify(path, key_path):
    data = json.loads(Path(path).read_text())
    assert data["payloadType"] == "application/vnd.in-toto+json", data["payloadType"]
    envelope = Envelope.from_dict(data)
    (keyid,) = envelope.signatures
    key, of_library = public_key(key_path, keyid)
    if isinstance(getattr(key, "curve", None), ec.SECP384R1):
        # The library knows P-384 with SHA-384 alone.
        signature = bytes.fromhex(envelope.signatures[keyid].signature)
        key.verify(signature, envelope.pae(), ec.ECDSA(hashes.SHA256()))
    else:
        envelope.verify([of_library], 1)
    check(envelope.payload)


def check(text):
    text = text.decode()
    statement = Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement()))
    statement.validate()
    if statement.pb.predicate_type == PROVENANCE:
        predicate = json_format.MessageToJson(statement.pb.predicate)
        # Unknown members and wrong types are errors.
        provenance = json_format.Parse(predicate, provenance_pb2.Provenance())
        assert provenance.build_definition.build_type and provenance.run_details.builder.id
    print(text)


def sign(path, key_path):
    key = serialization.load_pem_private_key(Path(key_path).read_bytes(), None)
    _, public = public_key(key_path.replace("pkcs8", "pub"), "somebody")
    envelope = Envelope(Path(path).read_bytes(), "application/vnd.in-toto+json", {})
    envelope.sign(CryptoSigner(key, public))
    print(json.dumps(envelope.to_dict()))


COMMANDS = {"keys": keys, "verify": verify, "statement": lambda path: check(Path(path).read_bytes()), "sign": sign}
COMMANDS[sys.argv[1]](*sys.argv[2:])
