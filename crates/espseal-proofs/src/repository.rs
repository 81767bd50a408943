//! The network of the proofs: a repository in memory, and a count of what was read from it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::repository::Resource;

use crate::maker::Files;

/// Serves files from memory.
#[derive(Clone)]
pub(crate) struct Repository {
    pub(crate) files: Arc<Files>,
    /// Bytes that were read, over all answers.
    pub(crate) read: usize,
    /// A file that never ends.
    pub(crate) endless: Option<String>,
    /// Files that take the place of all others from the second `now` on.
    pub(crate) later: Option<Arc<Files>>,
    /// Paths that were asked for.
    pub(crate) asked: BTreeSet<String>,
    nows: u32,
    open: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    path: String,
    rest: Range<usize>,
    endless: bool,
}

/// The repository does not have the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotFound;

impl TransportFault for NotFound {
    fn kind(&self) -> TransportFaultKind {
        TransportFaultKind::NotFound
    }
}

impl Repository {
    pub(crate) fn new(files: &Arc<Files>) -> Self {
        Self {
            files: Arc::clone(files),
            read: 0,
            endless: None,
            later: None,
            asked: BTreeSet::new(),
            nows: 0,
            open: None,
        }
    }

    fn answer(&mut self, path: &str, range: Option<Range<u32>>) -> Result<(), NotFound> {
        self.open = None;
        self.nows += u32::from(path == "now.cose");
        if self.nows == 2
            && let Some(later) = self.later.take()
        {
            self.files = later;
        }
        self.asked.insert(path.to_owned());
        let length = self.files.get(path).ok_or(NotFound)?.len();
        let rest = range.map_or(0..length, |range| {
            (range.start as usize).min(length)..(range.end as usize).min(length)
        });
        self.open = Some(Answer {
            path: path.into(),
            rest,
            endless: self.endless.as_deref() == Some(path),
        });
        Ok(())
    }
}

impl Transport for Repository {
    type Error = NotFound;

    fn open(&mut self, resource: Resource<'_>, range: Option<Range<u32>>) -> Result<(), NotFound> {
        self.answer(&resource.path(), range)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NotFound> {
        let Some(answer) = &mut self.open else {
            return Ok(0);
        };
        // Network reads end where they please.
        let take = buffer.len().min(1460);
        let take = if answer.endless {
            buffer[..take].fill(0xA5);
            take
        } else {
            let take = take.min(answer.rest.len());
            let start = answer.rest.start;
            let bytes = &self.files[&answer.path][start..start + take];
            buffer[..take].copy_from_slice(bytes);
            answer.rest.start += take;
            take
        };
        self.read += take;
        Ok(take)
    }

    fn post_poll(&mut self, _poll: &[u8]) -> Result<(), NotFound> {
        self.answer("now.cose", None)
    }

    fn post_report(&mut self, _report: &[u8]) -> Result<(), NotFound> {
        Ok(())
    }
}
