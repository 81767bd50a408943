//! `espseal demo`: one release, all the way, on virtual devices.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::authority::AuthorityError;
use espseal_publish::blame::Blame;
use espseal_publish::creation::CreationError;
use espseal_publish::enrolment::EnrolmentError;
use espseal_publish::files::FileError;
use espseal_publish::image_signing::SignError;
use espseal_publish::keys::KeyError;
use espseal_server::serve::ServeError;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::demo::{self, OwnFiles};
use crate::failure::Failure;

/// Plays one release all the way on three virtual devices, then everything that goes wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal demo
  espseal demo --keep played          # flash.bin, eFuses, repository, logs and keys to look at
  espseal demo --json | jq .passed
  espseal demo --app v1.bin --app v2.bin --bootloader bootloader.bin --partitions partitions.csv

Everything is made for the demo and thrown away, unless --keep names a folder. Exit code 1 when
anything came out differently from what it should be.")]
pub(crate) struct Demo {
    /// Your own app images instead of the built-in ones: give it twice, release 1 and release 2.
    #[arg(long = "app", value_name = "FILE")]
    apps: Vec<PathBuf>,
    /// Your own second-stage bootloader, unsigned, for the chip of the apps.
    #[arg(long, value_name = "FILE", requires = "apps")]
    bootloader: Option<PathBuf>,
    /// Your own partition table, binary or CSV.
    #[arg(long, value_name = "FILE", requires = "apps")]
    partitions: Option<PathBuf>,
    /// Where your bootloader looks for the table (CONFIG_PARTITION_TABLE_OFFSET).
    #[arg(long, value_name = "OFFSET", requires = "apps", value_parser = super::number)]
    partition_table_offset: Option<u32>,
    /// Keep everything that was made below this new folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> Outcome {
        if !matches!(self.apps.len(), 0 | 2) {
            let found = self.apps.len();
            let message =
                format!("--app was given {found} time(s); give it twice, release 1 and release 2");
            return Err(Failure::new(Blame::Usage, message));
        }
        let own = OwnFiles {
            apps: self.apps,
            bootloader: self.bootloader,
            partitions: self.partitions,
            partition_table_offset: self.partition_table_offset,
        };
        let quiet = context.global.json;
        let observer = context.progress.watch_interrupt();
        let summary = demo::play(&own, self.keep.as_deref(), quiet, observer)
            .map_err(|error| Failure::new(blame(&error), sentence(&error)))?;
        let kept = self
            .keep
            .as_ref()
            .map(|folder| format!("Kept in {}.", folder.display()));
        let answer = Answer::new(json!(summary)).listing(demo::draw(&summary));
        let answer = match summary.passed {
            true => answer,
            false => answer.refused(),
        };
        Ok(match kept {
            Some(line) => answer.line(line),
            None => answer,
        })
    }
}

/// What went wrong and why, each cause once: many messages hold the one below them.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if text.starts_with(&sentence) {
            sentence = text;
        } else if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        if cause.is::<ServeError>() {
            break;
        }
    }
    sentence
}

/// Who has to act on an error that kept the demo from being played.
fn blame(error: &anyhow::Error) -> Blame {
    if error.is::<demo::Interrupted>() {
        return Blame::Interrupted;
    }
    let known = error
        .downcast_ref::<AuthorityError>()
        .map(AuthorityError::blame)
        .or_else(|| error.downcast_ref().map(CreationError::blame))
        .or_else(|| error.downcast_ref().map(EnrolmentError::blame))
        .or_else(|| error.downcast_ref().map(KeyError::blame))
        .or_else(|| error.downcast_ref().map(SignError::blame));
    let io = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<std::io::Error>() || cause.is::<FileError>() || cause.is::<ServeError>()
    };
    let io = || error.chain().any(io).then_some(Blame::Io);
    known.or_else(io).unwrap_or(Blame::Refused)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_failed_file_or_database_is_said_once_and_exits_with_3() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/file");
        let written =
            espseal_publish::files::create(&path, b"x", espseal_publish::files::Secrecy::Public);
        let error = written
            .with_context(|| format!("cannot write {}", path.display()))
            .unwrap_err();
        assert_eq!(sentence(&error).matches("cannot write").count(), 1);
        assert_eq!(blame(&error), Blame::Io);
        let error = anyhow::Error::new(std::io::Error::other("disk I/O error"));
        let error = error.context("cannot use it (disk I/O error): give another");
        assert_eq!(
            sentence(&error),
            "cannot use it (disk I/O error): give another"
        );
    }
}
