//! Flash encryption in memory: one line `scheme direction engine bytes-per-second` for each, on
//! standard output. `cargo xtask bench flash-encryption` compares them with others. Engines that are
//! named as arguments (`cargo bench --bench flash_encryption -- AesNi`) are the only ones then.
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that fails is no measurement"
)]

use std::hint::black_box;
use std::time::Instant;

use espseal_crypto::flash_encryption::{Engine, FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::units::FlashOffset;

/// Bytes that are encrypted in one go.
const LEN: usize = 4 << 20;
/// Repetitions under `cargo bench`; the fastest counts, since other programs run on the machine.
const RUNS: usize = 60;

fn main() {
    let keys = [
        ("esp32", FlashKey::Esp32([0x5A; 32])),
        ("xts-128", FlashKey::Xts128([0xA5; 32])),
        ("xts-256", FlashKey::Xts256([0xC3; 64])),
    ];
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let measures = std::env::args().any(|word| word == "--bench");
    let offset = FlashOffset::new(0x1_0000);
    let mut data = vec![0x77; LEN];
    for (scheme, key) in keys {
        for &engine in Engine::ALL {
            if !asked.is_empty() && !asked.contains(&format!("{engine:?}")) {
                continue;
            }
            let Some(cipher) = FlashCipher::with_engine(engine, &key, FlashCryptConfig::DEFAULT)
            else {
                continue;
            };
            let runs = match engine {
                // `cargo test` runs benchmarks too: once is enough to see that it works.
                _ if !measures => 1,
                Engine::Portable => RUNS / 10,
                _ => RUNS,
            };
            let encrypt = fastest(runs, || {
                cipher.encrypt(offset, black_box(&mut data)).unwrap()
            });
            println!("{scheme} encrypt {engine:?} {encrypt:.0}");
            let decrypt = fastest(runs, || {
                cipher.decrypt(offset, black_box(&mut data)).unwrap()
            });
            println!("{scheme} decrypt {engine:?} {decrypt:.0}");
        }
    }
}

/// Bytes per second of the fastest run.
fn fastest(runs: usize, mut work: impl FnMut()) -> f64 {
    let mut seconds = f64::INFINITY;
    for _ in 0..runs {
        let started = Instant::now();
        work();
        seconds = seconds.min(started.elapsed().as_secs_f64());
    }
    f64::from(u32::try_from(LEN).unwrap()) / seconds
}
