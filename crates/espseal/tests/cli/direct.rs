//! Direct images, from the factory that keeps a flash key to the ciphertext that this key opens.

use espseal_format::chip::{ChipId, chip};
use espseal_format::cose::Sign1;
use espseal_format::metadata::direct::DirectManifest;
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, FlashOffset};
use espseal_publish::rehearsal::images;

use super::*;

const PUBLISH: [&str; 4] = ["publish", "app.bin", "--channel", "production"];
const DIRECT: [&str; 4] = ["--direct", "escrow", "--identity", "id.txt"];

/// A project that can make devices, and an age identity for their flash keys.
fn factory() -> (Shell, String) {
    let shell = Shell::with_project();
    shell.signed_app("1.0.0", 0);
    let bootloader = images::bootloader(chip(ChipId::Esp32C3).unwrap());
    shell.write("bootloader.bin", &bootloader);
    let sign = ["sign", "--bootloader", "bootloader.bin", "--output"];
    shell
        .run(&[&sign[..], &["lamp/bootloader.bin"]].concat())
        .succeeds();
    fs::copy(shell.path("app.bin"), shell.path("lamp/app.bin")).unwrap();
    let config = shell.path("lamp/espseal.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (fleet, channels) = text.split_once("\n[[channel]]").unwrap();
    let text = format!(
        "{fleet}bootloader = \"bootloader.bin\"\napps = [\"app.bin\"]\n[chip.security]\n\
         secure-boot = \"rsa\"\nunused-digests = \"revoke\"\nflash-encryption = \"release\"\n\
         device-key = true\njtag = \"shut\"\nuart-download = \"secure\"\n\n[[channel]]{channels}"
    );
    fs::write(config, text).unwrap();
    let recipient = identity(&shell, "id.txt");
    (shell, recipient)
}

/// Makes an age identity and returns its recipient.
fn identity(shell: &Shell, name: &str) -> String {
    let path = shell.path(name);
    oracles::run(Command::new("age-keygen").arg("-o").arg(&path));
    let public = oracles::run(Command::new("age-keygen").arg("-y").arg(&path));
    public.trim().to_owned()
}

#[test]
fn direct_release_is_ciphertext_for_the_flash_key_that_the_factory_kept() {
    let (shell, recipient) = factory();
    let make = ["factory", "--name", "one", "--output", "batch", "--escrow"];
    shell.run(&[&make[..], &[&recipient]].concat()).succeeds();
    let published = shell.run(&[&PUBLISH[..], &DIRECT, &["--json"]].concat());
    let published = published.succeeds().json();
    assert_eq!(published["direct-devices"], 1);

    let hexadecimal = |value: &Value| Digest::from_hex(value.as_str().unwrap()).unwrap();
    let manifest = hexadecimal(&published["manifest"]);
    let devices = shell.run(&["device", "list", "--json"]).succeeds().json();
    let device = DeviceId(hexadecimal(&devices["devices"][0]["device"]).0);
    let stored = |resource: Resource<'_>| {
        let path = shell.path("lamp/repository").join(resource.path().as_str());
        fs::read(path).unwrap()
    };
    let image = fs::read(shell.path("app.bin")).unwrap();
    let mut places = Vec::new();
    for slot in 0..2 {
        let signed = stored(Resource::Direct {
            manifest: &manifest,
            device: &device,
            slot,
        });
        let direct = Sign1::parse(&signed).unwrap();
        let direct = DirectManifest::parse(direct.payload).unwrap();
        let raw = stored(Resource::Body(&direct.body));
        shell.write("raw.bin", &raw[..image.len()]);
        let _ = fs::remove_file(shell.path("plain.bin"));
        let decrypt = ["decrypt", "raw.bin", "--chip", "esp32c3", "--address"];
        let address = direct.slot.get().to_string();
        let rest = ["--output", "plain.bin", "--flash-key"];
        let key = ["batch/devices/one/keys/flash-key.bin"];
        shell
            .run(&[&decrypt[..], &[&address], &rest, &key].concat())
            .succeeds();
        assert_eq!(fs::read(shell.path("plain.bin")).unwrap(), image);
        places.push(direct.slot);
    }
    assert!(places[0] != places[1] && places[0] != FlashOffset::new(0));
}

#[test]
fn direct_release_without_the_right_keys_publishes_nothing() {
    let (shell, recipient) = factory();
    let make = ["factory", "--name", "one", "--output", "batch", "--escrow"];
    shell.run(&[&make[..], &[&recipient]].concat()).succeeds();
    identity(&shell, "other.txt");
    fs::create_dir(shell.path("empty")).unwrap();
    let before = files_below(&shell.path("lamp"));
    for (direct, code, words) in [
        (vec!["--direct", "escrow"], 2, ["--identity", "required"]),
        (
            vec!["--direct", "escrow", "--identity", "other.txt"],
            1,
            ["not encrypted for any identity", "escrow/unknown_"],
        ),
        (
            vec!["--direct", "none", "--identity", "id.txt"],
            3,
            ["none", "No such file"],
        ),
        (
            vec!["--direct", "empty", "--identity", "id.txt"],
            2,
            ["empty holds the flash key of no agent", "--escrow"],
        ),
    ] {
        let ran = shell.run(&[&PUBLISH[..], &direct].concat());
        let text = ran.text();
        assert_eq!(ran.0.status.code(), Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "{direct:?}: {text}");
        }
        assert_eq!(files_below(&shell.path("lamp")), before, "{direct:?}");
    }
}
