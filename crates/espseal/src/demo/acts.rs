//! The story as it should go: factory, release 1, a cohort, release 2, confirmation.

use anyhow::{Context as _, Result, bail};
use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::AgentError;
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_twin::boot::BootReport;
use espseal_twin::device::VirtualDevice;
use espseal_twin::idf::{self, Decryptor, Download, Finish, HttpsOta};

use super::fleet::{Running, running};
use super::scene::Scene;
use super::stage::{EspIdfActor, Stage};
use super::workshop::base_url;

/// Every device boots what the factory flashed.
pub(crate) fn leave_the_factory(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let mut scenes = Vec::new();
    for index in 0..stage.agents.len() {
        let transport = stage.honest()?;
        let actor = stage.agents.get_mut(index).context("no such device")?;
        let (report, _) = actor.live().boot(transport)?;
        let runs = running(&mut actor.device, &stage.signed)?;
        scenes.push(factory_scene(actor.name, &actor.device, &report, &runs));
    }
    let actor = &mut stage.esp_idf;
    let report = actor.device.power_on();
    let runs = running(&mut actor.device, &stage.signed)?;
    scenes.push(factory_scene(actor.name, &actor.device, &report, &runs));
    Ok(scenes)
}

fn factory_scene(
    name: &'static str,
    device: &VirtualDevice,
    report: &BootReport,
    running: &Running,
) -> Scene {
    let efuses = device.efuses();
    let locked = efuses.secure_boot_enabled() && efuses.flash_key().is_some();
    Scene {
        title: "leaves the factory",
        device: name,
        expected: "release 1 boots, flash encrypted, boot verified",
        observed: format!("runs {running}: {}", last_words(report)),
        refused_by: None,
        passed: locked && running.release == 1,
    }
}

/// The agents find that they run what is on offer.
pub(crate) fn poll_release_1(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    each_agent(stage, |outcome| Scene {
        title: "polls release 1",
        device: "",
        expected: "nothing to do",
        observed: outcome.to_string(),
        refused_by: None,
        passed: *outcome == Polled::Said(UpdateOutcome::UpToDate),
    })
}

/// Release 2 is published for one device in a million.
pub(crate) fn publish_release_2(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    let few = Ppm::new(1).context("1 is a share")?;
    let files: Vec<_> = stage
        .signed
        .iter()
        .map(|signed| {
            let [_, release_2] = &signed.files;
            (signed.inputs.chip, release_2.clone())
        })
        .collect();
    for (chip, file) in files {
        let published = stage.workshop.publish(&file, few, stage.observer)?;
        if chip == ChipId::Esp32C3 {
            stage.sizes.body = published.body_length.into();
        }
    }
    each_agent(stage, |outcome| Scene {
        title: "release 2 for one in a million",
        device: "",
        expected: "not in the cohort yet",
        observed: outcome.to_string(),
        refused_by: None,
        passed: *outcome == Polled::Said(UpdateOutcome::NotInCohort),
    })
}

/// The maker offers release 2 to all; every device installs, boots and confirms it.
pub(crate) fn install_release_2(stage: &mut Stage<'_>) -> Result<Vec<Scene>> {
    stage.workshop.widen(stage.observer)?;
    let mut scenes = Vec::new();
    for index in 0..stage.agents.len() {
        let mut transport = stage.honest()?;
        let mut watch = stage.bars.watch();
        let actor = stage.agents.get_mut(index).context("no such device")?;
        let name = actor.name;
        let before = running(&mut actor.device, &stage.signed)?;
        let updated = actor.live().update(&mut transport, &mut watch)?;
        let staged = matches!(updated, Ok(UpdateOutcome::RestartToBoot { .. }));
        let (_, outcome) = actor.live().boot(&mut transport)?;
        let trial = matches!(outcome, BootOutcome::AwaitingConfirmation { .. });
        actor.live().confirm(&mut transport)?;
        let (report, settled) = actor.live().boot(&mut transport)?;
        let after = running(&mut actor.device, &stage.signed)?;
        scenes.push(Scene {
            title: "updates to release 2",
            device: name,
            expected: "installed, tried once, confirmed",
            observed: format!(
                "{before} -> {after}, {} chunks; {}",
                watch.counts.fetched,
                last_words(&report)
            ),
            refused_by: None,
            passed: staged
                && trial
                && settled == BootOutcome::Idle
                && (before.release, after.release) == (1, 2),
        });
        drop(watch);
        stage.record(name, transport);
    }
    scenes.push(install_on_esp_idf(stage)?);
    Ok(scenes)
}

fn install_on_esp_idf(stage: &mut Stage<'_>) -> Result<Scene> {
    let url = latest_url(&base_url(&stage.server), &stage.esp_idf);
    let mut client = stage.client.clone();
    let actor = &mut stage.esp_idf;
    let before = running(&mut actor.device, &stage.signed)?;
    // Both download modes of ESP-IDF, on copies first: whole file, then ranges.
    let mut once = super::fleet::copy(&actor.device)?;
    once.power_on();
    esp_idf_update(&mut once, &mut client, &url, &actor.private_key, None)?;
    esp_idf_update(
        &mut actor.device,
        &mut client,
        &url,
        &actor.private_key,
        Some(16 << 10),
    )?;
    let same = once.flash().contents() == actor.device.flash().contents();
    actor.device.power_on();
    idf::mark_app_valid(&mut actor.device)?;
    let report = actor.device.power_on();
    let after = running(&mut actor.device, &stage.signed)?;
    Ok(Scene {
        title: "updates to release 2",
        device: actor.name,
        expected: "esp_https_ota installs it, in one request and in ranges",
        observed: format!("{before} -> {after}; {}", last_words(&report)),
        refused_by: None,
        passed: same && (before.release, after.release) == (1, 2),
    })
}

/// Where an ESP-IDF device looks for its next image.
pub(crate) fn latest_url(base: &str, actor: &EspIdfActor) -> String {
    format!("{base}/idf/{}/latest", actor.id)
}

/// Runs `esp_https_ota` with `esp_encrypted_img`, ending with the documented calls.
pub(crate) fn esp_idf_update<H: idf::HttpFetch>(
    device: &mut VirtualDevice,
    client: &mut H,
    url: &str,
    private_key: &[u8],
    max_http_request_size: Option<u32>,
) -> Result<()> {
    let download = Download {
        url: url.into(),
        max_http_request_size,
        enc_img_header_size: 512,
    };
    let decryptor = Decryptor::new(private_key)?;
    match HttpsOta::run(device, client, download, decryptor, Finish::CheckTag) {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error}"),
    }
}

/// What one poll came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Said(UpdateOutcome),
    Failed(AgentError),
}

impl From<Result<UpdateOutcome, AgentError>> for Polled {
    fn from(result: Result<UpdateOutcome, AgentError>) -> Self {
        match result {
            Ok(outcome) => Self::Said(outcome),
            Err(error) => Self::Failed(error),
        }
    }
}

impl std::fmt::Display for Polled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(UpdateOutcome::UpToDate) => f.write_str("up to date"),
            Self::Said(UpdateOutcome::NotInCohort) => f.write_str("not in the cohort"),
            Self::Said(UpdateOutcome::Held) => f.write_str("held"),
            Self::Said(UpdateOutcome::RestartToBoot { slot }) => write!(f, "installed to {slot}"),
            Self::Said(other) => write!(f, "{other:?}"),
            Self::Failed(error) => write!(f, "{error} (code {:#06x})", error.code()),
        }
    }
}

fn each_agent(stage: &mut Stage<'_>, judge: impl Fn(&Polled) -> Scene) -> Result<Vec<Scene>> {
    let mut scenes = Vec::new();
    for index in 0..stage.agents.len() {
        let mut transport = stage.honest()?;
        let mut watch = stage.bars.watch();
        let actor = stage.agents.get_mut(index).context("no such device")?;
        let name = actor.name;
        let outcome = Polled::from(actor.live().update(&mut transport, &mut watch)?);
        scenes.push(Scene {
            device: name,
            ..judge(&outcome)
        });
        drop(watch);
        stage.record(name, transport);
    }
    Ok(scenes)
}

/// What the bootloader loaded, in its own words.
pub(crate) fn last_words(report: &BootReport) -> String {
    let mut lines = report
        .log
        .lines()
        .iter()
        .rev()
        .map(|line| line.text.as_str());
    lines
        .find(|text| text.starts_with("Loaded app"))
        .unwrap_or("nothing was loaded")
        .into()
}
