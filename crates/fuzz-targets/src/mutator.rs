//! A simple mutator, for when there is no time to build libFuzzer: it knows nothing of coverage.

/// Changes inputs at random, from a seed.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// Makes an input of at most `longest` bytes out of those of a corpus.
    #[must_use]
    pub fn make(&mut self, corpus: &[Vec<u8>], longest: usize) -> Vec<u8> {
        let mut input = self.one_of(corpus);
        for _ in 0..=self.below(4) {
            self.change(&mut input, corpus);
        }
        input.truncate(longest);
        input
    }

    fn one_of(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let which = self.below(corpus.len().max(1));
        corpus.get(which).cloned().unwrap_or_default()
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(8) {
            0 => input.insert(at, self.next() as u8),
            1 if at < input.len() => drop(input.remove(at)),
            2 => {
                let other = self.one_of(corpus);
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend(&other[from..]);
            }
            3 => {
                let count = self.below(9).min(input.len() - at);
                input.drain(at..at + count);
            }
            4 => {
                let count = self.below(9).min(input.len() - at);
                let copied = input[at..at + count].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, copied);
            }
            5 if at < input.len() => input[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][self.below(6)],
            6 if at < input.len() => input[at] = input[at].wrapping_add([1, 255][self.below(2)]),
            _ if at < input.len() => input[at] ^= 1 << self.below(8),
            _ => input.push(self.next() as u8),
        }
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}
