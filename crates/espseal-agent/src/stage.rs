//! Brings the body of a verified manifest into a slot, chunk by chunk, resuming by reading back.
//!
//! No progress is recorded anywhere: whatever stands in the slot is encrypted again in counter
//! mode and compared with the signed chunk hash. Chunk 0 goes last, after every check, so that a
//! half-written or unapproved slot never starts with an image header (design, section 7 item 3).

use core::ops::Range;

use espseal_format::body::{BodyLayout, PageIndex, is_in_page};
use espseal_format::repository::Resource;
use espseal_format::units::{ChunkIndex, FlashOffset, SECTOR_SIZE};

use crate::agent::Agent;
use crate::config::Region;
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, BodyError, Document};
use crate::fetch;
use crate::flash::Flash;
use crate::key::OpenedBody;
use crate::metadata::VerifiedManifest;
use crate::observer::{Event, Observer};
use crate::platform::{Platform, Slot};
use crate::transport::Transport;
use crate::verify::{self, CompleteSlot, SlotReader, Trust};

/// One staging: what goes where.
pub(crate) struct Staging<'s, Y> {
    pub(crate) manifest: &'s VerifiedManifest<'s>,
    pub(crate) body: &'s OpenedBody<Y>,
    pub(crate) slot: Slot,
    pub(crate) region: Region,
    pub(crate) trust: Trust,
}

impl<Y> Staging<'_, Y> {
    fn layout(&self) -> BodyLayout {
        self.manifest.component().layout()
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
    pub(crate) fn stage(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
    ) -> Result<CompleteSlot, AgentError> {
        let event = Event::Staging {
            slot: staging.slot,
            chunks: staging.layout().chunks(),
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
        let pages = staging.layout().pages();
        for page in 0..pages {
            if page > 0 {
                self.load_page(staging, page)?;
            }
            let missing = self.missing(staging, page, head)?;
            self.fill_page(staging, page, missing, &mut head)?;
        }
        if head != Head::InPlace {
            if pages > 1 {
                self.load_page(staging, 0)?;
            }
            self.fetch_head(staging)?;
            self.check(staging, Origin::Ram)?;
            self.medium
                .replace(staging.region.offset, &self.workspace.sector)?;
        }
        self.approve(staging, head)
    }

    /// Checks the slot as it stands; an image that is refused loses its first sector.
    #[inline(never)]
    fn approve(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
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
    fn check(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
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
    fn image(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
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
    fn load_page(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
        page: u32,
    ) -> Result<(), AgentError> {
        let document = Document::Page { page };
        let range = staging
            .layout()
            .page_range(PageIndex::new(page))
            .unwrap_or_default();
        let length = range.len();
        let hashes = self.workspace.page.get_mut(..length).unwrap_or_default();
        let component = staging.manifest.component();
        let resource = Resource::Pages(&component.body);
        fetch::open(&mut self.transport, resource, Some(range.clone()), document)?;
        fetch::exact(&mut self.transport, document, hashes)?;
        fetch::end(
            &mut self.transport,
            document,
            range.end.saturating_sub(range.start),
        )?;
        let signed = usize::try_from(page)
            .ok()
            .and_then(|page| component.pages.get(page));
        if signed != Some(&self.crypto.digest(hashes)) {
            return Err(BodyError::PageHash { page }.into());
        }
        Ok(())
    }

    /// Which chunks of the loaded page do not stand in the slot: bit *i* for the page's chunk *i*.
    ///
    /// Chunk 0 is never among them: it has a life of its own.
    #[inline(never)]
    fn missing(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
        page: u32,
        head: Head,
    ) -> Result<u128, AgentError> {
        let chunks = staging
            .layout()
            .page_chunks(PageIndex::new(page))
            .unwrap_or_default();
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
    fn fill_page(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
        page: u32,
        mut missing: u128,
        head: &mut Head,
    ) -> Result<(), AgentError> {
        let chunks = staging
            .layout()
            .page_chunks(PageIndex::new(page))
            .unwrap_or_default();
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
                self.medium
                    .replace(staging.address(index), &self.workspace.sector)?;
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

    /// Fetches chunk 0 into RAM, checked and decrypted; page 0 has to be loaded.
    #[inline(never)]
    fn fetch_head(&mut self, staging: &Staging<'_, C::Keystream>) -> Result<(), AgentError> {
        self.open_body_range(staging, staging.span(0))?;
        self.receive_chunk(staging, 0)?;
        fetch::end(&mut self.transport, Document::Body, staging.span(0).end)
    }

    #[inline(never)]
    fn open_body_range(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
        range: Range<u32>,
    ) -> Result<(), AgentError> {
        let resource = Resource::Body(&staging.manifest.component().body);
        fetch::open(&mut self.transport, resource, Some(range), Document::Body)
    }

    /// Reads the next chunk of the open range into RAM, checks its hash and decrypts it.
    #[inline(never)]
    fn receive_chunk(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
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
        staging.body.apply(&mut self.crypto, chunk, bytes);
        self.medium.event(&Event::Fetched { chunk });
        Ok(())
    }

    /// Whether chunk `index` stands in the slot already; its page has to be loaded.
    #[inline(never)]
    fn stands(
        &mut self,
        staging: &Staging<'_, C::Keystream>,
        index: u32,
    ) -> Result<bool, AgentError> {
        let chunk = ChunkIndex::new(index);
        let length = staging.chunk_length(index);
        let bytes = self.workspace.sector.get_mut(..length).unwrap_or_default();
        self.medium.read(staging.address(index), bytes)?;
        staging.body.apply(&mut self.crypto, chunk, bytes);
        let digest = self.crypto.digest(bytes);
        Ok(is_in_page(&self.workspace.page, chunk, &digest))
    }
}

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
