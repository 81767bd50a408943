//! What the signature sector of a signed file holds, and whose signatures verify.

use espseal_crypto::secure_boot::{PublicKey, VerifyError, verify_block};
use espseal_format::signature_block::{
    BlockError, ImageDigests, SignatureBlock, SignatureScheme, SignatureSector,
};
use espseal_format::units::{Digest, SECTOR_SIZE};

use super::{Hasher, Padding};
use crate::blame::Blame;
use crate::files::{FileError, Input};

/// A file that ends in a signature sector.
#[derive(Debug)]
pub struct SignedData {
    places: [Result<Place, BlockError>; 3],
    signed_len: u64,
}

/// One signature block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The scheme.
    pub scheme: SignatureScheme,
    /// Digest of the public key, as burnt in eFuse.
    pub key: Digest,
    /// Whether key and signature are sound and for this data.
    pub verified: Result<(), VerifyError>,
}

impl Place {
    /// Whether the block was made for other data, or the data changed since.
    #[must_use]
    pub const fn is_for_other_data(&self) -> bool {
        matches!(
            self.verified,
            Err(VerifyError::ImageDigest { .. } | VerifyError::ImageDigest384 { .. })
        )
    }
}

impl SignedData {
    /// Looks at the last 4096 bytes of a file in memory.
    ///
    /// # Errors
    /// [`SignedDataError`] when they are not there, or not a sector of their own.
    pub fn parse(file: &[u8], padding: Padding) -> Result<Self, SignedDataError> {
        let found = file.len() as u64;
        let (content, sector) = file
            .split_last_chunk::<SECTOR_SIZE>()
            .ok_or(SignedDataError::TooShort { found })?;
        Self::examine(
            &ImageDigests::of(content),
            content.len() as u64,
            sector,
            padding,
        )
    }

    /// Reads a file and looks at its last 4096 bytes; little of it is in memory at a time.
    ///
    /// # Errors
    /// As [`SignedData::parse`], and [`SignedDataError::File`].
    pub fn read(mut input: Input, padding: Padding) -> Result<Self, SignedDataError> {
        let mut hasher = Hasher::default();
        let tail = input.read_but_last(SECTOR_SIZE, |piece| {
            hasher.update(piece);
            Ok::<_, FileError>(())
        })?;
        let sector = tail.first_chunk().ok_or(SignedDataError::TooShort {
            found: tail.len() as u64,
        })?;
        let length = hasher.length();
        Self::examine(&hasher.finish(), length, sector, padding)
    }

    fn examine(
        digests: &ImageDigests,
        signed_len: u64,
        sector: &[u8; SECTOR_SIZE],
        padding: Padding,
    ) -> Result<Self, SignedDataError> {
        if padding == Padding::ToSector && !signed_len.is_multiple_of(SECTOR_SIZE as u64) {
            let found = signed_len.saturating_add(SECTOR_SIZE as u64);
            return Err(SignedDataError::NotAligned { found });
        }
        let sector = SignatureSector::parse(sector);
        Ok(Self {
            places: (*sector.places()).map(|place| examine(place?, digests)),
            signed_len,
        })
    }

    /// Returns what stands in each place.
    pub const fn places(&self) -> &[Result<Place, BlockError>; 3] {
        &self.places
    }

    /// Returns the valid blocks with their number, in order.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, &Place)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(number, place)| Some((number, place.as_ref().ok()?)))
    }

    /// Returns the blocks up to the first place that holds none.
    pub fn leading_blocks(&self) -> impl Iterator<Item = (usize, &Place)> {
        let places = self.places.iter().map_while(|place| place.as_ref().ok());
        places.enumerate()
    }

    /// Checks that every leading block was made for this data.
    ///
    /// # Errors
    /// [`SignedDataError::OtherData`].
    pub fn check_digests(&self) -> Result<(), SignedDataError> {
        match self
            .leading_blocks()
            .find(|(_, place)| place.is_for_other_data())
        {
            Some((number, _)) => Err(SignedDataError::OtherData { number }),
            None => Ok(()),
        }
    }

    /// Number of bytes that are signed.
    #[must_use]
    pub const fn signed_len(&self) -> u64 {
        self.signed_len
    }

    /// Looks for a sound signature by this key; returns the numbers of such blocks.
    ///
    /// # Errors
    /// [`SignedDataError::OtherData`] when a block is for other data, whoever signed it;
    /// [`SignedDataError::NotByKey`] when there is none.
    pub fn verify(&self, key: &PublicKey) -> Result<Vec<usize>, SignedDataError> {
        let digest = key.digest();
        let mut found = Vec::new();
        for (number, place) in self.blocks() {
            if place.is_for_other_data() {
                return Err(SignedDataError::OtherData { number });
            }
            if place.key == digest && place.verified.is_ok() {
                found.push(number);
            }
        }
        match found.is_empty() {
            true => Err(SignedDataError::NotByKey { key: digest }),
            false => Ok(found),
        }
    }
}

/// Looks at one block.
fn examine(block: SignatureBlock<'_>, digests: &ImageDigests) -> Result<Place, BlockError> {
    let (Some(scheme), Some(key)) = (block.scheme(), block.key_digest()) else {
        return Err(BlockError::Scheme {
            found: block.version(),
        });
    };
    Ok(Place {
        scheme,
        key,
        verified: verify_block(&block, digests).map(|_| ()),
    })
}

/// Why a file does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedDataError {
    /// The signature sector would not start on a sector.
    #[error(
        "{found} bytes; expected a multiple of {SECTOR_SIZE}: the file was cut short or is not signed"
    )]
    NotAligned {
        /// Length of the file.
        found: u64,
    },
    /// There is no room for a signature sector.
    #[error("{found} bytes; expected at least the {SECTOR_SIZE} of a signature sector")]
    TooShort {
        /// Length of the file.
        found: u64,
    },
    /// A block was made for other data.
    #[error("signature block {number} is for other data: the file was changed after signing")]
    OtherData {
        /// Number of the block, from 0.
        number: usize,
    },
    /// No block is by the key.
    #[error("no signature block is by the key with digest {key}; check the key, or sign again")]
    NotByKey {
        /// Digest of the key.
        key: Digest,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SignedDataError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::File(_) => Blame::Io,
            _ => Blame::Refused,
        }
    }
}
