//! Everything that stands on the demo's stage while it is played.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::enc_img;
use espseal_format::units::{DeviceId, Digest, Position};
use espseal_format::wrap::{BodyWrap, ShardEntry};
use espseal_publish::enrolment::Recipient;
use espseal_publish::observer::Observer;
use espseal_server::serve::Running;
use espseal_twin::device::VirtualDevice;
use espseal_twin::https::{HttpsClient, HttpsTransport};
use espseal_twin::recording::Recording;
use getrandom::SysRng;
use rand_core::UnwrapErr;

use super::fleet::{self, AgentDevice, BuiltIn, Hardware};
use super::hostile;
use super::inputs::Inputs;
use super::scene::Sizes;
use super::watch::Bars;
use super::workshop::{SignedInputs, Workshop, base_url};

/// Name of the ESP32-C3 with the agent.
pub(crate) const C3_AGENT: &str = "c3-agent";
/// Name of the ESP32 with the agent.
pub(crate) const ESP32_AGENT: &str = "esp32-agent";
/// Name of the ESP32-C3 with unmodified ESP-IDF.
pub(crate) const C3_ESP_IDF: &str = "c3-esp-idf";

/// The stage.
pub(crate) struct Stage<'o> {
    /// What is thrown away: hostile repositories and their databases.
    pub scratch: PathBuf,
    pub workshop: Workshop,
    pub signed: Vec<SignedInputs>,
    pub agents: Vec<AgentActor>,
    pub esp_idf: EspIdfActor,
    pub server: Running,
    pub client: HttpsClient,
    pub observer: &'o dyn Observer,
    pub bars: Bars,
    /// What crossed the network, for each device.
    pub traffic: Vec<(&'static str, Vec<u8>)>,
    /// What the release weighs.
    pub sizes: Sizes,
    hostile_servers: u32,
}

/// A device that runs the agent.
pub(crate) struct AgentActor {
    pub name: &'static str,
    /// As the factory made it; scenes play on copies.
    pub hardware: Hardware,
    /// The device that takes part in the whole story.
    pub device: VirtualDevice,
    pub keys: SoftwareDeviceKey,
    pub built_in: BuiltIn,
}

/// A device that runs unmodified ESP-IDF.
pub(crate) struct EspIdfActor {
    pub name: &'static str,
    pub hardware: Hardware,
    pub device: VirtualDevice,
    pub id: DeviceId,
    /// PKCS#8, as `Decryptor` takes it.
    pub private_key: zeroize::Zeroizing<Vec<u8>>,
}

impl<'o> Stage<'o> {
    /// Makes keys, devices, release 1 and the server.
    pub(crate) fn set(
        folder: &Path,
        scratch: &Path,
        inputs: Vec<Inputs>,
        observer: &'o dyn Observer,
        bars: Bars,
    ) -> Result<Self> {
        bars.announce("making keys, signing release 1 and 2, burning three virtual devices");
        let (mut workshop, signed) = Workshop::open(folder, inputs, observer)?;
        let mut drafts = Vec::new();
        for (serial, (name, chip)) in [(C3_AGENT, ChipId::Esp32C3), (ESP32_AGENT, ChipId::Esp32)]
            .into_iter()
            .enumerate()
        {
            let hardware = manufacture(&signed, chip, &workshop, serial)?;
            let keys = SoftwareDeviceKey::generate(&mut UnwrapErr(SysRng));
            let recipient = Recipient::Agent {
                encryption: *keys.public_key(),
                report: keys.report_key(),
            };
            workshop.enrol(keys.device_id(), chip, recipient, observer)?;
            drafts.push((name, chip, hardware, keys));
        }
        let esp_idf = esp_idf_actor(&signed, &mut workshop, observer)?;
        let mut agents = Vec::new();
        for (name, chip, hardware, keys) in drafts {
            let published = publish_release_1(&mut workshop, &signed, chip, observer)?;
            let built_in = BuiltIn::new(&workshop, &hardware, published)?;
            let device = fleet::copy(&hardware.device)?;
            agents.push(AgentActor {
                name,
                hardware,
                device,
                keys,
                built_in,
            });
        }
        let server = workshop.serve(workshop.repository(), folder.join("server.db"))?;
        let client = HttpsClient::new(&workshop.ca()?)?;
        Ok(Self {
            scratch: scratch.into(),
            workshop,
            signed,
            agents,
            esp_idf,
            server,
            client,
            observer,
            bars,
            traffic: Vec::new(),
            sizes: Sizes {
                body: 0,
                group_wrap: BodyWrap::LEN as u64,
                agent_wrap: ShardEntry::LEN as u64,
                esp_idf_header: enc_img::LEN as u64,
            },
            hostile_servers: 0,
        })
    }

    /// Index of an agent by name.
    pub(crate) fn agent(&self, name: &str) -> Result<usize> {
        self.agents
            .iter()
            .position(|actor| actor.name == name)
            .context("no such device")
    }

    /// A transport to the honest server that remembers what crossed.
    pub(crate) fn honest(&self) -> Result<Recording<HttpsTransport>> {
        self.transport(&base_url(&self.server))
    }

    /// A transport to any server that remembers what crossed.
    pub(crate) fn transport(&self, base: &str) -> Result<Recording<HttpsTransport>> {
        Ok(Recording::new(HttpsTransport::new(
            self.client.clone(),
            base,
        )?))
    }

    /// Keeps what crossed the network.
    pub(crate) fn record(&mut self, name: &'static str, transport: Recording<HttpsTransport>) {
        let bytes = transport.bytes();
        match self.traffic.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.extend(bytes),
            None => self.traffic.push((name, bytes)),
        }
    }

    /// Serves a changed copy of the repository, with the real certificate.
    pub(crate) fn hostile(
        &mut self,
        from: &Path,
        change: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Running> {
        self.hostile_servers += 1;
        let folder = self
            .scratch
            .join(format!("hostile-{}", self.hostile_servers));
        hostile::copy_repository(from, &folder)?;
        change(&folder)?;
        let database = self
            .scratch
            .join(format!("hostile-{}.db", self.hostile_servers));
        self.workshop.serve(folder, database)
    }

    /// Signed files of one chip.
    pub(crate) fn signed(&self, chip: ChipId) -> Result<&SignedInputs> {
        signed_for(&self.signed, chip)
    }

    /// Digest of the body that is on offer for a chip.
    pub(crate) fn body_on_offer(&mut self, chip: ChipId) -> Result<Digest> {
        let visible = self
            .workshop
            .authority
            .visible()?
            .context("nothing is published")?;
        let offer = visible
            .releases
            .offers
            .iter()
            .find(|offer| offer.chip == chip);
        let offer = offer.context("nothing is on offer for the chip")?;
        Ok(self
            .workshop
            .authority
            .manifest(&offer.manifest)?
            .component
            .body)
    }
}

impl AgentActor {
    /// The device of the story, running its agent.
    pub(crate) fn live(&mut self) -> AgentDevice<'_> {
        AgentDevice::new(&mut self.device, &mut self.keys, &self.built_in)
    }

    /// A copy of a device, with the same keys.
    pub(crate) fn on<'a>(&'a mut self, device: &'a mut VirtualDevice) -> AgentDevice<'a> {
        AgentDevice::new(device, &mut self.keys, &self.built_in)
    }
}

/// Makes one device of a chip.
fn manufacture(
    signed: &[SignedInputs],
    chip: ChipId,
    workshop: &Workshop,
    serial: usize,
) -> Result<Hardware> {
    let serial = u8::try_from(serial).context("too many devices")?;
    fleet::manufacture(signed_for(signed, chip)?, workshop.secure_boot, serial)
}

/// Makes and enrols the device that runs unmodified ESP-IDF.
fn esp_idf_actor(
    signed: &[SignedInputs],
    workshop: &mut Workshop,
    observer: &dyn Observer,
) -> Result<EspIdfActor> {
    let hardware = manufacture(signed, ChipId::Esp32C3, workshop, 0x1D)?;
    let key = PrivateDecryptingKey::generate(KeySize::Rsa3072).context("no RSA key")?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().context("no RSA key")?;
    let private: Pkcs8V1Der<'_> = key.as_der().context("no RSA key")?;
    let public_key = public.as_ref().to_vec();
    let id = DeviceId(Digest::of(&public_key).0);
    let recipient = Recipient::EspIdfRsa { public_key };
    workshop.enrol(id, ChipId::Esp32C3, recipient, observer)?;
    let private_key = zeroize::Zeroizing::new(private.as_ref().to_vec());
    let device = fleet::copy(&hardware.device)?;
    Ok(EspIdfActor {
        name: C3_ESP_IDF,
        hardware,
        device,
        id,
        private_key,
    })
}

/// Publishes what the factory flashes, so that it has its place in the order of installations.
fn publish_release_1(
    workshop: &mut Workshop,
    signed: &[SignedInputs],
    chip: ChipId,
    observer: &dyn Observer,
) -> Result<Position> {
    let [file, _] = &signed_for(signed, chip)?.files;
    Ok(workshop.publish(file, all_devices()?, observer)?.position)
}

/// Every device.
pub(crate) fn all_devices() -> Result<Ppm> {
    Ppm::new(1_000_000).context("1000000 millionths is all")
}

fn signed_for(signed: &[SignedInputs], chip: ChipId) -> Result<&SignedInputs> {
    signed
        .iter()
        .find(|signed| signed.inputs.chip == chip)
        .context("no files for the chip")
}
