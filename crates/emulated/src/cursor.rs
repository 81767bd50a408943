//! Reading and writing fields one after the other, little-endian.

/// Reads fields; every read fails once the bytes are used up.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes behind a length of two bytes.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// Everything that is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The value, if nothing is left behind it.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Writes fields into lent memory.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, filled: 0 }
    }

    /// Appends bytes; `None` when there is no room.
    pub(crate) fn put(&mut self, field: &[u8]) -> Option<&mut Self> {
        let end = self.filled.checked_add(field.len())?;
        self.bytes.get_mut(self.filled..end)?.copy_from_slice(field);
        self.filled = end;
        Some(self)
    }

    /// Appends bytes behind a length of two bytes.
    pub(crate) fn put_counted(&mut self, field: &[u8]) -> Option<&mut Self> {
        let length = u16::try_from(field.len()).ok()?;
        self.put(&length.to_le_bytes())?.put(field)
    }

    /// How many bytes were written.
    pub(crate) const fn filled(&self) -> usize {
        self.filled
    }
}
