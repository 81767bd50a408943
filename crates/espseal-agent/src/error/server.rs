//! Errors of the server and the network: `0x01xx`.

use core::fmt;

use super::Document;

/// The server or the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerError {
    /// The server does not have the file.
    NotFound {
        /// Which file.
        document: Document,
    },
    /// No connection to the server.
    Unreachable {
        /// What was asked for.
        document: Document,
    },
    /// The connection broke while the answer was being read.
    Interrupted {
        /// What was being read.
        document: Document,
    },
    /// The server refused the request.
    Refused {
        /// What was asked for.
        document: Document,
        /// The HTTP status.
        status: u16,
    },
    /// The server sends more than the document may have or than was asked for.
    TooLong {
        /// Which document.
        document: Document,
        /// The most that is read of it, in bytes.
        limit: u32,
    },
    /// The answer ended early.
    TooShort {
        /// Which document.
        document: Document,
        /// Bytes asked for.
        expected: u32,
        /// Bytes that came.
        found: u32,
    },
}

impl ServerError {
    /// The stable number of this error.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 0x0101,
            Self::Unreachable { .. } => 0x0102,
            Self::Interrupted { .. } => 0x0103,
            Self::Refused { .. } => 0x0104,
            Self::TooLong { .. } => 0x0105,
            Self::TooShort { .. } => 0x0106,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { document } => {
                write!(
                    f,
                    "{document} is not in the repository; publish it or fix the base URL"
                )
            }
            Self::Unreachable { document } => {
                write!(
                    f,
                    "no connection while asking for {document}; try again later"
                )
            }
            Self::Interrupted { document } => {
                write!(
                    f,
                    "connection broke while reading {document}; the next try resumes"
                )
            }
            Self::Refused { document, status } => {
                write!(
                    f,
                    "status {status} for {document}; look in the server's log"
                )
            }
            Self::TooLong { document, limit } => {
                write!(
                    f,
                    "{document} is longer than {limit} bytes; the server does not speak this protocol"
                )
            }
            Self::TooShort {
                document,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{document} ended after {found} of {expected} bytes; the next try resumes"
                )
            }
        }
    }
}
