//! Nothing but the update agent, over hardware that the optimiser knows nothing about.
//!
//! `cargo xtask size` links it for the ESP32-C3's instruction set and reads the section sizes. It
//! is never run: `black_box` stands where a firmware has its drivers.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::ops::Range;

use espseal_agent::agent::{Agent, Parts};
use espseal_agent::config::{Config, Floors, Layout, Policy, Region};
use espseal_agent::flash::{Flash, FlashFault, FlashFaultKind, RawFlash};
use espseal_agent::observer::Silent;
use espseal_agent::platform::{DIGEST_SLOTS, DirectPlatform, Platform, Slot};
use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::chip::ChipId;
use espseal_format::metadata::direct::FlashScheme;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::report::Event;
use espseal_format::repository::Resource;
use espseal_format::units::{
    ChannelName, Digest, FlashOffset, Product, SECTOR_SIZE, SecurityVersion,
};

/// Hardware that could do anything.
struct Unknown;

#[derive(Debug)]
struct Fault;

impl FlashFault for Fault {
    fn kind(&self) -> FlashFaultKind {
        FlashFaultKind::Hardware
    }
}

impl TransportFault for Fault {
    fn kind(&self) -> TransportFaultKind {
        TransportFaultKind::Unreachable
    }
}

fn unknown() -> Result<(), Fault> {
    black_box(Ok(()))
}

impl Flash for Unknown {
    type Error = Fault;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), Fault> {
        black_box((at, buffer));
        unknown()
    }

    fn replace_sector(&mut self, at: FlashOffset, data: &[u8; SECTOR_SIZE]) -> Result<(), Fault> {
        black_box((at, data));
        unknown()
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), Fault> {
        black_box(at);
        unknown()
    }
}

impl Transport for Unknown {
    type Error = Fault;

    fn open(&mut self, resource: Resource<'_>, range: Option<Range<u32>>) -> Result<(), Fault> {
        black_box((resource.path(), range));
        unknown()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        black_box(&buffer);
        black_box(Ok(buffer.len()))
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), Fault> {
        black_box(poll);
        unknown()
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), Fault> {
        black_box(report);
        unknown()
    }
}

impl Platform for Unknown {
    fn running_slot(&self) -> Slot {
        black_box(Slot::Ota(0))
    }

    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS] {
        black_box([None; DIGEST_SLOTS])
    }

    fn secure_version(&self) -> SecurityVersion {
        black_box(SecurityVersion::new(0))
    }

    fn trusted_time(&mut self) -> Option<u64> {
        black_box(None)
    }

    fn random(&mut self, buffer: &mut [u8]) {
        black_box(buffer);
    }
}

impl RawFlash for Unknown {
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), Fault> {
        black_box((at, buffer));
        unknown()
    }

    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), Fault> {
        black_box((at, data));
        unknown()
    }
}

impl DirectPlatform for Unknown {
    fn flash_scheme(&self) -> Option<FlashScheme> {
        black_box(None)
    }
}

/// Stands where the eFuse HMAC peripheral is.
fn digest_of(label: &[u8]) -> [u8; 32] {
    black_box(label);
    black_box([0; 32])
}

/// Runs everything that a firmware calls.
fn run(workspace: &mut Workspace) -> Option<()> {
    let region = |offset| Region {
        offset: FlashOffset::new(offset),
        size: 0x10_0000,
    };
    let config = Config {
        product: black_box(Product([0; 16])),
        vendor: black_box(VendorId([0; 16])),
        class: black_box(ClassId([0; 16])),
        chip: ChipId::Esp32C3,
        channel: ChannelName::new(black_box("production"))?,
        group: black_box(1),
        built_in_root: black_box(&[0; 512]),
        floors: Floors::default(),
        layout: Layout {
            factory: None,
            slots: [region(0x1_0000), region(0x11_0000)].into_iter().collect(),
            otadata: FlashOffset::new(0xD000),
            journal: FlashOffset::new(0x21_0000),
        },
        policy: Policy::default(),
    };
    let key =
        SoftwareDeviceKey::derive(|label| black_box(Ok::<_, Fault>(digest_of(label)))).ok()?;
    let parts = Parts {
        flash: Unknown,
        transport: Unknown,
        key,
        platform: Unknown,
        observer: Silent,
    };
    let mut agent = Agent::new(parts, &config, workspace).ok()?;
    black_box(agent.on_boot().ok()?);
    black_box(agent.update().ok()?);
    #[cfg(feature = "direct")]
    black_box(agent.update_direct().ok()?);
    black_box(agent.confirm().ok()?);
    black_box(agent.report(Event::Confirmed, 0).ok()?);
    black_box(agent.poll_delay());
    Some(())
}

/// Memory as a firmware lends it.
static mut WORKSPACE: Workspace = Workspace::new();

#[riscv_rt::entry]
fn main() -> ! {
    // SAFETY: this is the program's only thread, and the only place that names it.
    let workspace = unsafe { &mut *(&raw mut WORKSPACE) };
    black_box(run(workspace));
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
