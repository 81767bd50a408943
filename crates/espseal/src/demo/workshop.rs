//! The maker's side of the demo: a project, its keys, signed images, and the keyless server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::releases::OfferState;
use espseal_format::units::{DeviceId, Digest};
use espseal_publish::authority::Authority;
use espseal_publish::creation::{self, NewProject, SecureBootSource};
use espseal_publish::enrolment::{Device, Recipient, Standing};
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::observer::Observer;
use espseal_publish::rehearsal::TwinRehearsal;
use espseal_publish::release::{PublishRequest, Published, RepositoryState};
use espseal_publish::rollout::RolloutRequest;
use espseal_publish::secure_boot_key::SecureBootKey;
use espseal_server::clock::Clock;
use espseal_server::config::{Access, Config, Limits};
use espseal_server::serve::{Running, Server};

use super::inputs::Inputs;

/// The one channel of the demo.
pub(crate) const CHANNEL: &str = "production";

/// A maker's project in a folder of its own.
pub(crate) struct Workshop {
    pub folder: PathBuf,
    pub authority: Authority,
    pub secure_boot: Digest,
}

/// What is flashed and shipped for one chip, signed.
pub(crate) struct SignedInputs {
    pub inputs: Inputs,
    pub bootloader: Vec<u8>,
    pub releases: [Vec<u8>; 2],
    /// The signed releases as files, for `publish`.
    pub files: [PathBuf; 2],
}

impl Workshop {
    /// Makes a project with all its keys and signs what the devices will run.
    pub(crate) fn open(
        folder: &Path,
        inputs: Vec<Inputs>,
        observer: &dyn Observer,
    ) -> Result<(Self, Vec<SignedInputs>)> {
        let project = folder.join("project");
        let new = NewProject {
            name: "espseal demo".into(),
            chips: inputs.iter().map(|inputs| inputs.chip).collect(),
            channels: vec![CHANNEL.into()],
            base_url: "https://localhost".into(),
            secure_boot: SecureBootSource::NewKey,
            root_keys: 3,
            root_threshold: 2,
        };
        creation::create(&project, &new, now()?, observer)?;
        for inputs in &inputs {
            place_table(&project, inputs)?;
        }
        let key = SecureBootKey::load(&project.join("keys/secure-boot.pem"))?;
        let images = folder.join("images");
        fs::create_dir_all(&images)
            .with_context(|| format!("cannot create {}", images.display()))?;
        let signed = inputs
            .into_iter()
            .map(|inputs| sign(&images, inputs, &key))
            .collect::<Result<Vec<_>>>()?;
        let authority = Authority::open(&project, observer)?;
        Ok((
            Self {
                folder: project,
                authority,
                secure_boot: key.digest(),
            },
            signed,
        ))
    }

    /// Enrols a device of this chip.
    pub(crate) fn enrol(
        &mut self,
        id: DeviceId,
        chip: ChipId,
        recipient: Recipient,
        observer: &dyn Observer,
    ) -> Result<()> {
        let channel = self.authority.project().channel(CHANNEL)?.name.clone();
        let device = Device {
            id,
            chip,
            channel,
            recipient,
            standing: Standing::Enrolled,
        };
        self.authority.enrol(device, observer)?;
        Ok(())
    }

    /// Publishes a signed image to this share of the devices.
    pub(crate) fn publish(
        &mut self,
        app: &Path,
        ppm: Ppm,
        observer: &dyn Observer,
    ) -> Result<Published> {
        let request = PublishRequest {
            app: app.into(),
            channel: CHANNEL.into(),
            ppm,
            state: OfferState::Active,
            seq: None,
            min_seq: 0,
            repository: RepositoryState::Existing,
            direct: None,
        };
        Ok(self
            .authority
            .publish(&request, now()?, &TwinRehearsal, observer)?)
    }

    /// Offers what is published to all devices.
    pub(crate) fn widen(&mut self, observer: &dyn Observer) -> Result<()> {
        let request = RolloutRequest {
            channel: CHANNEL.into(),
            chip: None,
            ppm: Ppm::new(1_000_000),
            state: None,
        };
        self.authority.roll_out(&request, now()?, observer)?;
        Ok(())
    }

    /// The repository folder.
    pub(crate) fn repository(&self) -> PathBuf {
        self.authority.project().repository()
    }

    /// The first root, as it is built into the firmware of every device.
    pub(crate) fn root(&self) -> Result<Vec<u8>> {
        let path = self.folder.join("roots/1.cose");
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The development CA that the devices trust for TLS.
    pub(crate) fn ca(&self) -> Result<Vec<u8>> {
        let path = self.folder.join("ca/ca.pem");
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Serves a repository folder over HTTPS, with the project's development certificate.
    pub(crate) fn serve(&self, repository: PathBuf, database: PathBuf) -> Result<Running> {
        let config = Config {
            repository,
            listen: ([127, 0, 0, 1], 0).into(),
            access: Access::Https {
                certificate: self.folder.join("ca/server.pem"),
                key: self.folder.join("ca/server.key"),
            },
            database,
            public_host: None,
            limits: Limits::default(),
            clock: Clock::default(),
        };
        Ok(Server::bind(config)?.spawn()?)
    }
}

/// Base URL of a running server.
pub(crate) fn base_url(server: &Running) -> String {
    format!("https://localhost:{}", server.address().port())
}

/// Replaces the project's partition table by the one that is flashed.
fn place_table(project: &Path, inputs: &Inputs) -> Result<()> {
    let target = inputs.chip.target().context("the chip has no name")?;
    let table = project.join(format!("partitions/{target}.csv"));
    fs::write(&table, &inputs.table_csv)
        .with_context(|| format!("cannot write {}", table.display()))?;
    let file = project.join("espseal.toml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = format!("partition-table = \"partitions/{target}.csv\"\npartition-table-offset = ");
    let text = text.replace(
        &format!("{line}0x8000"),
        &format!("{line}{}", inputs.table_offset),
    );
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn sign(folder: &Path, inputs: Inputs, key: &SecureBootKey) -> Result<SignedInputs> {
    let name = inputs.chip.target().context("the chip has no name")?;
    let path = |what: &str| folder.join(format!("{name}-{what}.bin"));
    let bootloader = sign_image(
        &path("bootloader"),
        &inputs.bootloader,
        ImageKind::Bootloader,
        &[key],
    )?;
    fs::write(path("bootloader"), &bootloader.bytes)?;
    let files = [path("release-1"), path("release-2")];
    let mut releases = [Vec::new(), Vec::new()];
    for ((file, image), signed) in files.iter().zip(&inputs.releases).zip(&mut releases) {
        *signed = sign_image(file, image, ImageKind::App, &[key])?.bytes;
        fs::write(file, &*signed).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(SignedInputs {
        inputs,
        bootloader: bootloader.bytes,
        releases,
        files,
    })
}

/// Seconds since 1970 by the system's clock.
fn now() -> Result<u64> {
    crate::cli::now().context("this machine's clock is before 1970; set it right")
}
