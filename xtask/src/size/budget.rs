//! Budgets, records, and when growth counts as noticed.

use std::fmt;

use anyhow::{Context as _, Result};

/// `budget.toml`: a table for each figure, with `budget` and `recorded`.
pub(super) struct Budgets(toml::Table);

/// One figure.
pub(super) struct Figure {
    /// The most it may be.
    pub(super) budget: u64,
    /// What it was when it was last written down.
    pub(super) recorded: u64,
}

/// What is to be said about a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Within the budget.
    Fits,
    /// Beyond the budget, as is known.
    Exceeded,
    /// More than 2 % above the record, and the CHANGELOG does not say so.
    Unnoticed,
}

impl Budgets {
    pub(super) fn parse(text: &str) -> Result<Self> {
        text.parse().map(Self).context("budget.toml is not TOML")
    }

    pub(super) fn figure(&self, name: &str) -> Result<Figure> {
        let number = |key: &str| {
            let value = self.0.get(name).and_then(|figure| figure.get(key));
            let number = value.and_then(toml::Value::as_integer);
            number
                .and_then(|number| u64::try_from(number).ok())
                .with_context(|| format!("budget.toml has no number {name}.{key}"))
        };
        Ok(Figure {
            budget: number("budget")?,
            recorded: number("recorded")?,
        })
    }
}

impl Figure {
    /// Growth of more than 2 % over the record is noticed when the CHANGELOG's Unreleased section
    /// names the new figure, such as `97,172`. A record that was raised is held against it too.
    pub(super) fn judge(&self, measured: u64, changelog: &str) -> Judgement {
        let grown = measured.saturating_mul(100) > self.recorded.saturating_mul(102);
        if grown && !unreleased(changelog).contains(&thousands(measured)) {
            Judgement::Unnoticed
        } else if measured > self.budget {
            Judgement::Exceeded
        } else {
            Judgement::Fits
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fits => "ok",
            Self::Exceeded => "over the budget",
            Self::Unnoticed => "grown unnoticed",
        })
    }
}

/// What stands under `## Unreleased`.
fn unreleased(changelog: &str) -> &str {
    let (_, rest) = changelog
        .split_once("\n## Unreleased\n")
        .unwrap_or_default();
    rest.split_once("\n## ")
        .map_or(rest, |(section, _)| section)
}

/// Writes a number as prose does: 97,172.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURE: Figure = Figure {
        budget: 12_000,
        recorded: 10_000,
    };

    #[test]
    fn two_percent_are_free_and_more_has_to_be_written_down() {
        let silent = "# Changelog\n\n## Unreleased\n\n### Added\n- a feature\n";
        assert_eq!(FIGURE.judge(10_200, silent), Judgement::Fits);
        assert_eq!(FIGURE.judge(10_201, silent), Judgement::Unnoticed);
        let telling = "# Changelog\n\n## Unreleased\n- now 10,201 bytes\n\n## 1.0.0\n- x\n";
        assert_eq!(FIGURE.judge(10_201, telling), Judgement::Fits);
        assert_eq!(FIGURE.judge(10_202, telling), Judgement::Unnoticed);
    }

    #[test]
    fn word_of_an_older_release_does_not_count() {
        let old = "# Changelog\n\n## Unreleased\n- nothing\n\n## 1.0.0\n- now 10,201 bytes\n";
        assert_eq!(FIGURE.judge(10_201, old), Judgement::Unnoticed);
        assert_eq!(FIGURE.judge(10_201, "10,201"), Judgement::Unnoticed);
    }

    #[test]
    fn budget_holds_whatever_is_written() {
        let telling = "\n## Unreleased\n12,001\n";
        assert_eq!(FIGURE.judge(12_001, telling), Judgement::Exceeded);
    }

    #[test]
    fn numbers_are_written_with_separators() {
        let written = [0, 999, 1000, 97_172, 1_234_567].map(thousands);
        assert_eq!(written, ["0", "999", "1,000", "97,172", "1,234,567"]);
    }
}
