//! Brings the body of a verified manifest into a slot, chunk by chunk, resuming by reading back.
//!
//! No progress is recorded anywhere: whatever stands in the slot is encrypted again in counter
//! mode, or read raw where it came raw, and compared with the signed chunk hash. Chunk 0 goes last, after every check, so that a
//! half-written or unapproved slot never starts with an image header (design, section 7 item 3).

use core::ops::Range;

use espseal_format::body::{BodyLayout, PageIndex, is_in_page};
use espseal_format::metadata::manifest::Component;
use espseal_format::repository::Resource;
use espseal_format::units::{CHUNKS_PER_PAGE, ChunkIndex, Digest, FlashOffset, SECTOR_SIZE};

use crate::agent::Agent;
use crate::config::Region;
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, BodyError, Document, HardwareError};
use crate::fetch;
use crate::flash::Flash;
use crate::key::OpenedBody;
use crate::medium::Medium;
use crate::metadata::VerifiedManifest;
use crate::observer::{Event, Observer};
use crate::platform::{Platform, Slot};
use crate::transport::Transport;
use crate::verify::{self, CompleteSlot, SlotReader, Trust};

/// What is signed of a body.
pub(crate) trait Body {
    /// How the body divides into chunks.
    fn layout(&self) -> BodyLayout;

    /// How many of them go into the slot, the first ones.
    fn image_chunks(&self) -> u32;

    /// SHA-256 of the body, which names it.
    fn body(&self) -> &Digest;

    /// SHA-256 of each page of chunk hashes.
    fn pages(&self) -> &[Digest];
}

/// How the chunks of a body become the sectors of a slot.
pub(crate) trait Delivery<F, O, C>: Body {
    /// Reads from flash as it would stand in the body.
    fn read(
        &self,
        medium: &mut Medium<F, O>,
        crypto: &mut C,
        at: FlashOffset,
        chunk: ChunkIndex,
        bytes: &mut [u8],
    ) -> Result<(), HardwareError>;

    /// Turns a chunk whose hash was checked into what [`write`](Self::write) takes.
    fn open(&self, crypto: &mut C, chunk: ChunkIndex, bytes: &mut [u8]);

    /// Replaces a sector and reads it back.
    fn write(
        &self,
        medium: &mut Medium<F, O>,
        at: FlashOffset,
        sector: &[u8; SECTOR_SIZE],
    ) -> Result<(), HardwareError>;

    /// Fills `sector` with chunk 0 in plaintext and returns true, where a chunk that was received is
    /// not plaintext.
    fn lend_head(
        &self,
        medium: &mut Medium<F, O>,
        sector: &mut [u8; SECTOR_SIZE],
    ) -> Result<bool, HardwareError>;
}

/// A body sealed for everybody, whose content key this device has opened.
pub(crate) struct Sealed<'s, Y> {
    pub(crate) component: &'s Component,
    pub(crate) body: &'s OpenedBody<Y>,
}

impl<Y> Body for Sealed<'_, Y> {
    fn layout(&self) -> BodyLayout {
        self.component.layout()
    }

    fn image_chunks(&self) -> u32 {
        self.component.layout().chunks()
    }

    fn body(&self) -> &Digest {
        &self.component.body
    }

    fn pages(&self) -> &[Digest] {
        &self.component.pages
    }
}

impl<F: Flash, O: Observer, C: Crypto> Delivery<F, O, C> for Sealed<'_, C::Keystream> {
    fn read(
        &self,
        medium: &mut Medium<F, O>,
        crypto: &mut C,
        at: FlashOffset,
        chunk: ChunkIndex,
        bytes: &mut [u8],
    ) -> Result<(), HardwareError> {
        medium.read(at, bytes)?;
        self.body.apply(crypto, chunk, bytes);
        Ok(())
    }

    fn open(&self, crypto: &mut C, chunk: ChunkIndex, bytes: &mut [u8]) {
        self.body.apply(crypto, chunk, bytes);
    }

    fn write(
        &self,
        medium: &mut Medium<F, O>,
        at: FlashOffset,
        sector: &[u8; SECTOR_SIZE],
    ) -> Result<(), HardwareError> {
        medium.replace(at, sector)
    }

    fn lend_head(
        &self,
        _: &mut Medium<F, O>,
        _: &mut [u8; SECTOR_SIZE],
    ) -> Result<bool, HardwareError> {
        Ok(false)
    }
}

/// One staging: what goes where.
pub(crate) struct Staging<'s, D> {
    pub(crate) manifest: &'s VerifiedManifest<'s>,
    pub(crate) delivery: &'s D,
    pub(crate) slot: Slot,
    pub(crate) region: Region,
    pub(crate) trust: Trust,
}

impl<D: Body> Staging<'_, D> {
    fn layout(&self) -> BodyLayout {
        self.delivery.layout()
    }

    /// How many pages speak for the image.
    fn pages(&self) -> u32 {
        self.delivery.image_chunks().div_ceil(PER_PAGE)
    }

    /// The chunks of the image whose hashes a page holds.
    fn page_chunks(&self, page: u32) -> Range<u32> {
        let all = self
            .layout()
            .page_chunks(PageIndex::new(page))
            .unwrap_or_default();
        all.start..all.end.min(self.delivery.image_chunks())
    }

    /// Which bytes of the body chunk `index` is.
    fn span(&self, index: u32) -> Range<u32> {
        self.layout()
            .chunk_range(ChunkIndex::new(index))
            .unwrap_or_default()
    }

    /// How many bytes chunk `index` has.
    fn chunk_length(&self, index: u32) -> usize {
        self.span(index).len()
    }

    /// Where chunk `index` goes; the manifest was checked to fit the slot.
    fn address(&self, index: u32) -> FlashOffset {
        FlashOffset::new(
            self.region
                .offset
                .get()
                .saturating_add(self.span(index).start),
        )
    }
}

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Stages the body and returns the token for activation.
    #[inline(never)]
    pub(crate) fn stage<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
    ) -> Result<CompleteSlot, AgentError> {
        let event = Event::Staging {
            slot: staging.slot,
            chunks: staging.delivery.image_chunks(),
        };
        self.medium.event(&event);
        self.load_page(staging, 0)?;
        let mut head = if self.stands(staging, 0)? {
            Head::InPlace
        } else {
            // Fetched once before anything is erased: a server that has no body, or another one,
            // costs the device nothing.
            self.fetch_head(staging)?;
            Head::Unknown
        };
        let pages = staging.pages();
        for page in 0..pages {
            if page > 0 {
                self.load_page(staging, page)?;
            }
            let missing = self.missing(staging, page, head)?;
            self.fill_page(staging, page, missing, &mut head)?;
        }
        if head != Head::InPlace {
            let delivery = staging.delivery;
            let lent = delivery.lend_head(&mut self.medium, &mut self.workspace.sector)?;
            if lent {
                // Takes the memory of the page.
                self.check(staging, Origin::Ram)?;
            }
            if lent || pages > 1 {
                self.load_page(staging, 0)?;
            }
            self.fetch_head(staging)?;
            if !lent {
                self.check(staging, Origin::Ram)?;
            }
            let at = staging.region.offset;
            delivery.write(&mut self.medium, at, &self.workspace.sector)?;
        }
        self.approve(staging, head)
    }

    /// Checks the slot as it stands; an image that is refused loses its first sector.
    #[inline(never)]
    fn approve<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        head: Head,
    ) -> Result<CompleteSlot, AgentError> {
        let verdict = match head {
            // Written by an earlier run: nothing of this run's checks has seen it yet.
            Head::InPlace => self.check(staging, Origin::Flash),
            _ => Ok(()),
        };
        let approved = verdict.and_then(|()| {
            let Staging { manifest, slot, .. } = *staging;
            let (mut image, scratch, crypto) = self.image(staging, Origin::Flash);
            verify::approve(&mut image, manifest, slot, crypto, scratch)
        });
        match approved {
            Ok(complete) => {
                self.medium.event(&Event::Verified { slot: staging.slot });
                Ok(complete)
            }
            Err(refused @ AgentError::Body(_)) => {
                self.medium.erase(staging.region.offset)?;
                Err(refused)
            }
            Err(other) => Err(other),
        }
    }

    #[inline(never)]
    fn check<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        origin: Origin,
    ) -> Result<(), AgentError> {
        let (mut image, scratch, crypto) = self.image(staging, origin);
        verify::check(
            &mut image,
            staging.manifest,
            &staging.trust,
            crypto,
            scratch,
        )
    }

    /// The staged image, scratch memory to read it with, since the hash page is not needed any
    /// more, and the engines.
    fn image<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        origin: Origin,
    ) -> (SlotReader<'_, F, O>, &mut [u8; SECTOR_SIZE], &mut C) {
        let head = match origin {
            Origin::Ram => Some(&self.workspace.sector),
            Origin::Flash => None,
        };
        let (medium, region, length) = (
            &mut self.medium,
            staging.region,
            staging.manifest.component().body_length,
        );
        (
            SlotReader {
                medium,
                region,
                length,
                head,
            },
            &mut self.workspace.page,
            &mut self.crypto,
        )
    }

    /// Fetches a page of chunk hashes and checks it against the manifest.
    #[inline(never)]
    pub(crate) fn load_page<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        page: u32,
    ) -> Result<(), AgentError> {
        let document = Document::Page { page };
        let range = staging
            .layout()
            .page_range(PageIndex::new(page))
            .unwrap_or_default();
        let length = range.len();
        let hashes = self.workspace.page.get_mut(..length).unwrap_or_default();
        let resource = Resource::Pages(staging.delivery.body());
        fetch::open(&mut self.transport, resource, Some(range.clone()), document)?;
        fetch::exact(&mut self.transport, document, hashes)?;
        fetch::end(
            &mut self.transport,
            document,
            range.end.saturating_sub(range.start),
        )?;
        let signed = usize::try_from(page)
            .ok()
            .and_then(|page| staging.delivery.pages().get(page));
        if signed != Some(&self.crypto.digest(hashes)) {
            return Err(BodyError::PageHash { page }.into());
        }
        Ok(())
    }

    /// Which chunks of the loaded page do not stand in the slot: bit *i* for the page's chunk *i*.
    ///
    /// Chunk 0 is never among them: it has a life of its own.
    #[inline(never)]
    fn missing<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        page: u32,
        head: Head,
    ) -> Result<u128, AgentError> {
        let chunks = staging.page_chunks(page);
        let mut missing = 0;
        for (within, index) in (0..).zip(chunks) {
            let present = match index {
                0 if head == Head::InPlace => true,
                0 => continue,
                _ => self.stands(staging, index)?,
            };
            if present {
                self.medium.event(&Event::Skipped {
                    chunk: ChunkIndex::new(index),
                });
            } else {
                missing |= 1_u128.checked_shl(within).unwrap_or(0);
            }
        }
        Ok(missing)
    }

    /// Fetches and writes the missing chunks of the loaded page, one request for each run of them.
    #[inline(never)]
    fn fill_page<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        page: u32,
        mut missing: u128,
        head: &mut Head,
    ) -> Result<(), AgentError> {
        let chunks = staging.page_chunks(page);
        while missing != 0 {
            let skip = missing.trailing_zeros();
            let count = missing.checked_shr(skip).unwrap_or(0).trailing_ones();
            let start = chunks.start.saturating_add(skip);
            let end = start.saturating_add(count);
            let last = end.saturating_sub(1);
            self.open_body_range(staging, staging.span(start).start..staging.span(last).end)?;
            for index in start..end {
                self.receive_chunk(staging, index)?;
                if *head != Head::Erased {
                    self.medium.erase(staging.region.offset)?;
                    *head = Head::Erased;
                }
                let at = staging.address(index);
                let sector = &self.workspace.sector;
                staging.delivery.write(&mut self.medium, at, sector)?;
            }
            let length = staging
                .span(last)
                .end
                .saturating_sub(staging.span(start).start);
            fetch::end(&mut self.transport, Document::Body, length)?;
            let done = skip.saturating_add(count);
            missing &= u128::MAX.checked_shl(done).unwrap_or(0);
        }
        Ok(())
    }

    /// Fetches chunk 0 into RAM, checked and opened; page 0 has to be loaded.
    fn fetch_head<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
    ) -> Result<(), AgentError> {
        self.fetch_chunk(staging, 0)
    }

    /// Fetches one chunk into RAM, checked and opened; its page has to be loaded.
    #[inline(never)]
    pub(crate) fn fetch_chunk<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        index: u32,
    ) -> Result<(), AgentError> {
        let span = staging.span(index);
        let length = fetch::bytes(span.len());
        self.open_body_range(staging, span)?;
        self.receive_chunk(staging, index)?;
        fetch::end(&mut self.transport, Document::Body, length)
    }

    #[inline(never)]
    fn open_body_range<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        range: Range<u32>,
    ) -> Result<(), AgentError> {
        let resource = Resource::Body(staging.delivery.body());
        fetch::open(&mut self.transport, resource, Some(range), Document::Body)
    }

    /// Reads the next chunk of the open range into RAM, checks its hash and decrypts it.
    #[inline(never)]
    fn receive_chunk<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        index: u32,
    ) -> Result<(), AgentError> {
        let chunk = ChunkIndex::new(index);
        let length = staging.chunk_length(index);
        self.workspace.sector.fill(0xFF);
        let bytes = self.workspace.sector.get_mut(..length).unwrap_or_default();
        fetch::exact(&mut self.transport, Document::Body, bytes)?;
        let digest = self.crypto.digest(bytes);
        if !is_in_page(&self.workspace.page, chunk, &digest) {
            return Err(BodyError::ChunkHash { chunk }.into());
        }
        staging.delivery.open(&mut self.crypto, chunk, bytes);
        self.medium.event(&Event::Fetched { chunk });
        Ok(())
    }

    /// Whether chunk `index` stands in the slot already; its page has to be loaded.
    fn stands<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        index: u32,
    ) -> Result<bool, AgentError> {
        self.holds_chunk(staging, index, staging.address(index))
    }

    /// Whether chunk `index` stands at `at`; its page has to be loaded.
    #[inline(never)]
    pub(crate) fn holds_chunk<D: Delivery<F, O, C>>(
        &mut self,
        staging: &Staging<'_, D>,
        index: u32,
        at: FlashOffset,
    ) -> Result<bool, AgentError> {
        let chunk = ChunkIndex::new(index);
        let length = staging.chunk_length(index);
        let bytes = self.workspace.sector.get_mut(..length).unwrap_or_default();
        let (medium, crypto) = (&mut self.medium, &mut self.crypto);
        staging.delivery.read(medium, crypto, at, chunk, bytes)?;
        let digest = self.crypto.digest(bytes);
        Ok(is_in_page(&self.workspace.page, chunk, &digest))
    }
}

/// [`CHUNKS_PER_PAGE`] as a number of chunks.
const PER_PAGE: u32 = 128;
const _: () = assert!(PER_PAGE as usize == CHUNKS_PER_PAGE);

/// Where the image's first chunk is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    /// In the slot.
    InPlace,
    /// Not in the slot; something else stands there.
    Unknown,
    /// Not in the slot, whose first sector was erased by this run.
    Erased,
}

/// Where a check takes the image's first chunk from.
#[derive(Clone, Copy)]
enum Origin {
    Ram,
    Flash,
}
