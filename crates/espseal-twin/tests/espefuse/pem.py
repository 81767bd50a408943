"""Writes PEM files into a folder; prints each one's private scalar (or null) and secure boot digest."""

import json
import os
import subprocess
import sys

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

folder = sys.argv[1]
made = {}
curves = {"p192": ec.SECP192R1(), "p256": ec.SECP256R1(), "p384": ec.SECP384R1()}
keys = {f"{name}.pem": ec.generate_private_key(curve) for name, curve in curves.items()}
keys["rsa.pem"] = rsa.generate_private_key(65537, 3072)
for name, key in keys.items():
    path = os.path.join(folder, name)
    form = ser.PrivateFormat.TraditionalOpenSSL
    with open(path, "wb") as file:
        file.write(key.private_bytes(ser.Encoding.PEM, form, ser.NoEncryption()))
public = keys["rsa.pem"].public_key()
with open(os.path.join(folder, "rsapub.pem"), "wb") as file:
    form = ser.PublicFormat.SubjectPublicKeyInfo
    file.write(public.public_bytes(ser.Encoding.PEM, form))
for name in [*keys, "rsapub.pem"]:
    output = os.path.join(folder, "digest")
    subprocess.run(
        [sys.executable, "-m", "espsecure", "digest-sbv2-public-key",
         "--keyfile", os.path.join(folder, name), "--output", output],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with open(output, "rb") as file:
        digest = file.read().hex()
    os.remove(output)
    scalar = None
    if name.startswith("p"):
        number = keys[name].private_numbers().private_value
        scalar = number.to_bytes(keys[name].key_size // 8, "big").hex()
    made[name] = [scalar, digest]
print(json.dumps(made))
