//! Why a command line of espefuse failed.

/// Why a command line of espefuse failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EspefuseError {
    /// The command line names no command.
    #[error("no command: name one, such as summary; --help lists them")]
    NoCommand,
}

impl EspefuseError {
    /// The exit code of espefuse: 2, but 1 for what it does not expect.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        2
    }
}
