//! Proofs by exhaustion: what can be enumerated is enumerated, and nothing depends on this crate.
//!
//! `cargo xtask power-cut` and its siblings run this program; its unit tests are the share of every
//! proof that `cargo xtask test` has time for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a proof that cannot go on fails"
)]

mod answer;
mod faults;
mod geometry;
mod hostile;
mod image;
mod maker;
mod power_cut;
mod repository;

// Test keys and reproducible randomness are those of the agent's own tests.
#[path = "../../espseal-agent/tests/agent/support/rng.rs"]
mod rng;
#[path = "../../espseal-agent/tests/agent/support/rsa.rs"]
mod rsa;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use power_cut::plan::Scope;

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
        /// Everything: every geometry with fine tears, all pairs of cuts
        #[arg(long)]
        full: bool,
        /// The least that catches every deliberate bug that power cuts can catch
        #[arg(long, conflicts_with = "full")]
        quick: bool,
        /// Only stories whose name contains this
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Make the flash chip fail at every call: protected, stuck, failing once, misread once
    Faults {
        /// Every story on every chip
        #[arg(long)]
        full: bool,
    },
    /// Poll hostile repositories
    Hostile {
        /// Every byte of the body too, and three ways to bend each byte
        #[arg(long)]
        full: bool,
    },
}

fn main() -> ExitCode {
    let Arguments { proof, json, hasty } = Arguments::parse();
    let say = |line: &str| eprintln!("{line}");
    match proof {
        Proof::PowerCut { full, quick, only } => {
            let scope = match (full, quick) {
                (true, _) => Scope::Full,
                (false, true) => Scope::Quick,
                (false, false) => Scope::Share,
            };
            answer::give(&power_cut::report::run(scope, &only, hasty, say), json)
        }
        Proof::Hostile { full } => answer::give(&hostile::run(full, hasty, say), json),
        Proof::Faults { full } => answer::give(&faults::run(full, hasty, say), json),
    }
}
