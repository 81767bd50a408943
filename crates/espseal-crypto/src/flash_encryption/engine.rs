//! Which instructions of the processor do the work.

use super::Scheme;

/// A way to compute flash encryption. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// The `aes` crate, block by block: everywhere.
    Portable,
    /// x86-64 with AES-NI and AVX2: eight blocks at once in 128-bit registers.
    #[cfg(target_arch = "x86_64")]
    AesNi,
    /// x86-64 with VAES and AVX-512: 32 blocks at once in 512-bit registers.
    #[cfg(target_arch = "x86_64")]
    Vaes,
}

impl Engine {
    /// Every engine that was compiled, the fastest first.
    pub const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Vaes,
        #[cfg(target_arch = "x86_64")]
        Self::AesNi,
        Self::Portable,
    ];

    /// The fastest one that this processor has.
    #[must_use]
    pub fn best() -> Self {
        let mut engines = Self::ALL.iter().copied();
        engines
            .find(|engine| engine.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Cuts data into an unaligned head, whole groups for this engine, and the rest.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn split<'d>(
        self,
        scheme: &Scheme,
        address: u32,
        data: &'d mut [u8],
    ) -> impl Iterator<Item = (Self, &'d mut [u8])> + use<'d> {
        /// The longest alignment that an engine asks of an address.
        const ALIGNMENT: u32 = 128;
        let head = (address.wrapping_neg() % ALIGNMENT) as usize;
        let head = head.min(data.len());
        let (head, rest) = data.split_at_mut(head);
        let group = self.group(scheme);
        let whole = group.map_or(0, |group| {
            let left_over = rest.len().checked_rem(group).unwrap_or(0);
            rest.len().saturating_sub(left_over)
        });
        let (groups, tail) = rest.split_at_mut(whole);
        [
            (Self::Portable, head),
            (self, groups),
            (Self::Portable, tail),
        ]
        .into_iter()
    }

    /// There is but one.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn split<'d>(
        self,
        _: &Scheme,
        _: u32,
        data: &'d mut [u8],
    ) -> impl Iterator<Item = (Self, &'d mut [u8])> + use<'d> {
        [(self, data)].into_iter()
    }

    /// Whether this processor has what the engine needs.
    #[cfg(not(target_arch = "x86_64"))]
    #[must_use]
    pub const fn is_available(self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
