//! Which slot the running image stands in, read from the flash MMU.
//!
//! The MMU says where the mapped pages come from, so this holds with flash encryption too, where a
//! raw read of `otadata` or of the partition table would give noise. Source: ESP32-C3 TRM chapter
//! "System and Memory"; ESP-IDF `components/hal/esp32c3/include/hal/mmu_ll.h`.

/// First entry of the MMU table, which maps 0x3C000000 and 0x42000000.
const MMU_TABLE: *const u32 = 0x600C_5000 as *const u32;

/// Bits 0..8 of an entry: number of the 64 KB flash page.
const PAGE_MASK: u32 = 0xFF;

/// Flash offsets of the app slots of `firmware/images/esp32c3-partitions.csv`.
const SLOTS: [(u32, &str); 2] = [(0x2_0000, "ota_0"), (0x21_0000, "ota_1")];

/// Returns the flash offset of the running image: its first page is the one mapped first.
pub fn image_offset() -> u32 {
    // SAFETY: a plain read of a memory-mapped register that the bootloader has set up and that
    // nothing else in this program touches.
    let entry = unsafe { MMU_TABLE.read_volatile() };
    (entry & PAGE_MASK) << 16
}

/// Returns the label of the slot at `offset`.
pub fn slot_name(offset: u32) -> &'static str {
    SLOTS
        .iter()
        .find(|(start, _)| *start == offset)
        .map_or("an unknown slot", |(_, name)| name)
}
