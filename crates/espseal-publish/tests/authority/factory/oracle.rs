//! What the vendor's tools and Debian's `age` say of made devices.

use super::*;

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
