//! Devices that are not made, and why.

use super::*;

#[test]
fn devices_that_could_not_be_safe_or_would_not_boot_are_refused() {
    let said = |security: &str, change: &dyn Fn(&Bench), request: fn(&mut Request<'_>)| {
        let bench = bench(security);
        change(&bench);
        line(&bench, request).unwrap_err().to_string()
    };
    let nothing: &dyn Fn(&Bench) = &|_| {};
    let mut wrong = Vec::new();
    for (security, change, request, expected) in [
        (
            "",
            nothing,
            (|_| {}) as fn(&mut Request<'_>),
            "no [chip.security]",
        ),
        (
            "[chip.security]\nflash-encryption = \"release\"\ndevice-key = true",
            nothing,
            |_| {},
            "secure boot off",
        ),
        (
            &SECURITY.replace("device-key = true\n", ""),
            nothing,
            |_| {},
            "nothing to enrol them by",
        ),
        (
            SECURITY,
            nothing,
            |request| request.channel = None,
            "choose one with --channel",
        ),
        (
            SECURITY,
            nothing,
            |request| request.channel = Some("none"),
            "choose one with --channel",
        ),
        (
            SECURITY,
            &|bench| fs::write(bench.project().join("app.bin"), App::new(C3).build()).unwrap(),
            |_| {},
            "no secure boot v2 signature",
        ),
        (
            SECURITY,
            &|bench| {
                let plain = images::bootloader(chip(C3).unwrap());
                fs::write(bench.project().join("bootloader.bin"), plain).unwrap();
            },
            |_| {},
            "does not start its app",
        ),
        (
            SECURITY,
            &|bench| {
                bench.configure(
                    "apps = [\"app.bin\"]",
                    "apps = [\"app.bin\", \"app.bin\", \"app.bin\"]",
                )
            },
            |_| {},
            "names 3 apps",
        ),
        (
            SECURITY,
            &|bench| bench.configure("bootloader = \"bootloader.bin\"\n", ""),
            |_| {},
            "names no `bootloader`",
        ),
        (
            SECURITY,
            nothing,
            |request| request.data = vec![("nvs".into(), vec![1])],
            "filled by the factory itself",
        ),
        (
            SECURITY,
            nothing,
            |request| request.data = vec![("phy_init".into(), vec![1; 0x1001])],
            "phy_init",
        ),
        (
            &SECURITY.replace("unused-digests = \"revoke\"\n", ""),
            nothing,
            |_| {},
            "digest",
        ),
    ] {
        let found = said(security, change, request);
        if !found.contains(expected) {
            wrong.push(format!("expected {expected:?}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let two = SECURITY.replace(
        "secure-boot = \"rsa\"",
        "secure-boot = \"rsa\"\nsecure-version = 3",
    );
    let found = said(&two, nothing, |_| {});
    assert!(found.contains("secure version 0"), "{found}");
}

#[test]
fn value_that_cannot_be_stored_names_its_device() {
    let bench = bench(SECURITY);
    let line = line(&bench, |_| {}).unwrap();
    let text = DEVICES.replace(",7\n", ",700\n");
    let orders = Order::parse(&text, &Columns::parse(COLUMNS).unwrap()).unwrap();
    let error = line.check(&orders[0]).unwrap_err().to_string();
    assert!(
        error.contains("device one") && error.contains("line 2") && !error.contains("700"),
        "{error}"
    );
    let batch = Batch::open(&bench.path("batch"), &line, &orders).unwrap();
    assert!(batch.run(&line, &orders, None, &Unwatched).is_err());
}
