//! Devices a second: made in memory with their ciphertext written to a sink, enrolled, and wrapped for.
//!
//! `cargo xtask bench factory` runs it and judges the lines that it prints: name, figure, unit, and the figure's
//! share of what the library alone does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark ends at the first mistake"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use espseal_format::chip::{ChipId, chip};
use espseal_format::units::{ChannelName, DeviceId, PublicKeyBytes};
use espseal_publish::authority::Authority;
use espseal_publish::creation::{self, NewProject, SecureBootSource};
use espseal_publish::enrolment::{self, Device, Standing};
use espseal_publish::epochs::{EpochKeys, Recipient};
use espseal_publish::factory::line::{Line, Request};
use espseal_publish::factory::order::{Columns, Order};
use espseal_publish::observer::Unwatched;
use espseal_publish::project::Project;
use espseal_publish::rehearsal::images;
use espseal_publish::repository::folder::FolderStore;
use getrandom::SysRng;
use p256::elliptic_curve::PrimeField as _;
use p256::{ProjectivePoint, Scalar};
use rand_core::UnwrapErr;

/// How much is done.
struct Extent {
    /// Devices that are made.
    made: usize,
    /// Devices that are enrolled, unless the command line says another number.
    enrolled: usize,
    /// Repetitions of a single operation.
    operations: u32,
}

impl Extent {
    /// All of it under `cargo bench`; under `cargo test`, which runs benchmarks too, enough to see that
    /// it works.
    fn asked() -> Self {
        match std::env::args().any(|word| word == "--bench") {
            true => Self {
                made: 10_000,
                enrolled: 100_000,
                operations: 5_000,
            },
            false => Self {
                made: 4,
                enrolled: 20,
                operations: 4,
            },
        }
    }
}
/// Everything up to the second app slot: 1.5 MB.
const PARTITIONS: &str = "\
nvs,      data, nvs,      0x9000,   0x4000,
otadata,  data, ota,      0xd000,   0x2000,
nvs_keys, data, nvs_keys, 0xf000,   0x1000,   encrypted
ota_0,    app,  ota_0,    0x10000,  0x160000,
";
/// What stands behind it, never written.
const SECOND_SLOT: &str = "ota_1, app, ota_1, 0x180000, 0x160000,\n";
/// Room for a device key in flash.
const KEY_PARTITION: &str = "device_key, data, 0x41, 0x170000, 0x1000, encrypted\n";

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("cores {cores}");
    let extent = Extent::asked();
    for (chip, bits, own) in [
        (ChipId::Esp32C3, 256, "device-key = true\n"),
        (ChipId::Esp32S3, 512, "device-key = true\n"),
        (ChipId::Esp32, 256, ""),
    ] {
        make(extent.made, chip, bits, own);
    }
    let number = std::env::args().find_map(|word| word.parse().ok());
    wrap(
        cores as f64,
        number.unwrap_or(extent.enrolled),
        extent.operations,
    );
    println!("peak-memory {} KiB", peak_memory());
}

/// Makes devices into a sink.
fn make(made: usize, id: ChipId, bits: u32, own: &str) {
    let folder = tempfile::tempdir().unwrap();
    let project = project(&folder.path().join("lamp"), id, bits, own);
    let columns = Columns::parse("settings,namespace,\nserial,data,string\n").unwrap();
    let rows: String = (0..made).map(|n| format!("d{n},SN-{n}\n")).collect();
    let orders = Order::parse(&format!("name,serial\n{rows}"), &columns).unwrap();
    let line = Line::set_up(&Request {
        project: &project,
        fleet: project.fleet(id).unwrap(),
        channel: None,
        enrols: true,
        revision: None,
        data: Vec::new(),
        nvs: Vec::new(),
        has_values: true,
        nvs_hmac: false,
    })
    .unwrap();
    let orders: Vec<&Order> = orders.iter().collect();
    let length = line.template().flash.len();
    let started = Instant::now();
    line.make_all(&orders, &Unwatched, |_, made, image| {
        black_box(made.identity.as_ref().map(|own| own.id));
        let mut sink = File::options().write(true).open("/dev/null").unwrap();
        sink.write_all(black_box(image)).unwrap();
        Ok(())
    })
    .unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let target = id.target().unwrap();
    println!(
        "made-{target} {:.3} GB/s {:.0} devices/s, {made} devices of {length} bytes in {seconds:.2} s",
        (made * length) as f64 / seconds / 1e9,
        made as f64 / seconds
    );
    let started = Instant::now();
    for _ in 0..20 {
        let plan = line
            .plan(Some(espseal_twin::efuse::Mac([2, 0, 0, 0, 0, 1])))
            .unwrap();
        black_box(plan.script(&[]));
    }
    let each = started.elapsed().as_secs_f64() * 1000.0 / 20.0;
    println!("plan-{target} {each:.3} ms a plan for one address, with its script");
}

/// Enrols devices and wraps an epoch key for each, beside the library's own operations.
fn wrap(cores: f64, count: usize, operations: u32) {
    let scalar = Scalar::from_repr([0x5A; 32].into()).unwrap();
    let point = ProjectivePoint::GENERATOR * scalar;
    let each = |work: &dyn Fn() -> ProjectivePoint| {
        let started = Instant::now();
        for _ in 0..operations {
            black_box(work());
        }
        f64::from(operations) / started.elapsed().as_secs_f64()
    };
    let base = each(&|| ProjectivePoint::GENERATOR * black_box(scalar));
    let any = each(&|| black_box(point) * black_box(scalar));
    // A wrap is one multiplication of the generator and one of the device's key.
    let bound = cores / (1.0 / base + 1.0 / any);
    println!("p256-base {base:.0} operations/s, one core");
    println!("p256-any {any:.0} operations/s, one core");
    println!("p256-bound {bound:.0} pairs/s, {cores} cores");

    let mut devices = Vec::with_capacity(count);
    let channel = ChannelName::new("production").unwrap();
    let public = |key: &PrivateKey| {
        let key = key.compute_public_key().unwrap();
        PublicKeyBytes(key.as_ref().try_into().unwrap())
    };
    let report = public(&PrivateKey::generate(&ECDH_P256).unwrap());
    for _ in 0..count {
        let encryption = public(&PrivateKey::generate(&ECDH_P256).unwrap());
        devices.push(Device {
            id: DeviceId::of(&encryption),
            chip: ChipId::Esp32C3,
            channel: channel.clone(),
            recipient: enrolment::Recipient::Agent { encryption, report },
            standing: Standing::Enrolled,
        });
    }
    devices.sort_by_key(|device| device.id);
    let recipients: Vec<_> = devices
        .iter()
        .filter_map(|device| match &device.recipient {
            enrolment::Recipient::Agent { encryption, .. } => Some(Recipient {
                id: device.id,
                key: *encryption,
            }),
            _ => None,
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let project = project(&folder.path().join("lamp"), ChipId::Esp32C3, 256, "");
    let mut authority = Authority::open(project.folder(), &Unwatched).unwrap();
    let started = Instant::now();
    authority.enrol_all(devices, &Unwatched).unwrap();
    let enrolment = started.elapsed().as_secs_f64();
    let rate = count as f64 / enrolment;
    println!(
        "enrolled {rate:.0} devices/s, {:.3} of the bound, {enrolment:.1} s",
        rate / bound
    );
    drop(authority);

    let keys = EpochKeys::new(&project.file("keys/epochs"), project.product);
    let store = FolderStore::open(&folder.path().join("repository")).unwrap();
    let started = Instant::now();
    let epoch = keys
        .start(&mut UnwrapErr(SysRng), 1, None, &recipients)
        .unwrap();
    keys.wrap_for_all(&epoch, &recipients, &store, &Unwatched)
        .unwrap();
    let wraps = started.elapsed().as_secs_f64();
    let rate = count as f64 / wraps;
    println!(
        "wrapped {rate:.0} devices/s, {:.3} of the bound, {wraps:.1} s",
        rate / bound
    );
    let rate = count as f64 / (enrolment + wraps);
    println!("both {rate:.0} devices/s, {:.3} of the bound", rate / bound);
}

/// A project with an app that fills the first slot.
fn project(folder: &Path, id: ChipId, bits: u32, own: &str) -> Project {
    let new = NewProject {
        name: "Lamp".into(),
        chips: vec![id],
        channels: vec!["production".into()],
        base_url: "https://localhost:8443/".into(),
        secure_boot: SecureBootSource::None,
        root_keys: 1,
        root_threshold: 1,
    };
    creation::create(folder, &new, 1_767_225_600, &Unwatched).unwrap();
    let target = id.target().unwrap();
    let in_flash = own.is_empty();
    let key = if in_flash { KEY_PARTITION } else { "" };
    let table = format!("{PARTITIONS}{key}{SECOND_SLOT}");
    fs::write(folder.join(format!("partitions/{target}.csv")), table).unwrap();
    let model = chip(id).unwrap();
    fs::write(folder.join("bootloader.bin"), images::bootloader(model)).unwrap();
    let mut app = images::app(
        model,
        "1.0.0",
        espseal_format::units::SecurityVersion::new(0),
    );
    app.resize(0x16_0000, 0xA5);
    fs::write(folder.join("app.bin"), app).unwrap();
    let path = folder.join("espseal.toml");
    let text = fs::read_to_string(&path).unwrap();
    let security = format!(
        "secure-boot-digests = []\nbootloader = \"bootloader.bin\"\napps = [\"app.bin\"]\n[chip.security]\n\
         flash-encryption = \"release\"\nflash-key-bits = {bits}\njtag = \"shut\"\nuart-download = \"secure\"\n{own}"
    );
    let text = text.replace("secure-boot-digests = []\n", &security);
    fs::write(
        &path,
        text.replace("uart-download = \"secure\"", download(id)),
    )
    .unwrap();
    Project::open(folder).unwrap()
}

/// The ESP32 of the usual revision has no secure download mode.
fn download(id: ChipId) -> &'static str {
    match id {
        ChipId::Esp32 => "uart-download = \"open\"",
        _ => "uart-download = \"secure\"",
    }
}

/// The most memory that this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}
