//! Counts instructions, and keeps those of flash driver and bridge apart.
//!
//! `minstret` counts instructions only under `-icount`; without it QEMU fills in the host's time.

use core::arch::asm;
use core::cell::Cell;
use core::ops::Range;

use emulated::journey::{Instructions, Steps};
use espseal_agent::flash::Flash;
use espseal_agent::observer::{Event, Observer};
use espseal_agent::transport::Transport;
use espseal_crypto::content::{BodyKeystream, ContentKey, Iv};
use espseal_format::repository::Resource;
use espseal_format::units::{CHUNK_SIZE, Digest, FlashOffset, SECTOR_SIZE};

use crate::stack;

/// Instructions so far.
pub fn instructions() -> u64 {
    loop {
        let (high, low, again): (u32, u32, u32);
        // SAFETY: reads counters.
        unsafe {
            asm!(
                "csrr {0}, minstreth",
                "csrr {1}, minstret",
                "csrr {2}, minstreth",
                out(reg) high, out(reg) low, out(reg) again,
                options(nomem, nostack),
            );
        }
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// SHA-256 and AES-256-CTR of one chunk: what receiving a chunk cannot do without.
#[inline(never)]
pub fn crypto_alone() -> u32 {
    let mut chunk = [0x5A; CHUNK_SIZE];
    let keystream = BodyKeystream::new(&ContentKey::from_bytes([7; 32]), &Iv([9; 16]));
    let before = instructions();
    let digest = Digest::of(core::hint::black_box(&chunk));
    keystream.apply(0, core::hint::black_box(&mut chunk));
    core::hint::black_box((digest, &chunk));
    u32::try_from(instructions() - before).unwrap_or(u32::MAX)
}

/// The counters.
#[derive(Debug, Default)]
pub struct Meter {
    outside: Cell<u64>,
    received: Cell<bool>,
    last_chunk: Cell<Option<u64>>,
    staging: Cell<Option<u64>>,
    counted: Cell<Instructions>,
    operations: Cell<u32>,
    step: Cell<Step>,
    steps: Cell<Steps>,
}

impl Meter {
    /// What was counted.
    pub fn counted(&self) -> Instructions {
        Instructions {
            everything: instructions(),
            ..self.counted.get()
        }
    }

    /// Deepest stack of each step of an update.
    pub fn steps(&self) -> Steps {
        self.steps.get()
    }

    /// Metadata ends where the agent asks for its shard: no event says so.
    fn note_request(&self, resource: &Resource<'_>) {
        if let (Step::Metadata, Resource::EpochShard { .. }) = (self.step.get(), resource) {
            let metadata = stack::depth_since().max(self.steps.get().metadata);
            self.steps.set(Steps {
                metadata,
                ..self.steps.get()
            });
            self.step.set(Step::Key);
        }
    }

    /// Notes how deep the stack was in the step that the event ends or goes on with.
    fn note_depth(&self, event: &Event) {
        let depth = stack::depth_since();
        let mut steps = self.steps.get();
        let (step, next) = match (self.step.get(), event) {
            (Step::Metadata, _) => (&mut steps.metadata, Step::Metadata),
            (Step::Key, Event::KeyCommitted) => (&mut steps.key, Step::Chunks),
            (Step::Key, _) => (&mut steps.key, Step::Key),
            (Step::Chunks | Step::Head, Event::Verified { .. }) => {
                (&mut steps.image, Step::Activation)
            }
            // Between fetching chunk 0 for good and writing it stand all checks of the image.
            (Step::Head, Event::Written { .. }) => (&mut steps.image, Step::Chunks),
            (Step::Chunks | Step::Head, Event::Fetched { chunk }) if chunk.get() == 0 => {
                (&mut steps.chunks, Step::Head)
            }
            (Step::Chunks | Step::Head, Event::Fetched { .. }) => (&mut steps.chunks, Step::Chunks),
            (same @ (Step::Chunks | Step::Head), _) => (&mut steps.chunks, same),
            (Step::Activation, _) => (&mut steps.activation, Step::Activation),
        };
        *step = depth.max(*step);
        self.steps.set(steps);
        self.step.set(next);
    }

    /// The update begins: what is measured now is its first step.
    pub fn begin_update(&self) {
        self.step.set(Step::Metadata);
        self.steps.set(Steps::default());
    }

    /// Flash operations that were begun.
    pub fn operations(&self) -> u32 {
        self.operations.get()
    }

    /// Counts one.
    pub fn count_operation(&self) {
        self.operations.set(self.operations.get() + 1);
    }

    /// Keeps what was measured beforehand.
    pub fn set_crypto_alone(&self, crypto_alone: u32) {
        let counted = self.counted.get();
        self.counted.set(Instructions {
            crypto_alone,
            ..counted
        });
    }

    /// Instructions outside flash driver and bridge.
    fn own(&self) -> u64 {
        instructions().saturating_sub(self.outside.get())
    }

    fn outside<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = instructions();
        let result = work();
        let spent = instructions().saturating_sub(before);
        self.outside.set(self.outside.get().saturating_add(spent));
        result
    }
}

/// Where in an update the agent is.
#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Metadata,
    Key,
    Chunks,
    /// Chunk 0 is in memory.
    Head,
    Activation,
}

/// A flash or a transport whose instructions are not the agent's.
#[derive(Debug)]
pub struct Outside<'m, T> {
    /// What is metered.
    pub inner: T,
    /// The counters.
    pub meter: &'m Meter,
}

impl<F: Flash> Flash for Outside<'_, F> {
    type Error = F::Error;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), F::Error> {
        self.meter.outside(|| self.inner.read(at, buffer))
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), F::Error> {
        self.meter.outside(|| self.inner.replace_sector(at, data))
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), F::Error> {
        self.meter.outside(|| self.inner.erase_sector(at))
    }
}

impl<T: Transport> Transport for Outside<'_, T> {
    type Error = T::Error;

    fn open(&mut self, resource: Resource<'_>, range: Option<Range<u32>>) -> Result<(), T::Error> {
        self.meter.outside(|| {
            self.meter.note_request(&resource);
            self.inner.open(resource, range)
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, T::Error> {
        self.meter.outside(|| self.inner.read(buffer))
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), T::Error> {
        self.meter.outside(|| self.inner.post_poll(poll))
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), T::Error> {
        self.meter.outside(|| self.inner.post_report(report))
    }
}

impl Observer for &Meter {
    /// A chunk costs what passes between its being written and that of the chunk before it.
    fn event(&mut self, event: &Event) {
        let own = self.own();
        self.outside(|| self.note_depth(event));
        let mut counted = self.counted.get();
        match event {
            Event::Staging { .. } => self.staging.set(Some(own)),
            Event::Fetched { chunk } => self.received.set(chunk.get() > 0),
            Event::Erased { .. } => self.last_chunk.set(None),
            Event::Written { .. } if self.received.take() => {
                if let Some(before) = self.last_chunk.replace(Some(own)) {
                    counted.chunks += 1;
                    counted.chunks_own += own.saturating_sub(before);
                }
            }
            Event::Verified { .. } => {
                if let Some(before) = self.staging.take() {
                    counted.staging_own += own.saturating_sub(before);
                }
            }
            _ => {}
        }
        self.counted.set(counted);
    }
}
