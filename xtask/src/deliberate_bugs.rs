//! Breaks the code on purpose, one rule at a time, and demands that the proofs notice.
//!
//! The bugs are source patches in `crates/espseal-proofs/deliberate-bugs.toml`; they are applied to a
//! copy of the crates under `target/`, which begins with a copy of the compiled dependencies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::process;

/// Which bugs to try.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only bugs whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Go on from the first bug whose name contains this, after an interruption
    #[arg(long, default_value = "")]
    from: String,
    /// Run every suite against every bug, instead of the first that catches it
    #[arg(long)]
    every_suite: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The list of bugs.
#[derive(Deserialize)]
struct List {
    bug: Vec<Bug>,
}

/// One rule, broken.
#[derive(Deserialize)]
struct Bug {
    name: String,
    /// The suite that is expected to notice, and is asked first.
    suite: String,
    edit: Vec<Edit>,
}

/// One place of a bug.
#[derive(Deserialize)]
struct Edit {
    /// Path below `crates`.
    file: PathBuf,
    search: String,
    replace: String,
}

/// What became of a bug.
#[derive(Serialize)]
struct Outcome {
    name: String,
    /// Suites that notice it.
    caught_by: Vec<&'static str>,
}

/// Suites, and how they are asked for the least that should be enough.
const SUITES: [(&str, &[&str]); 4] = [
    ("model", &["model"]),
    ("hostile", &["hostile", "--quick"]),
    ("power-cut", &["power-cut", "--quick"]),
    ("faults", &["faults", "--quick"]),
];

/// A suite that has not ended by then never does.
const PATIENCE: Duration = Duration::from_secs(600);

/// Applies every bug; fails when one survives or cannot be applied any more.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let crates = process::workspace().join("crates");
    let list = crates.join("espseal-proofs/deliberate-bugs.toml");
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let list: List = toml::from_str(&text).context("the list of bugs is not what it should be")?;
    let scratch = Scratch::make()?;
    ensure!(
        scratch.caught_by("", true)?.is_empty(),
        "the proofs find something without any bug"
    );
    let mut outcomes = Vec::new();
    for bug in list
        .bug
        .iter()
        .skip_while(|bug| !bug.name.contains(&arguments.from))
        .filter(|bug| bug.name.contains(&arguments.only))
    {
        let originals = scratch.apply(bug)?;
        let caught_by = scratch
            .caught_by(&bug.suite, arguments.every_suite)
            .with_context(|| bug.name.clone())?;
        for (path, text) in originals {
            fs::write(path, text)?;
        }
        let words = if caught_by.is_empty() {
            "SURVIVES".into()
        } else {
            caught_by.join(", ")
        };
        eprintln!("{:<62} {words}", bug.name);
        let name = bug.name.clone();
        outcomes.push(Outcome { name, caught_by });
    }
    let survivors = outcomes
        .iter()
        .filter(|outcome| outcome.caught_by.is_empty())
        .count();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        let (all, seconds) = (outcomes.len(), begun.elapsed().as_secs());
        println!(
            "{} of {all} deliberate bugs caught; {seconds} s",
            all - survivors
        );
    }
    ensure!(survivors == 0, "{survivors} deliberate bugs survive");
    Ok(())
}

/// A copy of the workspace to break.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let workspace = process::workspace();
        let scratch = workspace.join("target/deliberate-bugs");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).context("cannot clear the scratch copy")?;
        }
        for part in ["crates", "xtask", "vectors"] {
            copy(&workspace.join(part), &scratch.join(part))?;
        }
        for file in ["Cargo.toml", "Cargo.lock"] {
            fs::copy(workspace.join(file), scratch.join(file))
                .with_context(|| format!("cannot copy {file}"))?;
        }
        borrow_dependencies(
            &workspace.join("target/debug"),
            &scratch.join("target/debug"),
        )?;
        Ok(Self(scratch))
    }

    /// Applies a bug; gives the files that it changed, as they were, last change first.
    fn apply(&self, bug: &Bug) -> Result<Vec<(PathBuf, String)>> {
        let mut originals = Vec::new();
        for edit in &bug.edit {
            let path = self.0.join("crates").join(&edit.file);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("{}: cannot read {}", bug.name, path.display()))?;
            let found = text.matches(&edit.search).count();
            if found != 1 {
                bail!(
                    "{}: the patch does not apply any more: {} holds {found} times `{}`",
                    bug.name,
                    edit.file.display(),
                    edit.search.trim()
                );
            }
            fs::write(&path, text.replace(&edit.search, &edit.replace))?;
            originals.insert(0, (path, text));
        }
        Ok(originals)
    }

    /// Builds the proofs and runs every suite up to its first violation.
    fn caught_by(&self, first: &str, every_suite: bool) -> Result<Vec<&'static str>> {
        let mut build = process::cargo();
        build.current_dir(&self.0);
        // Not the real one: cargo takes a crate for the same wherever its workspace stands, and the
        // next build of the real thing would have the bug in it.
        build.env("CARGO_TARGET_DIR", self.0.join("target"));
        // One changed line after the other is what incremental compilation is for.
        build.env("CARGO_INCREMENTAL", "1");
        build.args(["build", "--quiet", "--package", "espseal-proofs"]);
        let built = build
            .stderr(Stdio::piped())
            .output()
            .context("cargo did not start")?;
        ensure!(
            built.status.success(),
            "the patch does not compile any more:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        let program = self.0.join("target/debug/espseal-proofs");
        let mut caught_by = Vec::new();
        let mut suites = SUITES;
        suites.sort_by_key(|(suite, _)| *suite != first);
        for (suite, arguments) in suites {
            if notices(&program, arguments)? {
                caught_by.push(suite);
                if !every_suite {
                    break;
                }
            }
        }
        Ok(caught_by)
    }
}

/// Whether a suite fails, or never ends.
fn notices(program: &Path, arguments: &[&str]) -> Result<bool> {
    let mut suite = std::process::Command::new(program);
    suite.args(arguments).arg("--hasty");
    suite.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = suite.spawn().context("the proofs do not start")?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            // 1 is a violation, 101 a proof that could not go on; 2 would be wrong arguments.
            return match status.code() {
                Some(0) => Ok(false),
                Some(1 | 101) => Ok(true),
                _ => bail!("the proofs ended with {status}"),
            };
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Copies what has been compiled, with its times, which is all that cargo goes by: the first build
/// of the copy then takes seconds instead of minutes.
fn borrow_dependencies(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for part in [".fingerprint", "build", "deps"] {
        let mut cp = std::process::Command::new("cp");
        cp.args(["-a", "--reflink=auto"])
            .arg(from.join(part))
            .arg(to);
        process::run(&mut cp)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
