//! How deep the stack goes: paints it, runs something, and looks how far the paint is gone.

use core::arch::asm;
use core::ptr;

/// Paint; unlikely as a value, and no address.
const PAINT: u32 = 0xC5A1_3E97;
/// How far below the stack pointer is painted; `memory.x` gives the core 64 KB.
const PAINTED: usize = 48 * 1024;

unsafe extern "C" {
    static _stack_start: u8;
}

fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: reads a register.
    unsafe { asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack)) };
    pointer
}

/// Bytes of stack that are in use here.
#[inline(never)]
pub fn in_use() -> u32 {
    let top = (&raw const _stack_start).addr();
    u32::try_from(top.saturating_sub(stack_pointer())).unwrap_or(u32::MAX)
}

/// Runs `work` and returns how many bytes of stack it took.
#[inline(never)]
pub fn depth_of(work: &mut dyn FnMut()) -> u32 {
    let top = stack_pointer() & !3;
    let words = || (top - PAINTED..top).step_by(4);
    for word in words() {
        // SAFETY: between the end of this core's stack and its pointer, where nothing lives: the
        // ABI has no red zone, and this loop calls nothing.
        unsafe { ptr::write_volatile(word as *mut u32, PAINT) };
    }
    work();
    let deepest = words().find(|word| {
        // SAFETY: as above.
        unsafe { ptr::read_volatile(*word as *const u32) != PAINT }
    });
    deepest.map_or(0, |word| u32::try_from(top - word).unwrap_or(u32::MAX))
}
