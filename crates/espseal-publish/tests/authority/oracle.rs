//! What independent implementations say: Python's cbor2 and cryptography, esptool, espsecure.

use std::fs;
use std::path::Path;

use espseal_crypto::ecies::HmacKey;
use espseal_format::chip::{self, ChipId};
use espseal_format::repository::Resource;
use espseal_format::units::DeviceId;
use espseal_publish::enrolment::{Device, ecies};
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::observer::Unwatched;
use espseal_publish::project::Project;
use espseal_publish::rehearsal::images;
use espseal_publish::root_renewal::{RoleChange, RootRequest};
use espseal_publish::secure_boot_key::SecureBootKey;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use crate::support::{App, Bench, CHIPS, TIME, app, rsa_record, secure_boot_key};

const C3: ChipId = ChipId::Esp32C3;

fn oracle(arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authority/oracle.py");
    oracles::run(oracles::python().arg(script).args(arguments));
}

#[test]
fn python_verifies_the_metadata_of_two_roots_and_three_releases() {
    let bench = Bench::new();
    bench.enrol_agent(C3, "production");
    let repository = bench.project().join("repository");
    let repository = repository.to_str().unwrap();
    bench.release(&app(C3));
    oracle(&["metadata", repository]);
    bench.release(&app(ChipId::Esp32));
    let long = App {
        length: 600_000,
        ..App::new(C3)
    };
    bench.release(&long.signed());
    let request = RootRequest {
        root_keys: [1, 2]
            .map(|number| bench.project().join(format!("keys/root-{number}.pem")))
            .to_vec(),
        now: RoleChange::Replace,
        ..RootRequest::default()
    };
    bench
        .authority()
        .renew_root(&request, TIME + 1, &Unwatched)
        .unwrap();
    oracle(&["metadata", repository]);
}

#[test]
fn python_opens_the_release_as_an_agent() {
    let bench = Bench::new();
    let devices: Vec<_> = (0..3)
        .map(|_| bench.enrol_agent(C3, "production"))
        .collect();
    let image = app(C3);
    bench.release(&image);
    let key = &devices[1];
    let out = bench.path("opened.bin");
    let scalar = key.expose_secret()[..32]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    oracle(&[
        "agent",
        bench.project().join("repository").to_str().unwrap(),
        &key.device_id().to_string(),
        &scalar,
        &key.public_key().to_string(),
        "5",
        out.to_str().unwrap(),
    ]);
    assert_eq!(fs::read(out).unwrap(), image);
}

#[test]
fn python_opens_header_and_body_with_two_rsa_keys_from_one_stored_body() {
    let bench = Bench::new();
    let image = app(C3);
    let mut devices: Vec<(DeviceId, String)> = Vec::new();
    for number in 0..2 {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).unwrap();
        let record = rsa_record(&key.public_key_pem(), C3);
        let path = bench.write("device.toml", record.as_bytes());
        let project = Project::open(&bench.project()).unwrap();
        let id = Device::load(&path, &project).unwrap().id;
        // One device before the release, one after.
        if number == 1 {
            bench.release(&image);
        }
        bench.enrol(&path).unwrap();
        devices.push((id, key.serialize_pem()));
    }
    let body = bench.manifest(&bench.offer(C3)).component.body;
    let bodies = fs::read_dir(bench.project().join("repository/bodies")).unwrap();
    assert_eq!(bodies.count(), 2, "one body and its pages");
    let path = format!("repository/{}", Resource::Body(&body).path());
    let body_file = bench.project().join(path);
    let mut headers = Vec::new();
    for (id, pem) in &devices {
        let resource = Resource::IdfHeader {
            device: id,
            body: &body,
        };
        let header = bench.stored(resource).unwrap();
        let files = [
            bench.write("header.bin", &header),
            body_file.clone(),
            bench.write("key.pem", pem.as_bytes()),
            bench.path("opened.bin"),
        ];
        let mut arguments = vec!["esp-idf"];
        arguments.extend(files.iter().map(|path| path.to_str().unwrap()));
        oracle(&arguments);
        assert_eq!(fs::read(&files[3]).unwrap(), image);
        headers.push(header);
    }
    let [one, two] = headers.as_slice() else {
        panic!("two devices")
    };
    assert_ne!(one[4..388], two[4..388]);
    assert_eq!((&one[..4], &one[388..]), (&two[..4], &two[388..]));
}

#[test]
fn python_opens_the_file_of_each_ecies_device_by_its_hmac_key() {
    const COUNT: usize = 24;
    let bench = Bench::new();
    let keys = bench.path("keys");
    fs::create_dir(&keys).unwrap();
    let folder = keys.to_str().unwrap();
    oracle(&["hmac-keys", folder, &COUNT.to_string()]);
    let mut enrol = |number: usize| {
        // The same public key comes out of the HMAC key on our side.
        let pem = fs::read_to_string(keys.join(format!("{number}.pem"))).unwrap();
        let key = fs::read(keys.join(format!("{number}.bin"))).unwrap();
        let own = HmacKey::from_bytes(key.try_into().unwrap()).device_key();
        assert_eq!(ecies::to_pem(&own.unwrap().public_key()), pem);
        let record = format!(
            "kind = \"esp-idf-ecies\"\nchip = \"esp32c3\"\nchannel = \"production\"\n\
             ecies-public-key = \"\"\"\n{pem}\"\"\"\n"
        );
        bench
            .enrol(&bench.write("device.toml", record.as_bytes()))
            .unwrap();
    };
    (0..COUNT - 2).for_each(&mut enrol);
    let image = App {
        length: 100_001,
        ..App::new(C3)
    }
    .signed();
    bench.release(&image);
    (COUNT - 2..COUNT).for_each(&mut enrol);
    let out = bench.path("opened.bin");
    let repository = bench.project().join("repository");
    let paths = [repository.to_str().unwrap(), out.to_str().unwrap()];
    oracle(&["ecies", paths[0], "5", folder, paths[1]]);
    assert_eq!(fs::read(out).unwrap(), image);
    println!("{COUNT} files opened by Python's cryptography");
}

#[test]
fn espsecure_and_esptool_accept_what_sign_makes_and_what_the_tests_build() {
    let bench = Bench::new();
    for chip in CHIPS {
        for (kind, name) in [
            (ImageKind::App, "app.bin"),
            (ImageKind::Bootloader, "boot.bin"),
        ] {
            let key = SecureBootKey::load(secure_boot_key()).unwrap();
            let image = match kind {
                ImageKind::App => App::new(chip).build(),
                ImageKind::Bootloader => images::bootloader(chip::chip(chip).unwrap()),
            };
            let signed = sign_image(Path::new(name), &image, kind, &[&key]).unwrap();
            let path = bench.write(name, &signed.bytes);
            let said = oracles::run(
                oracles::tool("espsecure")
                    .args(["verify-signature", "--version", "2", "--keyfile"])
                    .arg(secure_boot_key())
                    .arg(&path),
            );
            assert!(said.contains("verification successful"), "{said}");
            let said = oracles::run(oracles::tool("esptool").arg("image-info").arg(&path));
            assert_eq!(said.matches("(valid)").count(), 2, "{said}");
            let is_app = kind == ImageKind::App;
            assert_eq!(said.contains("Project name: lamp"), is_app, "{said}");
        }
    }
}

#[test]
fn espsecure_computes_the_same_key_digest() {
    let bench = Bench::new();
    let out = bench.path("digest.bin");
    oracles::run(
        oracles::tool("espsecure")
            .args(["digest-sbv2-public-key", "--keyfile"])
            .arg(secure_boot_key())
            .arg("--output")
            .arg(&out),
    );
    let key = SecureBootKey::load(secure_boot_key()).unwrap();
    assert_eq!(fs::read(out).unwrap(), key.digest().0);
}

#[test]
fn python_accepts_the_development_certificate_for_localhost() {
    let bench = Bench::new();
    let file = |name: &str| bench.project().join("ca").join(name);
    let (ca, server) = (file("ca.pem"), file("server.pem"));
    oracle(&[
        "certificate",
        ca.to_str().unwrap(),
        server.to_str().unwrap(),
        &TIME.to_string(),
    ]);
}
