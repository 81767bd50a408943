//! What a verb says when it fails, and the exit codes.

use std::io::Write as _;
use std::process::ExitCode;

use espseal_publish::blame::Blame;

/// Exit codes of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// A check said no.
    Refused = 1,
    /// The arguments, or a file that the user wrote, make no sense.
    Usage = 2,
    /// A file or the network failed.
    Io = 3,
    /// Ctrl-C: 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure: one sentence that says what, where, expected, found and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure that is for this party to put right.
    pub(crate) fn new(blame: Blame, message: impl std::fmt::Display) -> Self {
        Self {
            exit: match blame {
                Blame::Refused => Exit::Refused,
                Blame::Usage => Exit::Usage,
                Blame::Io => Exit::Io,
                Blame::Interrupted => Exit::Interrupted,
            },
            message: message.to_string(),
        }
    }

    /// The arguments make no sense: what the parser says, as one sentence.
    pub(crate) fn arguments(error: &clap::Error) -> Self {
        let text = error.to_string();
        let said = text.split("\n\nUsage:").next().unwrap_or_default();
        let said = said.split("\n\nFor more").next().unwrap_or_default();
        let words: Vec<_> = said.split_whitespace().collect();
        let message = words.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        Self::new(Blame::Usage, format_args!("{message}; --help shows usage"))
    }

    /// The same failure with the exit code of espsecure, which knows one only.
    pub(crate) fn into_espsecure(mut self) -> Self {
        self.exit = Exit::Usage;
        self
    }

    /// The same failure with one of espefuse's exit codes.
    pub(crate) fn with_espefuse_code(mut self, code: u8) -> Self {
        self.exit = match code {
            1 => Exit::Refused,
            _ => Exit::Usage,
        };
        self
    }

    /// The work is done, but standard output does not take the answer.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        let message = format_args!("done, but cannot write the answer to standard output: {error}");
        Self::new(Blame::Io, message)
    }

    /// The system's clock is before 1970.
    pub(crate) fn clock() -> Self {
        Self::new(
            Blame::Io,
            "this machine's clock is before 1970; set it right",
        )
    }

    /// Prints the failure.
    pub(crate) fn print(&self, json: bool) -> ExitCode {
        // Printing fails when the reader is gone, which leaves nobody to tell.
        if json {
            let code = self.exit as u8;
            let object = serde_json::json!({ "error": self.message, "code": code });
            let _ = writeln!(std::io::stdout(), "{object}");
        }
        let _ = writeln!(std::io::stderr(), "error: {}", self.message);
        self.exit.into()
    }
}

macro_rules! from_blamed {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.blame(), error)
            }
        })+
    };
}

from_blamed!(
    espseal_publish::app_signature::AppSignatureRefused,
    espseal_publish::authority::AuthorityError,
    espseal_publish::bootloader_digest::BootloaderDigestError,
    espseal_publish::creation::CreationError,
    espseal_publish::data_signing::DataError,
    espseal_publish::data_signing::SignedDataError,
    espseal_publish::data_signing::TransitError,
    espseal_publish::debug_certificate::DeviceError,
    espseal_publish::debug_certificate::UscError,
    espseal_publish::enrolment::EnrolmentError,
    espseal_publish::enrolment::ecies::EciesKeyError,
    espseal_publish::escrow::EscrowError,
    espseal_publish::factory::error::MakeError,
    espseal_publish::flash_encryption::FlashDataError,
    espseal_publish::image_signing::SignError,
    espseal_publish::keys::KeyError,
    espseal_publish::nvs::error::NvsError,
    espseal_publish::nvs::keys::NvsKeyError,
    espseal_publish::project::ProjectError,
);

impl From<espseal_publish::files::FileError> for Failure {
    fn from(error: espseal_publish::files::FileError) -> Self {
        Self::new(Blame::Io, error)
    }
}
