//! The agent's network over a repository folder: no server, the same bytes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::repository::Resource;

/// Reads a repository from a folder, and keeps the reports that a server would have taken.
#[derive(Debug)]
pub struct FolderTransport {
    root: PathBuf,
    answer: Option<io::Take<File>>,
    reports: Vec<Vec<u8>>,
}

impl FolderTransport {
    /// Uses the repository under `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            answer: None,
            reports: Vec::new(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reports posted so far, as COSE bytes.
    #[must_use]
    pub fn reports(&self) -> &[Vec<u8>] {
        &self.reports
    }
}

impl Transport for FolderTransport {
    type Error = FolderError;

    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), FolderError> {
        self.answer = None;
        let mut file = File::open(self.root.join(resource.path().as_str()))?;
        let range = range.map_or(0..u64::MAX, |range| range.start.into()..range.end.into());
        file.seek(SeekFrom::Start(range.start))?;
        self.answer = Some(file.take(range.end.saturating_sub(range.start)));
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FolderError> {
        match &mut self.answer {
            Some(answer) => Ok(answer.read(buffer)?),
            None => Ok(0),
        }
    }

    fn post_poll(&mut self, _poll: &[u8]) -> Result<(), FolderError> {
        self.open(Resource::Now, None)
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), FolderError> {
        self.reports.push(report.to_vec());
        Ok(())
    }
}

/// The folder did not answer.
#[derive(Debug, thiserror::Error)]
#[error("repository folder: {0}")]
pub struct FolderError(#[from] io::Error);

impl TransportFault for FolderError {
    fn kind(&self) -> TransportFaultKind {
        match self.0.kind() {
            io::ErrorKind::NotFound => TransportFaultKind::NotFound,
            _ => TransportFaultKind::Interrupted,
        }
    }
}
