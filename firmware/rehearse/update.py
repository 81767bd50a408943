"""Lets the ESP32-C3's firmware update itself: as machine code, behind ESP-IDF's own bootloader.

Release 1 runs on Unicorn's CPU (`esp32c3.py`) with models of the crypto engines (`peripherals.py`),
finds release 2 through UART1, `bridge` and `espseal serve`, writes it and resets. The bootloader starts
it; release 2 confirms itself and reports.

Played here and not by machine code: the bootloader at hand has no rollback, so what one with rollback
does to otadata (NEW becomes PENDING) is done between the two runs. Flash encryption is off.

usage: update.py ROM_LD_FOLDER ESPSEAL BRIDGE ESPTOOL BOOTLOADER

Run it in a Python environment with unicorn 2.1.4 and cryptography. The firmware is built with
`build.sh` for a product made here.
"""

import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import tty
import zlib
from pathlib import Path

import esp32c3
import peripherals

ROOT = Path(__file__).resolve().parents[2]
OTADATA, SLOTS, STATE = 0xD000, (0x10000, 0x1F0000), 24
NEW, PENDING, VALID = 0, 1, 2
HMAC_KEY = hashlib.sha256(b"the HMAC key of a device that does not exist").digest()


class Tee:
    """Standard output that is also kept."""

    def __init__(self):
        self.text, self.out = "", sys.stdout

    def write(self, text):
        self.text += text
        self.out.write(text)

    def flush(self):
        self.out.flush()


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, text=True, **more)


def start_chip(rom, flash, digest, line, seconds):
    """Switches the chip on; returns what it said."""
    devices = [
        peripherals.Efuses(digest), peripherals.Aes(), peripherals.Sha(),
        peripherals.HmacEngine(HMAC_KEY), peripherals.Uart1(line),
    ]
    chip = esp32c3.Chip(rom, flash, seconds, devices, peripherals.clock())
    tee = sys.stdout = Tee()
    try:
        chip.boot()
    finally:
        sys.stdout = tee.out
    print(f"[AES blocks {devices[1].blocks}, SHA blocks {devices[2].blocks}]")
    return tee.text


def entry(flash, number):
    at = OTADATA + number * 4096
    sequence, state, crc = (*struct.unpack_from("<I", flash, at),
                            *struct.unpack_from("<II", flash, at + STATE))
    return sequence, state, crc == zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF)


def main():
    rom, espseal, bridge, esptool, bootloader = (Path(word).resolve() for word in sys.argv[1:6])
    work = Path(tempfile.mkdtemp(prefix="espseal-rehearse-"))
    product, images = work / "lamp", work / "images"
    run(espseal, "init", product, "--chip", "esp32c3", stdout=subprocess.DEVNULL)
    environment = {**os.environ, "ESPSEAL_PRODUCT": str(product), "ESPTOOL": str(esptool)}
    run("sh", ROOT / "firmware/build.sh", "--into", images, "esp32c3", env=environment,
        stdout=subprocess.DEVNULL)
    for release in (1, 2):
        image = images / f"esp32c3-release-{release}.bin"
        run(espseal, "--project", product, "sign", image, "--output", work / f"{release}.bin")
    run(esptool, "--chip", "esp32c3", "merge-bin", "--flash-size", "4MB", "--output",
        work / "bootloader.bin", "0x0", bootloader, stdout=subprocess.DEVNULL)
    table = product / "partitions/esp32c3.csv"
    run(espseal, "partitions", "build", "--output", work / "table.bin", table)
    flash = bytearray(b"\xff" * (4 << 20))
    for at, name in ((0, "bootloader.bin"), (0x8000, "table.bin"), (SLOTS[0], "1.bin")):
        data = (work / name).read_bytes()
        flash[at : at + len(data)] = data
    toml = (product / "espseal.toml").read_text()
    digest = bytes.fromhex(re.search(r'secure-boot-digests = \["(\w+)"\]', toml).group(1))

    master, slave = os.openpty()
    tty.setraw(master)
    port = os.ttyname(slave)
    print("== release 1 introduces itself")
    said = start_chip(rom, flash, digest, master, 15)
    record = re.search(r'kind = .*?report-key = "\w+"', said, re.S).group(0)
    (work / "record.toml").write_text(record.replace("\r", ""))
    run(espseal, "--project", product, "device", "enroll", work / "record.toml")
    run(espseal, "--project", product, "publish", work / "2.bin", "--channel", "production")

    server = subprocess.Popen(
        [espseal, "--project", product, "serve", "--listen", "127.0.0.1:0", "--log-format", "json"],
        stderr=subprocess.PIPE, text=True,
    )
    address = re.search(r'"address":"[^"]*:(\d+)"', server.stderr.readline()).group(1)
    log = open(work / "serve.log", "w")
    subprocess.Popen(["cat"], stdin=server.stderr, stdout=log)
    passer = subprocess.Popen(
        [bridge, "--port", port, "--url", f"https://localhost:{address}/",
         "--authority", product / "ca/ca.pem"], stdout=open(work / "bridge.log", "w"),
    )
    try:
        time.sleep(1)
        print("== release 1 updates")
        said = start_chip(rom, flash, digest, master, 900)
        assert "restarting into ota_1" in said, "no update"
        new = (work / "2.bin").read_bytes()
        assert flash[SLOTS[1] : SLOTS[1] + len(new)] == new, "another image stands in ota_1"
        selected = max((0, 1), key=lambda number: entry(flash, number)[0] % 0xFFFFFFFF)
        assert entry(flash, selected) == (2, NEW, True), entry(flash, selected)
        flash[OTADATA + selected * 4096 + STATE] = PENDING
        print("== release 2 confirms itself")
        said = start_chip(rom, flash, digest, master, 60)
        assert "2.0.0" in said and entry(flash, selected) == (2, VALID, True), entry(flash, selected)
    finally:
        passer.kill()
        server.terminate()
        server.wait()
    reports = (work / "bridge.log").read_text().count("report")
    print(f"updated, confirmed, {reports} report(s) sent; kept in {work}")


main()
