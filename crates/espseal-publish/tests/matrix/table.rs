//! The table: one row a configuration, one letter a case.

use std::fmt;

use espseal_publish::rehearsal::catalogue::{Case, Status};

use crate::configuration::Configuration;

/// One row.
pub(crate) struct Row {
    name: String,
    pub cells: Vec<(Case, Status)>,
    /// Why the row is empty.
    pub hole: Option<&'static str>,
    pub surprises: Vec<String>,
}

impl Row {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self {
            name: configuration.to_string(),
            cells: Vec::new(),
            hole: None,
            surprises: Vec::new(),
        }
    }

    pub(crate) fn surprise(&mut self, text: String) {
        self.surprises
            .push(format!("{}: {text}", self.name.trim_end()));
    }
}

pub(crate) struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "R refused for its own reason, + harmless as it should be, F finding: the configuration lets it happen,\n\
             . cannot arise there, S surprise. The release itself boots in every row with letters.\n"
        )?;
        for (index, case) in (1..).zip(Case::ALL) {
            writeln!(f, "{index:3} {case}")?;
        }
        write!(f, "\n{:67}", "chip, secure boot, flash encryption")?;
        for (index, _) in (1..).zip(Case::ALL) {
            write!(f, "{index:3}")?;
        }
        writeln!(f)?;
        for row in self.0 {
            write!(f, "{:67}", row.name)?;
            match row.hole {
                Some(why) => write!(f, "  none: {why}")?,
                None => {
                    for (_, status) in &row.cells {
                        write!(f, "{:>3}", letter(*status))?;
                    }
                }
            }
            writeln!(
                f,
                "{}",
                if row.surprises.is_empty() {
                    ""
                } else {
                    "  <- SURPRISE"
                }
            )?;
        }
        writeln!(f)
    }
}

const fn letter(status: Status) -> char {
    match status {
        Status::Refused => 'R',
        Status::Harmless => '+',
        Status::Finding => 'F',
        Status::NotApplicable => '.',
        Status::Surprise => 'S',
    }
}
