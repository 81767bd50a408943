"""Writes vectors.txt: signature blocks by espsecure and PSS signatures by OpenSSL."""
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

IMAGE = bytes((7 * i + 3) & 0xFF for i in range(4096))
PSS = padding.PSS(padding.MGF1(SHA256()), 32)
lines = ["# block <hex> <key digest>; pss <name> <n> <e> <signature>: over the same image"]


def espsecure(*arguments):
    subprocess.run([sys.argv[1], *arguments], check=True, capture_output=True)


def pss(name, key, signature):
    numbers = key.public_key().public_numbers()
    lines.append(f"pss {name} {numbers.n:0768x} {numbers.e:x} {signature:0768x}")


with tempfile.TemporaryDirectory() as folder:
    image, signed, digest = (Path(folder, name) for name in ("image", "signed", "digest"))
    image.write_bytes(IMAGE)
    keys = [Path(folder, name) for name in ("one.pem", "two.pem")]
    for key in keys:
        espsecure("generate-signing-key", "-v", "2", "-s", "rsa3072", key)
    espsecure("sign-data", "-v", "2", "-k", keys[0], "-k", keys[1], "-o", signed, image)
    sector = signed.read_bytes()[4096:]
    for number, key in enumerate(keys):
        espsecure("digest-sbv2-public-key", "-k", key, "-o", digest)
        block = sector[1216 * number : 1216 * (number + 1)]
        lines.append(f"block {block.hex()} {digest.read_bytes().hex()}")
    private = load_pem_private_key(keys[0].read_bytes(), None)

# A signature s for which s + n still fits 3072 bits: congruent, but out of range.
n = private.public_key().public_numbers().n
while True:
    s = int.from_bytes(private.sign(IMAGE, PSS, SHA256()), "big")
    if s + n < 1 << 3072:
        break
pss("good", private, s)
pss("alias", private, s + n)
third = rsa.generate_private_key(3, 3072)
pss("exponent-3", third, int.from_bytes(third.sign(IMAGE, PSS, SHA256()), "big"))
for name, salt in [("salt-0", 0), ("salt-20", 20), ("salt-64", 64)]:
    scheme = padding.PSS(padding.MGF1(SHA256()), salt)
    pss(name, private, int.from_bytes(private.sign(IMAGE, scheme, SHA256()), "big"))
pkcs1 = private.sign(IMAGE, padding.PKCS1v15(), SHA256())
pss("pkcs1-v1.5", private, int.from_bytes(pkcs1, "big"))
Path(__file__).with_name("vectors.txt").write_text("\n".join(lines) + "\n")
