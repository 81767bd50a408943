//! A response body that is read from a file piece by piece.
//!
//! The piece is the unit of memory: a slow reader keeps one of them and one more inside TLS. A read
//! that the page cache can answer happens where it is asked for; only one that would wait for the
//! disk moves to a thread that may wait. Buffers are used again, so that none is zeroed twice.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::task::JoinHandle;

/// Bytes of one piece: two full TLS records.
pub(crate) const PIECE: usize = 32 * 1024;

/// Buffers that wait to be used again; more than these are freed.
const SPARE_BUFFERS: usize = 64;

/// Part of a prefix followed by part of a file.
pub(crate) struct FileBody {
    prefix: Bytes,
    file: Arc<File>,
    left: Range<u64>,
    buffers: Arc<Buffers>,
    /// A read that waits for the disk.
    waiting: Option<JoinHandle<io::Result<Piece>>>,
}

impl FileBody {
    /// Serves `prefix`, then `range` of `file`.
    pub(crate) fn new(
        prefix: Bytes,
        file: File,
        range: Range<u64>,
        buffers: &Arc<Buffers>,
    ) -> Self {
        Self {
            prefix,
            file: Arc::new(file),
            left: range,
            buffers: Arc::clone(buffers),
            waiting: None,
        }
    }

    fn remaining(&self) -> u64 {
        (self.prefix.len() as u64).saturating_add(self.left.end.saturating_sub(self.left.start))
    }

    /// Reads the next piece, or starts to and waits.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        if let Some(waiting) = &mut self.waiting {
            let piece = ready!(Pin::new(waiting).poll(cx));
            self.waiting = None;
            return Poll::Ready(piece.map_err(io::Error::other).flatten());
        }
        let want = usize::try_from(self.left.end.saturating_sub(self.left.start))
            .map_or(PIECE, |left| left.min(PIECE));
        let mut piece = self.buffers.take(want);
        match piece.read_cached(&self.file, self.left.start) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (file, at) = (Arc::clone(&self.file), self.left.start);
                let mut read = tokio::task::spawn_blocking(move || {
                    piece.read_waiting(&file, at)?;
                    Ok(piece)
                });
                let piece = Pin::new(&mut read).poll(cx);
                if piece.is_pending() {
                    self.waiting = Some(read);
                }
                piece.map(|piece| piece.map_err(io::Error::other).flatten())
            }
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) => Poll::Ready(Ok(piece)),
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.prefix)))));
        }
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match ready!(this.poll_piece(cx)) {
            Ok(piece) if piece.filled == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        Poll::Ready(Some(piece.map(|piece| {
            this.left.start = this.left.start.saturating_add(piece.filled as u64);
            Frame::data(Bytes::from_owner(piece))
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

/// Buffers of [`PIECE`] bytes that are used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    spare: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    fn take(self: &Arc<Self>, want: usize) -> Piece {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Piece {
            bytes: spare.unwrap_or_else(|| vec![0; PIECE].into_boxed_slice()),
            want,
            filled: 0,
            home: Arc::clone(self),
        }
    }

    fn give_back(&self, buffer: Box<[u8]>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(buffer);
        }
    }
}

/// A borrowed buffer and how much of it is wanted and filled.
struct Piece {
    bytes: Box<[u8]>,
    want: usize,
    filled: usize,
    home: Arc<Buffers>,
}

impl Piece {
    fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.want).unwrap_or_default()
    }

    /// Reads what the page cache holds at `offset`; `WouldBlock` when that is nothing.
    #[cfg(target_os = "linux")]
    fn read_cached(&mut self, file: &File, offset: u64) -> io::Result<()> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let room = &mut [io::IoSliceMut::new(self.room())];
        match preadv2(file, room, offset, ReadWriteFlags::NOWAIT) {
            Ok(filled) => {
                self.filled = filled;
                Ok(())
            }
            // tmpfs and some network file systems know no such flag.
            Err(Errno::OPNOTSUPP) => self.read_waiting(file, offset),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads at `offset`: elsewhere the page cache cannot be asked.
    #[cfg(not(target_os = "linux"))]
    fn read_cached(&mut self, file: &File, offset: u64) -> io::Result<()> {
        self.read_waiting(file, offset)
    }

    /// Reads at `offset`, waiting for the disk if need be.
    fn read_waiting(&mut self, file: &File, offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.filled = file.read_at(self.room(), offset)?;
        Ok(())
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_shorter_than_said_is_an_error_and_not_an_end() {
        let mut body = FileBody::new(
            Bytes::new(),
            tempfile::tempfile().unwrap(),
            0..1,
            &Arc::default(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let frame = runtime.block_on(std::future::poll_fn(|cx| {
            Pin::new(&mut body).poll_frame(cx)
        }));
        let error = frame.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn buffers_are_used_again_and_the_rest_is_freed() {
        let buffers = Arc::new(Buffers::default());
        let pieces: Vec<_> = (0..SPARE_BUFFERS + 9).map(|_| buffers.take(1)).collect();
        drop(pieces);
        assert_eq!(buffers.spare.lock().unwrap().len(), SPARE_BUFFERS);
        let _piece = buffers.take(1);
        assert_eq!(buffers.spare.lock().unwrap().len(), SPARE_BUFFERS - 1);
    }
}
