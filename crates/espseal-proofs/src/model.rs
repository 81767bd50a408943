//! The pure decisions, explored by plain enumeration against the design's invariants (sections 6, 7).
//!
//! [`update`] drives the agent's own `judge`, `may_stage` and otadata arithmetic through every state
//! that any number of power cuts and crashes can reach; [`acceptance`] drives the acceptance of
//! metadata through every order of documents of a small domain.

mod acceptance;
mod staging;
mod update;

use std::time::Instant;

use serde::Serialize;

use crate::answer::Answer;

/// What came out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    /// States of the update's machine, and steps between them.
    update_states: usize,
    update_steps: u64,
    /// States of the metadata's machine, and documents judged in them.
    metadata_states: usize,
    metadata_judgements: u64,
    /// Combinations of the rules that keep nothing.
    rules: u64,
    violations: u64,
    seconds: f64,
    first_violations: Vec<String>,
}

/// Explores everything.
pub(crate) fn run() -> Sum {
    let begun = Instant::now();
    let mut sum = Sum::default();
    update::explore(&mut sum);
    acceptance::explore(&mut sum);
    staging::explore(&mut sum);
    sum.seconds = begun.elapsed().as_secs_f64();
    sum
}

impl Sum {
    fn demand(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if holds {
            return;
        }
        self.violations += 1;
        if self.first_violations.len() < 10 {
            self.first_violations.push(words());
        }
    }
}

impl Answer for Sum {
    fn violations(&self) -> u64 {
        self.violations
    }

    fn words(&self) -> &[String] {
        &self.first_violations
    }

    fn summary(&self) -> String {
        format!(
            "update: {} states, {} steps; metadata: {} states, {} judgements; {} combinations of rules; {} violations; {:.1} s",
            self.update_states,
            self.update_steps,
            self.metadata_states,
            self.metadata_judgements,
            self.rules,
            self.violations,
            self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_invariants_hold_in_every_state_of_the_model() {
        let sum = super::run();
        println!("{}", crate::answer::Answer::summary(&sum));
        assert_eq!(sum.violations, 0, "{:#?}", sum.first_violations);
        assert!(
            sum.update_states > 100 && sum.metadata_states > 10,
            "{sum:?}"
        );
    }
}
