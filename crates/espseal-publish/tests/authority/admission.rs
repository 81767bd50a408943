//! Who can open a release: enrolment, late joiners, revocation, large fleets.

use std::fs;

use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::chip::ChipId;
use espseal_format::report::{DeviceRecord, IdfSubscription};
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Digest, Product};
use espseal_format::wrap::{MAX_SHARD_LEN, ShardNibbles, find_in_shard};
use espseal_publish::authority::AuthorityError;
use espseal_publish::blame::Blame;
use espseal_publish::enrolment::{Device, EnrolmentError, Standing};
use espseal_publish::epochs::{EpochKeys, Recipient, reaches_exactly, shard_path};
use espseal_publish::observer::Unwatched;
use espseal_publish::repository::Store as _;
use espseal_publish::repository::folder::FolderStore;
use rcgen::RsaKeySize;

use crate::support::{Bench, TIME, agent_record, app, random, rsa_pem, rsa_record};

const C3: ChipId = ChipId::Esp32C3;

fn load(bench: &Bench, record: &str) -> Result<Device, EnrolmentError> {
    let path = bench.write("device.toml", record.as_bytes());
    let project = espseal_publish::project::Project::open(&bench.project()).unwrap();
    Device::load(&path, &project)
}

#[test]
fn enrolled_agents_open_the_release_and_others_do_not() {
    let bench = Bench::new();
    let early = bench.enrol_agent(C3, "production");
    let beta = bench.enrol_agent(C3, "beta");
    let image = app(C3);
    bench.release(&image);
    assert_eq!(bench.open_as(&early, C3).as_deref(), Some(image.as_slice()));
    assert_eq!(bench.open_as(&beta, C3), None);
    let late = bench.enrol_agent(C3, "production");
    assert_eq!(bench.open_as(&late, C3).as_deref(), Some(image.as_slice()));
    assert_eq!(bench.open_as(&early, C3).as_deref(), Some(image.as_slice()));
    let record = bench.stored(Resource::Device(&late.device_id())).unwrap();
    let record = DeviceRecord::parse(&record).unwrap();
    assert_eq!(
        (record.device, record.report_key),
        (late.device_id(), late.report_key())
    );
}

#[test]
fn revoked_agent_is_left_out_of_the_next_epoch_and_all_bodies_are_wrapped_anew() {
    let bench = Bench::new();
    let kept = bench.enrol_agent(C3, "production");
    let lost = bench.enrol_agent(C3, "production");
    let (c3, esp32) = (app(C3), app(ChipId::Esp32));
    bench.release(&esp32);
    bench.release(&c3);
    assert_eq!(bench.open_as(&lost, C3).as_deref(), Some(c3.as_slice()));
    let epoch = bench.releases().epoch(1).unwrap().epoch;
    let offers = bench.releases().offers;
    let digits = lost.device_id().to_string();
    let revoked = bench
        .authority()
        .revoke(&digits[..12], TIME + 1, &Unwatched)
        .unwrap();
    assert_eq!(revoked.epoch, Some(epoch + 1));
    assert_eq!(
        bench.releases().offers,
        offers,
        "the releases themselves stay"
    );
    assert_eq!(bench.open_as(&lost, C3), None);
    assert_eq!(bench.open_as(&kept, C3).as_deref(), Some(c3.as_slice()));
    assert_eq!(
        bench.open_as(&kept, ChipId::Esp32).as_deref(),
        Some(esp32.as_slice())
    );
    assert_eq!(bench.stored(Resource::Device(&lost.device_id())), None);
    bench
        .authority()
        .revoke(&digits, TIME + 2, &Unwatched)
        .unwrap();
    let record = agent_record(&lost, C3, "production");
    let path = bench.write("again.toml", record.as_bytes());
    let again = bench.enrol(&path);
    assert!(matches!(
        again,
        Err(AuthorityError::Enrolment(EnrolmentError::WasRevoked { .. }))
    ));
}

#[test]
fn lost_epoch_key_is_named_where_it_is_needed_and_nothing_is_changed() {
    let bench = Bench::new();
    let device = bench.enrol_agent(C3, "production");
    bench.release(&app(ChipId::Esp32));
    bench.release(&app(C3));
    let key = bench.project().join("keys/epochs/1-2.key");
    let mut bytes = fs::read(&key).unwrap();
    bytes[0] ^= 1;
    fs::write(&key, &bytes).unwrap();
    let before = bench.now();
    let path = bench.write("app.bin", &app(C3));
    let error = bench.publish(&crate::support::request(&path)).unwrap_err();
    assert_eq!(error.blame(), Blame::Refused);
    assert!(error.to_string().contains("1-2.key"), "{error}");
    assert_eq!(bench.now(), before);
    // What cannot be wrapped anew without a device is not begun.
    let id = device.device_id();
    let revoked = bench
        .authority()
        .revoke(&id.to_string(), TIME, &Unwatched)
        .unwrap_err();
    assert!(revoked.to_string().contains("1-2.key"), "{revoked}");
    assert_eq!(
        bench.authority().registry().get(id).unwrap().standing,
        Standing::Enrolled
    );
    assert!(bench.stored(Resource::Device(&id)).is_some());
}

#[test]
fn lost_epoch_key_and_wrap_of_the_release_that_is_replaced_are_not_missed() {
    let bench = Bench::new();
    let device = bench.enrol_agent(C3, "production");
    bench.release(&app(C3));
    fs::remove_file(bench.project().join("keys/epochs/1-1.key")).unwrap();
    fs::remove_dir_all(bench.project().join("repository/wraps")).unwrap();
    let image = app(C3);
    assert_eq!(bench.release(&image).epoch, 2);
    assert_eq!(bench.open_as(&device, C3), Some(image));
    bench
        .authority()
        .revoke(&device.device_id().to_string(), TIME, &Unwatched)
        .unwrap();
}

#[test]
fn shards_are_exact_with_each_agent_and_nobody_else() {
    let bench = Bench::new();
    let mut agents: Vec<_> = (0..40)
        .map(|_| {
            let key = SoftwareDeviceKey::generate(&mut random());
            Recipient {
                id: key.device_id(),
                key: *key.public_key(),
            }
        })
        .collect();
    agents.sort_by_key(|agent| agent.id);
    let epochs = EpochKeys::new(&bench.project().join("keys/epochs"), Product([7; 16]));
    let store = FolderStore::open(&bench.path("store")).unwrap();
    let (some, all) = (&agents[..39], &agents[..]);
    let mut epoch = epochs.start(&mut random(), 9, None, some).unwrap();
    for nibbles in [0, 1] {
        epoch.signed.shard_nibbles = ShardNibbles::new(nibbles).unwrap();
        epochs
            .wrap_for_all(&epoch, some, &store, &Unwatched)
            .unwrap();
        let exact = |agents: &[Recipient]| reaches_exactly(&epoch.signed, agents, &store).unwrap();
        assert!(exact(some));
        assert!(!exact(all), "one that found no room");
        assert!(!exact(&[&some[..20], &some[21..]].concat()), "one too many");
        let path = shard_path(&epoch.signed, &some[3].id);
        let mut shard = store.get(&path).unwrap().unwrap();
        shard.push(0);
        store.replace(&path, &shard).unwrap();
        assert!(!exact(some), "damaged");
    }
}

#[test]
fn bad_device_records_are_refused_by_name_of_the_field() {
    let bench = Bench::new();
    let key = SoftwareDeviceKey::generate(&mut random());
    let good = agent_record(&key, C3, "production");
    load(&bench, &good).unwrap();
    let public = key.public_key().to_string();
    let off_curve = format!("{}{}", &public[..128], "00");
    let cases: [(&str, String, &str); 8] = [
        (
            "point off the curve",
            good.replace(&public, &off_curve),
            "encryption-key",
        ),
        (
            "compressed point",
            good.replace(&public, &format!("02{}", &public[2..66])),
            "P-256",
        ),
        (
            "one key for both",
            good.replace(&key.report_key().to_string(), &public),
            "same",
        ),
        (
            "unknown chip",
            good.replace("esp32c3", "esp8266"),
            "esp8266",
        ),
        (
            "unknown channel",
            good.replace("production", "staging"),
            "staging",
        ),
        (
            "no report key",
            good.lines().take(4).collect::<Vec<_>>().join("\n"),
            "report-key",
        ),
        ("unknown field", format!("{good}extra = 1\n"), "extra"),
        (
            "unknown kind",
            good.replace("\"agent\"", "\"friend\""),
            "friend",
        ),
    ];
    for (what, record, named) in cases {
        let error = load(&bench, &record).unwrap_err();
        assert!(error.to_string().contains(named), "{what}: {error}");
    }
    for (what, bytes) in [
        ("empty", &b""[..]),
        ("no text", b"\xFF\xFE"),
        ("no TOML", b"a b c"),
    ] {
        let path = bench.write("device.toml", bytes);
        let error = bench.enrol(&path).unwrap_err();
        assert_eq!(error.blame(), Blame::Usage, "{what}: {error}");
    }
    let missing = bench.enrol(&bench.path("none.toml")).unwrap_err();
    assert_eq!(missing.blame(), Blame::Io);
}

#[test]
fn device_cannot_be_enrolled_twice_not_even_in_one_call() {
    let bench = Bench::new();
    let key = SoftwareDeviceKey::generate(&mut random());
    let record = agent_record(&key, C3, "production");
    let path = bench.write("device.toml", record.as_bytes());
    let copy = bench.write("copy.toml", record.as_bytes());
    let both = bench.authority().read_devices(&[path.clone(), copy]);
    assert!(matches!(both, Err(EnrolmentError::Duplicate { .. })));
    bench.enrol(&path).unwrap();
    let again = bench.enrol(&path);
    assert!(matches!(
        again,
        Err(AuthorityError::Enrolment(EnrolmentError::Duplicate { .. }))
    ));
}

#[test]
fn rsa_recipients_need_exactly_3072_bits_and_secure_boot() {
    let bench = Bench::new();
    for (size, bits) in [(RsaKeySize::_2048, 2048), (RsaKeySize::_4096, 4096)] {
        let error = load(&bench, &rsa_record(&rsa_pem(size), C3)).unwrap_err();
        assert!(
            matches!(error, EnrolmentError::RsaSize { found, .. } if found == bits),
            "{error}"
        );
    }
    let p256 = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let error = load(&bench, &rsa_record(&p256, C3)).unwrap_err();
    assert!(
        matches!(error, EnrolmentError::RsaUnreadable { .. }),
        "{error}"
    );
    let pem = rsa_pem(RsaKeySize::_3072);
    let device = load(&bench, &rsa_record(&pem, C3)).unwrap();
    let path = bench.write("device.toml", rsa_record(&pem, C3).as_bytes());
    bench.enrol(&path).unwrap();
    let stored = bench.stored(Resource::IdfSubscription(&device.id)).unwrap();
    let subscription = IdfSubscription::parse(&stored).unwrap();
    assert_eq!((subscription.device, subscription.chip), (device.id, C3));
    assert_eq!(subscription.channel.as_str(), "production");

    let text = fs::read_to_string(bench.project().join("espseal.toml")).unwrap();
    let digest = text.split("secure-boot-digests = [").nth(1).unwrap();
    let digest = digest.split(']').next().unwrap().to_owned();
    let insecure = Bench::new();
    insecure.configure(
        &format!("secure-boot-digests = [{digest}]"),
        "secure-boot-digests = []",
    );
    let error = load(&insecure, &rsa_record(&pem, C3)).unwrap_err();
    assert!(
        matches!(error, EnrolmentError::NoSecureBoot { .. }),
        "{error}"
    );
    // A fleet that loses secure boot on paper is not published to either.
    bench.configure(
        &format!("secure-boot-digests = [{digest}]"),
        "secure-boot-digests = []",
    );
    let error = espseal_publish::authority::Authority::open(&bench.project(), &Unwatched);
    assert!(matches!(
        error,
        Err(AuthorityError::Enrolment(
            EnrolmentError::NoSecureBoot { .. }
        ))
    ));
}

#[test]
fn revoked_esp_idf_device_loses_subscription_and_headers() {
    let bench = Bench::new();
    let record = rsa_record(&rsa_pem(RsaKeySize::_3072), C3);
    let device = load(&bench, &record).unwrap();
    let path = bench.write("device.toml", record.as_bytes());
    let published = bench.release(&app(C3));
    bench.enrol(&path).unwrap();
    let header = Resource::IdfHeader {
        device: &device.id,
        body: &published.body,
    };
    assert!(
        bench.stored(header).is_some(),
        "a late joiner gets a header at once"
    );
    let id = device.id.to_string();
    bench.authority().revoke(&id, TIME + 1, &Unwatched).unwrap();
    assert_eq!(bench.stored(header), None);
    assert_eq!(bench.stored(Resource::IdfSubscription(&device.id)), None);
    let next = bench.release_at(&app(C3), TIME + 2);
    let header = Resource::IdfHeader {
        device: &device.id,
        body: &next.body,
    };
    assert_eq!(bench.stored(header), None);
}

#[test]
fn large_fleet_is_spread_over_shards_that_each_stay_below_64_kib() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(&folder.path().join("repository")).unwrap();
    let product = Product([7; 16]);
    let keys = EpochKeys::new(folder.path(), product);
    let devices: Vec<_> = (0..900)
        .map(|_| SoftwareDeviceKey::generate(&mut random()))
        .collect();
    let recipient = |key: &SoftwareDeviceKey| Recipient {
        id: key.device_id(),
        key: *key.public_key(),
    };
    let mut recipients: Vec<_> = devices.iter().map(recipient).collect();
    recipients.sort_by_key(|recipient| recipient.id);
    let epoch = keys.start(&mut random(), 1, None, &recipients).unwrap();
    assert_eq!(
        epoch.signed.shard_nibbles.get(),
        1,
        "900 devices do not fit one shard"
    );
    keys.wrap_for_all(&epoch, &recipients, &store, &Unwatched)
        .unwrap();
    let late = SoftwareDeviceKey::generate(&mut random());
    let admit = |key| {
        keys.admit(&epoch, &[recipient(key)], &store, &Unwatched)
            .unwrap()
    };
    assert_eq!(admit(&late), []);
    for key in devices.iter().chain([&late]) {
        let id = key.device_id();
        let shard = store.get(&shard_path(&epoch.signed, &id)).unwrap().unwrap();
        assert!(shard.len() <= MAX_SHARD_LEN);
        let entry = find_in_shard(&shard, &id).unwrap().unwrap();
        let opened = key.open_epoch_key(&product, 1, 1, &entry).unwrap();
        assert_eq!(opened.expose_secret(), epoch.key.expose_secret());
    }
    let full = vec![0; MAX_SHARD_LEN / 145 * 145];
    let path = shard_path(&epoch.signed, &late.device_id());
    store.replace(&path, &full).unwrap();
    assert_eq!(admit(&late), [late.device_id()]);
    assert_eq!(store.get(&path).unwrap().unwrap(), full);
}

#[test]
fn epoch_number_is_never_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let keys = EpochKeys::new(folder.path(), Product([7; 16]));
    let start = |current| {
        keys.start(&mut random(), 1, current, &[])
            .unwrap()
            .signed
            .epoch
    };
    assert_eq!(start(None), 1);
    assert_eq!(start(None), 2, "1 was started, though never published");
    assert_eq!(start(Some(9)), 10, "9 is published, though its key is lost");
    let other_group = keys.start(&mut random(), 11, None, &[]).unwrap();
    assert_eq!(other_group.signed.epoch, 1);
}

#[test]
fn record_under_another_devices_name_is_noticed() {
    let bench = Bench::new();
    let key = bench.enrol_agent(C3, "production");
    let devices = bench.project().join("devices");
    let other = DeviceId(Digest::of(b"other").0);
    fs::rename(
        devices.join(format!("{}.toml", key.device_id())),
        devices.join(format!("{other}.toml")),
    )
    .unwrap();
    let error = espseal_publish::authority::Authority::open(&bench.project(), &Unwatched);
    assert!(matches!(
        error,
        Err(AuthorityError::Enrolment(EnrolmentError::Misnamed { .. }))
    ));
}
