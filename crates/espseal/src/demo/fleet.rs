//! The virtual devices of the demo, as the factory makes them.

use anyhow::{Context as _, Result, bail};
use espseal_agent::agent::{Agent, BootOutcome, Parts, UpdateOutcome};
use espseal_agent::config::{Config, Floors, Layout, Policy, Polling};
use espseal_agent::error::AgentError;
use espseal_agent::observer::Observer;
use espseal_agent::transport::Transport;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::{self, ChipId};
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::partition_table::PartitionTable;
use espseal_format::report::Event as ReportEvent;
use espseal_format::units::{ChannelName, Digest, Position, Product};
use espseal_twin::boot::{
    AntiRollback, BootReport, BootloaderSettings, Rollback, SecureBootSupport,
};
use espseal_twin::device::{FlashPort, PlatformPort, VirtualDevice};
use espseal_twin::efuse::Mac;
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;

use super::inputs::FLASH_SIZE;
use super::workshop::{CHANNEL, SignedInputs, Workshop};

/// Hardware as it left the factory, with release 1.
pub(crate) struct Hardware {
    pub device: VirtualDevice,
    pub flash_key: FlashKey,
    pub chip: ChipId,
    pub table: PartitionTable,
}

/// Makes one locked device: flash encrypted with a key of its own, boot verified.
pub(crate) fn manufacture(signed: &SignedInputs, digest: Digest, serial: u8) -> Result<Hardware> {
    let inputs = &signed.inputs;
    let model = chip::chip(inputs.chip).context("the chip has no table")?;
    let kind = *model
        .flash_encryption
        .first()
        .context("the chip cannot encrypt flash")?;
    let mut key = vec![0; kind.length];
    getrandom::fill(&mut key).context("no random numbers")?;
    let flash_key = FlashKey::from_file(kind.scheme, &key)?;
    let first = inputs
        .table
        .factory()
        .or_else(|| inputs.table.app_slots().first().copied());
    let first = first.context("the partition table has no app partition")?;
    let [release_1, _] = &signed.releases;
    let plan = FactoryPlan {
        chip: inputs.chip,
        // The vendor's prefix, then numbers of no real device.
        mac: Mac([0x24, 0x0A, 0xC4, 0xE5, 0x9E, serial]),
        flash_size: FLASH_SIZE,
        bootloader: &signed.bootloader,
        table_offset: inputs.table_offset,
        table: &inputs.table,
        contents: &[(first.label.as_str(), release_1)],
        security: Security::Release {
            flash_key: &flash_key,
            digests: &[digest],
            hmac_key: None,
        },
    };
    let made = plan.build()?;
    let settings = BootloaderSettings {
        partition_table: inputs.table_offset,
        rollback: Rollback::Enabled,
        anti_rollback: AntiRollback::Disabled,
        secure_boot: SecureBootSupport::CompiledIn,
    };
    let device = VirtualDevice::new(NorFlash::from_bytes(made.flash)?, made.efuses, settings);
    Ok(Hardware {
        device,
        flash_key,
        chip: inputs.chip,
        table: inputs.table.clone(),
    })
}

/// Copies a device with all that is in its flash and eFuses.
pub(crate) fn copy(device: &VirtualDevice) -> Result<VirtualDevice> {
    let flash = NorFlash::from_bytes(device.flash().contents().to_vec())?;
    Ok(VirtualDevice::new(
        flash,
        device.efuses().clone(),
        *device.settings(),
    ))
}

/// What an agent has built into its firmware.
pub(crate) struct BuiltIn {
    root: Vec<u8>,
    product: Product,
    vendor: VendorId,
    class: ClassId,
    channel: ChannelName,
    group: u32,
    chip: ChipId,
    layout: Layout,
    installed: Position,
}

impl BuiltIn {
    /// Builds the firmware's configuration; `installed` is what the factory flashed.
    pub(crate) fn new(
        workshop: &Workshop,
        hardware: &Hardware,
        installed: Position,
    ) -> Result<Self> {
        let project = workshop.authority.project();
        let channel = project.channel(CHANNEL)?;
        Ok(Self {
            root: workshop.root()?,
            product: project.product,
            vendor: VendorId(project.vendor),
            class: ClassId(project.class),
            channel: channel.name.clone(),
            group: channel.group,
            chip: hardware.chip,
            layout: layout(&hardware.table)?,
            installed,
        })
    }

    fn config(&self) -> Config<'_> {
        Config {
            product: self.product,
            vendor: self.vendor,
            class: self.class,
            chip: self.chip,
            channel: self.channel.clone(),
            group: self.group,
            built_in_root: &self.root,
            floors: Floors {
                installed: self.installed,
                ..Floors::default()
            },
            layout: self.layout.clone(),
            policy: Policy {
                polling: Polling::Announced,
                ..Policy::default()
            },
        }
    }
}

/// Where the partitions are, for the agent.
fn layout(table: &PartitionTable) -> Result<Layout> {
    Layout::from_table(table).context(
        "the partition table does not suit the agent: it needs otadata, two app slots, and a journal \
         of type data, subtype 0x40, at least 0x4000 bytes, flag encrypted",
    )
}

/// A device that runs the agent.
pub(crate) struct AgentDevice<'a> {
    pub device: &'a mut VirtualDevice,
    keys: &'a mut SoftwareDeviceKey,
    built_in: &'a BuiltIn,
}

/// The agent as it runs on a virtual device.
type TwinAgent<'a, T, O> =
    Agent<'a, FlashPort<'a>, T, &'a mut SoftwareDeviceKey, PlatformPort<'a>, O>;

impl<'a> AgentDevice<'a> {
    pub(crate) fn new(
        device: &'a mut VirtualDevice,
        keys: &'a mut SoftwareDeviceKey,
        built_in: &'a BuiltIn,
    ) -> Self {
        Self {
            device,
            keys,
            built_in,
        }
    }

    /// Boots and lets the agent look at what happened.
    pub(crate) fn boot<T: Transport>(&mut self, transport: T) -> Result<(BootReport, BootOutcome)> {
        let report = self.device.power_on();
        if report.running().is_none() {
            bail!("nothing boots: {:?}", report.outcome);
        }
        let outcome = self.with_agent(transport, espseal_agent::observer::Silent, |agent| {
            agent.on_boot()
        })?;
        Ok((report, outcome.map_err(wrap)?))
    }

    /// Polls and installs what is on offer.
    pub(crate) fn update<T: Transport, O: Observer>(
        &mut self,
        transport: T,
        observer: O,
    ) -> Result<Result<UpdateOutcome, AgentError>> {
        self.with_agent(transport, observer, |agent| agent.update())
    }

    /// Confirms the running image, as firmware does after its self-test, and tells the server.
    pub(crate) fn confirm<T: Transport>(&mut self, transport: T) -> Result<()> {
        let confirmed = self.with_agent(transport, espseal_agent::observer::Silent, |agent| {
            agent.confirm()?;
            agent.report(ReportEvent::Confirmed, 0)
        })?;
        confirmed.map_err(wrap)
    }

    fn with_agent<T: Transport, O: Observer, R>(
        &mut self,
        transport: T,
        observer: O,
        act: impl FnOnce(&mut TwinAgent<'_, T, O>) -> R,
    ) -> Result<R> {
        let config = self.built_in.config();
        let mut workspace = Box::new(Workspace::new());
        let ports = self.device.ports().context("the device is switched off")?;
        let parts = Parts {
            flash: ports.flash,
            transport,
            key: &mut *self.keys,
            platform: ports.platform,
            observer,
        };
        let mut agent = Agent::new(parts, &config, &mut workspace)
            .map_err(|misuse| wrap(AgentError::Misuse(misuse)))?;
        Ok(act(&mut agent))
    }
}

/// Which release a device runs, by every byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// 1 or 2.
    pub release: usize,
    version: String,
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "release {} ({})", self.release, self.version)
    }
}

/// Reads the running slot through flash encryption and compares it with both signed releases.
pub(crate) fn running(device: &mut VirtualDevice, signed: &[SignedInputs]) -> Result<Running> {
    let at = device.running().context("nothing runs")?.offset;
    let mut bus = device.bus();
    for image in signed
        .iter()
        .flat_map(|signed| signed.releases.iter().enumerate())
    {
        let (index, image) = image;
        let mut found = vec![0; image.len()];
        bus.read(at, &mut found)?;
        if found == *image {
            let descriptor = image.get(32..288).and_then(<[u8]>::first_chunk);
            let descriptor = AppDescriptor::parse(descriptor.context("the image is too short")?)?;
            return Ok(Running {
                release: index + 1,
                version: descriptor.version().into(),
            });
        }
    }
    bail!("the running slot holds neither release 1 nor release 2")
}

fn wrap(error: AgentError) -> anyhow::Error {
    anyhow::Error::new(error)
}
