#!/usr/bin/env python3
"""A second implementation of SecretVault's audit log, to prove the format by its text.

Written from the documentation of the crate secretvault-audit alone. Writes the log that the transcript of
`secretvault audit verify` begins with, always the same one, and the checkpoint that is kept of it:

    python3 tests/vectors/write_audit_log.py cli/tests/transcripts/audit.in

Needs the package `cryptography` (Debian: python3-cryptography).
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
RAW = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
KEY_ID = hashlib.sha256(RAW).hexdigest()[:16]


class Chain:
    def __init__(self, name):
        self.name, self.seq, self.prev, self.lines = name, 0, "00" * 32, []

    def record(self, time, **members):
        head = {"v": 1, "chain": self.name, "seq": self.seq, "prev": self.prev, "time": time}
        line = json.dumps(head | members, separators=(",", ":"))
        self.seq, self.prev = self.seq + 1, hashlib.sha256(line.encode()).hexdigest()
        self.lines.append(line)
        return line

    def checkpoint(self, time):
        said = ["secretvault audit checkpoint v1", self.name, str(self.seq), self.prev, time, KEY_ID]
        signature = KEY.sign("".join(f"{line}\n" for line in said).encode())
        signature = base64.b64encode(signature).decode()
        return self.record(time, audit="checkpoint", signedBy=KEY_ID, signature=signature)


def start(chain, time):
    replica = chain.name.split(".")[0]
    chain.record(time, audit="start", replica=replica, version="0.1.0", onFailure="refuse")
    chain.checkpoint(time)


def release(chain, time, pod, entries):
    chain.record(
        time,
        audit="release",
        verdict="grant",
        reason="Granted",
        node="node-a",
        pod={
            "namespace": "shop",
            "name": pod,
            "uid": "0c9ef1bb-9f3b-4b8e-8df0-9d1f6e0d3a11",
            "serviceAccount": "web",
            "proven": True,
        },
        vaults=[
            {
                "namespace": "shop",
                "name": "app",
                "uid": "5b1c4d7e-0d52-4f0c-9f5c-2f7a1c9f6b20",
                "generation": 3,
                "keyId": "9d3f5a1c7b2e4860",
                "entries": entries,
            }
        ],
    )


def main(directory):
    one = Chain("secretvault-operator-7c9d6f5b8-x2x8q.9d3f5a1c7b2e4860")
    two = Chain("secretvault-operator-7c9d6f5b8-z9k4m.0a1b2c3d4e5f6071")
    for chain in (one, two):
        start(chain, "2026-11-27T09:00:00Z")
    for minute in range(1, 4):
        for chain, pod in ((one, "web-0"), (two, "web-1")):
            release(chain, f"2026-11-27T09:0{minute}:00.5Z", pod, ["db/password"])
    kept = [chain.checkpoint("2026-11-27T09:04:00Z") for chain in (one, two)]
    release(one, "2026-11-27T09:04:30Z", "web-2", ["db/password", "smtp/token"])
    log = [line for pair in zip(one.lines, two.lines) for line in pair] + [one.lines[-1]]
    log.insert(2, '{"timestamp":"2026-11-27T09:00:00.1Z","level":"INFO","message":"leading"}')
    write = lambda name, text: (directory / name).write_text(text)
    write("log.jsonl", "".join(f"{line}\n" for line in log))
    write("audit.pem", KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    data = {one.name: kept[0], two.name: kept[1], f"{KEY_ID}.pem": "not looked at"}
    write("checkpoints.json", json.dumps({"kind": "ConfigMap", "data": data}, indent=2) + "\n")


main(pathlib.Path(sys.argv[1]))
