//! Tests of what needs no token; those with SoftHSM2 are in `crates/espseal/tests/hsm`.

use super::*;

const GOOD: &str = "\
# espsecure's example has comments
; of both kinds

[other]
no key here
[hsm_config]
PKCS11_LIB = /usr/lib/softhsm/libsofthsm2.so
slot: 1064438308
label = signing key
credentials = 12%%34=:
unknown = passed over
";

fn parse(text: &str) -> Result<HsmConfig, HsmError> {
    HsmConfig::parse(Path::new("folder/hsm.ini"), text.as_bytes())
}

#[test]
fn configurations_of_espsecure_are_read_as_it_reads_them() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.module, Path::new("/usr/lib/softhsm/libsofthsm2.so"));
    assert_eq!(config.slot, 1_064_438_308);
    assert_eq!(config.label, "signing key");
    assert_eq!(config.label_pubkey, "signing key");
    assert_eq!(config.pin.read().unwrap().as_str(), "12%34=:");
    let other = parse(&format!("{GOOD}label_pubkey = public\n")).unwrap();
    assert_eq!(other.label_pubkey, "public");
}

#[test]
fn malformed_configurations_are_refused_by_line_and_never_echoed() {
    for (from, to, line) in [
        ("label = signing key", "label", 9),
        ("credentials = 12%%34=:", "credentials = 12%34", 10),
        ("unknown = passed over", "slot = 1", 11),
        ("unknown = passed over", "  continued = 1", 11),
    ] {
        match parse(&GOOD.replace(from, to)) {
            Err(error @ HsmError::Syntax { line: found, .. }) => {
                assert_eq!(found, line, "{to}");
                assert!(!error.to_string().contains("12"), "{error}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
    let hexadecimal = parse(&GOOD.replace("1064438308", "0x3f720a24"));
    assert!(matches!(hexadecimal, Err(HsmError::Slot { .. })));
}

#[test]
fn everything_that_is_needed_is_asked_for_by_its_name() {
    for key in ["PKCS11_LIB", "slot", "label"] {
        let text = GOOD.replace(key, "left_out");
        let Err(HsmError::Missing { key: found, .. }) = parse(&text) else {
            panic!("{key}");
        };
        assert_eq!(found, key.to_lowercase());
    }
    assert!(matches!(
        parse(&GOOD.replace("[hsm_config]", "[hsm]")),
        Err(HsmError::Missing { .. })
    ));
}

#[test]
fn pin_is_in_exactly_one_place() {
    let none = parse(&GOOD.replace("credentials", "left_out"));
    assert!(matches!(none, Err(HsmError::Pins { .. })));
    let both = parse(&format!("{GOOD}credentials_env = PIN\n"));
    assert!(matches!(both, Err(HsmError::Pins { .. })));
    let unset = parse(&GOOD.replace("credentials =", "credentials_env = ESPSEAL_NOT_SET"));
    let unset = unset.unwrap().pin.read();
    assert!(matches!(unset, Err(HsmError::NoPinInEnvironment { .. })));
}

#[test]
#[cfg(unix)]
fn files_with_a_pin_are_for_their_owner_alone() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::files::FileError;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let inside = write("inside.ini", GOOD, 0o644);
    assert!(matches!(
        HsmConfig::load(&inside),
        Err(KeyError::File(FileError::Exposed { .. }))
    ));
    HsmConfig::load(&write("private.ini", GOOD, 0o600)).unwrap();
    // Without a PIN it is for everyone; the file that has it lies beside it.
    let beside = GOOD.replace("credentials = 12%%34=:", "credentials_file = pin");
    let beside = write("beside.ini", &beside, 0o644);
    write("pin", "1234\n", 0o600);
    let config = HsmConfig::load(&beside).unwrap();
    assert_eq!(config.pin.read().unwrap().as_str(), "1234");
    write("pin", "1234\n5678\n", 0o600);
    assert!(matches!(
        config.pin.read(),
        Err(HsmError::NoPinInFile { .. })
    ));
    write("pin", "1234", 0o640);
    assert!(matches!(
        config.pin.read(),
        Err(HsmError::File(FileError::Exposed { .. }))
    ));
}

#[test]
fn debug_output_holds_no_pin() {
    let shown = format!("{:?}", parse(GOOD).unwrap());
    assert!(!shown.contains("12%"), "{shown}");
    assert!(shown.contains("Pin(private)"), "{shown}");
}

#[test]
fn hashing_outside_is_preferred_and_other_paddings_will_not_do() {
    let rsa = SignatureScheme::Rsa3072;
    let choose = |offered: &[MechanismType]| Method::choose(rsa, offered);
    let (pss, raw) = (MechanismType::RSA_PKCS_PSS, MechanismType::RSA_X_509);
    assert_eq!(choose(&[raw, pss]), Some(Method::Pss));
    assert_eq!(choose(&[raw]), Some(Method::RawRsa));
    let inside = MechanismType::SHA256_RSA_PKCS_PSS;
    assert_eq!(choose(&[inside, raw]), Some(Method::RawRsa));
    assert_eq!(choose(&[inside, pss]), Some(Method::Pss));
    assert_eq!(choose(&[inside]), Some(Method::HashAndPss));
    assert_eq!(
        choose(&[MechanismType::RSA_PKCS, MechanismType::ECDSA]),
        None
    );
    let p384 = SignatureScheme::Ecdsa(Curve::P384);
    assert_eq!(Method::choose(p384, &[raw, pss]), None);
}
