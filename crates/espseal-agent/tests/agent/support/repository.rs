//! A repository in memory, which can be told to lie, and the record of what was asked of it.

use std::collections::HashMap;
use std::ops::Range;

use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::repository::Resource;

#[derive(Clone, Default)]
pub(crate) struct Repository {
    pub(crate) files: HashMap<String, Vec<u8>>,
    /// What was asked for, in order.
    pub(crate) requests: Vec<(String, Option<Range<u32>>)>,
    pub(crate) polls: Vec<Vec<u8>>,
    pub(crate) reports: Vec<Vec<u8>>,
    /// Files that replace others from the second `now` on.
    pub(crate) after_first_now: Option<HashMap<String, Vec<u8>>>,
    /// A file that never ends.
    pub(crate) endless: Option<String>,
    /// Answers ranges of this file with one byte too many.
    pub(crate) overlong: Option<String>,
    /// Bytes of bodies that are delivered before the connection breaks.
    pub(crate) body_budget: Option<usize>,
    /// Bytes that were read, over all.
    pub(crate) read: usize,
    nows: u32,
    open: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    path: String,
    rest: Vec<u8>,
    endless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NetworkFault(TransportFaultKind);

impl TransportFault for NetworkFault {
    fn kind(&self) -> TransportFaultKind {
        self.0
    }
}

impl Repository {
    pub(crate) fn put(&mut self, resource: Resource<'_>, bytes: Vec<u8>) {
        self.files.insert(resource.path().as_str().into(), bytes);
    }

    /// Flips one bit in the middle of the only file whose path contains `part`.
    pub(crate) fn tamper(&mut self, part: &str) {
        let bytes = self.file(part);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    }

    /// The only file whose path contains `part`.
    pub(crate) fn file(&mut self, part: &str) -> &mut Vec<u8> {
        let mut found = self
            .files
            .iter_mut()
            .filter(|(path, _)| path.contains(part));
        let (_, bytes) = found
            .next()
            .unwrap_or_else(|| panic!("no file like {part}"));
        assert!(found.next().is_none(), "several files like {part}");
        bytes
    }

    /// The ranges of bodies that were asked for, in order.
    pub(crate) fn body_ranges(&self) -> Vec<Range<u32>> {
        let bodies = self
            .requests
            .iter()
            .filter(|(path, _)| path.ends_with(".bin"));
        bodies.map(|(_, range)| range.clone().unwrap()).collect()
    }

    fn answer(&mut self, path: &str) {
        let mut rest = self.files[path].clone();
        if let Some((_, Some(range))) = self.requests.last() {
            let extra = u32::from(self.overlong.as_deref() == Some(path));
            rest.resize(rest.len() + extra as usize, 0);
            rest = rest[range.start as usize..(range.end + extra) as usize].to_vec();
        } else if self.overlong.as_deref() == Some(path) {
            rest.push(0);
        }
        let endless = self.endless.as_deref() == Some(path);
        self.open = Some(Answer {
            path: path.into(),
            rest,
            endless,
        });
    }

    fn count_now(&mut self) {
        self.nows += 1;
        if self.nows == 2
            && let Some(files) = self.after_first_now.take()
        {
            self.files.extend(files);
        }
    }
}

impl Transport for Repository {
    type Error = NetworkFault;

    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), NetworkFault> {
        if resource == Resource::Now {
            self.count_now();
        }
        let path = resource.path();
        self.open = None;
        self.requests.push((path.as_str().into(), range));
        if !self.files.contains_key(path.as_str()) {
            return Err(NetworkFault(TransportFaultKind::NotFound));
        }
        self.answer(&path);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NetworkFault> {
        let answer = self.open.as_mut().expect("read without an open answer");
        if answer.endless {
            self.read += buffer.len();
            assert!(self.read < 1 << 20, "the agent reads on and on");
            buffer.fill(0xA5);
            return Ok(buffer.len());
        }
        // Network reads end where they please.
        let mut take = buffer.len().min(answer.rest.len()).min(1000);
        if answer.path.ends_with(".bin")
            && let Some(budget) = &mut self.body_budget
        {
            if *budget == 0 && take > 0 {
                return Err(NetworkFault(TransportFaultKind::Interrupted));
            }
            take = take.min(*budget);
            *budget -= take;
        }
        buffer[..take].copy_from_slice(&answer.rest[..take]);
        answer.rest.drain(..take);
        self.read += take;
        Ok(take)
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), NetworkFault> {
        self.polls.push(poll.to_vec());
        self.count_now();
        self.requests.push(("v1/poll".into(), None));
        self.answer("now.cose");
        Ok(())
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), NetworkFault> {
        self.reports.push(report.to_vec());
        Ok(())
    }
}
