"""Writes vectors.txt: AES-256-GCM with 16-byte IVs by OpenSSL (Python `cryptography`)."""
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def multiply(x, y):
    """Product in GF(2^128) as NIST SP 800-38D section 6.3 defines it."""
    product = 0
    for bit in range(127, -1, -1):
        if y >> bit & 1:
            product ^= x
        x = (x >> 1) ^ (0xE1 << 120) if x & 1 else x >> 1
    return product


def inverse(x):
    result, exponent = 1 << 127, 2**128 - 2
    while exponent:
        if exponent & 1:
            result = multiply(result, x)
        x, exponent = multiply(x, x), exponent >> 1
    return result


def subkey(key):
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return int.from_bytes(cipher.update(bytes(16)), "big")


def iv_for(key, pre_counter):
    """Solves GHASH(IV || 0^64 || [128]_64) = pre_counter for the IV."""
    inv = inverse(subkey(key))
    return multiply(multiply(pre_counter, inv) ^ 128, inv).to_bytes(16, "big")


def digest(text):
    return hashlib.sha256(text.encode()).digest()


lines = []
for number, length in enumerate([0, 1, 15, 16, 17, 61, 100, 1000, 4099]):
    key = digest(f"key {number}")
    lines.append((f"random-iv-{length}", key, digest(f"iv {number}")[:16], length))
for low in [0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF]:
    key = digest(f"key {low}")
    pre_counter = int.from_bytes(digest(f"j0 {low}")[:12], "big") << 32 | low
    lines.append((f"j0-ends-in-{low:08x}", key, iv_for(key, pre_counter), 200))
pre_counter = 2**128 - 2
key = digest("all ones")
lines.append(("j0-all-ones", key, iv_for(key, pre_counter), 200))

out = ["# name key iv plaintext ciphertext tag; an empty text is -"]
for name, key, iv, length in lines:
    plaintext = bytes((7 * i + 3) & 0xFF for i in range(length))
    cipher = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    ciphertext = cipher.update(plaintext) + cipher.finalize()
    fields = [key, iv, plaintext, ciphertext, cipher.tag]
    out.append(" ".join([name] + [field.hex() or "-" for field in fields]))
Path(__file__).with_name("vectors.txt").write_text("\n".join(out) + "\n")
