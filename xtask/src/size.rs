//! How much the agent adds to a firmware: links it alone for the ESP32-C3's instruction set.
//!
//! The figures are held against `firmware/size/budget.toml`: what each may be, and what each was
//! when it was last written down. Growing is allowed, growing unnoticed is not.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{nostd, process};

mod budget;

use budget::{Budgets, Judgement};

/// What to do about a figure beyond its budget.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not fail where a budget is exceeded; growth that nobody has written down fails still
    #[arg(long)]
    show_budgets: bool,
}

impl Arguments {
    /// What `cargo xtask test` runs.
    pub(crate) const SHARE: Self = Self {
        show_budgets: false,
    };
}

/// Sections that take flash, and those that take RAM, as `size -A` names them.
const FLASH: [&str; 3] = [".text", ".rodata", ".data"];
const RAM: [&str; 2] = [".data", ".bss"];
/// Where budgets and records stand.
const BUDGETS: &str = "firmware/size/budget.toml";

/// Builds `firmware/size`, prints what its sections take and compares.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    nostd::install_target()?;
    let workspace = process::workspace();
    let with_direct = sections_of(&["--features", "direct"])?;
    let sections = sections_of(&[])?;
    let sum = |names: &[&str]| sum_of(&sections, names);
    let read =
        |path| fs::read_to_string(workspace.join(path)).with_context(|| format!("no {path}"));
    let budgets = Budgets::parse(&read(BUDGETS)?)?;
    let changelog = read("CHANGELOG.md")?;
    println!(
        "agent with metadata, HPKE, sealing and secure-boot verification, {}:",
        nostd::TARGET
    );
    println!(
        "  {:<42} {:>8} {:>8} {:>8}",
        "bytes", "measured", "recorded", "budget"
    );
    let (mut unnoticed, mut exceeded) = (Vec::new(), 0);
    for (name, sections) in [("flash", &FLASH[..]), ("ram", &RAM[..])] {
        let (measured, figure) = (sum(sections)?, budgets.figure(name)?);
        let judgement = figure.judge(measured, &changelog);
        println!(
            "  {:<42} {measured:>8} {:>8} {:>8}  {judgement}",
            format!("{name} ({})", sections.join(" + ")),
            figure.recorded,
            figure.budget,
        );
        match judgement {
            Judgement::Unnoticed => unnoticed.push((name, measured)),
            Judgement::Exceeded => exceeded += 1,
            Judgement::Fits => {}
        }
    }
    println!(
        "  {:<42} {:>8}",
        "flash with direct images too",
        sum_of(&with_direct, &FLASH)?
    );
    ensure!(
        unnoticed.is_empty(),
        "grown by more than 2 %: {unnoticed:?}; shrink it, or write the new figure into {BUDGETS} \
         and, with the reason, under Unreleased in CHANGELOG.md"
    );
    ensure!(
        exceeded == 0 || arguments.show_budgets,
        "{exceeded} budget(s) exceeded"
    );
    Ok(())
}

/// Builds `firmware/size` and has `size -A` print its sections.
fn sections_of(features: &[&str]) -> Result<String> {
    let workspace = process::workspace();
    let target = workspace.join("target/size");
    process::run(
        process::cargo()
            .current_dir(workspace.join("firmware/size"))
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--release"])
            .args(features),
    )?;
    let program = target.join(nostd::TARGET).join("release/espseal-size");
    process::output(Command::new("size").arg("-A").arg(&program))
}

/// Sum of the lengths of these sections.
fn sum_of(sections: &str, names: &[&str]) -> Result<u64> {
    names.iter().map(|name| section(sections, name)).sum()
}

/// Length of one section in what `size -A` printed; 0 for a section that is not there.
fn section(sections: &str, name: &str) -> Result<u64> {
    sections
        .lines()
        .map(str::split_whitespace)
        .filter_map(|mut words| (words.next() == Some(name)).then(|| words.next()).flatten())
        .map(|length| {
            length
                .parse::<u64>()
                .with_context(|| format!("length of {name} is {length}"))
        })
        .sum()
}
