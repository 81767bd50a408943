//! `espseal espefuse`: espefuse's commands on virtual chips.
//!
//! Also when the program is called through a link named `espefuse`. The command line is taken as it
//! is: `espseal_twin::espefuse` reads it and does the work.
//!
//! Source: `espefuse --help` and observed behaviour of espefuse 5.6.0.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;

use espseal_publish::blame::Blame;
use espseal_publish::efuse_keys::PemFiles;
use espseal_twin::espefuse;

use crate::answer::Answer;
use crate::cli::{Cli, Global, Outcome};
use crate::failure::Failure;

/// Takes the commands and flags of espefuse and burns virtual chips.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Examples:
  espseal espefuse --chip esp32c3 --path-efuse-file chip.bin summary
  espseal espefuse --chip esp32c3 --path-efuse-file chip.bin --do-not-confirm burn-key BLOCK_KEY0 key.bin HMAC_UP
  ln -s espseal espefuse && ./espefuse --chip esp32 --virt --path-efuse-file chip.bin dump

Exit codes are espefuse's: 0 done, 2 refused, 1 a file or a value that cannot be read."
)]
pub(crate) struct Espefuse {
    /// espefuse's own command line; --help shows it.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    words: Vec<OsString>,
}

impl Espefuse {
    /// Runs the command line.
    pub(super) fn run(self) -> Outcome {
        let mut output = Vec::new();
        let mut words = self.words;
        if words.is_empty() {
            words.push("--help".into());
        }
        let mut console = Console(&mut output);
        let done = espefuse::run(&words, &mut io::stdin().lock(), &mut console, &PemFiles);
        let text = String::from_utf8_lossy(&output);
        match done {
            Ok(()) => {
                let json = serde_json::json!({ "output": text });
                Ok(Answer::new(json).printed(text))
            }
            Err(error) => {
                // What was printed before it failed is worth seeing, too.
                let _ = io::stderr().write_all(text.as_bytes());
                Err(Failure::new(Blame::Refused, &error).with_espefuse_code(error.exit_code()))
            }
        }
    }
}

/// Keeps the answer, and shows a question at once.
struct Console<'a>(&'a mut Vec<u8>);

impl io::Write for Console<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Called before an answer is read.
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().write_all(self.0)?;
        self.0.clear();
        Ok(())
    }
}

/// The program when it is called through a link named `espefuse`.
#[derive(Debug)]
pub(crate) struct Link;

impl Link {
    /// Whether the program is called by that name.
    pub(crate) fn is_called(program: Option<&OsStr>) -> bool {
        let name = program.map(Path::new).and_then(Path::file_name);
        name.is_some_and(|name| {
            ["espefuse", "espefuse.py", "espefuse.exe"]
                .iter()
                .any(|known| name == *known)
        })
    }

    /// The same call in the words of `espseal`.
    pub(crate) fn into_cli(words: impl Iterator<Item = OsString>) -> Cli {
        Cli {
            global: Global {
                json: false,
                project: ".".into(),
            },
            command: super::Command::Espefuse(Espefuse {
                words: words.collect(),
            }),
        }
    }
}
