"""Writes the frozen vectors of protocol version 1 from docs/protocol.md, with none of espseal's code.

Usage: make.py <output folder>      needs cbor2 6.3.0 and cryptography 50.0.2

Everything is deterministic: keys come from names, signatures from RFC 6979, HPKE from a fixed
ephemeral key (and is opened again by cryptography's own HPKE before it is written).
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

import cbor2
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

OUT = pathlib.Path(sys.argv[1])
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CRYPTO = {}


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def write(name, data):
    (OUT / name).write_bytes(data)
    return data


def run(start, length):
    """Bytes start, start + 1, ..."""
    return bytes((start + i) & 0xFF for i in range(length))


def cbor(value):
    return cbor2.dumps(value, canonical=True)


# --- keys ---------------------------------------------------------------------------------------


def private(scalar):
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def public(key):
    point = serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, point)


class Key:
    def __init__(self, name):
        self.scalar = (int.from_bytes(sha(b"espseal vector key " + name.encode()), "big") % (ORDER - 1) + 1).to_bytes(32, "big")
        self.private = private(self.scalar)
        self.public = public(self.private)
        self.kid = sha(self.public)[:8]
        CRYPTO.setdefault("keys", {})[name] = {
            "private": self.scalar.hex(),
            "public": self.public.hex(),
            "kid": self.kid.hex(),
        }

    def sign(self, message):
        der = self.private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


ROOT = sorted((Key("root-a"), Key("root-b"), Key("root-c")), key=lambda k: k.public)
RELEASES, NOW, REPORT = Key("releases"), Key("now"), Key("report")
DEVICES = [Key(f"device-{n}") for n in range(3)]
for name, entry in CRYPTO["keys"].items():
    write(f"{name}.pub", bytes.fromhex(entry["public"]))

PRODUCT, VENDOR, CLASS = run(0x10, 16), run(0x20, 16), run(0x30, 16)
GROUP, EPOCH = 7, 0x01020304
CEK, EK, IV = run(0x40, 32), run(0x80, 32), run(0xC0, 16)
DEVICE_ID = sha(DEVICES[0].public)

# --- COSE ---------------------------------------------------------------------------------------


def protected(kid):
    return cbor({1: -7, 4: kid})


def aad(role):
    return b"espseal/v1/" + role.encode() + b"\0" + PRODUCT


def record_signature(name, key, message, signature):
    write(f"{name}.tbs", message)
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    CRYPTO.setdefault("es256", []).append({
        "name": name,
        "public": key.public.hex(),
        "to_be_signed": message.hex(),
        "digest": sha(message).hex(),
        "signature": signature.hex(),
        "signature_with_other_s": (r + (ORDER - s).to_bytes(32, "big")).hex(),
    })


def sign1(role, key, payload):
    message = cbor(["Signature1", protected(key.kid), aad(role), payload])
    signature = key.sign(message)
    record_signature(role, key, message, signature)
    return cbor(cbor2.CBORTag(18, [protected(key.kid), {}, payload, signature]))


def sign(role, keys, payload):
    signers = []
    for index, key in enumerate(sorted(keys, key=lambda k: k.kid)):
        message = cbor(["Signature", b"", protected(key.kid), aad(role), payload])
        signature = key.sign(message)
        record_signature(f"{role}-{index}", key, message, signature)
        signers.append([protected(key.kid), {}, signature])
    return cbor(cbor2.CBORTag(98, [b"", {}, payload, signers]))


# --- body, pages --------------------------------------------------------------------------------


def chunks(data):
    return [data[i : i + 4096] for i in range(0, len(data), 4096)]


def page_file(body):
    return b"".join(sha(chunk) for chunk in chunks(body))


PLAINTEXT = bytes((i * 7 + i // 256) & 0xFF for i in range(5000))
sealed = AESGCM(CEK).encrypt(IV, PLAINTEXT, None)
BODY, TAG = write("body.bin", sealed[:-16]), sealed[-16:]
PAGES = write("body.pages", page_file(BODY))
BODY_DIGEST = sha(BODY)
CEK_COMMITMENT = sha(b"espseal/v1/cek-commit\0", BODY_DIGEST, CEK)
# Two pages of a body that is not committed: byte i is i % 251, 128 chunks, one more, and 17 bytes.
LONG = bytes(i % 251 for i in range(4096 * 129 + 17))
write("long-body.page-digests", b"".join(sha(page) for page in chunks(page_file(LONG))))

CRYPTO["content"] = {
    "plaintext": "byte i of 5000 is (7 * i + i / 256) mod 256",
    "plaintext_sha256": sha(PLAINTEXT).hex(),
    "cek": CEK.hex(),
    "iv": IV.hex(),
    "body_sha256": BODY_DIGEST.hex(),
    "tag": TAG.hex(),
    "commitment": CEK_COMMITMENT.hex(),
}

# --- key wraps ----------------------------------------------------------------------------------

BINDING = PRODUCT + struct.pack(">II", GROUP, EPOCH)
KEK_INFO = write("kek.info", b"espseal/v1/kek\0" + BINDING + BODY_DIGEST)
KEK = HKDFExpand(hashes.SHA256(), 32, KEK_INFO).derive(EK)
EPOCH_COMMITMENT = sha(b"espseal/v1/epoch-commit\0", BINDING, EK)

CRYPTO["epoch"] = {
    "product": PRODUCT.hex(),
    "group": GROUP,
    "epoch": EPOCH,
    "ek": EK.hex(),
    "commitment": EPOCH_COMMITMENT.hex(),
    "body_sha256": BODY_DIGEST.hex(),
    "kek": KEK.hex(),
    "body_wrap": write("body.kw", aes_key_wrap(KEK, CEK)).hex(),
}


class Hpke:
    """RFC 9180 base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, from its text."""

    KEM = b"KEM" + struct.pack(">H", 0x0010)
    SUITE = b"HPKE" + struct.pack(">HHH", 0x0010, 0x0001, 0x0002)

    @staticmethod
    def extract(suite, salt, label, ikm):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    @staticmethod
    def expand(suite, prk, label, info, length):
        labelled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
        return HKDFExpand(hashes.SHA256(), length, labelled).derive(prk)

    @classmethod
    def derive_key_pair(cls, ikm):
        prk = cls.extract(cls.KEM, b"", b"dkp_prk", ikm)
        for counter in range(256):
            scalar = cls.expand(cls.KEM, prk, b"candidate", bytes([counter]), 32)
            if 0 < int.from_bytes(scalar, "big") < ORDER:
                return scalar
        raise ValueError("no candidate")

    @classmethod
    def seal(cls, ephemeral, recipient, info, plaintext):
        enc = public(ephemeral)
        shared = ephemeral.exchange(ec.ECDH(), recipient.public_key())
        context = enc + public(recipient)
        eae = cls.extract(cls.KEM, b"", b"eae_prk", shared)
        secret = cls.expand(cls.KEM, eae, b"shared_secret", context, 32)
        schedule = b"\0" + cls.extract(cls.SUITE, b"", b"psk_id_hash", b"") + cls.extract(cls.SUITE, b"", b"info_hash", info)
        prk = cls.extract(cls.SUITE, secret, b"secret", b"")
        key = cls.expand(cls.SUITE, prk, b"key", schedule, 32)
        nonce = cls.expand(cls.SUITE, prk, b"base_nonce", schedule, 12)
        ciphertext = AESGCM(key).encrypt(nonce, plaintext, None)
        library = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        assert library.decrypt(enc + ciphertext, recipient, info) == plaintext
        return enc, ciphertext


# RFC 9180 appendix A.3.1, ikmE and skEm.
RFC_IKM = bytes.fromhex("4270e54ffd08d79d5928020af4686d8f6b7d35dbe470265f1f5aa22816ce860e")
RFC_SK = bytes.fromhex("4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb")
assert Hpke.derive_key_pair(RFC_IKM) == RFC_SK

entries = []
for index, device in enumerate(DEVICES):
    ephemeral = Key(f"ephemeral-{index}")
    device_id = sha(device.public)
    info = b"espseal/v1/epoch\0" + BINDING + device_id
    enc, ciphertext = Hpke.seal(ephemeral.private, device.private, info, EK)
    entries.append(device_id + enc + ciphertext)
    CRYPTO.setdefault("hpke", []).append({
        "device_private": device.scalar.hex(),
        "device_public": device.public.hex(),
        "device_id": device_id.hex(),
        "info": info.hex(),
        "ephemeral_private": ephemeral.scalar.hex(),
        "enc": enc.hex(),
        "ciphertext": ciphertext.hex(),
    })
    if index == 0:
        write("epoch.info", info)
write("epoch.shard", b"".join(sorted(entries)))

IKM = run(0x00, 32)
CRYPTO["derive_key_pair"] = {
    "ikm": IKM.hex(),
    "private": Hpke.derive_key_pair(IKM).hex(),
    "public": public(private(Hpke.derive_key_pair(IKM))).hex(),
}

# --- documents ----------------------------------------------------------------------------------

YEAR = 31_536_000
T0 = 1_800_000_000

MANIFEST = write("manifest.cbor", cbor({
    1: PRODUCT, 2: VENDOR, 3: CLASS, 4: 5, 5: "thermostat", 6: "1.2.3-rc.4", 7: 3, 8: 40, 9: T0 + YEAR,
    10: [{1: 0, 2: len(PLAINTEXT), 3: sha(PLAINTEXT), 4: len(BODY), 5: BODY_DIGEST, 6: IV, 7: TAG,
          8: CEK_COMMITMENT, 9: [sha(page) for page in chunks(PAGES)]}],
}))

root = write("root.cbor", cbor({
    1: PRODUCT, 2: 2, 3: T0 + 10 * YEAR, 4: T0 + 5 * YEAR,
    5: {1: 2, 2: [key.public for key in ROOT], 3: 0},
    6: {1: 1, 2: [RELEASES.public], 3: 1},
    7: {1: 1, 2: [NOW.public], 3: 4},
}))
write("root.cose", sign("root", ROOT[:2], root))

SALT = run(0xD0, 16)
releases = write("releases.cbor", cbor({
    1: PRODUCT, 2: 1, 3: 0x0102030405060708, 4: sha(b"previous releases"), 5: T0 + YEAR,
    6: [{1: "beta", 2: 5, 3: sha(MANIFEST), 4: 43, 5: SALT, 6: 1_000_000, 7: 0},
        {1: "production", 2: 0, 3: sha(b"another manifest"), 4: 41, 5: SALT, 6: 0, 7: 1},
        {1: "production", 2: 5, 3: sha(MANIFEST), 4: 42, 5: SALT, 6: 50_000, 7: 0}],
    7: [{1: 0, 2: 1, 3: sha(b"beta commitment"), 4: 0},
        {1: GROUP, 2: EPOCH, 3: EPOCH_COMMITMENT, 4: 6}],
}))
RELEASES_COSE = write("releases.cose", sign1("releases", RELEASES, releases))
write("first-releases.cbor", cbor({1: PRODUCT, 2: 0, 3: 0, 4: None, 5: 0, 6: [], 7: []}))

now = write("now.cbor", cbor({
    1: PRODUCT, 2: 4, 3: 1000, 4: T0, 5: T0 + 86_400, 6: sha(RELEASES_COSE), 7: 2,
    8: [{1: "production", 2: 5, 3: 42, 4: 10_000}],
}))
write("now.cose", sign1("now", NOW, now))

IMAGE = PLAINTEXT + b"\xff" * (-len(PLAINTEXT) % 4096)
# What a flash key makes of the image is not the protocol's business: byte i is i % 247.
RAW = bytes(i % 247 for i in range(len(IMAGE) + 2 * 4096))


def direct_manifest(scheme, crypt_config, slot):
    return cbor({
        1: PRODUCT, 2: sha(MANIFEST), 3: DEVICE_ID, 4: scheme, 5: crypt_config, 6: slot, 7: 0x3F0000, 8: sha(IMAGE[:4096]),
        9: len(IMAGE), 10: sha(RAW), 11: [sha(page) for page in chunks(page_file(RAW))],
    })


direct = write("direct.cbor", direct_manifest(1, 0, 0x1D0000))
write("direct.cose", sign1("direct", RELEASES, direct))
write("direct-esp32.cbor", direct_manifest(0, 9, 0x20000))
write("direct-xts256.cbor", direct_manifest(2, 0, 0x1D0000))

write("poll.cbor", cbor({1: PRODUCT, 2: DEVICE_ID, 3: "production", 4: 5, 5: 1, 6: 41}))
report = write("report.cbor", cbor({
    1: PRODUCT, 2: DEVICE_ID, 3: 256, 4: 2, 5: 1, 6: 42, 7: sha(MANIFEST), 8: 0x1234,
}))
write("report.cose", sign1("report", REPORT, report))
write("factory-report.cbor", cbor({1: PRODUCT, 2: DEVICE_ID, 3: 1, 4: 0, 5: 0, 6: 0, 7: None, 8: 0}))
write("device.cbor", cbor({1: DEVICE_ID, 2: REPORT.public}))
write("subscription.cbor", cbor({1: DEVICE_ID, 2: "production", 3: 0}))

# --- cohorts, journal ---------------------------------------------------------------------------

rows = []
for index in range(8):
    salt, device = sha(b"salt", bytes([index]))[:16], sha(b"device", bytes([index]))
    rows.append(salt + device + sha(b"espseal/v1/cohort\0", salt, device)[:4])
write("cohort.rows", b"".join(rows))


def install(generation, seq, manifest, plaintext):
    return struct.pack("<IQ", generation, seq) + manifest + plaintext


record = b"ESJ1" + struct.pack("<IBBBBI", 0x11121314, 2, 1, 3, 2, 0x21222324)
record += struct.pack("<IQ", 0x31323334, 0x4142434445464748)
record += struct.pack("<IQ", 0x51525354, 0x6162636465666768)
record += struct.pack("<Q", 0x7172737475767778)
record += install(1, 42, sha(MANIFEST), sha(PLAINTEXT)) + install(1, 41, run(0xA0, 32), run(0xB0, 32))
record += struct.pack("<Q", 256)
for index in range(4):
    record += run(0xE0 + index, 32) + bytes([index, 0])
record += bytes(8)
assert len(record) == 352
write("journal.record", record + sha(record)[:16])

(OUT / "crypto.json").write_text(json.dumps(CRYPTO, indent=1) + "\n")
