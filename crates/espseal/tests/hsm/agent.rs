//! A real agent on a virtual ESP32-C3 that was built with a project's first root.

use std::fs;
use std::path::Path;

use espseal_agent::agent::{Agent, Parts, UpdateOutcome};
use espseal_agent::config::{Config, Floors, Layout, Policy, Region, SignatureRule};
use espseal_agent::observer::Silent;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::partition_table::{PartitionType, Subtype};
use espseal_format::units::FlashOffset;
use espseal_publish::project::Project;
use espseal_twin::boot::{BootloaderSettings, SecureBootSupport};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::Mac;
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::folder::FolderTransport;
use espseal_twin::nor::NorFlash;

/// Lets an enrolled device without burnt eFuses look for an update in the project's repository.
pub(crate) fn update(
    folder: &Path,
    mut key: SoftwareDeviceKey,
    factory: &[u8],
    time: u64,
) -> Result<UpdateOutcome, String> {
    let project = Project::open(folder).unwrap();
    let fleet = project.fleet(ChipId::Esp32C3).unwrap();
    let mut table = fleet.partitions.clone();
    table
        .entries
        .retain(|entry| entry.kind != PartitionType::App || entry.subtype.is_ota());
    let slots = table.app_slots();
    let made = FactoryPlan {
        chip: ChipId::Esp32C3,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: 4 << 20,
        bootloader: &bootloader(),
        table_offset: FlashOffset::new(fleet.partition_table_offset),
        table: &table,
        contents: &[(&slots[0].label.to_string(), factory)],
        security: Security::Open,
    };
    let made = made.build().unwrap();
    let flash = NorFlash::from_bytes(made.flash).unwrap();
    let mut device = VirtualDevice::new(
        flash,
        made.efuses,
        BootloaderSettings {
            secure_boot: SecureBootSupport::Absent,
            ..BootloaderSettings::default()
        },
    );
    device.set_trusted_time(Some(time));
    let report = device.power_on();
    assert!(report.running().is_some(), "{}", report.log);
    let channel = project.channel("production").unwrap();
    let root = fs::read(folder.join("roots/1.cose")).unwrap();
    let journal = table.find(PartitionType::Data, Subtype::DATA_ESPSEAL);
    let config = Config {
        product: project.product,
        vendor: VendorId(project.vendor),
        class: ClassId(project.class),
        chip: ChipId::Esp32C3,
        channel: channel.name.clone(),
        group: channel.group,
        built_in_root: &root,
        floors: Floors::default(),
        layout: Layout {
            factory: None,
            slots: slots
                .iter()
                .map(|slot| Region {
                    offset: slot.offset,
                    size: slot.size,
                })
                .collect(),
            otadata: table.otadata().unwrap().offset,
            journal: journal.unwrap().offset,
        },
        policy: Policy {
            signature: SignatureRule::WhenBurnt,
            ..Policy::default()
        },
    };
    let ports = device.ports().unwrap();
    let parts = Parts {
        flash: ports.flash,
        transport: FolderTransport::new(project.repository()),
        key: &mut key,
        platform: ports.platform,
        observer: Silent,
    };
    let mut workspace = Workspace::new();
    let mut agent = Agent::new(parts, &config, &mut workspace).unwrap();
    agent.on_boot().map_err(|error| error.to_string())?;
    agent.update().map_err(|error| error.to_string())
}

/// The smallest image that the twin's ROM takes as a bootloader.
fn bootloader() -> Vec<u8> {
    let load: u32 = 0x403C_C000;
    let mut image = vec![0xE9, 1, 2, 0x20];
    image.extend(load.to_le_bytes());
    image.extend([0xEE, 0, 0, 0, 5, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    image.extend(load.to_le_bytes());
    image.extend(16_u32.to_le_bytes());
    image.extend([0; 31]);
    image.resize(image.len().next_multiple_of(16) - 1, 0);
    image.push(0xEF);
    let digest = espseal_format::units::Digest::of(&image);
    image.extend(digest.0);
    image
}
