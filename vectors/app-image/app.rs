//! Source of the images in this folder; see README.md.
#![no_std]
#![no_main]

const N: usize = match usize::from_str_radix(env!("N"), 10) {
    Ok(n) => n,
    Err(_) => panic!(),
};

const DESCRIPTOR: [u8; 256] = {
    let mut bytes = [0; 256];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = [0x32, 0x54, 0xCD, 0xAB];
    bytes[16] = b'1';
    bytes[48] = b'p';
    bytes
};

#[unsafe(link_section = ".rodata_desc")]
#[unsafe(no_mangle)]
pub static DESC: [u8; 256] = DESCRIPTOR;

#[unsafe(link_section = ".data")]
#[unsafe(no_mangle)]
pub static mut D: [u8; N] = [0x11; N];

#[unsafe(link_section = ".iram")]
#[unsafe(no_mangle)]
pub extern "C" fn iram() {
    loop {}
}

#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
