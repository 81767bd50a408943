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
use crate::life::{Goal, Life, Plan, Unit, Workshop};
use crate::product::{Product, copy_folder};
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
    let [after_second, last] = &product.repositories;
    let serve = |repository: &Path, name: &str| {
        let database = folder.path().join(name);
        Server::start(&arguments.espseal, &product.folder, repository, &database)
    };
    let stage = Stage {
        arguments,
        workshop: &workshop,
        folder: folder.path(),
        first: serve(after_second, "first.db")?,
        second: serve(last, "second.db")?,
    };
    let (legs, chunks) = stage.updates()?;
    stage.say(&format!(
        "updated twice, {:.1} s after the start",
        begun.elapsed().as_secs_f64()
    ));
    let rollback = stage.rollback().context("the rollback")?;
    stage.say("rolled back twice and left alone");
    let hostile = vec![stage.hostile(0)?, stage.hostile(chunks / 2)?];
    stage.say("hostile bodies refused");
    let budgets = stage.budgets().context("the run that counts")?;
    let cuts = cuts::play(&stage, &legs)?;
    Ok(Verdict {
        updates: legs
            .iter()
            .map(|leg| Update::of(&leg.life, leg.goal))
            .collect(),
        rollback,
        hostile,
        cuts,
        budgets,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// One undisturbed update.
pub(crate) struct Leg<'s> {
    /// Every run of it, with the flash before each.
    pub(crate) life: Life,
    pub(crate) server: &'s Server,
    pub(crate) goal: Goal,
}

/// What the scenes share.
pub(crate) struct Stage<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) workshop: &'a Workshop<'a>,
    pub(crate) folder: &'a Path,
    /// Offers release 2.
    first: Server,
    /// Offers release 3.
    second: Server,
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

    /// From release 1 to release 2 and on to release 3, undisturbed; and the chunks of each.
    fn updates(&self) -> Result<([Leg<'_>; 2], u32)> {
        let unit = self.unit("update")?;
        let first = self.update(&unit, &self.first, Goal::RELEASE_2);
        let first = first.context("the update to release 2")?;
        let second = self.update(&unit, &self.second, Goal::RELEASE_3);
        let second = second.context("the update to release 3")?;
        let chunks = u32::try_from(first.life.fetched.len())?;
        Ok(([first, second], chunks))
    }

    /// One update, with every flash operation on record.
    fn update<'s>(&self, unit: &Unit<'_>, server: &'s Server, goal: Goal) -> Result<Leg<'s>> {
        let plan = Plan {
            watch: Watch::Operations,
            ..Plan::QUIET
        };
        let life = unit.live(plan, server)?;
        unit.must_have_updated(&life, goal)?;
        let again = life.fetched_again();
        ensure!(again == 0, "chunks came twice: {:?}", life.fetched);
        let boots = life.boots();
        ensure!(
            boots == [Boot::Idle, Boot::AwaitingConfirmation],
            "{boots:?}"
        );
        ensure!(life.reports == 1, "{} reports arrived", life.reports);
        Ok(Leg { life, server, goal })
    }

    /// A release that fails its self-test: tried twice, then never again.
    fn rollback(&self) -> Result<Rollback> {
        let unit = self.unit("rollback")?;
        let plan = Plan {
            self_test: SelfTest::Fails,
            ..Plan::QUIET
        };
        let life = unit.live(plan, &self.first)?;
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
        let [release, ..] = &self.workshop.product.releases;
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
        let [after_second, _] = &product.repositories;
        copy_folder(after_second, &repository)?;
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
        let [first, ..] = &product.releases;
        unit.must_run(AppSlot::Ota(0), first)?;
        let report = unit.judge_without_factory_image()?;
        let nothing = BootOutcome::Failed(BootFailure::NoBootableApp);
        ensure!(
            report.outcome == nothing,
            "the agent wrote something that boots: {report:?}"
        );
        // The same device, met by an honest server.
        let life = unit.live(Plan::QUIET, &self.first)?;
        unit.must_have_updated(&life, Goal::RELEASE_2)?;
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
        let life = unit.live(plan, &self.first)?;
        unit.must_have_updated(&life, Goal::RELEASE_2)?;
        let journeys: Vec<_> = life.journeys.iter().flatten().copied().collect();
        budget::measure(
            &self.arguments.program,
            &journeys,
            self.workshop.product.body_length,
        )
    }
}

/// Flips one bit of a file.
fn flip(path: &Path, offset: usize) -> Result<()> {
    let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    *bytes.get_mut(offset).context("the body is shorter")? ^= 1;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
