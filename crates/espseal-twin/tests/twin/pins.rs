//! Factory reset and test app.

use espseal_format::chip::ChipId;
use espseal_twin::boot::{
    AppSlot, AppTest, BootFailure, BootOutcome, BootloaderSettings, Decision, FactoryReset,
    HeldPin, OtadataReset,
};

use crate::support::*;

const VALID: u32 = 2;

fn with_pins() -> BootloaderSettings {
    BootloaderSettings {
        factory_reset: FactoryReset::Erases {
            labels: "nvs, other",
            otadata: OtadataReset::Erased,
        },
        app_test: AppTest::CompiledIn,
        ..settings()
    }
}

#[test]
fn a_held_factory_reset_pin_erases_the_listed_data_and_boots_the_factory_app() {
    for (locked, words) in [
        (Locked::Open, "Defaulting to factory image"),
        // Erased flash reads as noise, which is not the same as blank.
        (
            Locked::Release,
            "ota data partition invalid, falling back to factory",
        ),
    ] {
        let chip = ChipId::Esp32C3;
        let csv = [TWO_SLOTS, WITH_FACTORY].concat();
        let apps = [1, 2, 3].map(|filler| app(chip, filler, 0));
        let contents = [
            ("ota_0", &apps[0][..]),
            ("ota_1", &apps[1]),
            ("factory", &apps[2]),
        ];
        let mut device = device(chip, &csv, &contents, locked, with_pins());
        if locked == Locked::Open {
            device.set_settings(BootloaderSettings {
                secure_boot: espseal_twin::boot::SecureBootSupport::Absent,
                ..with_pins()
            });
        }
        set_otadata(&mut device, 0, Some(entry(2, VALID)));
        let nvs = espseal_format::units::FlashOffset::new(NVS);
        device.bus().write_raw(nvs, &[0; 64]).unwrap();
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
        device.hold(HeldPin::FactoryReset);
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Factory);
        assert!(report.decisions.contains(&Decision::FactoryReset));
        assert!(report.log.says(words), "{}", report.log);
        assert!(
            report
                .log
                .says("nvs              data  0000e000 00004000 [yes]")
        );
        assert!(
            report
                .log
                .says("journal          data  00012000 00004000 [no]")
        );
        assert_eq!(device.flash().contents()[NVS as usize..][..64], [0xFF; 64]);
    }
}

#[test]
fn a_held_test_pin_boots_the_test_app_or_nothing() {
    let chip = ChipId::Esp32;
    let apps = [1, 2].map(|filler| app(chip, filler, 0));
    let contents = [("ota_0", &apps[0][..]), ("test", &apps[1])];
    let csv = [TWO_SLOTS, WITH_TEST].concat();
    let mut with_test = device(chip, &csv, &contents, Locked::Release, with_pins());
    assert_eq!(slot(&with_test.power_on()), AppSlot::Ota(0));
    with_test.hold(HeldPin::AppTest);
    assert_eq!(slot(&with_test.power_on()), AppSlot::Test);
    corrupt(&mut with_test, TEST);
    let report = with_test.power_on();
    let refused = BootOutcome::Failed(BootFailure::NoBootableApp);
    assert_eq!(
        report.outcome, refused,
        "the pin never falls back to a slot"
    );
    assert!(report.log.says("No bootable test partition"));
    with_test.set_settings(settings());
    assert_eq!(
        slot(&with_test.power_on()),
        AppSlot::Ota(0),
        "the pin means nothing"
    );

    let mut without = device(
        chip,
        TWO_SLOTS,
        &contents[..1],
        Locked::Release,
        with_pins(),
    );
    without.hold(HeldPin::AppTest);
    let report = without.power_on();
    assert_eq!(report.outcome, BootOutcome::Failed(BootFailure::NoTestApp));
}
