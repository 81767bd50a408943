//! Takes a script apart.

/// What is left of a script; it goes on with zeros for ever.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    pub(super) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number whose size the script chooses, so that both ends of 64 bits are near.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => small.into(),
            200..=215 => u64::MAX - u64::from(self.byte()),
            _ => {
                let bytes = [0; 8].map(|_: u8| self.byte());
                u64::from_le_bytes(bytes)
            }
        }
    }

    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.word()) % count
    }
}
