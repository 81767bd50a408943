//! Frozen bytes of protocol version 1.
//!
//! If a test in this module fails, do not change the test: devices in the field speak these bytes.
//! A change needs a new version of the protocol, with a module of its own.
//!
//! The bytes were written by `vectors/protocol-v1/make.py` from `docs/protocol.md`, not by this
//! crate.

use espseal_format::body::{BodyLayout, PageIndex, hash_in_page};
use espseal_format::chip::ChipId;
use espseal_format::cohort::{Ppm, Salt, bucket};
use espseal_format::cose::{Role, Sign, Sign1, to_be_signed, to_be_signed1};
use espseal_format::journal::{Install, Quarantine, Record, RootLocation, State};
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::metadata::manifest::{ClassId, Component, ComponentKind, Manifest, VendorId};
use espseal_format::metadata::now::{Hold, Now};
use espseal_format::metadata::releases::{Epoch, Offer, OfferState, Releases};
use espseal_format::metadata::root::{RoleKeys, Root};
use espseal_format::report::{DeviceRecord, Event, IdfSubscription, Poll, Report};
use espseal_format::units::{
    ChannelName, ChunkIndex, DeviceId, Digest, FlashOffset, KeyId, Position, Product,
    PublicKeyBytes, SecurityVersion,
};
use espseal_format::wrap::{self, ShardEntry, ShardNibbles, find_in_shard};

macro_rules! vector {
    ($($name:literal),+) => {
        include_bytes!(concat!("../../../vectors/protocol-v1/", $($name),+))
    };
}

const PRODUCT: Product = Product(run(0x10));
const SALT: Salt = Salt(run(0xD0));
const GROUP: u32 = 7;
const EPOCH: u32 = 0x0102_0304;
const T0: u64 = 1_800_000_000;
const YEAR: u64 = 31_536_000;

/// Asserts that a value and its frozen bytes stand for each other.
macro_rules! assert_frozen {
    ($type:ty, $value:expr, $bytes:expr) => {
        let (value, bytes): ($type, &[u8]) = ($value, $bytes);
        let mut out = [0xEE; 2048];
        let length = value.encode(&mut out).unwrap();
        assert_eq!(&out[..length], bytes);
        assert!(out[length..].iter().all(|byte| *byte == 0xEE));
        assert_eq!(<$type>::parse(bytes).unwrap(), value);
    };
}

#[test]
fn root() {
    let role = |threshold, keys: &[&[u8; 65]], generation| RoleKeys {
        threshold,
        keys: keys.iter().map(|key| PublicKeyBytes(**key)).collect(),
        generation,
    };
    let mut owners = [
        vector!("root-a.pub"),
        vector!("root-b.pub"),
        vector!("root-c.pub"),
    ];
    owners.sort();
    let root = Root {
        product: PRODUCT,
        version: 2,
        expires: T0 + 10 * YEAR,
        max_time: T0 + 5 * YEAR,
        root: role(2, &owners, 0),
        releases: role(1, &[vector!("releases.pub")], 1),
        now: role(1, &[vector!("now.pub")], 4),
    };
    let releases_key = PublicKeyBytes(*vector!("releases.pub"));
    let kid = KeyId::of(&releases_key);
    assert_eq!(root.releases.key(kid), Some(&releases_key));
    assert_eq!(root.now.key(kid), None);
    assert_frozen!(Root, root, vector!("root.cbor"));
}

#[test]
fn releases() {
    let offer = |channel, chip, manifest, seq, ppm, state| Offer {
        channel: ChannelName::new(channel).unwrap(),
        chip,
        manifest,
        seq,
        salt: SALT,
        ppm: Ppm::new(ppm).unwrap(),
        state,
    };
    let manifest = Digest::of(vector!("manifest.cbor"));
    let other = Digest::of(b"another manifest");
    let (active, held) = (OfferState::Active, OfferState::Held);
    let ek = run::<32>(0x80);
    let prefix = wrap::epoch_commitment_prefix(&PRODUCT, GROUP, EPOCH);
    let value = Releases {
        product: PRODUCT,
        position: Position {
            generation: 1,
            version: 0x0102_0304_0506_0708,
        },
        previous: Some(Digest::of(b"previous releases")),
        expires: T0 + YEAR,
        offers: heapless::Vec::from_array([
            offer("beta", ChipId::Esp32C3, manifest, 43, 1_000_000, active),
            offer("production", ChipId::Esp32, other, 41, 0, held),
            offer("production", ChipId::Esp32C3, manifest, 42, 50_000, active),
        ]),
        epochs: heapless::Vec::from_array([
            Epoch {
                group: 0,
                epoch: 1,
                commitment: Digest::of(b"beta commitment"),
                shard_nibbles: ShardNibbles::new(0).unwrap(),
            },
            Epoch {
                group: GROUP,
                epoch: EPOCH,
                commitment: Digest::of(&[prefix.as_slice(), &ek].concat()),
                shard_nibbles: ShardNibbles::new(6).unwrap(),
            },
        ]),
    };
    let production = ChannelName::new("production").unwrap();
    let found = value.offer(&production, ChipId::Esp32C3).unwrap();
    assert_eq!(found.seq, 42);
    assert_eq!(value.offer(&production, ChipId::Esp32S3), None);
    assert_eq!(value.epoch(GROUP), value.epochs.last());
    assert_eq!(value.epoch(1), None);
    assert_frozen!(Releases, value, vector!("releases.cbor"));
}

#[test]
fn first_releases_without_offers() {
    let value = Releases {
        product: PRODUCT,
        position: Position::default(),
        previous: None,
        expires: 0,
        offers: heapless::Vec::new(),
        epochs: heapless::Vec::new(),
    };
    assert_frozen!(Releases, value, vector!("first-releases.cbor"));
}

#[test]
fn now() {
    let releases = Releases::parse(vector!("releases.cbor")).unwrap();
    let value = Now {
        product: PRODUCT,
        position: Position {
            generation: 4,
            version: 1000,
        },
        time: T0,
        expires: T0 + 86_400,
        releases: Digest::of(vector!("releases.cose")),
        root_version: 2,
        holds: heapless::Vec::from_array([Hold {
            channel: ChannelName::new("production").unwrap(),
            chip: ChipId::Esp32C3,
            seq: 42,
            ppm: Ppm::new(10_000).unwrap(),
        }]),
    };
    let effective: Vec<u32> = releases
        .offers
        .iter()
        .map(|offer| value.effective_ppm(offer).get())
        .collect();
    assert_eq!(effective, [1_000_000, 0, 10_000]);
    assert_frozen!(Now, value, vector!("now.cbor"));
}

#[test]
fn manifest() {
    let plaintext: Vec<u8> = (0..5000_u32)
        .map(|i| (i * 7 + i / 256).to_le_bytes()[0])
        .collect();
    let body = Digest::of(vector!("body.bin"));
    let cek = run::<32>(0x40);
    let commitment = [wrap::cek_commitment_prefix(&body).as_slice(), &cek].concat();
    let bytes = vector!("manifest.cbor");
    let value = Manifest {
        product: PRODUCT,
        vendor: VendorId(run(0x20)),
        class: ClassId(run(0x30)),
        chip: ChipId::Esp32C3,
        project: "thermostat".try_into().unwrap(),
        version: "1.2.3-rc.4".try_into().unwrap(),
        secure_version: SecurityVersion::new(3),
        min_seq: 40,
        expires: T0 + YEAR,
        component: Component {
            kind: ComponentKind::App,
            plaintext_length: 5000,
            plaintext: Digest::of(&plaintext),
            body_length: 5000,
            body,
            iv: run(0xC0),
            // Made by AES-GCM, which this crate does not have.
            tag: Manifest::parse(bytes).unwrap().component.tag,
            commitment: Digest::of(&commitment),
            pages: heapless::Vec::from_array([Digest::of(vector!("body.pages"))]),
        },
    };
    assert_frozen!(Manifest, value, bytes);
}

#[test]
fn poll_and_reports() {
    let channel = ChannelName::new("production").unwrap();
    let poll = Poll {
        product: PRODUCT,
        device: device(),
        channel: channel.clone(),
        chip: ChipId::Esp32C3,
        installed: Position {
            generation: 1,
            version: 41,
        },
    };
    assert_frozen!(Poll, poll, vector!("poll.cbor"));
    let report = Report {
        product: PRODUCT,
        device: device(),
        counter: 256,
        event: Event::RolledBack,
        release: Position {
            generation: 1,
            version: 42,
        },
        manifest: Some(Digest::of(vector!("manifest.cbor"))),
        code: 0x1234,
    };
    assert_frozen!(Report, report, vector!("report.cbor"));
    let factory = Report {
        product: PRODUCT,
        device: device(),
        counter: 1,
        event: Event::Confirmed,
        release: Position::default(),
        manifest: None,
        code: 0,
    };
    assert_frozen!(Report, factory, vector!("factory-report.cbor"));
}

#[test]
fn direct_manifests() {
    let raw: Vec<u8> = (0..4 * 4096_u32)
        .map(|i| (i % 247).to_le_bytes()[0])
        .collect();
    let page: Vec<u8> = raw.chunks(4096).flat_map(|c| Digest::of(c).0).collect();
    let mut image: Vec<u8> = (0..5000_u32)
        .map(|i| (i * 7 + i / 256).to_le_bytes()[0])
        .collect();
    image.resize(8192, 0xFF);
    let direct = DirectManifest {
        product: PRODUCT,
        manifest: Digest::of(vector!("manifest.cbor")),
        device: device(),
        scheme: FlashScheme::Xts128,
        slot: FlashOffset::new(0x1D_0000),
        journal: FlashOffset::new(0x3F_0000),
        probe: Digest::of(&image[..4096]),
        image_length: 8192,
        body: Digest::of(&raw),
        pages: heapless::Vec::from_slice(&[Digest::of(&page)]).unwrap(),
    };
    let last = direct.probe_chunk(RootLocation::B).unwrap();
    assert_eq!(direct.layout().chunk_range(last), Some(12_288..16_384));
    assert_eq!(direct.layout().chunk_range(ChunkIndex::new(4)), None);
    assert_eq!(direct.image_chunks(), 2);
    let esp32 = DirectManifest {
        scheme: FlashScheme::Esp32 { crypt_config: 9 },
        slot: FlashOffset::new(0x2_0000),
        ..direct.clone()
    };
    let xts256 = DirectManifest {
        scheme: FlashScheme::Xts256,
        ..direct.clone()
    };
    assert_frozen!(DirectManifest, direct, vector!("direct.cbor"));
    assert_frozen!(DirectManifest, xts256, vector!("direct-xts256.cbor"));
    assert_frozen!(DirectManifest, esp32, vector!("direct-esp32.cbor"));
}

#[test]
fn documents_are_parsed_into_memory_that_held_another() {
    macro_rules! assert_reused {
        ($type:ty, $first:literal, $second:literal) => {
            let mut memory = <$type>::BLANK;
            for bytes in [vector!($first).as_slice(), vector!($second)] {
                assert_eq!(memory.parse_into(bytes), Ok(()));
                assert_eq!(memory, <$type>::parse(bytes).unwrap());
            }
        };
    }
    assert_reused!(Root, "root.cbor", "root.cbor");
    assert_reused!(Releases, "releases.cbor", "first-releases.cbor");
    assert_reused!(Now, "now.cbor", "now.cbor");
    assert_reused!(Manifest, "manifest.cbor", "manifest.cbor");
    assert_reused!(DirectManifest, "direct.cbor", "direct-esp32.cbor");
}

#[test]
fn records_that_the_server_keeps() {
    let record = DeviceRecord {
        device: device(),
        report_key: PublicKeyBytes(*vector!("report.pub")),
    };
    assert_frozen!(DeviceRecord, record, vector!("device.cbor"));
    let subscription = IdfSubscription {
        device: device(),
        channel: ChannelName::new("production").unwrap(),
        chip: ChipId::Esp32,
    };
    assert_frozen!(IdfSubscription, subscription, vector!("subscription.cbor"));
}

#[test]
fn envelopes_of_one_signature() {
    macro_rules! files {
        ($role:expr, $name:literal) => {
            files!($role, $name, $name)
        };
        ($role:expr, $name:literal, $key:literal) => {
            (
                $role,
                vector!($key, ".pub"),
                vector!($name, ".cbor").as_slice(),
                vector!($name, ".tbs").as_slice(),
                vector!($name, ".cose").as_slice(),
            )
        };
    }
    for (role, key, payload, covered, envelope) in [
        files!(Role::Releases, "releases"),
        files!(Role::Now, "now"),
        files!(Role::Report, "report"),
        files!(Role::Direct, "direct", "releases"),
    ] {
        let parsed = Sign1::parse(envelope).unwrap();
        let kid = KeyId::of(&PublicKeyBytes(*key));
        assert_eq!((parsed.kid, parsed.payload), (kid, payload), "{role}");
        assert_eq!(
            parsed.signature.as_slice(),
            &envelope[envelope.len() - 64..]
        );
        assert_frozen!(Sign1<'_>, parsed, envelope);
        let mut streamed = Vec::new();
        to_be_signed1(role, &PRODUCT, kid, payload, &mut |piece| {
            streamed.extend_from_slice(piece);
        });
        assert_eq!(streamed, covered, "{role}");
        assert!(envelope.len() <= role.max_len());
    }
}

#[test]
fn envelope_of_several_signatures() {
    let parsed = Sign::parse(vector!("root.cose")).unwrap();
    assert_eq!(parsed.payload, vector!("root.cbor"));
    let kids: Vec<KeyId> = parsed.signatures.iter().map(|s| s.kid).collect();
    let expected = [vector!("root-c.pub"), vector!("root-b.pub")];
    assert_eq!(kids, expected.map(|key| KeyId::of(&PublicKeyBytes(*key))));
    let covered: [&[u8]; 2] = [vector!("root-0.tbs"), vector!("root-1.tbs")];
    for (kid, covered) in kids.into_iter().zip(covered) {
        let mut streamed = Vec::new();
        to_be_signed(Role::Root, &PRODUCT, kid, parsed.payload, &mut |piece| {
            streamed.extend_from_slice(piece);
        });
        assert_eq!(streamed, covered);
    }
    assert_frozen!(Sign<'_>, parsed, vector!("root.cose"));
}

#[test]
fn page_files() {
    let long: Vec<u8> = (0..4096 * 129 + 17_u32)
        .map(|i| (i % 251).to_le_bytes()[0])
        .collect();
    let layout = BodyLayout::new(u32::try_from(long.len()).unwrap());
    let digests: Vec<u8> = (0..layout.chunks())
        .flat_map(|chunk| {
            let range = layout.chunk_range(ChunkIndex::new(chunk)).unwrap();
            Digest::of(&long[range.start as usize..range.end as usize]).0
        })
        .collect();
    let mut pages = Vec::new();
    for page in 0..layout.pages() {
        let range = layout.page_range(PageIndex::new(page)).unwrap();
        let page = &digests[range.start as usize..range.end as usize];
        pages.extend(Digest::of(page).0);
    }
    assert_eq!(pages, vector!("long-body.page-digests"));
    let last = hash_in_page(vector!("body.pages"), ChunkIndex::new(1));
    assert_eq!(last, Some(Digest::of(&vector!("body.bin")[4096..])));
}

#[test]
fn labels_and_shard() {
    let body = Digest::of(vector!("body.bin"));
    let kek = wrap::kek_info(&PRODUCT, GROUP, EPOCH, &body);
    assert_eq!(&kek, vector!("kek.info"));
    let info = wrap::epoch_info(&PRODUCT, GROUP, EPOCH, &device());
    assert_eq!(&info, vector!("epoch.info"));
    let shard = vector!("epoch.shard");
    for key in [
        vector!("device-0.pub"),
        vector!("device-1.pub"),
        vector!("device-2.pub"),
    ] {
        let device = DeviceId::of(&PublicKeyBytes(*key));
        let entry = find_in_shard(shard, &device).unwrap().unwrap();
        assert_eq!(entry.enc[0], 0x04);
        let at = shard
            .chunks(ShardEntry::LEN)
            .position(|e| e == entry.encode());
        assert!(at.is_some());
    }
}

#[test]
fn cohorts() {
    for row in vector!("cohort.rows").chunks(52) {
        let salt = Salt(row[..16].try_into().unwrap());
        let device = DeviceId(row[16..48].try_into().unwrap());
        let expected = u32::from_be_bytes(row[48..].try_into().unwrap());
        assert_eq!(bucket(&salt, &device), expected);
    }
}

#[test]
fn journal_record() {
    let position = |generation, version| Position {
        generation,
        version,
    };
    let manifest = Manifest::parse(vector!("manifest.cbor")).unwrap();
    let record = Record {
        counter: 0x1112_1314,
        state: State::Activating,
        target_slot: 1,
        attempts: 3,
        root: RootLocation::B,
        root_version: 0x2122_2324,
        releases_floor: position(0x3132_3334, 0x4142_4344_4546_4748),
        now_floor: position(0x5152_5354, 0x6162_6364_6566_6768),
        time_floor: 0x7172_7374_7576_7778,
        target: Install {
            position: position(1, 42),
            manifest: Digest::of(vector!("manifest.cbor")),
            plaintext: manifest.component.plaintext,
        },
        confirmed: Install {
            position: position(1, 41),
            manifest: Digest(run(0xA0)),
            plaintext: Digest(run(0xB0)),
        },
        report_counter: 256,
        quarantine: [0, 1, 2, 3].map(|failures| Quarantine {
            manifest: Digest(run(0xE0 + failures)),
            failures,
        }),
    };
    assert_eq!(&record.encode(), vector!("journal.record"));
    assert_eq!(Record::parse(vector!("journal.record")), Ok(record));
}

/// The device of the vectors.
fn device() -> DeviceId {
    DeviceId::of(&PublicKeyBytes(*vector!("device-0.pub")))
}

/// Bytes `start`, `start + 1`, ...
const fn run<const N: usize>(start: u8) -> [u8; N] {
    let mut bytes = [0; N];
    let mut next = start;
    let mut index = 0;
    while index < N {
        bytes[index] = next;
        next = next.wrapping_add(1);
        index += 1;
    }
    bytes
}
