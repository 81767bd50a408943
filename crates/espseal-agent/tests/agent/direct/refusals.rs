//! Direct images that a device does not take.

use super::*;

#[test]
fn device_without_flash_encryption_is_refused() {
    let mut world = world();
    world.chip.scheme = None;
    refused(&mut world, DeviceError::FlashNotEncrypted);
    assert!(
        !world
            .maker
            .repository
            .requests
            .iter()
            .any(|(path, _)| path.starts_with("direct/"))
    );
}

#[test]
fn device_without_secure_boot_is_refused_whatever_its_policy_says() {
    let mut world = world();
    world.chip.digests = [None; 3];
    world.config.policy.signature = espseal_agent::config::SignatureRule::WhenBurnt;
    assert_eq!(update(&mut world), Err(DeviceError::NoBurntDigest.into()));
    assert!(!world.touched());
}

#[test]
fn other_schemes_and_crypt_configs_are_refused() {
    let esp32 = |crypt_config| FlashScheme::Esp32 { crypt_config };
    for (expected, found) in [
        (FlashScheme::Xts128, FlashScheme::Xts256),
        (FlashScheme::Xts256, FlashScheme::Xts128),
        (FlashScheme::Xts128, esp32(0)),
        (esp32(0xF), FlashScheme::Xts128),
        (esp32(0xF), esp32(0)),
        (esp32(0xF), esp32(0xE)),
    ] {
        let mut world = world();
        let target = target(&world);
        world.chip.scheme = Some(expected);
        publish(&mut world, &target, |direct| direct.scheme = found);
        refused(&mut world, DeviceError::DirectScheme { expected, found });
    }
}

#[test]
fn image_for_the_other_slot_the_running_one_is_refused() {
    let mut world = world();
    let other = DirectTarget {
        slot: OTA_0,
        ..target(&world)
    };
    publish(&mut world, &other, |_| {});
    let (expected, found) = (FlashOffset::new(OTA_1), FlashOffset::new(OTA_0));
    refused(&mut world, DeviceError::DirectSlot { expected, found });
}

#[test]
fn image_for_anything_but_an_app_slot_is_refused() {
    for place in [0, 0x9000, JOURNAL, OTA_1 + 0x1000, OTA_1 + SLOT_SIZE] {
        let mut world = world();
        let found = FlashOffset::new(place);
        let other = DirectTarget {
            slot: place,
            ..target(&world)
        };
        publish(&mut world, &other, |_| {});
        let expected = FlashOffset::new(OTA_1);
        refused(&mut world, DeviceError::DirectSlot { expected, found });
    }
}

#[test]
fn image_for_another_partition_table_is_refused() {
    let mut world = world();
    let target = target(&world);
    let found = FlashOffset::new(JOURNAL + 0x1000);
    publish(&mut world, &target, |direct| direct.journal = found);
    let expected = FlashOffset::new(JOURNAL);
    refused(&mut world, DeviceError::DirectJournal { expected, found });
}

#[test]
fn image_for_another_device_or_product_is_refused() {
    let mut world = world();
    let target = target(&world);
    publish(&mut world, &target, |direct| direct.device.0[31] ^= 1);
    refused(&mut world, DeviceError::DirectDevice);
    publish(&mut world, &target, |direct| {
        direct.product = Product([0; 16]);
    });
    let document = Document::Direct;
    refused(&mut world, MetadataError::WrongProduct { document });
}

#[test]
fn direct_manifest_of_an_older_release_is_refused() {
    let mut world = world();
    let (old, target) = (world.manifest, target(&world));
    let stale = world.maker.repository.files[target.resource(&old).path().as_str()].clone();
    world.offer(&app("3.0"), 3);
    let path = target.resource(&world.manifest).path();
    world
        .maker
        .repository
        .files
        .insert(path.as_str().into(), stale);
    refused(&mut world, DeviceError::DirectRelease { found: old });
}

#[test]
fn direct_manifest_of_another_length_is_refused() {
    let mut world = world();
    let target = target(&world);
    let expected = world.new.len() as u32;
    for found in [expected - 4096, expected + 4096] {
        publish(&mut world, &target, |direct| direct.image_length = found);
        refused(&mut world, DeviceError::DirectLength { expected, found });
    }
}

#[test]
fn image_for_another_flash_key_is_refused_before_the_slot_is_touched_and_wears_nothing_out() {
    let mut world = world();
    let mut other: RamFlash = world.flash.clone();
    other.key ^= 1 << 40;
    let target = DirectTarget {
        flash: &other,
        ..target(&world)
    };
    publish(&mut world, &target, |_| {});
    refused(&mut world, DeviceError::WrongFlashKey);
    world.flash.erased.clear();
    for _ in 0..3 {
        refused(&mut world, DeviceError::WrongFlashKey);
    }
    assert_eq!(world.flash.erased, []);
}

#[test]
fn unsigned_or_wrongly_signed_direct_manifests_are_refused() {
    let document = Document::Direct;
    let mut world = world();
    let path: String = target(&world)
        .resource(&world.manifest)
        .path()
        .as_str()
        .into();
    let good = world.maker.repository.files[&path].clone();
    let parsed = espseal_format::cose::Sign1::parse(&good).unwrap();
    let keys = &world.maker.keys;
    let forged = [
        (&keys.stranger, Role::Direct),
        (&keys.now, Role::Direct),
        (&keys.releases, Role::Releases),
        (&keys.releases, Role::Now),
    ]
    .map(|(key, role)| sign1(key, role, parsed.payload));
    for bytes in forged {
        world.maker.repository.files.insert(path.clone(), bytes);
        refused(&mut world, MetadataError::Signature { document });
    }
    for bit in (0..8 * good.len()).step_by(7) {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        world.maker.repository.files.insert(path.clone(), bent);
        assert!(matches!(update(&mut world), Err(AgentError::Metadata(_))));
    }
    world.maker.repository.files.remove(&path);
    refused(&mut world, ServerError::NotFound { document });
    assert!(!world.touched());
}
