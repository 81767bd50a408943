//! Who has to act when an operation of the release authority fails.

/// The party that can put a failure right; the command line maps it to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The input is sound in form but must not be released: a check said no.
    Refused,
    /// The caller asked for something that makes no sense, or a file he wrote has a mistake.
    Usage,
    /// The machine failed: a file cannot be read or written, the disk is full.
    Io,
    /// The user interrupted the work; nothing became visible.
    Interrupted,
}
