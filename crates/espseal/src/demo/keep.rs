//! Leaves behind what the demo made, for other tools to look at.
//!
//! ```text
//! DIR/<device>/flash.bin           raw, as on the chip
//! DIR/<device>/flash-key.bin       the flash encryption key, as espsecure takes it
//! DIR/<device>/efuse-virt.bin      the file of espefuse --virt
//! DIR/<device>/efuse-emulator.bin  the vendor emulator's layout
//! DIR/project                      the maker's project: keys, devices, espseal.toml
//! DIR/repository                   what the server serves
//! DIR/server.db                    the server's database
//! DIR/images                       bootloaders and releases, signed
//! DIR/keys                         the secure boot key and the ESP-IDF device's private key
//! DIR/logs                         boot logs, and what crossed the network
//! ```

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use espseal_crypto::flash_encryption::FlashKey;
use espseal_publish::files::{self, Secrecy};
use espseal_twin::boot::BootReport;
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{emulator, virt};

use super::hostile::copy_repository;
use super::stage::Stage;

/// Writes everything below `folder`, which holds the stage's own files already.
pub(crate) fn keep(stage: &mut Stage<'_>, folder: &Path) -> Result<()> {
    copy_repository(&stage.workshop.repository(), &folder.join("repository"))?;
    make(&folder.join("logs"), Secrecy::Public)?;
    make(&folder.join("keys"), Secrecy::Private)?;
    for actor in &mut stage.agents {
        keep_device(
            folder,
            actor.name,
            &mut actor.device,
            &actor.hardware.flash_key,
        )?;
    }
    let actor = &mut stage.esp_idf;
    keep_device(
        folder,
        actor.name,
        &mut actor.device,
        &actor.hardware.flash_key,
    )?;
    private(
        &folder.join(format!("keys/{}.der", actor.name)),
        &actor.private_key,
    )?;
    let secure_boot = stage.workshop.folder.join("keys/secure-boot.pem");
    let pem = zeroize::Zeroizing::new(
        fs::read(&secure_boot).with_context(|| format!("cannot read {}", secure_boot.display()))?,
    );
    private(&folder.join("keys/secure-boot.pem"), &pem)?;
    for (name, bytes) in &stage.traffic {
        let path = folder.join(format!("logs/{name}-traffic.bin"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn keep_device(
    folder: &Path,
    name: &str,
    device: &mut VirtualDevice,
    key: &FlashKey,
) -> Result<()> {
    let report = device.power_on();
    let own = folder.join(name);
    make(&own, Secrecy::Private)?;
    private(&own.join("flash.bin"), device.flash().contents())?;
    private(&own.join("flash-key.bin"), key.file())?;
    private(&own.join("efuse-virt.bin"), &virt::encode(device.efuses()))?;
    private(
        &own.join("efuse-emulator.bin"),
        &emulator::encode(device.efuses()),
    )?;
    let log = folder.join(format!("logs/{name}-boot.log"));
    fs::write(&log, text(&report)).with_context(|| format!("cannot write {}", log.display()))
}

fn text(report: &BootReport) -> String {
    report
        .log
        .lines()
        .iter()
        .fold(String::new(), |mut text, line| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
            text
        })
}

fn make(folder: &Path, secrecy: Secrecy) -> Result<()> {
    files::make_folder(folder, secrecy)
        .with_context(|| format!("cannot create {}", folder.display()))
}

fn private(path: &Path, bytes: &[u8]) -> Result<()> {
    files::create(path, bytes, Secrecy::Private)
        .with_context(|| format!("cannot write {}", path.display()))
}
