//! Bounded reading of answers: whoever sends more than was asked for is cut off and named.

use core::ops::Range;

use espseal_format::repository::Resource;

use crate::error::{AgentError, Document, ServerError};
use crate::transport::{Transport, TransportFault, TransportFaultKind};

/// Fetches a whole document of at most `buffer.len()` bytes.
#[inline(never)]
pub(crate) fn document<'b, T: Transport>(
    transport: &mut T,
    resource: Resource<'_>,
    document: Document,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], AgentError> {
    open(transport, resource, None, document)?;
    read_document(transport, document, buffer)
}

/// Reads the open answer to its end, at most `buffer.len()` bytes.
#[inline(never)]
pub(crate) fn read_document<'b, T: Transport>(
    transport: &mut T,
    document: Document,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], AgentError> {
    let length = fill(transport, document, buffer)?;
    if length == buffer.len() {
        end(transport, document, bytes(buffer.len()))?;
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Opens `resource` for reading, or the bytes `range` of it.
#[inline(never)]
pub(crate) fn open<T: Transport>(
    transport: &mut T,
    resource: Resource<'_>,
    range: Option<Range<u32>>,
    document: Document,
) -> Result<(), AgentError> {
    transport
        .open(resource, range)
        .map_err(|error| blame(&error, document))
}

/// Fills `buffer` from the open answer.
#[inline(never)]
pub(crate) fn exact<T: Transport>(
    transport: &mut T,
    document: Document,
    buffer: &mut [u8],
) -> Result<(), AgentError> {
    let found = fill(transport, document, buffer)?;
    if found == buffer.len() {
        return Ok(());
    }
    let (expected, found) = (bytes(buffer.len()), bytes(found));
    Err(ServerError::TooShort {
        document,
        expected,
        found,
    }
    .into())
}

/// Demands that the open answer ends here, after `limit` bytes.
#[inline(never)]
pub(crate) fn end<T: Transport>(
    transport: &mut T,
    document: Document,
    limit: u32,
) -> Result<(), AgentError> {
    match transport
        .read(&mut [0])
        .map_err(|error| blame(&error, document))?
    {
        0 => Ok(()),
        _ => Err(ServerError::TooLong { document, limit }.into()),
    }
}

/// Reads until `buffer` is full or the answer ends, and returns how many bytes came.
#[inline(never)]
pub(crate) fn fill<T: Transport>(
    transport: &mut T,
    document: Document,
    buffer: &mut [u8],
) -> Result<usize, AgentError> {
    let mut filled: usize = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let room = rest.len();
        let read = transport
            .read(rest)
            .map_err(|error| blame(&error, document))?;
        if read == 0 {
            break;
        }
        // A transport that claims more than it was lent is not believed.
        filled = filled.saturating_add(read.min(room));
    }
    Ok(filled)
}

/// Turns a transport's error into one that names the document.
pub(crate) fn blame<E: TransportFault>(error: &E, document: Document) -> AgentError {
    AgentError::Server(match error.kind() {
        TransportFaultKind::NotFound => ServerError::NotFound { document },
        TransportFaultKind::Unreachable => ServerError::Unreachable { document },
        TransportFaultKind::Interrupted => ServerError::Interrupted { document },
        TransportFaultKind::Refused { status } => ServerError::Refused { document, status },
    })
}

/// A length in memory as a length on the wire.
pub(crate) fn bytes(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
