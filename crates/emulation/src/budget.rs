//! Budgets: stack, static memory, instructions for one staged byte.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use emulated::journey::{Instructions, Journey, Steps};
use serde::Serialize;

/// Most bytes of stack below a call of the agent.
const STACK: f64 = 9.0 * 1024.0;
/// Most bytes of static memory.
const STATIC: f64 = 14.0 * 1024.0;
/// Most instructions for one staged byte, as a multiple of the cryptography's.
const INSTRUCTIONS: f64 = 1.2;

/// Every figure.
#[derive(Debug, Serialize)]
pub(crate) struct Budgets {
    pub(crate) rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) found: f64,
    pub(crate) unit: &'static str,
    pub(crate) at_most: Option<f64>,
}

impl Row {
    pub(crate) fn is_kept(&self) -> bool {
        self.at_most.is_none_or(|limit| self.found <= limit)
    }
}

/// Takes the figures of one update: what its runs told, and what the program's sections take.
pub(crate) fn measure(program: &Path, journeys: &[Journey], body: u32) -> Result<Budgets> {
    let deepest = |of: fn(&Journey) -> u32| f64::from(journeys.iter().map(of).max().unwrap_or(0));
    let steps = |of: fn(&Steps) -> u32| {
        let all = journeys.iter().map(|journey| of(&journey.stack.steps));
        f64::from(all.max().unwrap_or(0))
    };
    let depths = [
        deepest(|journey| journey.stack.on_boot),
        deepest(|journey| journey.stack.update),
        deepest(|journey| journey.stack.confirm),
        deepest(|journey| journey.stack.report),
    ];
    let peak = depths.into_iter().fold(0.0, f64::max);
    let counted = journeys
        .iter()
        .map(|journey| journey.instructions)
        .find(|counted| counted.chunks > 0)
        .context("no chunk was counted")?;
    ensure!(counted.crypto_alone > 0, "the cryptography was not counted");
    let Instructions {
        chunks,
        chunks_own,
        staging_own,
        everything,
        crypto_alone,
    } = counted;
    let crypto = f64::from(crypto_alone) / 4096.0;
    let chunk = chunks_own as f64 / f64::from(chunks) / 4096.0;
    let row = |name, found, unit, at_most| Row {
        name,
        found,
        unit,
        at_most,
    };
    let [on_boot, update, confirm, report] = depths;
    Ok(Budgets {
        rows: vec![
            row("peak stack", peak, "bytes", Some(STACK)),
            row("  in on_boot", on_boot, "bytes", None),
            row("  in update", update, "bytes", None),
            row(
                "    until the manifest is verified",
                steps(|steps| steps.metadata),
                "bytes",
                None,
            ),
            row(
                "    until the content key is open",
                steps(|steps| steps.key),
                "bytes",
                None,
            ),
            row("    chunks", steps(|steps| steps.chunks), "bytes", None),
            row(
                "    checks of the image",
                steps(|steps| steps.image),
                "bytes",
                None,
            ),
            row(
                "    asking again, activation",
                steps(|steps| steps.activation),
                "bytes",
                None,
            ),
            row("  in confirm", confirm, "bytes", None),
            row("  in report", report, "bytes", None),
            row(
                "  not counted: the app's own, under them",
                deepest(|journey| journey.stack.base),
                "bytes",
                None,
            ),
            row(
                "  not counted: flash driver and cipher, beside them",
                deepest(|journey| journey.stack.flash),
                "bytes",
                None,
            ),
            row("static memory", sections(program)?, "bytes", Some(STATIC)),
            row(
                "instructions for a staged byte / the cryptography's",
                chunk / crypto,
                "times",
                Some(INSTRUCTIONS),
            ),
            row(
                "  a staged byte: received, checked, decrypted, written",
                chunk,
                "instr/byte",
                None,
            ),
            row(
                "  SHA-256 and AES-256-CTR alone",
                crypto,
                "instr/byte",
                None,
            ),
            row(
                "  with reading back, digests and signature",
                staging_own as f64 / f64::from(body),
                "instr/byte",
                None,
            ),
            row(
                "whole update, drivers in software",
                everything as f64 / 1e6,
                "M instr",
                None,
            ),
        ],
    })
}

/// What the program's writable sections take.
fn sections(program: &Path) -> Result<f64> {
    let output = Command::new("size")
        .arg("-A")
        .arg(program)
        .output()
        .context("size did not start: it is in Debian's package binutils")?;
    ensure!(
        output.status.success(),
        "size failed with {}",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let length = |wanted: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find_map(|words| match words.as_slice() {
                [name, length, ..] if *name == wanted => length.parse::<f64>().ok(),
                _ => None,
            })
            .with_context(|| format!("the program has no section {wanted}"))
    };
    Ok(length(".data")? + length(".bss")?)
}
