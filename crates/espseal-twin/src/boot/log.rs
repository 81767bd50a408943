//! The log of a boot, in the words of the ROM and of ESP-IDF's bootloader.

use core::fmt;

/// Lines of one boot, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log(Vec<Line>);

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How bad it is; the ROM's own lines have no level.
    pub level: Option<Level>,
    /// The component that says it: `boot`, `esp_image`, `secure_boot_v2`, ...; empty for the ROM.
    pub tag: &'static str,
    /// What it says.
    pub text: String,
}

/// ESP-IDF's log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `E`.
    Error,
    /// `W`.
    Warning,
    /// `I`.
    Info,
}

impl Log {
    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.0
    }

    /// Whether some line contains these words.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        self.0.iter().any(|line| line.text.contains(words))
    }

    pub(crate) fn rom(&mut self, text: impl Into<String>) {
        self.0.push(Line {
            level: None,
            tag: "",
            text: text.into(),
        });
    }

    pub(crate) fn error(&mut self, tag: &'static str, text: impl Into<String>) {
        self.push(Level::Error, tag, text.into());
    }

    pub(crate) fn warning(&mut self, tag: &'static str, text: impl Into<String>) {
        self.push(Level::Warning, tag, text.into());
    }

    pub(crate) fn info(&mut self, tag: &'static str, text: impl Into<String>) {
        self.push(Level::Info, tag, text.into());
    }

    fn push(&mut self, level: Level, tag: &'static str, text: String) {
        self.0.push(Line {
            level: Some(level),
            tag,
            text,
        });
    }
}

impl fmt::Display for Line {
    /// Writes the line as ESP-IDF does, without the time, which the twin does not have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            None => return f.write_str(&self.text),
            Some(Level::Error) => 'E',
            Some(Level::Warning) => 'W',
            Some(Level::Info) => 'I',
        };
        write!(f, "{level} {}: {}", self.tag, self.text)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
