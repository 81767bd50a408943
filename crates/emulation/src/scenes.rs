//! The scenes: update, power cuts, rollback, hostile bodies, and a run that counts.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use emulated::device::{SelfTest, Watch};
use emulated::journey::{Boot, End, Settled};
use espseal_agent::error::{AgentError, BodyError};
use espseal_format::repository::Resource;
use espseal_format::units::ChunkIndex;
use espseal_twin::boot::{AppSlot, BootFailure, BootOutcome};

use crate::Arguments;
use crate::budget;
use crate::core::Clock;
use crate::cuts;
use crate::life::{Life, Plan, Unit, Workshop};
use crate::product::Product;
use crate::server::Server;
use crate::verdict::{Hostile, Rollback, Update, Verdict};

/// Plays everything.
pub(crate) fn play(arguments: &Arguments) -> Result<Verdict> {
    let begun = Instant::now();
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let product = Product::make(folder.path())?;
    let workshop = Workshop {
        program: &arguments.program,
        product: &product,
    };
    let stage = Stage {
        arguments,
        workshop: &workshop,
        folder: folder.path(),
        server: Server::start(
            &arguments.espseal,
            &product.folder,
            &product.folder.join("repository"),
            &folder.path().join("reports.db"),
        )?,
    };
    let (update, clean) = stage.update().context("the update")?;
    stage.say(&format!(
        "updated in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    let rollback = stage.rollback().context("the rollback")?;
    stage.say("rolled back twice and left alone");
    let hostile = vec![stage.hostile(0)?, stage.hostile(update.chunks / 2)?];
    stage.say("hostile bodies refused");
    let budgets = stage.budgets().context("the run that counts")?;
    let cuts = cuts::play(&stage, &clean)?;
    Ok(Verdict {
        update,
        rollback,
        hostile,
        cuts,
        budgets,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// What the scenes share.
pub(crate) struct Stage<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) workshop: &'a Workshop<'a>,
    pub(crate) folder: &'a Path,
    pub(crate) server: Server,
}

impl Stage<'_> {
    /// A device of this name, as it leaves the factory.
    fn unit(&self, name: &str) -> Result<Unit<'_>> {
        let file = self.folder.join(format!("{name}.bin"));
        Unit::new(self.workshop, file, &self.workshop.product.flash)
    }

    /// Progress, for people.
    pub(crate) fn say(&self, text: &str) {
        if !self.arguments.json {
            println!("{text}");
        }
    }

    /// From release 1 to release 2, undisturbed, with every flash operation on record.
    fn update(&self) -> Result<(Update, Life)> {
        let unit = self.unit("update")?;
        let plan = Plan {
            watch: Watch::Operations,
            ..Plan::QUIET
        };
        let life = unit.live(plan, &self.server)?;
        unit.must_run_confirmed_update(&life)?;
        ensure!(
            life.fetched_again() == 0,
            "chunks came twice: {:?}",
            life.fetched
        );
        ensure!(
            life.boots() == [Boot::Idle, Boot::AwaitingConfirmation],
            "{:?}",
            life.boots()
        );
        ensure!(life.reports == 1, "{} reports arrived", life.reports);
        let update = Update {
            chunks: u32::try_from(life.fetched.len())?,
            flash_operations: life.operations.iter().map(Vec::len).collect(),
            head_fetched: life.head_fetched(),
        };
        Ok((update, life))
    }

    /// A release that fails its self-test: tried twice, then never again.
    fn rollback(&self) -> Result<Rollback> {
        let unit = self.unit("rollback")?;
        let plan = Plan {
            self_test: SelfTest::Fails,
            ..Plan::QUIET
        };
        let life = unit.live(plan, &self.server)?;
        let failures: Vec<u8> = life
            .boots()
            .into_iter()
            .filter_map(|boot| match boot {
                Boot::RolledBack(failures) => Some(failures),
                _ => None,
            })
            .collect();
        ensure!(failures == [1, 2], "rollbacks were counted as {failures:?}");
        ensure!(
            life.end() != Some(End::Settled(Settled::UpToDate)),
            "it took a bad release"
        );
        let [release, _] = &self.workshop.product.releases;
        unit.must_run(AppSlot::Ota(0), release)?;
        Ok(Rollback {
            boots: life.journeys.len(),
            failures: 2,
        })
    }

    /// A body with one bit flipped in this chunk, served with the real certificate.
    fn hostile(&self, chunk: u32) -> Result<Hostile> {
        let context = || format!("the body with a flipped bit in chunk {chunk}");
        self.play_hostile(chunk).with_context(context)
    }

    fn play_hostile(&self, chunk: u32) -> Result<Hostile> {
        let product = self.workshop.product;
        let repository = self.folder.join(format!("hostile-{chunk}"));
        copy(&product.folder.join("repository"), &repository)?;
        let body = repository.join(Resource::Body(&product.body).path().as_str());
        flip(&body, usize::try_from(chunk)? * 4096 + 1234)?;
        let database = self.folder.join(format!("hostile-{chunk}.db"));
        let (espseal, project) = (&self.arguments.espseal, &product.folder);
        let server = Server::start(espseal, project, &repository, &database)?;
        let unit = self.unit("hostile")?;
        let life = unit.live(Plan::QUIET, &server)?;
        let refusal = AgentError::Body(BodyError::ChunkHash {
            chunk: ChunkIndex::new(chunk),
        });
        let end = life.end();
        ensure!(
            end == Some(End::Refused(refusal.code())),
            "ended with {end:?}"
        );
        let [first, _] = &product.releases;
        unit.must_run(AppSlot::Ota(0), first)?;
        let report = unit.judge_without_factory_image()?;
        let nothing = BootOutcome::Failed(BootFailure::NoBootableApp);
        ensure!(
            report.outcome == nothing,
            "the agent wrote something that boots: {report:?}"
        );
        // The same device, met by an honest server.
        let life = unit.live(Plan::QUIET, &self.server)?;
        unit.must_run_confirmed_update(&life)?;
        Ok(Hostile {
            chunk,
            refused_with: refusal.code(),
        })
    }

    /// One update under a clock that counts instructions.
    fn budgets(&self) -> Result<budget::Budgets> {
        let unit = self.unit("budgets")?;
        let plan = Plan {
            watch: Watch::Instructions,
            clock: Clock::Instructions,
            ..Plan::QUIET
        };
        let life = unit.live(plan, &self.server)?;
        unit.must_run_confirmed_update(&life)?;
        let journeys: Vec<_> = life.journeys.iter().flatten().copied().collect();
        budget::measure(
            &self.arguments.program,
            &journeys,
            self.workshop.product.body_length,
        )
    }
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy to {}", target.display()))?;
        }
    }
    Ok(())
}

/// Flips one bit of a file.
fn flip(path: &Path, offset: usize) -> Result<()> {
    let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    *bytes.get_mut(offset).context("the body is shorter")? ^= 1;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
