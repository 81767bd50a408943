//! What the corpus starts from, and what targets need beside their input: our own vectors, the proofs'
//! artefacts, keys made for this purpose.

use std::path::Path;
use std::sync::OnceLock;

use espseal_format::cose::Sign1;
use espseal_format::metadata::now::Now;
use espseal_format::report::{DeviceRecord, IdfSubscription};
use espseal_format::repository::Resource;
use espseal_format::signature_block::ImageDigests;
use espseal_format::units::{DeviceId, Digest};
use espseal_proofs::fuzz;
use espseal_publish::secure_boot_key::{ImageSigner as _, SecureBootKey};

/// A partition table that suits a project.
pub const PARTITIONS: &str = "\
nvs,       data, nvs,      0x9000,   0x4000,
otadata,   data, ota,      0xd000,   0x2000,
phy_init,  data, phy,      0xf000,   0x1000,
ota_0,     app,  ota_0,    0x10000,  0x1e0000,
ota_1,     app,  ota_1,    0x1f0000, 0x1e0000,
espseal,   data, 0x40,     0x3d0000, 0x4000,   encrypted
nvs_keys,  data, nvs_keys, 0x3d4000, 0x1000,   encrypted
";

/// A project with two chips and two channels.
pub const PROJECT: &str = r#"format = 1
name = "Lamp"
product = "70707070707070707070707070707070"
vendor = "56565656565656565656565656565656"
class = "43434343434343434343434343434343"
base-url = "https://localhost:8443/"

[lifetimes]
root-days = 3650
releases-days = 365
manifest-days = 365
now-hours = 168

[[chip]]
chip = "esp32"
partition-table = "partitions/esp32.csv"
secure-boot-digests = ["1111111111111111111111111111111111111111111111111111111111111111"]

[[chip]]
chip = "esp32c3"
partition-table = "partitions/esp32c3.csv"
partition-table-offset = 0x8000
secure-boot-digests = ["1111111111111111111111111111111111111111111111111111111111111111"]
secure-version-bits = 16

[[channel]]
name = "production"
group = 1
chips = ["esp32", "esp32c3"]

[[channel]]
name = "beta"
group = 2
chips = ["esp32c3"]
"#;

/// Private keys made for the fuzz targets, in PEM.
pub const KEYS: [&str; 4] = [
    include_str!("../keys/rsa3072.pem"),
    include_str!("../keys/prime192v1.pem"),
    include_str!("../keys/prime256v1.pem"),
    include_str!("../keys/secp384r1.pem"),
];
const OTHER_KEYS: [&str; 3] = [
    include_str!("../keys/prime256v1-pkcs8.pem"),
    include_str!("../keys/prime256v1-public.pem"),
    include_str!("../keys/rsa3072-public.pem"),
];

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../vectors/", $name)).as_slice()
    };
}

/// Genuine signature blocks, each with the image that it signs.
pub(crate) fn blocks() -> &'static [([u8; 1216], Vec<u8>)] {
    static BLOCKS: OnceLock<Vec<([u8; 1216], Vec<u8>)>> = OnceLock::new();
    BLOCKS.get_or_init(|| {
        let image = b"an image, padded".to_vec();
        let digests = ImageDigests::of(&image);
        let signed = KEYS.iter().map(|key| {
            let key = SecureBootKey::from_pem(Path::new("key.pem"), key.as_bytes());
            let block = key.expect("a key").sign_block(&digests);
            (block.expect("it signs"), image.clone())
        });
        signed
            .chain([(fuzz::rsa_block(&image), image.clone())])
            .collect()
    })
}

/// A small repository with an agent that reports and a device of ESP-IDF's, from the vectors.
pub(crate) fn repository() -> &'static [(String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let (body, releases) = (
            vector!("protocol-v1/body.bin"),
            vector!("protocol-v1/releases.cose"),
        );
        let (manifest, record) = (
            vector!("protocol-v1/manifest.cbor"),
            vector!("protocol-v1/device.cbor"),
        );
        let subscription = vector!("protocol-v1/subscription.cbor");
        let digest = Digest::of(body);
        let agent = DeviceRecord::parse(record).expect("a vector").device;
        let idf: DeviceId = IdfSubscription::parse(subscription)
            .expect("a vector")
            .device;
        let mut header = vector!("enc-img/header-rsa.bin").to_vec();
        header.resize(512, 0);
        let files: [(Resource<'_>, &[u8]); 9] = [
            (Resource::Now, vector!("protocol-v1/now.cose")),
            (Resource::Root(1), vector!("protocol-v1/root.cose")),
            (Resource::Releases(&Digest::of(releases)), releases),
            (Resource::Manifest(&Digest::of(manifest)), manifest),
            (Resource::Body(&digest), body),
            (Resource::Pages(&digest), vector!("protocol-v1/body.pages")),
            (Resource::Device(&agent), record),
            (Resource::IdfSubscription(&idf), subscription),
            (
                Resource::IdfHeader {
                    device: &idf,
                    body: &digest,
                },
                &header,
            ),
        ];
        files
            .map(|(resource, bytes)| (resource.path().as_str().to_owned(), bytes.to_vec()))
            .into()
    })
}

/// The time at which [`repository`] is fresh, in seconds since 1970.
pub(crate) fn time() -> u64 {
    let signed = Sign1::parse(vector!("protocol-v1/now.cose")).expect("a vector");
    Now::parse(signed.payload).expect("a vector").time
}

/// Paths that a server of [`repository`] knows.
pub(crate) fn paths() -> &'static [String] {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    PATHS.get_or_init(|| {
        let mut paths: Vec<String> = ["/healthz", "/v1/poll", "/v1/report"]
            .map(Into::into)
            .into();
        paths.extend(repository().iter().map(|(path, _)| format!("/{path}")));
        let header = repository()
            .last()
            .map(|(path, _)| path.as_str())
            .unwrap_or_default();
        paths.push(format!("/{}.bin", header.trim_end_matches(".header")));
        if let Some((folder, _)) = header.rsplit_once('/') {
            paths.push(format!("/{folder}/latest"));
        }
        paths
    })
}

/// What the corpus of a target starts from.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let all = |parts: &[&[u8]]| parts.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>();
    let [app, bootloader] = fuzz::images();
    let small_app = small_image(&app);
    match target {
        "image" => vec![small_app, small_image(&bootloader), app[..2000].to_vec()],
        "app_descriptor" => all(&[&app[32..288], &vector!("app-image/app.bin")[32..288]]),
        "bootloader_descriptor" => vec![[&[80, 0, 0, 1, 1, 0, 0, 0][..], b"v5.5", &[0; 28], b"Jan  1 2026 00:00:00", &[0; 20]].concat()],
        "partition_table" => {
            let start = |bytes: &[u8]| bytes[..bytes.len().min(512)].to_vec();
            vec![start(vector!("partition-table/quirks.bin")), start(vector!("partition-table/bootloader.bin"))]
        }
        "partition_csv" => all(&[
            PARTITIONS.as_bytes(),
            vector!("partition-table/quirks.csv"),
            vector!("partition-table/bootloader.csv"),
        ]),
        "otadata" => {
            let entry = |seq: u32, state: u32| [&seq.to_le_bytes()[..], &[0xFF; 20], &state.to_le_bytes(), &[0; 4]].concat();
            let pair = |shape: u8, a: Vec<u8>, b: Vec<u8>| [vec![shape, 2], a, b].concat();
            vec![
                pair(1, entry(1, 2), entry(2, 0)),
                pair(3, entry(5, 1), entry(4, 2)),
                pair(0, entry(1, 2), vec![0xFF; 32]),
                pair(1, entry(u32::MAX, 2), entry(u32::MAX - 1, 3)),
            ]
        }
        "nvs" => vec![[&0xFFFF_FFFE_u32.to_le_bytes()[..], &[0; 4], &[0xFE], &[0xFF; 23]].concat()],
        "journal" => {
            let record = vector!("protocol-v1/journal.record");
            vec![record.to_vec(), record.repeat(2)]
        }
        "root_body" => vec![[&[16, 0, 0, 0][..], &[7; 16]].concat()],
        "enc_img_header" => all(&[vector!("enc-img/header-rsa.bin")]),
        "signature_sector" => blocks().iter().map(|(block, _)| block.to_vec()).collect(),
        "secure_boot_block" => (0..5).map(|which| vec![which]).chain([vec![0, 36, 0, 1], vec![2, 100, 2, 255]]).collect(),
        "app_signature" => vec![[b"image".as_slice(), &[0; 4], &[9; 64]].concat()],
        "debug_certificate" => all(&[b"\x02\0\0\0\0\x01\x07\x05nonce", b"02:00:00:00:00:01"]),
        "cose" => all(&[
            vector!("protocol-v1/now.cose"),
            vector!("protocol-v1/report.cose"),
            vector!("protocol-v1/root.cose"),
        ]),
        "root" => all(&[vector!("protocol-v1/root.cbor")]),
        "releases" => all(&[vector!("protocol-v1/releases.cbor"), vector!("protocol-v1/first-releases.cbor")]),
        "now" => all(&[vector!("protocol-v1/now.cbor")]),
        "manifest" => all(&[vector!("protocol-v1/manifest.cbor")]),
        "report" => all(&[
            vector!("protocol-v1/report.cbor"),
            vector!("protocol-v1/factory-report.cbor"),
            vector!("protocol-v1/poll.cbor"),
            vector!("protocol-v1/device.cbor"),
            vector!("protocol-v1/subscription.cbor"),
        ]),
        "shard" => {
            let shard = vector!("protocol-v1/epoch.shard");
            vec![shard[..shard.len().min(1160)].to_vec()]
        }
        "repository_path" => {
            let made = fuzz::repository().into_iter().map(|(path, _)| path.into_bytes());
            let paths = repository().iter().map(|(path, _)| path.clone().into_bytes());
            paths.chain(made).chain([b"0af".to_vec()]).collect()
        }
        "efuse_fields" => (0..4).map(|chip| [&[chip, 9, 0, 1], [0; 40].as_slice()].concat()).collect(),
        "efuse_files" => (0..3).map(|chip| [&[chip], [0; 124].as_slice()].concat()).collect(),
        "boot" => (0..5).map(|kind| vec![kind, 0, 1, 0, 0, 4, 1, 0, 0, 0]).chain([
            vec![0, 2, 0, 0x40, 0, 32, 0xAA, 0x50, 1, 0x40, 0, 0xC0, 8],
            vec![1, 0, 1, 0, 0, 32, 2, 0, 0, 0],
        ]).collect(),
        "inspect" => {
            let image = [&[0, 0, 0, 0, 255], &app[..255]].concat();
            vec![image, vec![4], vec![0x37, 8, 0, 0, 4, 0xAA, 0x50, 0, 0]]
        }
        "project" => vec![
            PROJECT.as_bytes().to_vec(),
            [PROJECT.as_bytes(), b"\0", PARTITIONS.as_bytes()].concat(),
        ],
        "device_record" => device_records(),
        "hsm_config" => all(&[b"[hsm_config]\npkcs11_lib = /usr/lib/softhsm/libsofthsm2.so\nslot = 1064438308\nlabel = signing-key\nlabel_pubkey = signing-key\ncredentials = 1234567890\n"]),
        "release_log" => {
            let digest = "ab".repeat(32);
            let log = format!(
                "{{\"assigned\":{{\"generation\":1,\"seq\":1,\"manifest\":\"{digest}\"}}}}\n\
                 {{\"published\":{{\"generation\":1,\"version\":1,\"releases\":\"{digest}\"}}}}\n"
            );
            vec![log.into_bytes(), b"\n".to_vec()]
        }
        "pem_key" => KEYS.iter().chain(&OTHER_KEYS).map(|key| key.as_bytes().to_vec()).collect(),
        "signed_data" => {
            let mut data = b"data, which is signed".to_vec();
            data.resize(4096, 0xFF);
            data.extend(blocks()[2].0);
            data.resize(8192, 0xFF);
            vec![data]
        }
        "server" => server(),
        "agent" => vec![
            vec![14, 13, 0],
            vec![0, 1, 0, 14, 13, 1, 13, 0],
            vec![0, 3, 0, 14, 13, 0],
            vec![12, 40, 4, 7, 0, 14, 14, 13, 0],
            vec![8, 3, 255, 1, 2, 3, 4, 5, 6, 7, 8, 14, 0, 2, 0, 14],
            vec![11, 4, 0, 0, 14, 13, 0, 11, 6, 0, 0, 14],
        ],
        _ => Vec::new(),
    }
}

/// An image of some hundred bytes, with the header and the first bytes of another.
fn small_image(image: &[u8]) -> Vec<u8> {
    let length = 288_u32;
    let mut small = image[..28].to_vec();
    small.extend(length.to_le_bytes());
    small.extend(&image[32..32 + length as usize]);
    let sum = small[32..].iter().fold(0xEF, |sum, byte| sum ^ byte);
    small.resize((small.len() | 15) + 1, 0);
    *small.last_mut().expect("it is padded") = sum;
    let hash = Digest::of(&small);
    small.extend(hash.0);
    small
}

fn device_records() -> Vec<Vec<u8>> {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let (first, second) = (
        vector!("protocol-v1/device-0.pub"),
        vector!("protocol-v1/device-1.pub"),
    );
    let agent = format!(
        "kind = \"agent\"\nchip = \"esp32c3\"\nchannel = \"production\"\nencryption-key = \"{}\"\nreport-key = \"{}\"\n",
        hex(first),
        hex(second)
    );
    let idf = format!(
        "kind = \"esp-idf-rsa\"\nchip = \"esp32\"\nchannel = \"production\"\nrsa-public-key = \"\"\"{}\"\"\"\nrevoked = true\n",
        OTHER_KEYS[2]
    );
    vec![agent.into_bytes(), idf.into_bytes()]
}

fn server() -> Vec<Vec<u8>> {
    let paths = paths();
    let get = |which: usize| vec![0x10, which as u8];
    let mut seeds: Vec<Vec<u8>> = (0..paths.len()).map(get).collect();
    let range = |which: usize, range: &[u8]| [&[0x30, which as u8, 0][..], range, &[0]].concat();
    seeds.extend([b"bytes=0-9".as_slice(), b"bytes=16-", b"bytes=-5"].map(|value| range(7, value)));
    seeds.push(range(paths.len() - 2, b"bytes=500-700"));
    seeds.push(
        [
            &[0x30, paths.len() as u8 - 1, 5][..],
            b"localhost:8443",
            &[0],
        ]
        .concat(),
    );
    seeds.push([&[0x14, 1][..], vector!("protocol-v1/poll.cbor")].concat());
    seeds.push([&[0x14, 2][..], vector!("protocol-v1/report.cose")].concat());
    seeds.push(b"\x00/now.cose?x\0".to_vec());
    seeds
}
