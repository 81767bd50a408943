"""Writes ecdsa.txt and v1.txt: blocks, signatures and digests by espsecure."""
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
IMAGE = bytes((7 * i + 3) & 0xFF for i in range(4096))
APP = (HERE / "../app-image/app.bin").read_bytes()


def espsecure(*arguments):
    subprocess.run([sys.argv[1], *arguments], check=True, capture_output=True)


with tempfile.TemporaryDirectory() as folder:
    image, key, out, iv = (Path(folder, name) for name in ("image", "key", "out", "iv"))
    image.write_bytes(IMAGE)
    lines = ["# <scheme> <block> <key digest>"]
    for scheme in ("ecdsa192", "ecdsa256", "ecdsa384"):
        for _ in range(2):
            key.unlink(missing_ok=True)
            espsecure("generate-signing-key", "-v", "2", "-s", scheme, key)
            espsecure("sign-data", "-v", "2", "-k", key, "-o", out, image)
            block = out.read_bytes()[4096 : 4096 + 1216]
            espsecure("digest-sbv2-public-key", "-k", key, "-o", out)
            lines.append(f"{scheme} {block.hex()} {out.read_bytes().hex()}")
    (HERE / "ecdsa.txt").write_text("\n".join(lines) + "\n")

    lines = ["# app <public key> <signature>; bootloader <key> <iv> <length> <digest>"]
    for _ in range(2):
        key.unlink(missing_ok=True)
        espsecure("generate-signing-key", "-v", "1", key)
        espsecure("sign-data", "-v", "1", "-k", key, "-o", out, image)
        signature = out.read_bytes()[4096:]
        espsecure("extract-public-key", "-v", "1", "-k", key, out)
        lines.append(f"app {out.read_bytes().hex()} {signature.hex()}")
    for length in (24, 32):
        key.write_bytes(bytes((5 * i + length) & 0xFF for i in range(length)))
        iv.write_bytes(bytes((11 * i + length) & 0xFF for i in range(128)))
        for size in (384, 385, 400, 415, 416, 417, 450, 511, 512):
            image.write_bytes((APP + IMAGE)[:size])
            espsecure("digest-secure-bootloader", "-k", key, "--iv", iv, "-o", out, image)
            digest = out.read_bytes()[128:192]
            lines.append(f"bootloader {key.read_bytes().hex()} {iv.read_bytes().hex()} {size} {digest.hex()}")
    (HERE / "v1.txt").write_text("\n".join(lines) + "\n")
