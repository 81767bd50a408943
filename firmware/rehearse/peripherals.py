"""Models of the ESP32-C3's AES, SHA and HMAC engines, of its key eFuses, and of UART1.

Each model says with `read` what a register holds (None: not mine) and takes what is written to it.
Written after the register descriptions of the ESP32-C3 Technical Reference Manual; the arithmetic
of AES and HMAC is that of the packages `cryptography` and `hmac`.
"""

import hashlib
import hmac
import os
import select
import struct
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

AES, SHA, HMAC, EFUSE, UART1 = 0x6003A000, 0x6003B000, 0x6003E000, 0x60008800, 0x60010000
HMAC_UP, DIGEST0 = 8, 9
M32 = 0xFFFFFFFF


class Memory:
    """A page of registers, as bytes."""

    def __init__(self, base, length=0x200):
        self.base, self.length, self.bytes = base, length, bytearray(length)

    def read(self, at):
        if not self.base <= at < self.base + self.length:
            return None
        return self.get(at - self.base)

    def get(self, offset):
        return struct.unpack_from("<I", self.bytes, offset)[0]

    def write(self, at, value):
        if self.base <= at < self.base + self.length:
            struct.pack_into("<I", self.bytes, at - self.base, value & M32)
            self.wrote(at - self.base, value)

    def wrote(self, offset, value):
        pass


class Efuses(Memory):
    """Key blocks with their purposes; key 2 is the HMAC engine's, key 3 a secure-boot digest."""

    def __init__(self, digest):
        super().__init__(EFUSE)
        self.bytes[0x38] = HMAC_UP | DIGEST0 << 4  # KEY_PURPOSE_2 and _3
        self.bytes[0x50 + 3] = 0  # MAC
        struct.pack_into("<I", self.bytes, 0x50, 4 << 18)  # chip revision v0.4
        self.bytes[0xFC:0x11C] = digest  # KEY3; KEY2 is read-protected


class Aes(Memory):
    def __init__(self):
        super().__init__(AES)
        self.blocks = 0

    def wrote(self, offset, value):
        if offset == 0x48:  # TRIGGER
            assert self.get(0x40) == 2, "only AES-256 encryption is modelled"
            cipher = Cipher(algorithms.AES(bytes(self.bytes[0:32])), modes.ECB()).encryptor()
            self.bytes[0x30:0x40] = cipher.update(bytes(self.bytes[0x20:0x30]))
            self.blocks += 1


class Sha(Memory):
    K = []

    def __init__(self):
        super().__init__(SHA)
        self.blocks = 0
        primes = [n for n in range(2, 312) if all(n % d for d in range(2, int(n**0.5) + 1))]
        Sha.K = [int(n ** (1 / 3) % 1 * (1 << 32)) for n in primes[:64]]
        self.iv = [int(n ** 0.5 % 1 * (1 << 32)) for n in primes[:8]]

    def wrote(self, offset, value):
        if offset in (0x10, 0x14):  # START, CONTINUE
            assert self.get(0) == 2, "only SHA-256 is modelled"
            self.blocks += 1
            if offset == 0x10:
                self.state = list(self.iv)
            self.compress(struct.unpack_from(">16I", self.bytes, 0x80))
            struct.pack_into(">8I", self.bytes, 0x40, *self.state)

    def compress(self, block):
        w = list(block)
        for i in range(16, 64):
            x, y = w[i - 15], w[i - 2]
            s0 = (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3
            s1 = (y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10
            w.append((w[i - 16] + (s0 & M32) + w[i - 7] + (s1 & M32)) & M32)
        a, b, c, d, e, f, g, h = self.state
        for i in range(64):
            s1 = ((e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)) & M32
            t1 = h + s1 + (e & f ^ ~e & M32 & g) + self.K[i] + w[i]
            s0 = ((a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)) & M32
            t2 = s0 + (a & b ^ a & c ^ b & c)
            a, b, c, d, e, f, g, h = (t1 + t2) & M32, a, b, c, (d + t1) & M32, e, f, g
        new = (a, b, c, d, e, f, g, h)
        self.state = [(x + y) & M32 for x, y in zip(self.state, new)]


class HmacEngine(Memory):
    def __init__(self, key):
        super().__init__(HMAC)
        self.key, self.message = key, b""

    def wrote(self, offset, value):
        if offset == 0x40:  # START
            self.message = b""
        if offset == 0x4C:  # the key has been chosen
            fits = self.get(0x44) == HMAC_UP and self.get(0x48) == 2
            struct.pack_into("<I", self.bytes, 0x68, 0 if fits else 1)
        if offset == 0x50:  # one block is complete
            self.message += bytes(self.bytes[0x80:0xC0])
            # The last block holds the padding of SHA-256, whose length counts the inner pad too.
            length = int.from_bytes(self.message[-8:], "big") // 8 - 64
            if 0 <= length <= len(self.message) - 9 and self.message[length] == 0x80:
                self.bytes[0xC0:0xE0] = hmac.digest(self.key, self.message[:length], hashlib.sha256)


class Uart1(Memory):
    """A serial line to a file descriptor."""

    def __init__(self, line):
        super().__init__(UART1)
        self.line, self.incoming = line, bytearray()

    def read(self, at):
        if at == UART1:  # FIFO
            return self.incoming.pop(0) if self.incoming else 0
        if at == UART1 + 0x1C:  # STATUS: bytes waiting, none on their way out
            if not self.incoming and select.select([self.line], [], [], 0.0005)[0]:
                self.incoming += os.read(self.line, 128)
            return min(len(self.incoming), 127)
        if at == UART1 + 4:  # no error has been seen
            return 0
        if at == UART1 + 0x80:  # new settings have been taken over
            return super().read(at) & ~(1 << 31)
        return super().read(at)

    def wrote(self, offset, value):
        if offset == 0:
            os.write(self.line, bytes([value & 0xFF]))


def clock():
    """The chip's time passes as the host's, from now on: whoever waits for a host has to."""
    start = time.monotonic()
    return lambda: int((time.monotonic() - start) * 16_000_000)
