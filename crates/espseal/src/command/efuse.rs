//! `espseal efuse`: plans what is burnt into eFuses, and tries it on a virtual chip.

mod apply;
mod options;
mod plan;

use clap::Subcommand;

use crate::cli::{Context, Outcome};

/// Plans what is burnt into eFuses, and tries it on a virtual chip.
#[derive(Debug, Subcommand)]
pub(crate) enum Efuse {
    Plan(Box<plan::PlanVerb>),
    Apply(Box<apply::Apply>),
}

impl Efuse {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Plan(verb) => verb.run(context),
            Self::Apply(verb) => verb.run(context),
        }
    }
}
