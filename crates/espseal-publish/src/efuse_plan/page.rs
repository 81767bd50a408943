//! A plan as a page for people.

use std::fmt::{self, Display, Formatter};

use super::plan::{KeyName, Plan};
use super::reasons::Reason;
use super::state::raw;

/// A plan, to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a>(pub &'a Plan);

/// Columns of the page.
const WIDTH: usize = 100;

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let (major, minor) = (plan.revision / 100, plan.revision % 100);
        write!(f, "eFuse plan for {} v{major}.{minor}", plan.chip.name())?;
        if let Some(mac) = plan.mac {
            write!(f, ", the chip {mac} and no other")?;
        }
        if plan.steps.is_empty() {
            writeln!(f, ": the chip is as wished, nothing is to be burnt")?;
            return self.open(f);
        }
        writeln!(
            f,
            ": {} steps, none of which can be undone\n",
            plan.steps.len()
        )?;
        self.before(f)?;
        for (index, step) in plan.steps.iter().enumerate() {
            writeln!(f, "{:>2}. burn {step}", index + 1)?;
            line(f, "why", &step.reason)?;
            for (about, ends) in step.consequences(plan.chip) {
                line(f, "ends", &format_args!("{about}: {ends}"))?;
            }
            line(
                f,
                "command",
                &format_args!("espefuse {}", plan.command_line(step)),
            )?;
            line(f, "check", &self.check(index, step.reason))?;
            writeln!(f)?;
        }
        self.debugging(f)?;
        self.open(f)
    }
}

impl Page<'_> {
    fn before(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let secrets = self.0.secrets();
        let encrypts = self
            .0
            .steps
            .iter()
            .any(|step| matches!(step.reason, Reason::Encryption(_)));
        if secrets.is_empty() && !encrypts {
            return Ok(());
        }
        writeln!(f, "Before the first step")?;
        for (key, length) in &secrets {
            bullet(
                f,
                &format_args!("{key}: {length} random bytes in a file of this device alone"),
            )?;
        }
        if secrets.iter().any(|(key, _)| *key == KeyName::Flash) || encrypts {
            bullet(
                f,
                &"flash holds what was encrypted with the flash encryption key (espseal encrypt, espseal factory): \
                  plaintext reads as noise once encryption is on",
            )?;
        }
        writeln!(f)
    }

    /// How to see that a step is done.
    fn check(&self, index: usize, reason: Reason) -> String {
        let plan = self.0;
        let values: Vec<_> = plan
            .changes(index)
            .map(|(watched, _, after)| {
                let value = raw(watched, after, &plan.digests);
                let name = watched.field.name;
                match watched.is_key()
                    || watched.mask == super::state::Watched::whole(watched.field).mask
                {
                    true => format!("{name} = {value}"),
                    false => format!("{name} & {:#x} = {value}", watched.mask),
                }
            })
            .collect();
        let values = values.join(", ");
        match reason {
            Reason::DownloadLast => format!(
                "{values}, by `esptool get-security-info`: espefuse no longer gets an answer"
            ),
            _ => format!("espefuse summary: {values}"),
        }
    }

    fn debugging(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let gone = self.0.debugging();
        if gone.is_empty() {
            return Ok(());
        }
        writeln!(f, "What can no longer be debugged")?;
        for (step, what) in gone {
            bullet(f, &format_args!("after step {step}: {what}"))?;
        }
        writeln!(f)
    }

    fn open(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.left_open.is_empty() {
            return Ok(());
        }
        writeln!(f, "What stays open")?;
        for open in &self.0.left_open {
            bullet(f, open)?;
        }
        Ok(())
    }
}

/// A line of a step: its label, then text that is wrapped under itself.
fn line(f: &mut Formatter<'_>, label: &str, text: &dyn Display) -> fmt::Result {
    write!(f, "    {label:8}")?;
    wrap(f, 12, &text.to_string())
}

fn bullet(f: &mut Formatter<'_>, text: &dyn Display) -> fmt::Result {
    write!(f, "  * ")?;
    wrap(f, 4, &text.to_string())
}

/// Writes words, a new line where they would go past the page.
fn wrap(f: &mut Formatter<'_>, indent: usize, text: &str) -> fmt::Result {
    let mut column = indent;
    for (index, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            write!(f, "\n{:indent$}", "")?;
            column = indent;
        } else if index > 0 {
            write!(f, " ")?;
            column += 1;
        }
        write!(f, "{word}")?;
        column += length;
    }
    writeln!(f)
}
