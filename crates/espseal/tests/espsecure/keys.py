"""Writes the key files that the tests compare both programs with, into the folder named first."""
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat,
)

folder = Path(sys.argv[1])
PLAIN = NoEncryption()
SECRET = BestAvailableEncryption(b"password")


def write(name, text):
    (folder / f"{name}.pem").write_bytes(text)


def every_form(name, key):
    traditional = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, PLAIN)
    write(name, traditional)
    write(f"{name}-pkcs8", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, PLAIN))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write(f"{name}-public", public)
    write(f"{name}-encrypted", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SECRET))
    write(f"{name}-crlf", traditional.replace(b"\n", b"\r\n"))
    write(f"{name}-leading", b"some words\n" + traditional)
    write(f"{name}-trailing", traditional + b"some words\n")
    write(f"{name}-one-line", traditional.replace(b"\n", b""))
    write(f"{name}-cut", traditional[: len(traditional) // 2])
    write(f"{name}-flipped", traditional.replace(traditional[60:64], b"AAAA", 1))
    write(f"{name}-empty", b"")
    (folder / f"{name}-der.pem").write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, PLAIN))


for name, key in {
    "rsa3072": rsa.generate_private_key(65537, 3072),
    "ecdsa192": ec.generate_private_key(ec.SECP192R1()),
    "ecdsa256": ec.generate_private_key(ec.SECP256R1()),
    "ecdsa384": ec.generate_private_key(ec.SECP384R1()),
}.items():
    every_form(name, key)
    if not name.startswith("rsa"):
        point = ec.SECP256R1
        write(f"{name}-other", ec.generate_private_key(key.curve).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, PLAIN))
        write(f"{name}-encrypted-sec1", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, SECRET))
write("rsa3072-other", rsa.generate_private_key(65537, 3072).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, PLAIN))
for name, key in {
    "rsa2048": rsa.generate_private_key(65537, 2048),
    "rsa4096": rsa.generate_private_key(65537, 4096),
    "rsa3072-e3": rsa.generate_private_key(3, 3072),
    "secp224r1": ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "secp521r1": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}.items():
    write(name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, PLAIN))
    write(f"{name}-public", key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
two = (folder / "ecdsa256.pem").read_bytes() + (folder / "ecdsa384.pem").read_bytes()
write("two-keys", two)
