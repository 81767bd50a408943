"""Searches for the key bits that an offset bit inverts, with espsecure as a black box."""
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY, BLOCK = os.urandom(32), os.urandom(16)


def ciphertext(address, config):
    with tempfile.TemporaryDirectory() as folder:
        key, plain, cipher = (Path(folder, name) for name in "kpc")
        key.write_bytes(KEY)
        plain.write_bytes(BLOCK)
        command = [sys.argv[1], "encrypt-flash-data", "-k", key, "-o", cipher]
        command += ["-a", hex(address), "--flash-crypt-conf", str(config), plain]
        subprocess.run(command, capture_output=True, check=True)
        return cipher.read_bytes()


def explains(bits, expected):
    key = int.from_bytes(KEY, "big")
    for bit in bits:
        key ^= 1 << (255 - bit)
    aes = Cipher(algorithms.AES(key.to_bytes(32, "big")), modes.ECB()).decryptor()
    return aes.update(BLOCK[::-1])[::-1] == expected


for config, low, high in [(1, 0, 67), (2, 67, 132), (4, 132, 195), (8, 195, 256)]:
    for offset_bit in (5, 14, 23):
        expected = ciphertext(1 << offset_bit, config)
        sets = (s for n in (1, 2, 3, 4) for s in itertools.combinations(range(low, high), n))
        found = next(bits for bits in sets if explains(bits, expected))
        print(f"config {config}, offset bit {offset_bit}: key bits", *found, flush=True)
