//! What a proof says in the end: to people, or as JSON to scripts.

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

/// The result of a proof.
pub(crate) trait Answer: Serialize {
    /// How often something happened that must not happen.
    fn violations(&self) -> u64;

    /// The first violations, in words.
    fn words(&self) -> &[String];

    /// One sentence with the figures.
    fn summary(&self) -> String;
}

/// Prints the answer; fails when there are violations.
pub(crate) fn give(answer: &impl Answer, json: bool) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let text = if json {
        serde_json::to_string_pretty(answer).unwrap()
    } else {
        let words = answer
            .words()
            .iter()
            .map(|words| format!("violation: {words}\n"));
        format!("{}{}", words.collect::<String>(), answer.summary())
    };
    // A reader who has gone needs no answer.
    let _ = writeln!(out, "{text}");
    if answer.violations() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
