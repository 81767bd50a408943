//! Looks at one stretch of flash: what is in it, and in which form.

use espseal_format::nvs;
use espseal_format::otadata::PARTITION_LEN;
use espseal_format::partition_table::{Entry, PartitionType, Subtype};
use espseal_format::units::FlashOffset;

use super::{Content, Form, NvsPages, SECTOR};
use crate::inspect::entropy::{Look, is_erased, look};
use crate::inspect::flash::Flash;
use crate::inspect::image::{Inspection, is_header};
use crate::inspect::otadata::{EntryForm, OtadataView};

/// Whether a partition holds an image.
pub(super) fn holds_image(entry: &Entry) -> bool {
    matches!(entry.kind, PartitionType::App | PartitionType::Bootloader)
}

/// Looks at a partition.
pub(super) fn partition(
    flash: &Flash<'_>,
    entry: &Entry,
    images: &[(FlashOffset, &str)],
) -> (Form, Content) {
    match (entry.kind, entry.subtype) {
        _ if holds_image(entry) => image(flash, images),
        (PartitionType::Data, Subtype::DATA_OTA) if flash.len() >= PARTITION_LEN => {
            match OtadataView::of(flash) {
                Some(view) => (view.form(), Content::Otadata(view)),
                None => (Form::Missing, Content::Nothing),
            }
        }
        (PartitionType::Data, Subtype::DATA_NVS) => nvs_partition(flash),
        _ => (data(flash), Content::Nothing),
    }
}

/// Looks for an image: plain, then with the key, then as if it stood elsewhere.
pub(super) fn image(flash: &Flash<'_>, elsewhere: &[(FlashOffset, &str)]) -> (Form, Content) {
    let result = |form, inspected| match inspected {
        Ok(inspection) => (form, Content::Image(Box::new(inspection))),
        Err(error) => (form, Content::BrokenImage(error)),
    };
    if is_header(flash.raw()).is_some() {
        return result(Form::Plain, Inspection::of(flash.raw()));
    }
    let opened = |flash: &Flash<'_>| {
        flash
            .decrypt(32)
            .is_some_and(|head| is_header(&head).is_some())
    };
    if opened(flash)
        && let Some(inspected) = Inspection::of_encrypted(flash)
    {
        return result(Form::Encrypted, inspected);
    }
    for (address, _) in elsewhere {
        let moved = flash.as_if_at(*address);
        if opened(&moved)
            && let Some(inspected) = Inspection::of_encrypted(&moved)
        {
            return result(Form::EncryptedFor(*address), inspected);
        }
    }
    (data(flash), Content::Nothing)
}

/// Counts the pages of an NVS partition.
fn nvs_partition(flash: &Flash<'_>) -> (Form, Content) {
    let count = |bytes: &[u8]| {
        let mut pages = NvsPages::default();
        for page in bytes.chunks_exact(SECTOR as usize) {
            let header = page.first_chunk().map(nvs::PageHeader::parse);
            match header {
                Some(Ok(_)) => pages.used += 1,
                Some(Err(nvs::PageError::Uninitialized)) => pages.erased += 1,
                _ => pages.damaged += 1,
            }
        }
        pages
    };
    let plain = count(flash.raw());
    if plain.used > 0 || plain.damaged == 0 {
        let form = match plain.used {
            0 => Form::Erased,
            _ => Form::Plain,
        };
        return (form, Content::Nvs(plain));
    }
    if let Some(pages) = flash.decrypt(flash.raw().len()).map(|bytes| count(&bytes))
        && pages.used > 0
    {
        return (Form::Encrypted, Content::Nvs(pages));
    }
    (data(flash), Content::Nvs(plain))
}

impl OtadataView {
    /// How the partition stands in flash: as its entries do, of which one may be erased.
    #[must_use]
    pub fn form(&self) -> Form {
        let forms = self.entries.map(|entry| entry.form);
        let any = |wanted| forms.contains(&wanted);
        match () {
            () if any(EntryForm::LooksEncrypted) => Form::LooksEncrypted,
            () if any(EntryForm::Encrypted) => Form::Encrypted,
            () if any(EntryForm::Plain) => Form::Plain,
            () => Form::Erased,
        }
    }
}

/// Says how bytes of no known format stand in flash.
fn data(flash: &Flash<'_>) -> Form {
    let form = form_of(look(flash.raw()), flash.is_empty());
    if form != Form::LooksEncrypted {
        return form;
    }
    // What the key turns into something readable was encrypted with it. The first sectors do, but for
    // erased ones, which no key makes readable.
    let Some(decrypted) = flash.decrypt(8 * SECTOR as usize) else {
        return form;
    };
    let sectors = flash.raw().chunks(SECTOR as usize);
    let written: Vec<u8> = sectors
        .zip(decrypted.chunks(SECTOR as usize))
        .filter(|(raw, _)| !is_erased(raw))
        .flat_map(|(_, decrypted)| decrypted)
        .copied()
        .collect();
    match look(&written) {
        Look::Readable => Form::Encrypted,
        Look::Erased | Look::Noise => form,
    }
}

pub(super) const fn form_of(look: Look, missing: bool) -> Form {
    match look {
        _ if missing => Form::Missing,
        Look::Erased => Form::Erased,
        Look::Readable => Form::Plain,
        Look::Noise => Form::LooksEncrypted,
    }
}
