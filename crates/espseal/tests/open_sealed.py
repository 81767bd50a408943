"""Opens `header || body` of every release that a device has a header for, with `cryptography` alone.

Usage: open_sealed.py PRIVATE_KEY.der REPOSITORY IMAGE...
Exits 0 when the opened images are exactly the given ones.
"""

import pathlib
import struct
import sys

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_der_private_key

key_file, repository, *images = map(pathlib.Path, sys.argv[1:])
key = load_der_private_key(key_file.read_bytes(), password=None)
expected = {image.read_bytes() for image in images}
opened = set()
for header_file in repository.glob("idf/*/*.header"):
    sealed = header_file.read_bytes() + (repository / f"bodies/{header_file.stem}.bin").read_bytes()
    assert sealed[:4] == bytes.fromhex("cfb68807")
    content_key = key.decrypt(sealed[4:388], padding.PKCS1v15())
    iv, size, tag = sealed[388:404], struct.unpack("<I", sealed[404:408])[0], sealed[408:424]
    body = sealed[512:]
    assert len(content_key) == 32 and size == len(body)
    decryptor = Cipher(algorithms.AES(content_key), modes.GCM(iv, tag)).decryptor()
    opened.add(decryptor.update(body) + decryptor.finalize())
assert opened == expected, f"{len(opened)} images opened, {len(opened & expected)} as expected"
print(len(opened), "images opened")
