"""Runs a real ESP-IDF bootloader and an app of the ESP32-C3, instruction by instruction.

The CPU is Unicorn's RISC-V. The mask ROM, which nobody may copy, is replaced by Python functions at
the addresses that its linker scripts publish; flash, its MMU, eFuses and a few registers are
modelled as far as bootloader and app look at them. What the chip prints goes to standard output,
what the model leaves out to standard error.

usage: esp32c3.py ROM_LD_FOLDER FLASH_IMAGE [--seconds N] [--save FILE]

ROM_LD_FOLDER is ld/esp32c3/rom of the cargo package esp-rom-sys (or esp_rom/esp32c3/ld of ESP-IDF);
FLASH_IMAGE is a plaintext image of the whole flash. Exit code 0 after N seconds of the chip's own
time in the app (default 3), 1 when the chip resets itself before that.
"""

import argparse
import ctypes
import hashlib
import random
import re
import struct
import sys
import zlib
from pathlib import Path

from unicorn import UC_ARCH_RISCV, UC_HOOK_CODE, UC_HOOK_INTR, UC_MODE_RISCV32, Uc
from unicorn import riscv_const as reg

ROM, ROM_LEN = 0x40000000, 0x60000
ROM_DATA, ROM_DATA_LEN = 0x3FF00000, 0x20000
DRAM, DRAM_LEN, DRAM_TO_IRAM = 0x3FC80000, 0x60000, 0x700000
ICACHE, ICACHE_LEN = 0x4037C000, 0x4000
RTC_RAM, RTC_RAM_LEN = 0x50000000, 0x2000
DROM, IROM, CACHED_LEN, PAGE = 0x3C000000, 0x42000000, 0x800000, 0x10000
IO, IO_LEN = 0x60000000, 0xD2000
MMU, MMU_ENTRIES, MMU_INVALID = 0x600C5000, 128, 0x100
EFUSE_WORD3_OF_BLOCK1 = 0x60008850
SYSTIMER = 0x60023000
RANDOM = 0x600260B0
UART0_FIFO = 0x60000000
UART1_ID, UPDATING = 0x60010080, 1 << 31
GPIO_IN = 0x6000403C
TIMG0_CALIBRATION, CALIBRATED = 0x6001F068, 0x8000
STACK_OF_ROM = 0x3FCDE000
POINTER_TO_FLASH_DATA, FLASH_DATA = 0x3FCDFFF0, 0x3FCDE100  # rom_spiflash_legacy_data
CHIP_REVISION_MINOR = 4
TICKS_PER_SECOND = 16_000_000
CSR_CYCLES, CYCLES_PER_LOOK = 0x7E2, 1000


class Chip:
    def __init__(self, rom_ld, flash, seconds, devices=(), clock=None):
        self.flash = flash
        self.seconds = seconds
        self.devices = devices
        self.clock = clock
        self.ticks = 0
        self.cycles = 0
        self.failed = False
        self.unknown = set()
        self.hashes = {}
        self.registers = {EFUSE_WORD3_OF_BLOCK1: CHIP_REVISION_MINOR << 18}
        self.symbols = {}
        for script in sorted(rom_ld.glob("*.ld")):
            if "eco7" in script.name:  # a later ROM than that of the revision modelled
                continue
            for name, at in re.findall(r"(\w+)\s*=\s*(0x[0-9a-fA-F]+)\s*[;)]", script.read_text()):
                self.symbols.setdefault(int(at, 16), name)
        self.cpu = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        self.cpu.ctl_set_cpu_model(reg.UC_CPU_RISCV32_SIFIVE_E31)
        self.dram = ctypes.create_string_buffer(DRAM_LEN)
        self.cached = ctypes.create_string_buffer(CACHED_LEN)
        for at in (DRAM, DRAM + DRAM_TO_IRAM):
            self.cpu.mem_map_ptr(at, DRAM_LEN, 7, ctypes.addressof(self.dram))
        for at in (DROM, IROM):
            self.cpu.mem_map_ptr(at, CACHED_LEN, 5, ctypes.addressof(self.cached))
        for at, length in (
            (ROM, ROM_LEN), (ROM_DATA, ROM_DATA_LEN), (ICACHE, ICACHE_LEN), (RTC_RAM, RTC_RAM_LEN)
        ):
            self.cpu.mem_map(at, length)
        self.cpu.mem_write(ROM, struct.pack("<H", 0x8082) * (ROM_LEN // 2))  # ret
        self.cpu.mmio_map(IO, IO_LEN, self.io_read, None, self.io_write, None)
        self.cpu.hook_add(UC_HOOK_CODE, self.rom_call, begin=ROM, end=ROM + ROM_LEN)
        self.cpu.hook_add(UC_HOOK_INTR, self.trap)

    # registers and memory

    def arg(self, n):
        return self.cpu.reg_read(reg.UC_RISCV_REG_A0 + n)

    def word(self, at):
        return struct.unpack("<I", self.cpu.mem_read(at, 4))[0]

    def text(self, at):
        raw = bytearray()
        while (byte := self.cpu.mem_read(at, 1)[0]) != 0:
            raw.append(byte)
            at += 1
        return raw.decode("latin-1")

    # peripherals

    def io_read(self, _uc, offset, _size, _data):
        at = IO + offset
        for device in self.devices:
            if (value := device.read(at)) is not None:
                return value
        if at in (0x60002000, 0x60003000):  # SPI command finished
            return 0
        if at == 0x60002058:  # answer of the flash chip to RDID
            return 0x1640C8
        if at == SYSTIMER + 4:  # value valid
            return 1 << 29
        if at == SYSTIMER + 0x44:
            return self.ticks & 0xFFFFFFFF
        if at == SYSTIMER + 0x40:
            return self.ticks >> 32
        if at == TIMG0_CALIBRATION:
            return self.registers.get(at, 0) | 1 << 15  # ready
        if at == TIMG0_CALIBRATION + 4:
            return CALIBRATED << 7
        if at == RANDOM:
            return random.getrandbits(32)
        if at == UART1_ID:  # new settings have been taken over
            return self.registers.get(at, 0) & ~UPDATING
        if at == GPIO_IN:  # no button is held
            return 0xFFFFFFFF
        return self.registers.get(at, 0)

    def io_write(self, _uc, offset, _size, value, _data):
        at = IO + offset
        self.registers[at] = value
        for device in self.devices:
            device.write(at, value)
        if at == SYSTIMER + 4:
            self.ticks = self.clock() if self.clock else self.ticks + TICKS_PER_SECOND // 1000
            if self.ticks > self.seconds * TICKS_PER_SECOND:
                self.cpu.emu_stop()
        if at == UART0_FIFO:
            sys.stdout.write(chr(value & 0xFF))
        if MMU <= at < MMU + 4 * MMU_ENTRIES:
            self.map_page((at - MMU) // 4, value)

    def map_page(self, entry, value):
        page = (value & 0xFF) * PAGE
        data = bytes(PAGE) if value & MMU_INVALID else bytes(self.flash[page : page + PAGE])
        ctypes.memmove(ctypes.addressof(self.cached) + entry * PAGE, data, len(data))
        for at in (DROM, IROM):
            self.cpu.ctl_remove_cache(at + entry * PAGE, at + (entry + 1) * PAGE)

    # the CPU

    def trap(self, _uc, number, _data):
        pc = self.cpu.reg_read(reg.UC_RISCV_REG_PC)  # Unicorn has already gone past it
        instruction = self.word(pc - 4)
        if instruction & 0x7F == 0x73 and instruction >> 12 & 3:  # a CSR only this chip has
            rd = instruction >> 7 & 31
            self.cycles = (self.cycles + CYCLES_PER_LOOK) & 0xFFFFFFFF
            if rd:
                counter = instruction >> 20 == CSR_CYCLES
                self.cpu.reg_write(reg.UC_RISCV_REG_X0 + rd, self.cycles if counter else 0)
            return
        raise SystemExit(f"trap {number} before {pc:#x}: {instruction:08x}")

    def rom_call(self, _uc, pc, _size, _data):
        name = self.symbols.get(pc)
        function = getattr(self, f"rom_{name}", None)
        if function is None:
            if (pc, name) not in self.unknown:
                self.unknown.add((pc, name))
                print(f"[rom {name or hex(pc)} does nothing]", file=sys.stderr)
            result = 0
        else:
            result = function()
        if result is not None:
            self.cpu.reg_write(reg.UC_RISCV_REG_A0, result & 0xFFFFFFFF)

    # the mask ROM

    def rom_ets_printf(self):
        arguments = iter([self.arg(n) for n in range(1, 8)])
        sp = self.cpu.reg_read(reg.UC_RISCV_REG_SP)

        def more():
            nonlocal sp
            for value in arguments:
                return value
            sp += 4
            return self.word(sp - 4)

        def convert(found):
            flags, kind = found[1], found[2]
            if kind == "%":
                return "%"
            value = more()
            if kind == "s":
                return f"%{flags}s" % self.text(value)
            if kind in "di" and value >> 31:
                value -= 1 << 32
            if kind == "c":
                return chr(value)
            if kind == "p":
                return hex(value)
            return f"%{flags}{kind}" % value

        sys.stdout.write(re.sub(r"%([-0-9.]*)[lhz]*([a-zA-Z%])", convert, self.text(self.arg(0))))
        return 0

    def rom_uart_tx_one_char(self):
        sys.stdout.write(chr(self.arg(0) & 0xFF))
        return 0

    def rom_memset(self):
        self.cpu.mem_write(self.arg(0), bytes([self.arg(1) & 0xFF]) * self.arg(2))

    def rom_memcpy(self):
        self.cpu.mem_write(self.arg(0), bytes(self.cpu.mem_read(self.arg(1), self.arg(2))))

    rom_memmove = rom_memcpy

    def rom_memcmp(self):
        a, b = (bytes(self.cpu.mem_read(self.arg(n), self.arg(2))) for n in (0, 1))
        return (a > b) - (a < b)

    def rom___udivdi3(self):
        a = self.arg(0) | self.arg(1) << 32
        b = self.arg(2) | self.arg(3) << 32
        self.cpu.reg_write(reg.UC_RISCV_REG_A1, (a // b) >> 32)
        return a // b

    def rom_crc32_le(self):
        data = bytes(self.cpu.mem_read(self.arg(1), self.arg(2)))
        return zlib.crc32(data, self.arg(0))

    def rom_ets_get_cpu_frequency(self):
        return 160

    def rom_rtc_get_reset_reason(self):
        return 1  # power on

    def rom_esp_rom_spiflash_config_param(self):
        values = [self.arg(n) for n in range(6)]
        self.cpu.mem_write(FLASH_DATA, struct.pack("<6I", *values))
        return 0

    def rom_software_reset(self):
        print("[reset]")
        self.failed = True
        self.cpu.emu_stop()

    def rom_esp_rom_spiflash_read(self):
        at, to, length = self.arg(0), self.arg(1), self.arg(2)
        self.cpu.mem_write(to, bytes(self.flash[at : at + length]))
        return 0

    def rom_esp_rom_spiflash_erase_sector(self):
        at = self.arg(0) * 4096
        self.flash[at : at + 4096] = b"\xff" * 4096
        return 0

    def rom_esp_rom_spiflash_write(self):
        at, source, length = self.arg(0), self.arg(1), self.arg(2)
        for index, byte in enumerate(self.cpu.mem_read(source, length)):
            self.flash[at + index] &= byte
        return 0

    def hash_init(self, kind):
        self.hashes[self.arg(0)] = hashlib.new(kind)
        return 0

    def hash_update(self):
        self.hashes[self.arg(0)].update(bytes(self.cpu.mem_read(self.arg(1), self.arg(2))))
        return 0

    def rom_ets_sha_init(self):
        return self.hash_init("sha256")

    def rom_ets_sha_update(self):
        return self.hash_update()

    def rom_ets_sha_finish(self):
        self.cpu.mem_write(self.arg(1), self.hashes[self.arg(0)].digest())
        return 0

    def rom_MD5Init(self):
        return self.hash_init("md5")

    def rom_MD5Update(self):
        return self.hash_update()

    def rom_MD5Final(self):
        self.cpu.mem_write(self.arg(0), self.hashes[self.arg(1)].digest())
        return 0

    def rom_Cache_MMU_Init(self):
        for entry in range(MMU_ENTRIES):
            self.map_page(entry, MMU_INVALID)
        return 0

    # boot

    def boot(self):
        """Loads the bootloader as the mask ROM does, and jumps to it."""
        magic, count, _mode, _size, entry = struct.unpack_from("<BBBBI", self.flash, 0)
        if magic != 0xE9:
            raise SystemExit("invalid header: no bootloader at 0x0")
        self.cpu.mem_write(POINTER_TO_FLASH_DATA, struct.pack("<I", FLASH_DATA))
        at = 24
        for _ in range(count):
            load, length = struct.unpack_from("<II", self.flash, at)
            print(f"load:{load:#x},len:{length:#x}")
            self.cpu.mem_write(load, bytes(self.flash[at + 8 : at + 8 + length]))
            at += 8 + length
        print(f"entry {entry:#x}")
        self.cpu.reg_write(reg.UC_RISCV_REG_SP, STACK_OF_ROM)
        self.cpu.emu_start(entry, 0xFFFFFFFE, count=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rom_ld", type=Path)
    parser.add_argument("flash", type=Path)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--save", type=Path, help="write the flash here at the end")
    arguments = parser.parse_args()
    chip = Chip(arguments.rom_ld, bytearray(arguments.flash.read_bytes()), arguments.seconds)
    try:
        chip.boot()
    finally:
        sys.stdout.flush()
        print(f"[stopped at {chip.cpu.reg_read(reg.UC_RISCV_REG_PC):#x}]", file=sys.stderr)
    if arguments.save:
        arguments.save.write_bytes(chip.flash)
    return 1 if chip.failed else 0


if __name__ == "__main__":
    sys.exit(main())
