//! Devices made, enrolled and wrapped for, beside what the library's P-256 alone can do.

use anyhow::{Context as _, Result};

use crate::process;

/// Fewest GB of ciphertext a second, of every chip.
const SPEED: f64 = 1.0;
/// Most KiB of memory.
const MEMORY: f64 = 256.0 * 1024.0;

/// Runs the benchmark and prints it; returns how many goals were missed.
pub(super) fn run() -> Result<usize> {
    let text = process::output(process::cargo().args([
        "bench",
        "--package",
        "espseal-publish",
        "--bench",
        "factory",
    ]))?;
    let mut missed = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (name, figure) = (words.next().unwrap_or_default(), words.next());
        let figure = || -> Result<f64> {
            let figure = figure.and_then(|word| word.parse().ok());
            figure.with_context(|| format!("no figure in `{line}`"))
        };
        let goal = match name {
            "peak-memory" => Some((figure()? < MEMORY, "below 256 MiB")),
            made if made.starts_with("made-") => Some((figure()? >= SPEED, "at least 1 GB/s")),
            _ => None,
        };
        println!(
            "{line}{}",
            match goal {
                None => String::new(),
                Some((true, goal)) => format!("; {goal}: reached"),
                Some((false, goal)) => {
                    missed += 1;
                    format!("; {goal}: MISSED")
                }
            }
        );
    }
    anyhow::ensure!(text.contains("peak-memory"), "the benchmark did not finish");
    Ok(missed)
}
