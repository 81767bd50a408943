//! A CBOR tree that is written back with one deliberate flaw.
//!
//! Knows only what the protocol uses: definite lengths, no floats.

/// An item of a document.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Unsigned integer, or a simple value; major type and number.
    Number(u8, u64),
    /// Byte string or text; major type and content.
    String(u8, Vec<u8>),
    /// Array.
    Array(Vec<Item>),
    /// Map.
    Map(Vec<(Item, Item)>),
    /// Tagged item.
    Tag(u64, Box<Item>),
}

/// A way to write a head that is not the shortest definite one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// One size longer than needed.
    #[default]
    Longer,
    /// Of indefinite length; numbers and tags have none.
    Indefinite,
}

impl Item {
    /// Reads a document.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (item, rest) = read(bytes);
        assert!(rest.is_empty());
        item
    }

    /// Writes the document without a flaw.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_flawed(usize::MAX, Flaw::Longer).0
    }

    /// Writes the document with a flaw in head number `at`, and returns the flaw's offset; `None`
    /// when there is no such head or the flaw does not apply to it.
    pub(crate) fn encode_flawed(&self, at: usize, flaw: Flaw) -> (Vec<u8>, Option<usize>) {
        let mut writer = Writer {
            at,
            flaw,
            ..Writer::default()
        };
        writer.item(self);
        (writer.out, writer.offset)
    }

    /// Number of heads in the document.
    pub(crate) fn heads(&self) -> usize {
        let mut writer = Writer {
            at: usize::MAX,
            ..Writer::default()
        };
        writer.item(self);
        writer.heads
    }

    /// Returns the item at a path: element of an array, or value number of a map; tags are
    /// transparent.
    pub(crate) fn at(&mut self, path: &[usize]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        match self {
            Self::Array(items) => items[*first].at(rest),
            Self::Map(entries) => entries[*first].1.at(rest),
            Self::Tag(_, item) => item.at(path),
            _ => panic!("no such path"),
        }
    }

    /// Returns the paths of all maps in the document.
    pub(crate) fn maps(&self) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        self.collect_maps(&mut Vec::new(), &mut found);
        found
    }

    fn collect_maps(&self, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
        let children: Vec<&Self> = match self {
            Self::Array(items) => items.iter().collect(),
            Self::Map(entries) => {
                found.push(path.clone());
                entries.iter().map(|entry| &entry.1).collect()
            }
            Self::Tag(_, item) => return item.collect_maps(path, found),
            _ => return,
        };
        for (index, child) in children.into_iter().enumerate() {
            path.push(index);
            child.collect_maps(path, found);
            path.pop();
        }
    }
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    heads: usize,
    at: usize,
    flaw: Flaw,
    offset: Option<usize>,
}

impl Writer {
    /// Writes a head; says whether the item has become one of indefinite length.
    fn head(&mut self, major: u8, value: u64) -> bool {
        let flawed = self.heads == self.at && major != 7;
        self.heads += 1;
        let has_length = (2..=5).contains(&major);
        if flawed && self.flaw == Flaw::Indefinite && has_length {
            self.offset = Some(self.out.len());
            self.out.push(major << 5 | 31);
            return true;
        }
        let mut size = match value {
            0..24 => 0,
            24..0x100 => 1,
            0x100..0x1_0000 => 2,
            0x1_0000..0x1_0000_0000 => 3,
            _ => 4,
        };
        if flawed && self.flaw == Flaw::Longer && size < 4 {
            self.offset = Some(self.out.len());
            size += 1;
        }
        let bytes = value.to_be_bytes();
        match size {
            0 => self.out.push(major << 5 | bytes[7]),
            size => {
                self.out.push(major << 5 | (23 + size));
                self.out.extend(&bytes[8 - (1 << (size - 1))..]);
            }
        }
        false
    }

    fn item(&mut self, item: &Item) {
        let indefinite = match item {
            Item::Number(major, value) => self.head(*major, *value),
            Item::String(major, content) => {
                let indefinite = self.head(*major, content.len() as u64);
                if indefinite {
                    // One chunk, of definite length.
                    let at = std::mem::replace(&mut self.at, usize::MAX);
                    self.head(*major, content.len() as u64);
                    self.at = at;
                }
                self.out.extend(content);
                indefinite
            }
            Item::Array(items) => {
                let indefinite = self.head(4, items.len() as u64);
                items.iter().for_each(|item| self.item(item));
                indefinite
            }
            Item::Map(entries) => {
                let indefinite = self.head(5, entries.len() as u64);
                for (key, value) in entries {
                    self.item(key);
                    self.item(value);
                }
                indefinite
            }
            Item::Tag(tag, item) => {
                self.head(6, *tag);
                return self.item(item);
            }
        };
        if indefinite {
            self.out.push(0xFF);
        }
    }
}

fn read(bytes: &[u8]) -> (Item, &[u8]) {
    let (major, info) = (bytes[0] >> 5, bytes[0] & 31);
    let size = if info < 24 { 0 } else { 1 << (info - 24) };
    let (number, mut rest) = bytes[1..].split_at(size);
    let value = match size {
        0 => u64::from(info),
        _ => number
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let count = usize::try_from(value).unwrap_or(usize::MAX);
    let mut next = || {
        let (item, after) = read(rest);
        rest = after;
        item
    };
    let item = match major {
        2 | 3 => {
            let (content, after) = rest.split_at(count);
            rest = after;
            Item::String(major, content.to_vec())
        }
        4 => Item::Array((0..count).map(|_| next()).collect()),
        5 => Item::Map((0..count).map(|_| (next(), next())).collect()),
        6 => Item::Tag(value, Box::new(next())),
        _ => Item::Number(major, value),
    };
    (item, rest)
}
