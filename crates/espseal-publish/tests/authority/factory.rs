//! Made devices, judged by others: espsecure decrypts the image, espefuse carries the plan out, the twin boots
//! and updates it, Debian's `age` opens the escrow, and a killed batch goes on.

mod oracle;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::nvs_encryption::NvsKeys;
use espseal_format::chip::{ChipId, SchemeId, chip};
use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_publish::escrow::{Escrow, Identities, Recipients};
use espseal_publish::factory::batch::{Batch, EscrowTo, Report};
use espseal_publish::factory::error::MakeError;
use espseal_publish::factory::folder::Record;
use espseal_publish::factory::line::{Line, Request};
use espseal_publish::factory::order::{Columns, Order};
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::observer::{Observer, Stage, Unwatched};
use espseal_publish::project::Project;
use espseal_publish::rehearsal::images;
use espseal_publish::secure_boot_key::SecureBootKey;
use espseal_twin::efuse::{Efuses, Mac, virt};

use super::support::{App, Bench, app, secure_boot_key};

const C3: ChipId = ChipId::Esp32C3;
const COLUMNS: &str = "settings,namespace,\nserial,data,string\ncolour,data,u8,REPEAT\n";
const DEVICES: &str = "name,mac,serial,colour\n\
    one,7c:df:a1:00:00:01,SECRET-SERIAL-1,7\n\
    two,,SECRET-SERIAL-2,\n";
/// All that release mode asks for, on a chip with HMAC peripheral.
const SECURITY: &str = "[chip.security]\nsecure-boot = \"rsa\"\nunused-digests = \"revoke\"\n\
    flash-encryption = \"release\"\ndevice-key = true\njtag = \"shut\"\nuart-download = \"secure\"\n";

/// A project whose C3 devices can be made, with this `[chip.security]`.
fn bench(security: &str) -> Bench {
    let bench = Bench::new();
    let project = bench.project();
    let bootloader = images::bootloader(chip(C3).unwrap());
    let key = SecureBootKey::load(secure_boot_key()).unwrap();
    let signed = sign_image(Path::new("b"), &bootloader, ImageKind::Bootloader, &[&key]).unwrap();
    fs::write(project.join("bootloader.bin"), signed.bytes).unwrap();
    fs::write(project.join("app.bin"), app(C3)).unwrap();
    let path = project.join("espseal.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (esp32, rest) = text.split_once("[[chip]]\nchip = \"esp32c3\"").unwrap();
    let (c3, channels) = rest.split_once("\n[[channel]]").unwrap();
    let text = format!(
        "{esp32}[[chip]]\nchip = \"esp32c3\"{c3}bootloader = \"bootloader.bin\"\napps = [\"app.bin\"]\n\
         {security}\n[[channel]]{channels}"
    );
    fs::write(&path, text).unwrap();
    bench
}

fn line(bench: &Bench, change: impl FnOnce(&mut Request<'_>)) -> Result<Line, MakeError> {
    let project = Project::open(&bench.project()).unwrap();
    let mut request = Request {
        project: &project,
        fleet: project.fleet(C3).unwrap(),
        channel: Some("production"),
        enrols: true,
        revision: None,
        data: Vec::new(),
        nvs: Vec::new(),
        has_values: true,
        nvs_hmac: false,
    };
    change(&mut request);
    Line::set_up(&request)
}

fn orders() -> Vec<Order> {
    Order::parse(DEVICES, &Columns::parse(COLUMNS).unwrap()).unwrap()
}

fn identity(bench: &Bench) -> (PathBuf, Recipients) {
    let path = bench.path("identity.txt");
    oracles::run(Command::new("age-keygen").arg("-o").arg(&path));
    let public = oracles::run(Command::new("age-keygen").arg("-y").arg(&path));
    (path, Recipients::new(&[public.trim()]).unwrap())
}

/// Makes both devices, with their keys in escrow.
fn made(bench: &Bench) -> (Line, PathBuf, PathBuf, PathBuf) {
    let line = line(bench, |_| {}).unwrap();
    let (identity, recipients) = identity(bench);
    let (folder, escrow) = (bench.path("batch"), bench.path("escrow"));
    let to = EscrowTo {
        recipients: &recipients,
        folder: &escrow,
    };
    let orders = orders();
    let batch = Batch::open(&folder, &line, &orders).unwrap();
    batch.run(&line, &orders, Some(&to), &Unwatched).unwrap();
    (line, folder, escrow, identity)
}

fn device(folder: &Path, name: &str, file: &str) -> Vec<u8> {
    fs::read(folder.join("devices").join(name).join(file)).unwrap()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files_below(&path)),
            false => all.push(path),
        }
    }
    all
}

#[test]
fn made_devices_boot_and_open_the_release_that_is_published_for_them() {
    let bench = bench(SECURITY);
    let (line, folder, _, _) = made(&bench);
    let batch = Batch::reopen(&folder).unwrap();
    let mut authority = bench.authority();
    let records = batch.enrolments().unwrap();
    let devices = authority.read_unknown_devices(&records).unwrap();
    assert_eq!(devices.len(), 2);
    authority.enrol_all(devices, &Unwatched).unwrap();
    assert_eq!(authority.read_unknown_devices(&records).unwrap().len(), 0);
    drop(authority);
    let release = App {
        version: "2.0.0",
        ..App::new(C3)
    }
    .signed();
    bench.release(&release);
    for name in ["one", "two"] {
        let key: [u8; 32] = device(&folder, name, "keys/device-key.bin")
            .try_into()
            .unwrap();
        let own = SoftwareDeviceKey::derive(|label| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
            <[u8; 32]>::try_from(aws_lc_rs::hmac::sign(&key, label).as_ref())
        })
        .unwrap();
        let record = Record::read(&folder.join("devices").join(name))
            .unwrap()
            .unwrap();
        assert_eq!(record.device(), Some(own.device_id()));
        assert!(bench.stored(Resource::Device(&own.device_id())).is_some());
        assert_eq!(bench.open_as(&own, C3).unwrap(), release);
    }
    let project = Project::open(&bench.project()).unwrap();
    let fleet = project.fleet(C3).unwrap();
    let bootloader = fs::read(fleet.bootloader.as_ref().unwrap()).unwrap();
    let mut image = Vec::new();
    let orders = orders();
    let made = line.make(&orders[0], &mut image).unwrap();
    let plan = line.plan(orders[0].mac).unwrap();
    let mac = orders[0].mac.unwrap();
    let mut device = line
        .virtual_device(&made, &plan, image, fleet, &bootloader, mac)
        .unwrap();
    let report = device.power_on();
    let slot = fleet.partitions.app_slots()[0].offset;
    assert_eq!(report.running().unwrap().offset, slot, "{}", report.log);
}

/// Interrupts after so many devices.
struct After(std::cell::Cell<u64>);

impl Observer for After {
    fn begin(&self, _: Stage, _: u64) {}

    fn advance(&self, steps: u64) {
        self.0.set(self.0.get().saturating_sub(steps));
    }

    fn is_interrupted(&self) -> bool {
        self.0.get() == 0
    }
}

#[test]
fn interrupted_batch_goes_on_and_makes_no_device_twice() {
    let bench = bench(SECURITY);
    let line = line(&bench, |request| request.has_values = false).unwrap();
    let folder = bench.path("batch");
    let orders = Order::count(12);
    let state = || -> BTreeMap<PathBuf, Digest> {
        let files = files_below(&folder.join("devices"));
        files
            .into_iter()
            .map(|path| (path.clone(), Digest::of(&fs::read(&path).unwrap())))
            .collect()
    };
    let batch = Batch::open(&folder, &line, &orders).unwrap();
    let busy = Batch::open(&folder, &line, &orders);
    assert!(matches!(busy, Err(MakeError::Busy { .. })));
    let stopped = batch.run(&line, &orders, None, &After(std::cell::Cell::new(3)));
    assert!(matches!(stopped, Err(MakeError::Interrupted)));
    drop(batch);
    // What a kill leaves: half a device under a temporary name.
    let half = folder.join("devices/.espseal-tmp-half/keys");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("flash-key.bin"), b"half").unwrap();
    let batch = Batch::open(&folder, &line, &orders).unwrap();
    let before = state();
    assert!(before.len() >= 3 && !before.keys().any(|path| path.starts_with(&half)));
    let report = batch.run(&line, &orders, None, &Unwatched).unwrap();
    assert_eq!(report.made + report.found, 12);
    assert!(report.found >= 3 && report.made > 0);
    let after = state();
    assert!(
        before
            .iter()
            .all(|(path, digest)| after.get(path) == Some(digest))
    );
    let again = batch.run(&line, &orders, None, &Unwatched).unwrap();
    assert_eq!(again, Report { made: 0, found: 12 });
    assert_eq!(state(), after);
    assert_eq!(batch.enrolments().unwrap().len(), 12);
}

#[test]
fn batch_that_was_begun_with_other_inputs_is_refused() {
    let bench = bench(SECURITY);
    let first = line(&bench, |_| {}).unwrap();
    let folder = bench.path("batch");
    drop(Batch::open(&folder, &first, &orders()).unwrap());
    let refused = |line: &Line, orders: &[Order], expected: &str| {
        let error = Batch::open(&folder, line, orders).unwrap_err();
        assert!(matches!(error, MakeError::OtherInputs { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(&first, &Order::count(3), "number of devices");
    refused(&first, &Order::count(2), "list of devices");
    let columns = Columns::parse(COLUMNS).unwrap();
    let other = Order::parse(&DEVICES.replace("SERIAL-2", "SERIAL-3"), &columns).unwrap();
    refused(&first, &other, "list of devices");
    let csv = bench.write(
        "nvs.csv",
        b"key,type,encoding,value\nspace,namespace,,\na,data,u8,1\n",
    );
    let values = line(&bench, |request| request.nvs = vec![csv]).unwrap();
    refused(&values, &orders(), "set of NVS values");
    fs::write(
        bench.project().join("app.bin"),
        App {
            version: "9",
            ..App::new(C3)
        }
        .signed(),
    )
    .unwrap();
    refused(&line(&bench, |_| {}).unwrap(), &orders(), "flash contents");
    bench.configure("jtag = \"shut\"", "jtag = \"open\"");
    refused(&line(&bench, |_| {}).unwrap(), &orders(), "[chip.security]");
    let full = bench.path("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.txt"), b"mine").unwrap();
    let taken = Batch::open(&full, &first, &orders()).unwrap_err();
    assert!(matches!(taken, MakeError::NotABatch { .. }));
}
