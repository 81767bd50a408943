"""Writes vectors.txt: epoch keys sealed with HPKE by Python `cryptography`, in espseal's form."""
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

lines = ["# private-key product group epoch epoch-key enc ciphertext"]
for number, (group, epoch) in enumerate([(0, 0), (1, 1), (7, 300), (2**32 - 1, 2**32 - 1)]):
    def digest(name):
        return hashlib.sha256(f"{name} {number}".encode()).digest()

    scalar = digest("device")
    private = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    public = private.public_key()
    encoded = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    product, key = digest("product")[:16], digest("epoch key")
    info = b"espseal/v1/epoch\0" + product + group.to_bytes(4, "big") + epoch.to_bytes(4, "big")
    info += hashlib.sha256(encoded).digest()
    sealed = SUITE.encrypt(key, public, info=info)
    enc, ciphertext = sealed[:65], sealed[65:]
    assert len(ciphertext) == 48 and SUITE.decrypt(sealed, private, info=info) == key
    fields = [scalar.hex(), product.hex(), str(group), str(epoch)]
    lines.append(" ".join(fields + [part.hex() for part in (key, enc, ciphertext)]))
Path(__file__).with_name("vectors.txt").write_text("\n".join(lines) + "\n")
