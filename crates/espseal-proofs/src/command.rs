//! The command line of the proofs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::power_cut::plan::Scope;
use crate::{answer, faults, hostile, model, power_cut};

/// How much of a proof to run.
#[derive(clap::Args)]
struct Extent {
    /// Everything
    #[arg(long)]
    full: bool,
    /// The least that catches every deliberate bug that this proof can catch
    #[arg(long, conflicts_with = "full")]
    quick: bool,
}

impl Extent {
    const fn scope(&self) -> Scope {
        match (self.full, self.quick) {
            (true, _) => Scope::Full,
            (false, true) => Scope::Quick,
            (false, false) => Scope::Share,
        }
    }
}

/// Proofs by exhaustion.
#[derive(Parser)]
#[command(name = "espseal-proofs", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    proof: Proof,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Stop at the first violation
    #[arg(long, global = true)]
    hasty: bool,
}

#[derive(Subcommand)]
enum Proof {
    /// Cut the power before, inside and after every flash operation of an update
    PowerCut {
        #[command(flatten)]
        extent: Extent,
        /// Only stories whose name contains this
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Make the flash chip fail at every call: protected, stuck, failing once, misread once
    Faults {
        #[command(flatten)]
        extent: Extent,
    },
    /// Explore the pure decisions against the invariants of the design
    Model,
    /// Poll hostile repositories
    Hostile {
        #[command(flatten)]
        extent: Extent,
    },
}

/// Runs the proof that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let Arguments { proof, json, hasty } = Arguments::parse();
    let say = |line: &str| eprintln!("{line}");
    match proof {
        Proof::PowerCut { extent, only } => answer::give(
            &power_cut::report::run(extent.scope(), &only, hasty, say),
            json,
        ),
        Proof::Model => answer::give(&model::run(), json),
        Proof::Faults { extent } => answer::give(&faults::run(extent.scope(), hasty, say), json),
        Proof::Hostile { extent } => answer::give(&hostile::run(extent.scope(), hasty, say), json),
    }
}
