//! What goes wrong in the field, and who stops it. Each scene plays on a copy of a device.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::{AgentError, HardwareError};
use espseal_agent::flash::FlashFaultKind;
use espseal_format::chip::ChipId;
use espseal_format::units::{CHUNK_SIZE, ChunkIndex};
use espseal_twin::boot::Decision;
use espseal_twin::device::VirtualDevice;
use espseal_twin::nor::WriteProtection;
use espseal_twin::power::{Moment, PowerCut, Tear};

use super::acts::{self, Polled, last_words};
use super::fleet::{self, running};
use super::hostile;
use super::scene::{RefusedBy, Scene};
use super::stage::{C3_AGENT, C3_ESP_IDF, ESP32_AGENT, Stage, all_devices};
use super::watch::Counts;
use super::workshop::base_url;

/// One bit of the body is flipped on the server.
pub(crate) fn tamper_with_body(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let body = stage.body_on_offer(ChipId::Esp32C3)?;
    let repository = stage.workshop.repository();
    let server = stage.hostile(&repository, |folder| {
        hostile::tamper_with_body(folder, &body)
    })?;
    let base = base_url(&server);
    let (outcome, counts) = update_a_copy(stage, C3_AGENT, &base)?;
    let agent = Scene {
        title: "server flips a bit of the body",
        device: C3_AGENT,
        expected: "stops at the tampered chunk, before writing it",
        observed: format!("{outcome}, after {} good chunks", counts.fetched),
        refused_by: Some(RefusedBy::Agent),
        passed: matches!(outcome, Polled::Failed(AgentError::Body(_)))
            && counts.fetched < counts.chunks,
    };
    let actor = &stage.esp_idf;
    let mut device = fleet::copy(&actor.hardware.device)?;
    device.power_on();
    let before = running(&mut device, &stage.signed)?;
    let url = acts::latest_url(&base, actor);
    let key = &actor.private_key;
    let mut client = stage.client.clone();
    let refused = acts::esp_idf_update(&mut device, &mut client, &url, key, None).err();
    device.power_on();
    let kept = running(&mut device, &stage.signed)? == before;
    server.stop();
    let esp_idf = Scene {
        title: "server flips a bit of the body",
        device: C3_ESP_IDF,
        expected: "noticed at the end only, old release keeps running",
        observed: refused
            .as_ref()
            .map_or_else(|| "accepted".into(), ToString::to_string),
        refused_by: Some(RefusedBy::EspIdf),
        passed: refused.is_some() && kept,
    };
    Ok(vec![agent, esp_idf])
}

/// The server claims that everybody is in the cohort, clumsily and less clumsily.
pub(crate) fn widen_behind_the_makers_back(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let from = stage.workshop.repository();
    Ok(vec![
        refuse_metadata(
            stage,
            "server widens the cohort",
            &from,
            hostile::widen_cohort,
        )?,
        refuse_metadata(
            stage,
            "... and makes `now` match",
            &from,
            hostile::widen_cohort_and_forge_now,
        )?,
    ])
}

/// The server goes back to the repository of release 1.
pub(crate) fn replay_release_1(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let old = stage.scratch.join(OLD_REPOSITORY);
    let scene = refuse_metadata(stage, "server replays release 1", &old, |_| Ok(()))?;
    Ok(vec![scene])
}

/// The device of the story polls a server whose metadata it has to refuse.
fn refuse_metadata(
    stage: &mut Stage<'_>,
    title: &'static str,
    from: &Path,
    change: impl FnOnce(&Path) -> Result<()>,
) -> Result<Scene> {
    let server = stage.hostile(from, change)?;
    let mut transport = stage.transport(&base_url(&server))?;
    let mut watch = stage.bars.watch();
    let index = stage.agent(C3_AGENT)?;
    let actor = stage.agents.get_mut(index).context("no such device")?;
    let outcome = Polled::from(actor.live().update(&mut transport, &mut watch)?);
    let changed = watch.counts.changed;
    drop(watch);
    server.stop();
    Ok(Scene {
        title,
        device: C3_AGENT,
        expected: "refused, flash untouched",
        observed: outcome.to_string(),
        refused_by: Some(RefusedBy::Agent),
        passed: matches!(outcome, Polled::Failed(AgentError::Metadata(_))) && changed == 0,
    })
}

/// Folder with the repository as it was with release 1.
pub(crate) const OLD_REPOSITORY: &str = "old-repository";

/// Keeps the repository as it is, for the replay.
pub(crate) fn keep_old_repository(stage: &Stage<'_>) -> Result<()> {
    hostile::copy_repository(
        &stage.workshop.repository(),
        &stage.scratch.join(OLD_REPOSITORY),
    )
}

/// Two devices get each other's epoch key.
pub(crate) fn swap_wraps(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let ids: Vec<_> = stage
        .agents
        .iter()
        .map(|actor| actor.keys.device_id())
        .collect();
    let [one, other] = ids.as_slice() else {
        anyhow::bail!("two agents are needed")
    };
    let repository = stage.workshop.repository();
    let server = stage.hostile(&repository, |folder| {
        hostile::swap_wraps(folder, one, other)
    })?;
    let base = base_url(&server);
    let mut scenes = Vec::new();
    for device in [C3_AGENT, ESP32_AGENT] {
        let (outcome, counts) = update_a_copy(stage, device, &base)?;
        scenes.push(Scene {
            title: "server swaps two devices' wraps",
            device,
            expected: "refused before anything is erased",
            observed: outcome.to_string(),
            refused_by: Some(RefusedBy::Agent),
            passed: matches!(outcome, Polled::Failed(AgentError::Body(_))) && counts.chunks == 0,
        });
    }
    server.stop();
    Ok(scenes)
}

/// `otadata` is written in plaintext, as makers do with esptool.
pub(crate) fn write_plaintext_otadata(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let index = stage.agent(ESP32_AGENT)?;
    let actor = stage.agents.get_mut(index).context("no such device")?;
    let otadata = actor
        .hardware
        .table
        .otadata()
        .context("no otadata partition")?
        .offset;
    let mut device = fleet::copy(&actor.device)?;
    let mut entries = [0; 8192];
    device.bus().read(otadata, &mut entries)?;
    for (sector, entry) in entries.chunks(4096).enumerate() {
        let skip = if sector == 0 { 0 } else { 4096 };
        let at = otadata
            .checked_add(skip)
            .context("otadata ends the address space")?;
        device.bus().erase_sector(at)?;
        device.bus().write_raw(at, entry)?;
    }
    let report = device.power_on();
    let fell_back = report
        .decisions
        .iter()
        .any(|decision| matches!(decision, Decision::OtadataInvalid | Decision::Defaulted));
    Ok(vec![Scene {
        title: "otadata is written in plaintext",
        device: ESP32_AGENT,
        expected: "unreadable to the bootloader: an approved image boots all the same",
        observed: format!("{}; {}", otadata_words(&report), last_words(&report)),
        refused_by: Some(RefusedBy::Bootloader),
        passed: fell_back && report.running().is_some(),
    }])
}

fn otadata_words(report: &espseal_twin::boot::BootReport) -> String {
    let mut lines = report.log.lines().iter().map(|line| line.text.as_str());
    lines
        .find(|text| text.contains("ota data") || text.contains("OTA 0"))
        .unwrap_or_default()
        .into()
}

/// Power goes in mid-download; the agent fetches only what is missing.
pub(crate) fn cut_the_power(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    [C3_AGENT, ESP32_AGENT]
        .into_iter()
        .map(|name| cut_the_power_of(stage, name))
        .collect()
}

fn cut_the_power_of(stage: &mut Stage<'_>, name: &'static str) -> Result<Scene> {
    let mut device = factory_copy(stage, name)?;
    let base = base_url(&stage.server);
    boot(stage, name, &mut device, &base)?;
    // A chunk takes an erase and a program; half way through, inside one of them.
    let operation = chunks_of_release_2(stage, name)?;
    let moment = Moment::Inside(Tear::AfterBytes(1234));
    device.power().plan([PowerCut { operation, moment }]);
    let first = watch_update(stage, name, &mut device, &base)?;
    let lost = device.power().is_lost();
    boot(stage, name, &mut device, &base)?;
    let second = watch_update(stage, name, &mut device, &base)?;
    boot(stage, name, &mut device, &base)?;
    let runs = running(&mut device, &stage.signed)?;
    // Chunk 0 is looked at first and written last, so it comes twice in every update.
    let again = first
        .fetched
        .intersection(&second.fetched)
        .filter(|chunk| chunk.get() != 0)
        .count();
    let counts = second.counts;
    Ok(Scene {
        title: "power is cut in mid-download",
        device: name,
        expected: "resumes, fetching at most one chunk again",
        observed: format!(
            "{} of {} chunks stood in flash, {} missing ones fetched, {again} of them again; runs {runs}",
            counts.skipped,
            counts.chunks,
            second.fetched.len(),
        ),
        refused_by: None,
        passed: lost
            && runs.release == 2
            && !first.fetched.is_empty()
            && counts.skipped > 0
            && again <= 1
            && matches!(
                second.outcome,
                Polled::Said(UpdateOutcome::RestartToBoot { .. })
            ),
    })
}

/// The flash chip stays write-protected: error 0x6001.
pub(crate) fn protect_the_flash(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let mut device = factory_copy(stage, C3_AGENT)?;
    let base = base_url(&stage.server);
    boot(stage, C3_AGENT, &mut device, &base)?;
    device
        .flash_mut()
        .set_write_protection(WriteProtection::Stuck);
    let (outcome, _) = update(stage, C3_AGENT, &mut device, &base)?;
    device
        .flash_mut()
        .set_write_protection(WriteProtection::Off);
    let (mended, _) = update(stage, C3_AGENT, &mut device, &base)?;
    Ok(vec![Scene {
        title: "flash stays write-protected",
        device: C3_AGENT,
        expected: "named as such (0x6001), installs once mended",
        observed: format!("{outcome}; then {mended}"),
        refused_by: Some(RefusedBy::Agent),
        passed: matches!(
            outcome,
            Polled::Failed(AgentError::Hardware(HardwareError::Flash {
                kind: FlashFaultKind::WriteProtected,
                ..
            }))
        ) && matches!(mended, Polled::Said(UpdateOutcome::RestartToBoot { .. })),
    }])
}

/// The new firmware never confirms.
pub(crate) fn never_confirm(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let mut device = factory_copy(stage, C3_AGENT)?;
    let base = base_url(&stage.server);
    boot(stage, C3_AGENT, &mut device, &base)?;
    let before = running(&mut device, &stage.signed)?;
    update(stage, C3_AGENT, &mut device, &base)?;
    let trial = boot(stage, C3_AGENT, &mut device, &base)?;
    let tried = running(&mut device, &stage.signed)?;
    let outcome = boot(stage, C3_AGENT, &mut device, &base)?;
    let after = running(&mut device, &stage.signed)?;
    let failures = match outcome {
        BootOutcome::RolledBack { failures, .. } => failures,
        _ => 0,
    };
    Ok(vec![Scene {
        title: "new firmware never confirms",
        device: C3_AGENT,
        expected: "the bootloader rolls back, the agent counts the failure",
        observed: format!("{before} -> {tried} -> {after}; {failures} failure(s) counted"),
        refused_by: Some(RefusedBy::Bootloader),
        passed: matches!(trial, BootOutcome::AwaitingConfirmation { .. })
            && failures == 1
            && [before.release, tried.release, after.release] == [1, 2, 1],
    }])
}

/// An image without a signature never leaves the maker's machine.
pub(crate) fn publish_unsigned(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let path = stage.scratch.join("unsigned.bin");
    let [_, release_2] = &stage.signed(ChipId::Esp32C3)?.inputs.releases;
    std::fs::write(&path, release_2).context("cannot write the unsigned image")?;
    let refused = stage
        .workshop
        .publish(&path, all_devices()?, stage.observer)
        .err();
    Ok(vec![Scene {
        title: "maker forgets to sign",
        device: "",
        expected: "publish refuses, nothing is published",
        observed: refused.as_ref().map_or_else(
            || "published".into(),
            |error| shorten(&error.to_string(), &path),
        ),
        refused_by: Some(RefusedBy::Publisher),
        passed: refused.is_some(),
    }])
}

fn shorten(message: &str, path: &Path) -> String {
    message.replace(&path.display().to_string(), "unsigned.bin")
}

/// Updates a copy of a device as it left the factory, from the server at `base`.
fn update_a_copy(
    stage: &mut Stage<'_>,
    name: &'static str,
    base: &str,
) -> Result<(Polled, Counts)> {
    let mut device = factory_copy(stage, name)?;
    boot(stage, name, &mut device, base)?;
    update(stage, name, &mut device, base)
}

/// How many chunks the body of a device's release 2 has.
fn chunks_of_release_2(stage: &Stage<'_>, name: &str) -> Result<u64> {
    let actor = stage
        .agents
        .get(stage.agent(name)?)
        .context("no such device")?;
    let [_, release_2] = &stage.signed(actor.hardware.chip)?.releases;
    Ok(release_2.len().div_ceil(CHUNK_SIZE) as u64)
}

fn factory_copy(stage: &Stage<'_>, name: &str) -> Result<VirtualDevice> {
    let actor = stage
        .agents
        .get(stage.agent(name)?)
        .context("no such device")?;
    fleet::copy(&actor.hardware.device)
}

fn boot(
    stage: &mut Stage<'_>,
    name: &str,
    device: &mut VirtualDevice,
    base: &str,
) -> Result<BootOutcome> {
    let transport = stage.transport(base)?;
    let index = stage.agent(name)?;
    let actor = stage.agents.get_mut(index).context("no such device")?;
    Ok(actor.on(device).boot(transport)?.1)
}

fn update(
    stage: &mut Stage<'_>,
    name: &'static str,
    device: &mut VirtualDevice,
    base: &str,
) -> Result<(Polled, Counts)> {
    let update = watch_update(stage, name, device, base)?;
    Ok((update.outcome, update.counts))
}

/// One update, as it was watched.
struct Watched {
    outcome: Polled,
    counts: Counts,
    fetched: BTreeSet<ChunkIndex>,
}

fn watch_update(
    stage: &mut Stage<'_>,
    name: &'static str,
    device: &mut VirtualDevice,
    base: &str,
) -> Result<Watched> {
    let mut transport = stage.transport(base)?;
    let mut watch = stage.bars.watch();
    let index = stage.agent(name)?;
    let actor = stage.agents.get_mut(index).context("no such device")?;
    let outcome = actor.on(device).update(&mut transport, &mut watch)?.into();
    let (counts, fetched) = (watch.counts, std::mem::take(&mut watch.fetched));
    drop(watch);
    stage.record(name, transport);
    Ok(Watched {
        outcome,
        counts,
        fetched,
    })
}
