"""Verify a bundle of records against a log, with nothing but this file and ``cryptography``.

Usage::

    python verify_bundle.py BUNDLE.json --key 'NAME+HASH+BASE64'

The key is the log's public key, from a source that you trust. For each record in the bundle this
program checks that the record's bytes hash to its name, that its crystal does, that the
contributor's signature over its entry is valid, that the contributor's key was admitted by the log
before the entry and, as far as the bundle tells, not revoked before it, and that all these entries
are in the log that the signed checkpoint stands for. It stands alone on purpose and shares no code
with the package; the package's tests hold the two against each other.
"""

# ruff: noqa: T201 - a program of its own, that prints
from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ENTRY_DOMAIN = b"materialabs entry v1\n"
KEY_DOMAIN = b"materialabs key v1\n"
SIGNATURE_SIZE = 64
LARGEST_BUNDLE = 500_000_000


class BundleError(Exception):
    """Something in the bundle is not what it claims to be."""


def require(right: bool, sentence: str) -> None:
    """Refuse the bundle with this sentence unless the claim is right."""
    if not right:
        raise BundleError(sentence)


def sha256(data: bytes) -> bytes:
    """The SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()


def signed_by(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature is valid."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_verifier(text: str) -> tuple[str, bytes, bytes]:
    """Name, four-byte hash and public key of ``name+hash+base64`` (C2SP signed-note)."""
    name, _, rest = text.strip().partition("+")
    hexadecimal, _, key = rest.partition("+")
    raw = base64.b64decode(key, validate=True)
    require(len(raw) == 33 and raw[0] == 1, "The verifier key is not an Ed25519 key.")
    key_hash = sha256(name.encode() + b"\n" + raw)[:4]
    require(key_hash.hex() == hexadecimal, "The verifier key does not have the hash it claims.")
    return name, key_hash, raw[1:]


def open_checkpoint(note: str, verifier: tuple[str, bytes, bytes]) -> tuple[int, bytes]:
    """Size and root of a checkpoint, believed only with the log's signature."""
    name, key_hash, public = verifier
    text, gap, tail = note.rpartition("\n\n")
    require(bool(gap), "The checkpoint is not a signed note.")
    text += "\n"
    for line in tail.splitlines():
        dash, _, rest = line.partition(" ")
        signer, _, encoded = rest.partition(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash == "—" and signer == name and raw[:4] == key_hash:
            require(signed_by(public, raw[4:], text.encode()), "The checkpoint is forged.")
            origin, size, root = text.split("\n")[:3]
            require(origin == name, "The checkpoint is of another log.")
            return int(size), base64.b64decode(root, validate=True)
    raise BundleError(f"{name} has not signed the checkpoint.")


def root_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    require(0 <= index < size, "An entry lies outside the log.")
    node, first, last = sha256(b"\x00" + leaf), index, size - 1
    for sibling in path:
        require(last > 0, "A proof is too long.")
        if first % 2 or first == last:
            node = sha256(b"\x01" + sibling + node)
            while first and first % 2 == 0:
                first, last = first // 2, last // 2
        else:
            node = sha256(b"\x01" + node + sibling)
        first, last = first // 2, last // 2
    require(last == 0, "A proof is too short.")
    return node


def open_leaf(proof: dict[str, Any], size: int, root: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Document, signed line and signature of an entry that is in the log."""
    leaf = base64.b64decode(proof["leaf"], validate=True)
    path = [base64.b64decode(one, validate=True) for one in proof["path"]]
    index = proof["index"]
    require(root_of(leaf, index, size, path) == root, f"Entry {index} is not in the log.")
    line, signature = leaf[: -SIGNATURE_SIZE - 1], leaf[-SIGNATURE_SIZE:]
    return json.loads(line), line, signature


def read_keys(
    bundle: dict[str, Any], authority: bytes, size: int, root: bytes
) -> dict[str, dict[str, Any]]:
    """Contributors' keys with the places between which they count."""
    own = sha256(authority)[:16].hex()
    keys: dict[str, dict[str, Any]] = {own: {"public": authority, "since": 0, "until": size}}
    for proof in sorted(bundle["keys"], key=lambda one: one["index"]):
        entry, line, signature = open_leaf(proof, size, root)
        index, signer = proof["index"], entry["contributor"]
        check_signature(keys, signer, index, line, signature)
        if entry["kind"] in ("key-add", "key-rotate"):
            require(entry["kind"] == "key-rotate" or signer == own, f"Entry {index} adds a key "
                    "without the log's own.")  # fmt: skip
            public = base64.b64decode(entry["public"], validate=True)
            message = KEY_DOMAIN + f"{entry['name']}\n{entry['public']}".encode()
            proved = signed_by(public, base64.b64decode(entry["proof"], validate=True), message)
            require(proved, f"The key added by entry {index} lacks its owner's proof.")
            name = sha256(public)[:16].hex()
            same = entry["kind"] == "key-add" or entry["name"] == keys[signer].get("name")
            require(same, f"Entry {index} rotates a key into another name.")
            require(name not in keys, f"Entry {index} adds a key a second time.")
            keys[name] = {"public": public, "since": index + 1, "until": size,
                          "name": entry["name"]}  # fmt: skip
            if entry["kind"] == "key-rotate":
                keys[signer]["until"] = min(keys[signer]["until"], index + 1)
        elif entry["kind"] == "key-revoke":
            require(signer in (own, entry["key"]), f"Entry {index} revokes another's key.")
            require(entry["key"] in keys and entry["key"] != own, f"Entry {index} revokes a key "
                    "that cannot be revoked.")  # fmt: skip
            keys[entry["key"]]["until"] = min(keys[entry["key"]]["until"], index)
    return keys


def check_signature(
    keys: dict[str, dict[str, Any]], signer: str, index: int, line: bytes, signature: bytes
) -> None:
    """Refuse an entry whose key did not count at its place, or that the key did not sign."""
    key = keys.get(signer)
    require(key is not None, f"Entry {index} is signed by a key that the bundle does not hold.")
    assert key is not None
    require(key["since"] <= index < key["until"], f"The key of entry {index} did not count there.")
    valid = signed_by(key["public"], signature, ENTRY_DOMAIN + line)
    require(valid, f"The signature of entry {index} is forged.")


def verify_bundle(bundle: dict[str, Any], key: str) -> list[str]:
    """Check everything; gives one sentence for each record.

    Parameters
    ----------
    bundle
        The bundle, as JSON reads it.
    key
        The log's public key as ``name+hash+base64``.
    """
    verifier = read_verifier(key)
    size, root = open_checkpoint(bundle["checkpoint"], verifier)
    keys = read_keys(bundle, verifier[2], size, root)
    sentences = []
    for item in bundle["records"]:
        body = base64.b64decode(item["body"], validate=True)
        name = sha256(body).hex()
        entry, line, signature = open_leaf(item["proof"], size, root)
        index = item["proof"]["index"]
        require(entry["kind"] == "record" and entry["record"] == name,
                f"Entry {index} speaks of another record than the one in the bundle.")  # fmt: skip
        check_signature(keys, entry["contributor"], index, line, signature)
        check_crystal(json.loads(body), item)
        who = keys[entry["contributor"]].get("name", "the log")
        under = f", given under {entry['licence']}" if entry.get("licence") else ""
        sentences.append(f"{name} is entry {index}, signed by {who} at {entry['time']}{under}")
    return sentences


def check_crystal(record: dict[str, Any], item: dict[str, Any]) -> None:
    """The crystal in the bundle is the one that the record names."""
    if "crystal" in record and item.get("crystal"):
        content = base64.b64decode(item["crystal"], validate=True)
        require(sha256(content).hex() == record["crystal"], "A crystal is not the record's own.")


def main(arguments: list[str] | None = None) -> int:
    """Verify one bundle; exit code 0 when all is well, 1 when something is wrong."""
    parser = argparse.ArgumentParser(description="Verify a bundle of records against a log.")
    parser.add_argument("bundle", help="the bundle, a JSON file")
    parser.add_argument("--key", required=True, help="the log's public key: name+hash+base64")
    given = parser.parse_args(arguments)
    try:
        with open(given.bundle, "rb") as file:  # noqa: PTH123 - this file stands alone
            bundle = json.loads(file.read(LARGEST_BUNDLE))
        sentences = verify_bundle(bundle, given.key)
    except (BundleError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        print(f"NOT verified: {error}", file=sys.stderr)
        return 1
    for sentence in sentences:
        print(sentence)
    print(f"verified: {len(sentences)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
