use std::fs;

use age::x25519::Identity;

use super::*;

const MAC: Mac = Mac([0x7c, 0xdf, 0xa1, 0, 0, 1]);
const DEVICE: DeviceId = DeviceId([0xD1; 32]);

fn pair() -> (Identities, Recipients) {
    let identity = Identity::generate();
    let recipients = Recipients::new(&[identity.to_public().to_string()]).unwrap();
    (Identities::of(identity), recipients)
}

fn key(scheme: SchemeId, length: u8) -> FlashKey {
    let file: Vec<u8> = (1..=length).collect();
    FlashKey::from_file(scheme, &file).unwrap()
}

fn escrowed(mac: Option<Mac>, device: Option<DeviceId>) -> EscrowedKey {
    EscrowedKey {
        mac,
        device,
        chip: ChipId::Esp32C3,
        config: FlashCryptConfig::DEFAULT,
        key: key(SchemeId::XtsAes128, 32),
    }
}

#[test]
fn keys_of_every_scheme_come_back_as_they_were_kept() {
    let (identities, recipients) = pair();
    for (chip, scheme, length) in [
        (ChipId::Esp32, SchemeId::Esp32Aes, 32),
        (ChipId::Esp32C2, SchemeId::XtsAes128, 16),
        (ChipId::Esp32C3, SchemeId::XtsAes128, 32),
        (ChipId::Esp32S3, SchemeId::XtsAes256, 64),
    ] {
        for (mac, device) in [
            (Some(MAC), None),
            (None, Some(DEVICE)),
            (Some(MAC), Some(DEVICE)),
        ] {
            let kept = EscrowedKey {
                mac,
                device,
                chip,
                config: FlashCryptConfig::new(7).unwrap(),
                key: key(scheme, length),
            };
            let file = kept.as_plain().seal(&recipients).unwrap();
            let open = EscrowedKey::open(Path::new("x"), &file, &identities).unwrap();
            assert_eq!((open.mac, open.device, open.chip), (mac, device, chip));
            assert_eq!((open.scheme(), open.key.file()), (scheme, kept.key.file()));
            if scheme == SchemeId::Esp32Aes {
                assert_eq!(open.config, kept.config);
            }
            let secret = kept.key.file();
            assert!(!file.windows(8).any(|part| part == &secret[..8]));
        }
    }
    let nobody = escrowed(None, None).as_plain().seal(&recipients);
    assert!(matches!(nobody, Err(EscrowError::Nobody)));
}

#[test]
fn record_reads_as_documented() {
    let mut key = escrowed(Some(MAC), None);
    let text = record::encode(&key.as_plain()).unwrap();
    let digits: String = (1..=32).map(|byte: u8| format!("{byte:02x}")).collect();
    assert_eq!(
        *text,
        format!(
            "espseal flash key 1\nmac = 7c:df:a1:00:00:01\ndevice = unknown\nchip = esp32c3\n\
             scheme = xts-aes-128\nkey = {digits}\n"
        )
    );
    key.chip = ChipId::Esp32;
    key.key = self::key(SchemeId::Esp32Aes, 32);
    let text = record::encode(&key.as_plain()).unwrap();
    assert!(text.contains("scheme = esp32-aes\nflash-crypt-config = 15\nkey = "));
    assert!(text.len() < record::LARGEST);
}

#[test]
fn records_that_say_something_else_are_refused_with_the_field() {
    let whole = record::encode(&escrowed(Some(MAC), Some(DEVICE)).as_plain()).unwrap();
    for (from, to, field) in [
        ("key 1", "key 2", "first line"),
        ("7c:df", "7C:df", "mac"),
        ("00:01", "00:01:02", "mac"),
        ("device = d1", "device = d", "device"),
        ("esp32c3", "esp33", "chip"),
        ("xts-aes-128", "xts-aes-129", "scheme"),
        ("xts-aes-128", "xts-aes-256", "key"),
        ("xts-aes-128", "esp32-aes", "flash-crypt-config"),
        ("key = 01", "key = 0", "key"),
        ("key = 01", "key = 0101", "key"),
        ("key = 01", "key = 0G", "key"),
        ("key = 01", "kex = 01", "key"),
        ("1f20\n", "1f20\nmore\n", "last line"),
    ] {
        assert!(whole.contains(from), "{from}");
        let bent = whole.replacen(from, to, 1);
        assert_eq!(record::decode(bent.as_bytes()).unwrap_err(), field, "{to}");
    }
    for length in 0..whole.len() - 1 {
        assert!(
            record::decode(&whole.as_bytes()[..length]).is_err(),
            "{length}"
        );
    }
    let nobody = whole
        .replace(&MAC.to_string(), UNKNOWN)
        .replace(&DEVICE.to_string(), UNKNOWN);
    assert_eq!(record::decode(nobody.as_bytes()).unwrap_err(), "last line");
}

#[test]
fn only_the_named_recipients_open_a_key_and_any_one_of_them_does() {
    let (one, two, other) = (
        Identity::generate(),
        Identity::generate(),
        Identity::generate(),
    );
    let names = [one.to_public().to_string(), two.to_public().to_string()];
    let file = escrowed(Some(MAC), None)
        .as_plain()
        .seal(&Recipients::new(&names).unwrap())
        .unwrap();
    let open = |identity| EscrowedKey::open(Path::new("x"), &file, &Identities::of(identity));
    assert!(open(one).is_ok());
    assert!(open(two).is_ok());
    assert!(matches!(
        open(other),
        Err(EscrowError::WrongIdentity { .. })
    ));
}

#[test]
fn cut_or_bent_file_is_refused_wherever_it_is_bent() {
    let (identities, recipients) = pair();
    let file = escrowed(Some(MAC), Some(DEVICE))
        .as_plain()
        .seal(&recipients)
        .unwrap();
    let refused = |bytes: &[u8]| {
        let error = EscrowedKey::open(Path::new("x"), bytes, &identities).unwrap_err();
        matches!(
            error,
            EscrowError::Damaged { .. } | EscrowError::WrongIdentity { .. }
        )
    };
    for length in 0..file.len() {
        assert!(refused(&file[..length]), "{length}");
    }
    for at in 0..file.len() {
        let mut bent = file.clone();
        bent[at] ^= 1;
        assert!(refused(&bent), "{at}");
    }
    assert!(refused(&[&file[..], b"more"].concat()));
}

#[test]
fn folder_finds_keys_by_mac_and_by_device_and_takes_each_once() {
    let (identities, recipients) = pair();
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("escrow");
    let mut escrow = Escrow::create(&below).unwrap();
    escrow
        .keep(&escrowed(Some(MAC), Some(DEVICE)), &recipients)
        .unwrap();
    fs::write(below.join("notes.txt"), b"none of ours").unwrap();
    let listed = Escrow::list(&below).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        listed.find_mac(MAC, &identities).unwrap().device,
        Some(DEVICE)
    );
    assert_eq!(
        listed.find_device(DEVICE, &identities).unwrap().mac,
        Some(MAC)
    );
    let none = listed.find_mac(Mac([1; 6]), &identities);
    assert!(matches!(none, Err(EscrowError::NotHere { keys: 1, .. })));
    for again in [escrowed(Some(MAC), None), escrowed(None, Some(DEVICE))] {
        let refused = escrow.keep(&again, &recipients);
        assert!(matches!(refused, Err(EscrowError::Known { .. })));
    }
}

#[test]
fn renamed_file_does_not_give_its_key_to_another_device() {
    let (identities, recipients) = pair();
    let folder = tempfile::tempdir().unwrap();
    let mut escrow = Escrow::list(folder.path()).unwrap();
    let path = escrow
        .keep(&escrowed(Some(MAC), Some(DEVICE)), &recipients)
        .unwrap();
    for (mac, device) in [(Mac([1; 6]), DEVICE), (MAC, DeviceId([2; 32]))] {
        let wrong = folder.path().join(file_name(Some(mac), Some(device)));
        fs::rename(&path, &wrong).unwrap();
        let escrow = Escrow::list(folder.path()).unwrap();
        let by_mac = escrow.find_mac(mac, &identities);
        assert!(matches!(by_mac, Err(EscrowError::OtherDevice { .. })));
        let by_device = escrow.find_device(device, &identities);
        assert!(matches!(by_device, Err(EscrowError::OtherDevice { .. })));
        fs::rename(&wrong, &path).unwrap();
    }
}

#[test]
fn mac_is_learnt_once_and_by_one_device_only() {
    let (identities, recipients) = pair();
    let folder = tempfile::tempdir().unwrap();
    let mut escrow = Escrow::list(folder.path()).unwrap();
    let second = DeviceId([0xD2; 32]);
    escrow
        .keep(&escrowed(None, Some(DEVICE)), &recipients)
        .unwrap();
    escrow
        .keep(&escrowed(None, Some(second)), &recipients)
        .unwrap();
    assert!(escrow.find_mac(MAC, &identities).is_err());
    escrow.learn_mac(DEVICE, MAC).unwrap();
    escrow.learn_mac(DEVICE, MAC).unwrap();
    for escrow in [&escrow, &Escrow::list(folder.path()).unwrap()] {
        let found = escrow.find_mac(MAC, &identities).unwrap();
        assert_eq!((found.device, found.mac), (Some(DEVICE), Some(MAC)));
        assert_eq!(escrow.len(), 2);
    }
    let twice = escrow.learn_mac(second, MAC);
    assert!(matches!(twice, Err(EscrowError::Known { .. })));
    let other = escrow.learn_mac(DEVICE, Mac([9; 6]));
    assert!(matches!(other, Err(EscrowError::OtherDevice { .. })));
}

#[test]
fn recipients_with_which_there_is_no_secret_are_refused() {
    // The points of small order on Curve25519 and its twist, little-endian, RFC 7748 section 7.
    let hex = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for text in hex {
        for top in [0, 0x80] {
            let mut bytes = DeviceId::from_hex(text).unwrap().0;
            bytes[31] |= top;
            let refused = Recipients::new(&[bech32(&bytes)]);
            assert!(
                matches!(refused, Err(EscrowError::Recipient { .. })),
                "{text}"
            );
        }
    }
    let sound = Identity::generate().to_public().to_string();
    assert!(Recipients::new(&[sound.clone()]).is_ok());
    assert_eq!(
        Recipients::new(&[sound.clone(), sound.to_uppercase()])
            .unwrap()
            .len(),
        1
    );
}

/// Writes a recipient as bech32 (BIP 173).
fn bech32(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let mut values: Vec<u8> = bits
        .chunks(5)
        .map(|chunk| (0..5).fold(0, |value, at| value << 1 | chunk.get(at).unwrap_or(&0)))
        .collect();
    let polymod = |values: &[u8]| {
        values.iter().fold(1u32, |sum, value| {
            let top = sum >> 25;
            let generators = [
                0x3b6a_57b2,
                0x2650_8e6d,
                0x1ea1_19fa,
                0x3d42_33dd,
                0x2a14_62b3,
            ];
            let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(*value);
            (0..)
                .zip(generators)
                .fold(sum, |sum, (bit, generator)| match top >> bit & 1 {
                    1 => sum ^ generator,
                    _ => sum,
                })
        })
    };
    let prefix: Vec<u8> = b"age"
        .iter()
        .map(|c| c >> 5)
        .chain([0])
        .chain(b"age".iter().map(|c| c & 31))
        .collect();
    let sum = polymod(&[&prefix[..], &values, &[0; 6]].concat()) ^ 1;
    values.extend((0..6).map(|at| u8::try_from(sum >> (5 * (5 - at)) & 31).unwrap()));
    let text: String = values
        .iter()
        .map(|value| char::from(DIGITS[usize::from(*value)]))
        .collect();
    format!("age1{text}")
}

#[test]
fn files_of_recipients_and_identities_are_read_as_age_writes_them() {
    use age::secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::generate();
    let public = identity.to_public().to_string();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("to.txt"), format!("# fleet\n\n{public}\r\n")).unwrap();
    let recipients = Recipients::new(&[path("to.txt").to_str().unwrap()]).unwrap();
    let secret = identity.to_string();
    let text = format!(
        "# created: today\n# public key: {public}\n{}\n",
        secret.expose_secret()
    );
    files::create(&path("id.txt"), text.as_bytes(), Secrecy::Private).unwrap();
    let identities = Identities::read(&path("id.txt")).unwrap();
    assert_eq!(format!("{identities:?}"), "Identities(1)");
    let file = escrowed(Some(MAC), None)
        .as_plain()
        .seal(&recipients)
        .unwrap();
    assert!(EscrowedKey::open(Path::new("x"), &file, &identities).is_ok());

    fs::set_permissions(path("id.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = Identities::read(&path("id.txt")).unwrap_err();
    assert!(matches!(
        exposed,
        EscrowError::File(FileError::Exposed { .. })
    ));
    for (text, expected) in [
        ("# nothing\n", "holds no age identity"),
        (
            "age-encryption.org/v1\n-> scrypt",
            "encrypted with a passphrase",
        ),
        ("\nAGE-SECRET-KEY-1QQQ\n", "line 2"),
    ] {
        files::replace(&path("bad.txt"), text.as_bytes(), Secrecy::Private).unwrap();
        let error = Identities::read(&path("bad.txt")).unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains("KEY-1QQQ"),
            "{error}"
        );
    }
    for text in ["age1yubikey1qqq", "age1qqqq", "# none\n"] {
        fs::write(path("bad.txt"), text).unwrap();
        assert!(
            Recipients::new(&[path("bad.txt").to_str().unwrap()]).is_err(),
            "{text}"
        );
    }
    assert!(Recipients::new::<&str>(&[]).is_err());
    let ssh = Recipients::new(&["age1yubikey1qqq"])
        .unwrap_err()
        .to_string();
    assert!(ssh.contains("age-keygen -y"), "{ssh}");
}

#[test]
fn key_never_prints() {
    let printed = format!("{:?}", escrowed(Some(MAC), None));
    assert!(printed.contains("FlashKey(..)"), "{printed}");
}
