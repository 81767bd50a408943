//! The project's own tasks. `cargo xtask --help` lists them; none needs anything installed first.

mod bench;
mod ci;
mod deliberate_bugs;
mod demo;
mod efuse_plans;
mod emulate;
mod firmware;
mod fuzz;
mod matrix;
mod mutants;
mod nostd;
mod nvs;
mod oracles;
mod process;
mod proofs;
mod size;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the oracles, then run every test of the workspace
    Test(test::Arguments),
    /// Measure ours and the peers' in one run, and print ratios
    Bench(bench::Arguments),
    /// Check formatting and lints, then run every test
    Ci,
    /// Run the main job: one release, all the way
    Demo(demo::Arguments),
    /// Install the tools and real images that the tests compare with, and nothing else
    Oracles,
    /// Rehearse every chip with every scheme and every case; print one table
    Matrix,
    /// Plan eFuses for every chip: the real espefuse ends where the twin does, every interruption resumes
    EfusePlans(efuse_plans::Arguments),
    /// Build NVS images from random CSV files: byte for byte those of the vendor's generator
    Nvs(nvs::Arguments),
    /// Run the agent on an emulated RISC-V core: update, power cuts, rollback, hostile bodies
    Emulate(emulate::Arguments),
    /// Build the firmware for the ESP32-C3, check its images and start them on a virtual device
    Firmware(firmware::Arguments),
    /// Cut the power before, inside and after every flash operation of an update
    PowerCut(proofs::PowerCut),
    /// Kill server and release authority 200 times under load; fill their disk
    Durability,
    /// Make the flash chip fail at every call of an update
    Faults(proofs::Extent),
    /// Poll hostile repositories: bent bytes, swapped files, stolen keys, wrong images
    Hostile(proofs::Extent),
    /// Try every fuzz target for some seconds, from the committed corpus
    FuzzSmoke(fuzz::Smoke),
    /// Fuzz every target with libFuzzer, at the lowest priority
    Fuzz(fuzz::Hours),
    /// Mutate the verification paths: the tests have to notice
    Mutants(mutants::Arguments),
    /// Break the code on purpose, one rule at a time: the proofs have to notice
    DeliberateBugs(deliberate_bugs::Arguments),
    /// Measure how much the agent adds to a firmware
    Size(size::Arguments),
    /// Build the device crates for a chip without an operating system or an allocator
    Nostd,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Ci => ci::run(),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::EfusePlans(arguments) => efuse_plans::run(&arguments),
        Task::Emulate(arguments) => emulate::run(&arguments),
        Task::Firmware(arguments) => firmware::run(&arguments),
        Task::Matrix => matrix::run(),
        Task::Nvs(arguments) => nvs::run(&arguments),
        Task::Oracles => oracles::install(),
        Task::DeliberateBugs(arguments) => deliberate_bugs::run(&arguments),
        Task::Durability => proofs::durability(),
        Task::Faults(extent) => proofs::run("faults", &extent, &[]),
        Task::Hostile(extent) => proofs::run("hostile", &extent, &[]),
        Task::PowerCut(arguments) => proofs::power_cut(&arguments),
        Task::Size(arguments) => size::run(&arguments),
        Task::Fuzz(arguments) => fuzz::hours(&arguments),
        Task::FuzzSmoke(arguments) => fuzz::smoke(&arguments),
        Task::Mutants(arguments) => mutants::run(&arguments),
        Task::Nostd => nostd::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
