"""Writes vectors.txt by running espsecure on pseudo-random plaintexts. Run with the tool's path."""
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

ESPSECURE = sys.argv[1]


def bytes_for(name, length):
    return hashlib.shake_256(name.encode()).digest(length)


CASES = [("esp32", 32, config, 0x10000, 64) for config in range(16)]
CASES += [
    ("esp32", 32, config, address, length)
    for config, address, length in [
        (0xF, 0x1000, 16), (0xF, 0x1010, 48), (0xF, 0x20, 96), (0xF, 0xFFFFC0, 64),
        (0x5, 0xABCDE0, 128), (0xA, 0x154320, 128), (0x3, 0x7FFFF0, 32), (0x0, 0x3F0010, 80),
        (0xF, 0x234560, 64),
    ]
]
CASES += [("esp32", 24, 0xF, 0x10000, 64), ("esp32", 24, 0x6, 0x9ABCD0, 64)]
for key in [16, 32, 64]:
    CASES += [
        ("xts", key, 0xF, address, length)
        for address, length in [
            (0x0, 128), (0x1000, 16), (0x1070, 16), (0x10010, 96), (0x10060, 64),
            (0x20050, 1408), (0xFFFF80, 128), (0x1FFFFF0, 16), (0x7654320, 272),
        ]
    ]

lines = ["# scheme key config address plaintext ciphertext"]
with tempfile.TemporaryDirectory() as folder:
    key_file, plain_file, cipher_file = (Path(folder, name) for name in "kpc")
    for number, (scheme, key_len, config, address, length) in enumerate(CASES):
        key = bytes_for(f"key {number}", key_len)
        plaintext = bytes_for(f"plaintext {number}", length)
        key_file.write_bytes(key)
        plain_file.write_bytes(plaintext)
        command = [ESPSECURE, "encrypt-flash-data", "-k", key_file, "-a", hex(address)]
        command += ["--aes-xts"] if scheme == "xts" else ["--flash-crypt-conf", str(config)]
        subprocess.run(command + ["-o", cipher_file, plain_file], check=True, capture_output=True)
        ciphertext = cipher_file.read_bytes()
        assert len(ciphertext) == length
        lines.append(
            f"{scheme} {key.hex()} {config:x} {address:x} {plaintext.hex()} {ciphertext.hex()}"
        )
Path(__file__).with_name("vectors.txt").write_text("\n".join(lines) + "\n")
