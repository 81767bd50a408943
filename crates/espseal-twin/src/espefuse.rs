//! `espefuse` on virtual chips: its command lines, on the files of `espefuse --virt`.
//!
//! [`run`] takes one command line, several commands chained in it included, so that provisioning
//! scripts are rehearsed unchanged. Files and exit codes are espefuse's; messages are our own.
//!
//! Source: `espefuse --help` of 5.6.0 and its behaviour observed with `--virt`.

mod error;

use std::ffi::OsString;
use std::io::{BufRead, Write};

pub use error::EspefuseError;

/// Runs one command line of espefuse, without the program's name, on the eFuse file that it names.
///
/// `input` answers the question before a burn (the word `BURN`) unless `--do-not-confirm` is given.
/// `output` takes what espefuse prints on standard output.
///
/// # Errors
/// [`EspefuseError`]; [`EspefuseError::exit_code`] says what the program ends with.
pub fn run(
    arguments: &[OsString],
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), EspefuseError> {
    let _ = (arguments, input, output);
    Err(EspefuseError::NoCommand)
}
