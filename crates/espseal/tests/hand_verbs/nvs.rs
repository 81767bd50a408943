//! `espseal nvs`: from CSV to an image and back, plain and encrypted, with the files that it leaves.

use std::fs;

use crate::{Bench, private};

const CSV: &str = "key,type,encoding,value\nlamp,namespace,,\nname,data,string,\"left, \"\"L\"\"\"\nlevel,data,u8,7\n";

#[test]
fn an_image_is_shown_with_its_key_and_with_no_other() {
    let bench = Bench::new();
    fs::write(bench.path("lamp.csv"), CSV).unwrap();
    let built = bench
        .run("nvs build lamp.csv --size 0x4000 -o plain-nvs.bin")
        .exits(0);
    built.says("plain, 1 of 4 pages used");
    let shown = bench.run("nvs show plain-nvs.bin --json").exits(0).json();
    assert_eq!(shown["entries"][0]["value"], "left, \"L\"");
    assert_eq!(shown["entries"][1]["value"], "7");
    assert_eq!(shown["pages"][0]["state"], "active");
    assert_eq!(shown["pages"][3]["state"], "erased");

    fs::write(bench.path("hmac.bin"), [7; 32]).unwrap();
    private(&bench.path("hmac.bin"));
    bench
        .run("nvs keys --hmac-key hmac.bin -o keys.bin")
        .exits(0);
    bench.run("nvs keys -o others.bin").exits(0);
    let encrypted = "nvs build lamp.csv --size 0x4000 --keys keys.bin -o nvs.bin";
    bench.run(encrypted).exits(0).says("encrypted");
    for right in ["--keys keys.bin", "--hmac-key hmac.bin"] {
        let shown = bench.run(&format!("nvs show nvs.bin {right}")).exits(0);
        shown.says("left, ");
    }
    for wrong in ["", "--keys others.bin"] {
        let line = format!("nvs show nvs.bin {wrong}");
        let shown = bench.run(line.trim_end()).exits(1);
        shown.says("encrypted with another key");
    }
}

#[cfg(unix)]
#[test]
fn what_holds_secrets_is_private_and_nothing_is_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    fs::write(bench.path("lamp.csv"), CSV).unwrap();
    bench.run("nvs keys -o keys.bin").exits(0);
    bench
        .run("nvs build lamp.csv --size 0x3000 -o plain-nvs.bin")
        .exits(0);
    bench
        .run("nvs build lamp.csv --size 0x3000 --keys keys.bin -o nvs.bin")
        .exits(0);
    for (name, expected) in [
        ("keys.bin", 0o600),
        ("plain-nvs.bin", 0o600),
        ("nvs.bin", 0o644),
    ] {
        let mode = fs::metadata(bench.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
    bench
        .run("nvs keys -o keys.bin")
        .exits(3)
        .says("exists already");
    bench
        .run("nvs build lamp.csv --size 0x3000 -o nvs.bin")
        .exits(3)
        .says("exists already");
    fs::set_permissions(bench.path("keys.bin"), fs::Permissions::from_mode(0o644)).unwrap();
    bench
        .run("nvs show nvs.bin --keys keys.bin")
        .exits(3)
        .says("chmod 600");
}

#[test]
fn a_mistake_is_named_with_its_line_and_without_its_value() {
    let bench = Bench::new();
    fs::write(bench.path("bad.csv"), format!("{CSV}pin,data,u16,s3cr3t\n")).unwrap();
    let refused = bench
        .run("nvs build bad.csv --size 0x3000 -o nvs.bin")
        .exits(2);
    assert!(!refused.text().contains("s3cr3t"));
    refused.says("bad.csv, line 5: the value of `pin` is no decimal number");
    assert!(!bench.path("nvs.bin").exists());
    fs::write(bench.path("lamp.csv"), CSV).unwrap();
    bench
        .run("nvs build lamp.csv --size 0x3800 -o nvs.bin")
        .exits(2)
        .says("multiple of 0x1000");
    bench
        .run("nvs build lamp.csv --size 0x1000 -o ro.bin")
        .exits(0)
        .says("readonly");
}
