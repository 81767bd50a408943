//! Stands between the agent and the flash chip: counts, and makes the chip fail.

use std::cell::{Cell, RefCell};
use std::io;

use espseal_agent::error::AgentError;
use espseal_agent::flash::{Flash, RawFlash};
use espseal_agent::observer::{Event, Observer};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::device::FlashPort;
use espseal_twin::nor::NorError;

/// Counts fetches, and notes for each operation what had been fetched before it.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) head: Cell<u32>,
    pub(crate) other: Cell<u32>,
    pub(crate) in_trial: Cell<bool>,
    /// For each operation: fetches of chunk 0 and of others before it, and whether it is in the
    /// trial.
    pub(crate) marks: RefCell<Vec<(u32, u32, bool)>>,
    /// Reads, and operations that write, so far.
    calls: Cell<(u32, u32)>,
    fault: Cell<Option<Fault>>,
    struck: Cell<bool>,
    /// The error that the fault led to.
    pub(crate) error: Cell<Option<AgentError>>,
    /// Sector whose bit is stuck from now on.
    stuck: Cell<Option<FlashOffset>>,
}

/// A fault of the flash chip, counted from power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// From this write or erase on the chip is write-protected.
    Protected(u32),
    /// This write or erase fails once, and nothing of it happens.
    Fails(u32),
    /// This write erases and then fails.
    FailsErased(u32),
    /// From this write on, these bits of this byte of its sector do not take what is written.
    StuckBit(u32, (usize, u8)),
    /// This read fails once.
    Unread(u32),
    /// This read returns one other bit, once: in the first, middle or last byte.
    Misread(u32, Place),
}

/// Which byte of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Middle,
    Last,
}

impl Meter {
    /// A chip that will fail.
    pub(crate) fn with(fault: Fault) -> Self {
        let meter = Self::default();
        meter.fault.set(Some(fault));
        meter
    }

    /// How many reads there were, and how many writes and erases.
    pub(crate) const fn calls(&self) -> (u32, u32) {
        self.calls.get()
    }

    /// Whether the fault has shown.
    pub(crate) const fn fault_struck(&self) -> bool {
        self.struck.get()
    }

    /// Takes the fault away that led to this error, unless another one was seen before.
    pub(crate) fn repair_after(&self, error: AgentError) {
        self.error.set(self.error.get().or(Some(error)));
        self.fault.set(None);
        self.stuck.set(None);
    }

    fn mark(&self, operations: usize) -> u32 {
        let mark = (self.head.get(), self.other.get(), self.in_trial.get());
        let mut marks = self.marks.borrow_mut();
        marks.extend(std::iter::repeat_n(mark, operations));
        let (reads, writes) = self.calls.get();
        self.calls.set((reads, writes + 1));
        writes
    }

    /// What the chip answers to a write or erase instead of doing it.
    fn refusal(&self, call: u32, at: FlashOffset) -> Option<NorError> {
        let error = match self.fault.get()? {
            Fault::Protected(from) if call >= from => NorError::WriteProtected { offset: at },
            Fault::Fails(this) if call == this => broken(),
            _ => return None,
        };
        self.struck.set(true);
        Some(error)
    }
}

fn broken() -> NorError {
    io::Error::other("the chip reports failure").into()
}

impl Observer for &Meter {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Fetched { chunk } if chunk.get() == 0 => self.head.set(self.head.get() + 1),
            Event::Fetched { .. } => self.other.set(self.other.get() + 1),
            Event::Verified { .. } => self.in_trial.set(true),
            Event::Confirmed { .. } => self.in_trial.set(false),
            _ => {}
        }
    }
}

/// Flash that tells the meter of each operation, and fails as the meter says.
pub(crate) struct Metered<'d, 'm> {
    inner: FlashPort<'d>,
    meter: &'m Meter,
}

impl<'d, 'm> Metered<'d, 'm> {
    pub(crate) const fn new(inner: FlashPort<'d>, meter: &'m Meter) -> Self {
        Self { inner, meter }
    }
}

impl Flash for Metered<'_, '_> {
    type Error = NorError;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        self.read_by(FlashPort::read, at, buffer)
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorError> {
        self.replace_by(FlashPort::replace_sector, at, data)
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), NorError> {
        let call = self.meter.mark(1);
        if let Some(error) = self.meter.refusal(call, at) {
            return Err(error);
        }
        self.inner.erase_sector(at)
    }
}

impl RawFlash for Metered<'_, '_> {
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        self.read_by(FlashPort::read_raw, at, buffer)
    }

    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorError> {
        self.replace_by(FlashPort::replace_sector_raw, at, data)
    }
}

impl<'d> Metered<'d, '_> {
    fn read_by(
        &mut self,
        read: impl FnOnce(&mut FlashPort<'d>, FlashOffset, &mut [u8]) -> Result<(), NorError>,
        at: FlashOffset,
        buffer: &mut [u8],
    ) -> Result<(), NorError> {
        let (call, writes) = self.meter.calls.get();
        self.meter.calls.set((call + 1, writes));
        read(&mut self.inner, at, buffer)?;
        match self.meter.fault.get() {
            Some(Fault::Unread(this)) if this == call => {
                self.meter.struck.set(true);
                Err(broken())
            }
            Some(Fault::Misread(this, place)) if this == call && !buffer.is_empty() => {
                self.meter.struck.set(true);
                let last = buffer.len() - 1;
                buffer[match place {
                    Place::First => 0,
                    Place::Middle => last / 2,
                    Place::Last => last,
                }] ^= 0x10;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn replace_by(
        &mut self,
        replace: impl FnOnce(
            &mut FlashPort<'d>,
            FlashOffset,
            &[u8; SECTOR_SIZE],
        ) -> Result<(), NorError>,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorError> {
        let call = self.meter.mark(2);
        if let Some(error) = self.meter.refusal(call, at) {
            return Err(error);
        }
        match self.meter.fault.get() {
            Some(Fault::FailsErased(this)) if this == call => {
                self.meter.struck.set(true);
                self.inner.erase_sector(at)?;
                return Err(broken());
            }
            Some(Fault::StuckBit(from, (byte, mask))) => {
                if from == call {
                    self.meter.stuck.set(Some(at));
                }
                if self.meter.stuck.get() == Some(at) {
                    self.meter.struck.set(true);
                    let mut bent = *data;
                    bent[byte] ^= mask;
                    return replace(&mut self.inner, at, &bent);
                }
            }
            _ => {}
        }
        replace(&mut self.inner, at, data)
    }
}
