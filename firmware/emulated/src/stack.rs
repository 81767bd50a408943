//! How deep the stack goes: paints it, runs something, and looks how far the paint is gone.
//!
//! Flash driver and cipher run on a stack of their own: a chip has that cipher in hardware, and what
//! it takes here would otherwise count as the agent's.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Paint; unlikely as a value, and no address.
const PAINT: u32 = 0xC5A1_3E97;
/// Bytes of each core's stack: `_hart_stack_size` in `memory.x`.
const CORE_STACK: usize = 64 * 1024;

unsafe extern "C" {
    static _stack_start: u8;
}

/// End of the first core's stack, on which everything but the flash driver runs.
fn first() -> usize {
    (&raw const _stack_start).addr()
}

/// End of the second core's stack; that core is parked and never uses it.
fn second() -> usize {
    first() - CORE_STACK
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
    bytes(first().saturating_sub(stack_pointer()))
}

/// Where the stack began that is being measured, and how deep it was so far.
static TOP: AtomicUsize = AtomicUsize::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(0);

/// Runs `work` and returns how many bytes of stack it took.
#[inline(never)]
pub fn depth_of(work: &mut dyn FnMut()) -> u32 {
    let top = stack_pointer() & !3;
    TOP.store(top, Ordering::Relaxed);
    DEEPEST.store(0, Ordering::Relaxed);
    paint(first(), top);
    work();
    DEEPEST
        .load(Ordering::Relaxed)
        .max(painted_away(first(), top))
}

/// How deep the stack of the running [`depth_of`] was since this was called last.
#[inline(never)]
pub fn depth_since() -> u32 {
    let depth = painted_away(first(), TOP.load(Ordering::Relaxed));
    DEEPEST.store(
        DEEPEST.load(Ordering::Relaxed).max(depth),
        Ordering::Relaxed,
    );
    paint(first(), stack_pointer() & !3);
    depth
}

/// Paints the second stack.
pub fn paint_second() {
    paint(second(), second());
}

/// Bytes of the second stack that were used since it was painted.
pub fn second_in_use() -> u32 {
    painted_away(second(), second())
}

/// Runs `work` on the second stack; not to be nested.
pub fn on_second(mut work: &mut dyn FnMut()) {
    extern "C" fn call(work: &mut &mut dyn FnMut()) {
        work();
    }
    // SAFETY: the second stack is nobody else's; `s2` survives the call and brings the pointer back.
    unsafe {
        asm!(
            "mv s2, sp",
            "mv sp, {top}",
            "jalr {call}",
            "mv sp, s2",
            top = in(reg) second(),
            call = in(reg) call as extern "C" fn(&mut &mut dyn FnMut()),
            in("a0") &raw mut work,
            out("s2") _,
            clobber_abi("C"),
        );
    }
}

/// Paints a core's stack from its lowest byte up to `top`. Inlined, so that it has no frame there.
#[inline(always)]
fn paint(core: usize, top: usize) {
    for word in (core - CORE_STACK..top).step_by(4) {
        // SAFETY: below the pointer of the core's stack nothing lives: the ABI has no red zone.
        unsafe { ptr::write_volatile(word as *mut u32, PAINT) };
    }
}

/// How far below `top` the paint is gone.
fn painted_away(core: usize, top: usize) -> u32 {
    let deepest = (core - CORE_STACK..top).step_by(4).find(|word| {
        // SAFETY: as in `paint`.
        unsafe { ptr::read_volatile(*word as *const u32) != PAINT }
    });
    deepest.map_or(0, |word| bytes(top - word))
}

fn bytes(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
