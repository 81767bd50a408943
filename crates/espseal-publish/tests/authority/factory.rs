//! Made devices, judged by others: espsecure decrypts the image, espefuse carries the plan out, the twin boots
//! and updates it, Debian's `age` opens the escrow, and a killed batch goes on.

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
fn espsecure_decrypts_every_made_image_to_the_template() {
    let bench = bench(SECURITY);
    let (line, folder, _, _) = made(&bench);
    let template = line.template();
    let mut seen = Vec::new();
    for name in ["one", "two"] {
        let path = folder.join("devices").join(name);
        let image = device(&folder, name, "flash.bin");
        assert_eq!(image.len(), template.flash.len());
        let mut plain = image.clone();
        for (number, stretch) in template.encrypted.iter().enumerate() {
            let (from, to) = (
                bench.path("from.bin"),
                bench.path(&format!("to-{name}-{number}")),
            );
            fs::write(&from, &image[stretch.clone()]).unwrap();
            oracles::run(
                oracles::tool("espsecure")
                    .args(["decrypt-flash-data", "--aes-xts", "--keyfile"])
                    .arg(path.join("keys/flash-key.bin"))
                    .args(["--address", &stretch.start.to_string(), "--output"])
                    .arg(&to)
                    .arg(&from),
            );
            plain[stretch.clone()].copy_from_slice(&fs::read(&to).unwrap());
        }
        // What is the device's own stands in `nvs` and `nvs_keys`; all else is the template.
        let (nvs, keys) = (0x9000..0xD000, 0x3D_4000..0x3D_5000);
        for (at, (found, expected)) in plain.iter().zip(&template.flash).enumerate() {
            let own = nvs.contains(&at) || keys.contains(&at);
            assert!(own || found == expected, "{name} differs at {at:#x}");
        }
        let drawn = NvsKeys::from_partition(&plain[keys]).unwrap();
        let cipher = espseal_crypto::nvs_encryption::NvsCipher::new(&drawn);
        let mut values = plain[nvs].to_vec();
        let serial = format!("SECRET-SERIAL-{}", if name == "one" { 1 } else { 2 });
        let holds = |bytes: &[u8]| {
            bytes
                .windows(serial.len())
                .any(|part| part == serial.as_bytes())
        };
        assert!(
            !holds(&image) && !holds(&values),
            "values stand in plaintext"
        );
        let entries = values[64..0x1000].as_chunks_mut::<32>().0;
        for (address, entry) in (64u32..).step_by(32).zip(entries) {
            cipher.decrypt(address, entry);
        }
        assert!(
            holds(&values),
            "NVS does not open with the keys of nvs_keys"
        );
        seen.push((image, drawn.to_partition().to_vec()));
    }
    println!(
        "{} stretches of 2 images decrypted by espsecure",
        2 * template.encrypted.len()
    );
    assert_ne!(seen[0].1, seen[1].1);
    // Two devices have no encrypted block in common, equal plaintext or not.
    for stretch in &template.encrypted {
        let blocks = |image: &[u8]| -> BTreeSet<Vec<u8>> {
            image[stretch.clone()]
                .chunks(16)
                .map(<[u8]>::to_vec)
                .collect()
        };
        assert!(blocks(&seen[0].0).is_disjoint(&blocks(&seen[1].0)));
    }
}

#[test]
fn espefuse_ends_in_the_predicted_state_and_install_removes_the_keys() {
    let bench = bench(SECURITY);
    let (line, folder, escrow, identity) = made(&bench);
    let mut secrets = Vec::new();
    for (number, name) in (1u8..).zip(["one", "two"]) {
        let path = folder.join("devices").join(name);
        let mac = Mac([0x7c, 0xdf, 0xa1, 0, 0, number]);
        let virtual_chip = bench.path(&format!("{name}.efuse"));
        let shipped = Efuses::as_shipped(C3, None, mac).unwrap();
        fs::write(&virtual_chip, virt::encode(&shipped)).unwrap();
        let keys: Vec<_> = ["flash-key", "device-key"]
            .iter()
            .map(|key| fs::read(path.join(format!("keys/{key}.bin"))).unwrap())
            .collect();
        // The other device's files are refused on this chip once its address is known.
        let other = folder
            .join("devices")
            .join(if name == "one" { "two" } else { "one" });
        let install = |folder: &Path| {
            Command::new("bash")
                .arg(folder.join("install.sh"))
                .arg("--yes")
                .env("ESPEFUSE", oracles::folder().join("venv/bin/espefuse"))
                .env("ESPEFUSE_VIRTUAL", &virtual_chip)
                .output()
                .unwrap()
        };
        if name == "two" {
            let refused = install(&other);
            let said = String::from_utf8_lossy(&refused.stdout).into_owned();
            assert!(
                said.contains("installed already, on 7c:df:a1:00:00:01"),
                "{said}"
            );
            assert_eq!(fs::read(&virtual_chip).unwrap(), virt::encode(&shipped));
        }
        let output = install(&path);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!(fs::read_dir(path.join("keys")).unwrap().count(), 0);
        let plan = line.plan(Some(mac)).unwrap();
        let found = virt::parse(C3, &fs::read(&virtual_chip).unwrap()).unwrap();
        let position = plan.position(&found).unwrap();
        let steps = plan.steps.len();
        assert_eq!(
            position,
            espseal_publish::efuse_plan::apply::Position::After(steps)
        );
        secrets.push((mac, keys));
    }
    assert_ne!(secrets[0].1[0], secrets[1].1[0]);
    assert_ne!(secrets[0].1[1], secrets[1].1[1]);

    // The chip of `two` was not known before: it is learnt, and then found.
    let identities = Identities::read(&identity).unwrap();
    let unknown = Escrow::list(&escrow).unwrap();
    assert!(unknown.find_mac(secrets[1].0, &identities).is_err());
    let batch = Batch::reopen(&folder).unwrap();
    let learnt = batch.learn(None, Some(&escrow)).unwrap();
    assert_eq!(learnt, [("two".to_owned(), secrets[1].0)]);
    assert_eq!(batch.learn(None, Some(&escrow)).unwrap(), []);
    let known = Escrow::list(&escrow).unwrap();
    for (mac, keys) in &secrets {
        let key = known.find_mac(*mac, &identities).unwrap();
        assert_eq!((key.scheme(), key.chip), (SchemeId::XtsAes128, C3));
        assert_eq!(key.key.file(), keys[0]);
    }

    // Nothing on the disk holds a key any more, in binary, reversed as in eFuses, or in hexadecimal.
    let all: Vec<Vec<u8>> = files_below(&folder.join("devices"))
        .iter()
        .chain(&files_below(&escrow))
        .map(|path| fs::read(path).unwrap())
        .collect();
    for key in secrets.iter().flat_map(|(_, keys)| keys) {
        let reversed: Vec<u8> = key.iter().rev().copied().collect();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in [key.as_slice(), &reversed, hex.as_bytes()] {
            let part = &form[..16];
            assert!(
                !all.iter()
                    .any(|file| file.windows(16).any(|window| window == part))
            );
        }
    }
    println!("{} files hold none of 4 keys", all.len());
}

#[test]
fn debian_age_opens_the_escrow_and_its_files_open_here() {
    let bench = bench(SECURITY);
    let (_, folder, escrow, identity) = made(&bench);
    let mut checked = 0;
    for path in files_below(&escrow) {
        let text = oracles::run(
            Command::new("age")
                .arg("-d")
                .arg("-i")
                .arg(&identity)
                .arg(&path),
        );
        let name = if text.contains("mac = unknown") {
            "two"
        } else {
            "one"
        };
        let hex: String = device(&folder, name, "keys/flash-key.bin")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(text.contains(&format!("\nkey = {hex}\n")), "{name}");
        // The same text, encrypted by age.
        let plain = bench.write("plain.txt", text.as_bytes());
        fs::remove_file(&path).unwrap();
        let public = oracles::run(Command::new("age-keygen").arg("-y").arg(&identity));
        oracles::run(
            Command::new("age")
                .args(["-r", public.trim(), "-o"])
                .arg(&path)
                .arg(&plain),
        );
        checked += 1;
    }
    let identities = Identities::read(&identity).unwrap();
    let listed = Escrow::list(&escrow).unwrap();
    let key = listed
        .find_mac(Mac([0x7c, 0xdf, 0xa1, 0, 0, 1]), &identities)
        .unwrap();
    assert_eq!(key.key.file(), device(&folder, "one", "keys/flash-key.bin"));
    assert_eq!(checked, 2);
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

#[test]
fn devices_that_could_not_be_safe_or_would_not_boot_are_refused() {
    let said = |security: &str, change: &dyn Fn(&Bench), request: fn(&mut Request<'_>)| {
        let bench = bench(security);
        change(&bench);
        line(&bench, request).unwrap_err().to_string()
    };
    let nothing: &dyn Fn(&Bench) = &|_| {};
    let mut wrong = Vec::new();
    for (security, change, request, expected) in [
        (
            "",
            nothing,
            (|_| {}) as fn(&mut Request<'_>),
            "no [chip.security]",
        ),
        (
            "[chip.security]\nflash-encryption = \"release\"\ndevice-key = true",
            nothing,
            |_| {},
            "secure boot off",
        ),
        (
            &SECURITY.replace("device-key = true\n", ""),
            nothing,
            |_| {},
            "nothing to enrol them by",
        ),
        (
            SECURITY,
            nothing,
            |request| request.channel = None,
            "choose one with --channel",
        ),
        (
            SECURITY,
            nothing,
            |request| request.channel = Some("none"),
            "choose one with --channel",
        ),
        (
            SECURITY,
            &|bench| fs::write(bench.project().join("app.bin"), App::new(C3).build()).unwrap(),
            |_| {},
            "no secure boot v2 signature",
        ),
        (
            SECURITY,
            &|bench| {
                let plain = images::bootloader(chip(C3).unwrap());
                fs::write(bench.project().join("bootloader.bin"), plain).unwrap();
            },
            |_| {},
            "does not start its app",
        ),
        (
            SECURITY,
            &|bench| {
                bench.configure(
                    "apps = [\"app.bin\"]",
                    "apps = [\"app.bin\", \"app.bin\", \"app.bin\"]",
                )
            },
            |_| {},
            "names 3 apps",
        ),
        (
            SECURITY,
            &|bench| bench.configure("bootloader = \"bootloader.bin\"\n", ""),
            |_| {},
            "names no `bootloader`",
        ),
        (
            SECURITY,
            nothing,
            |request| request.data = vec![("nvs".into(), vec![1])],
            "filled by the factory itself",
        ),
        (
            SECURITY,
            nothing,
            |request| request.data = vec![("phy_init".into(), vec![1; 0x1001])],
            "phy_init",
        ),
        (
            &SECURITY.replace("unused-digests = \"revoke\"\n", ""),
            nothing,
            |_| {},
            "digest",
        ),
    ] {
        let found = said(security, change, request);
        if !found.contains(expected) {
            wrong.push(format!("expected {expected:?}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let two = SECURITY.replace(
        "secure-boot = \"rsa\"",
        "secure-boot = \"rsa\"\nsecure-version = 3",
    );
    let found = said(&two, nothing, |_| {});
    assert!(found.contains("secure version 0"), "{found}");
}

#[test]
fn value_that_cannot_be_stored_names_its_device() {
    let bench = bench(SECURITY);
    let line = line(&bench, |_| {}).unwrap();
    let text = DEVICES.replace(",7\n", ",700\n");
    let orders = Order::parse(&text, &Columns::parse(COLUMNS).unwrap()).unwrap();
    let error = line.check(&orders[0]).unwrap_err().to_string();
    assert!(
        error.contains("device one") && error.contains("line 2") && !error.contains("700"),
        "{error}"
    );
    let batch = Batch::open(&bench.path("batch"), &line, &orders).unwrap();
    assert!(batch.run(&line, &orders, None, &Unwatched).is_err());
}
