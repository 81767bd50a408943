//! What a verb says when it is done.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// The result of a verb, for people and for scripts.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    listing: String,
    json: Value,
    exit: Exit,
}

impl Answer {
    /// Starts an answer with the JSON object that `--json` prints.
    pub(crate) fn new(json: Value) -> Self {
        Self {
            text: String::new(),
            listing: String::new(),
            json,
            exit: Exit::Done,
        }
    }

    /// Adds a line for people, on standard error.
    pub(crate) fn line(mut self, line: impl std::fmt::Display) -> Self {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
        self
    }

    /// Adds what was asked for, on standard output, so that it can be piped.
    pub(crate) fn listing(mut self, listing: impl std::fmt::Display) -> Self {
        let _ = writeln!(self.listing, "{listing}");
        self
    }

    /// Adds text as it is, on standard output.
    pub(crate) fn printed(mut self, text: impl AsRef<str>) -> Self {
        self.listing.push_str(text.as_ref());
        self
    }

    /// Replaces the JSON object, for one that is finished after the text.
    pub(crate) fn with_json(mut self, json: Value) -> Self {
        self.json = json;
        self
    }

    /// Makes it the answer of a check that said no.
    pub(crate) fn refused(mut self) -> Self {
        self.exit = Exit::Refused;
        self
    }

    /// Prints the answer.
    pub(crate) fn print(self, json: bool) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let written = match json {
            true => writeln!(out, "{}", self.json),
            false => {
                // Printing fails when the reader is gone, which leaves nobody to tell.
                let _ = write!(std::io::stderr(), "{}", self.text);
                write!(out, "{}", self.listing)
            }
        };
        match written.and_then(|()| out.flush()) {
            // A reader that has seen enough, such as `head -1`, is no failure.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Failure::output(&error).print(false)
            }
            _ => self.exit.into(),
        }
    }
}

/// Seconds since 1970 as a date that people read.
pub(crate) fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}
