#!/usr/bin/env python3
"""A second implementation of SecretVault's formats, to prove them by their text.

Written from the documentation of the crates secretvault-envelope and secretvault-keyring alone.
Opens every vector beside it, compares, and must refuse those that are marked with null.

Needs the package `cryptography` (Debian: python3-cryptography).
"""

import base64
import json
import pathlib
import re
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAX_VALUE_LEN = 512 * 1024
MAX_ENVELOPE_LEN = 699_204
MAX_PAYLOAD_LEN = 4096


class DoesNotOpen(Exception):
    """Whatever is wrong."""


def require(condition):
    if not condition:
        raise DoesNotOpen


def lp(text):
    encoded = text.encode()
    return struct.pack(">I", len(encoded)) + encoded


def decode_base64url(text):
    require(re.fullmatch(r"[A-Za-z0-9_-]*", text, re.ASCII) and len(text) % 4 != 1)
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == text)
    return decoded


def open_salted_box(box, root_key, context):
    require(len(box) >= 32 + 16)
    salt, ciphertext_and_tag = box[:32], box[32:]
    derived = HKDF(algorithm=SHA256(), length=32 + 12, salt=salt, info=context).derive(root_key)
    try:
        return AESGCM(derived[:32]).decrypt(derived[32:], ciphertext_and_tag, context)
    except InvalidTag:
        raise DoesNotOpen from None


def open_envelope(text, dek, scope, namespace, vault, entry):
    require(text.startswith("sv1:") and len(text) <= MAX_ENVELOPE_LEN)
    box = decode_base64url(text[len("sv1:") :])
    require(len(box) > 48 and (len(box) - 48) % 64 == 0)
    context = b"secretvault/envelope/v1" + lp(scope) + lp(namespace) + lp(vault) + lp(entry)
    padded = open_salted_box(box, dek, context)
    (length,) = struct.unpack(">I", padded[:4])
    require(length <= MAX_VALUE_LEN)
    shortest = (4 + length + 63) // 64 * 64
    require(len(padded) == shortest)
    value, padding = padded[4 : 4 + length], padded[4 + length :]
    require(not any(padding))
    return value


def decode_payload(payload, scope, namespace, vault, dek_id):
    prefix = b"SVDK\x01" + lp(scope) + lp(namespace) + lp(vault) + dek_id
    require(payload.startswith(prefix) and len(payload) == len(prefix) + 32)
    return payload[len(prefix) :]


def unwrap(keyring, key_id, wrapped):
    keys = {key["id"]: base64.b64decode(key["key"]) for key in keyring["keys"]}
    require(key_id in keys)
    box = decode_base64url(wrapped)
    require(len(box) <= 48 + MAX_PAYLOAD_LEN)
    context = b"secretvault/local-wrap/v1" + lp(keyring["id"]) + lp(key_id)
    return open_salted_box(box, keys[key_id], context)


def opened_envelope(vector):
    names = (vector["scope"], vector["namespace"], vector["vault"], vector["entry"])
    return open_envelope(vector["envelope"], bytes.fromhex(vector["dek"]), *names)


def decoded_payload(vector):
    names = (vector["scope"], vector["namespace"], vector["vault"])
    payload, dek_id = bytes.fromhex(vector["payload"]), bytes.fromhex(vector["dekId"])
    return decode_payload(payload, *names, dek_id)


def unwrapped(vector):
    return unwrap(vector["keyring"], vector["keyId"], vector["wrapped"])


def passes(kind, vector, open_it, expected):
    try:
        found = open_it(vector).hex()
    except DoesNotOpen:
        found = None
    if found == expected:
        return True
    print(f"FAILED {kind}: {vector['name']}", file=sys.stderr)
    return False


def main():
    here = pathlib.Path(__file__).parent
    envelope = json.loads((here / "envelope-v1.json").read_text(encoding="utf-8"))
    keyring = json.loads((here / "keyring-v1.json").read_text(encoding="utf-8"))
    results = [
        passes(kind, vector, open_it, vector[expected])
        for kind, vectors, open_it, expected in (
            ("envelope", envelope["envelopes"], opened_envelope, "value"),
            ("payload", envelope["payloads"], decoded_payload, "dek"),
            ("wrapped payload", keyring["wraps"], unwrapped, "payload"),
        )
        for vector in vectors
    ]
    failed = results.count(False)
    print(f"{results.count(True)} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
