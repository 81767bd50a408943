//! The script, run by bash with the real espefuse on a virtual chip.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use espseal_format::chip::ChipId;
use espseal_publish::efuse_plan::plan::KeyName;
use espseal_publish::efuse_plan::wish::JtagPolicy;
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::virt;

use super::wishes::{Planned, key_bytes, material, silicons};

/// A script, its keys and its virtual chip.
struct Bench {
    folder: tempfile::TempDir,
    planned: Planned,
}

impl Bench {
    fn new(planned: Planned) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { folder, planned };
        let plan = &bench.planned.plan;
        let mut files = Vec::new();
        for (key, length) in plan.secrets() {
            let path = bench.path(&format!("it's {}.bin", key.id()));
            fs::write(&path, key_bytes(key, length)).unwrap();
            files.push((key, path));
        }
        let named: Vec<_> = files
            .iter()
            .map(|(key, path)| (*key, path.as_path()))
            .collect();
        fs::write(bench.path("provision.sh"), plan.script(&named)).unwrap();
        // Keeps every argument that espefuse gets.
        let espefuse = oracles::folder().join("venv/bin/espefuse");
        let recorder = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >>{}\nexec {} \"$@\"\n",
            bench.path("arguments").display(),
            espefuse.display()
        );
        fs::write(bench.path("espefuse"), recorder).unwrap();
        fs::set_permissions(bench.path("espefuse"), fs::Permissions::from_mode(0o755)).unwrap();
        bench.reset();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A chip out of the box again.
    fn reset(&self) {
        fs::write(
            self.path("chip.bin"),
            virt::encode(self.planned.present.efuses()),
        )
        .unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("bash")
            .arg(self.path("provision.sh"))
            .args(arguments)
            .env("ESPEFUSE", self.path("espefuse"))
            .env("ESPEFUSE_VIRTUAL", self.path("chip.bin"))
            .env("TMPDIR", self.folder.path())
            .output()
            .unwrap()
    }

    fn burns(&self, arguments: &[&str]) {
        let output = self.run(&[&["--yes"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
    }

    /// The file that the twin predicts after so many steps.
    fn predicted(&self, steps: usize) -> Vec<u8> {
        let mut efuses = self.planned.present.efuses().clone();
        let material = material(&self.planned.plan);
        for _ in 0..steps {
            self.planned
                .plan
                .apply_next(&mut efuses, &material)
                .unwrap();
        }
        virt::encode(&efuses)
    }

    fn file(&self) -> Vec<u8> {
        fs::read(self.path("chip.bin")).unwrap()
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The longest plan of a chip, with everything shut.
fn longest(id: ChipId) -> Bench {
    let silicons = silicons();
    let silicon = silicons.iter().rev().find(|row| row.chip.id == id).unwrap();
    let plans = silicon.plans().0;
    let best = plans.into_iter().max_by_key(|planned| {
        let shut = usize::from(planned.wish.jtag == JtagPolicy::Shut);
        let long = planned.plan.secrets().iter().map(|row| row.1).max();
        (planned.plan.steps.len(), shut, long)
    });
    Bench::new(best.unwrap())
}

/// Runs a plan, stopping after every `stride` steps; returns the runs.
fn stopped_and_resumed(bench: &Bench, stride: usize) -> usize {
    let steps = bench.planned.plan.steps.len();
    let mut runs = 0;
    for done in (0..steps).step_by(stride) {
        bench.burns(&["--steps", &stride.to_string()]);
        let after = steps.min(done + stride);
        assert!(bench.file() == bench.predicted(after), "after step {after}");
        runs += 1;
    }
    runs
}

fn no_key_in_arguments(bench: &Bench) {
    let arguments = fs::read_to_string(bench.path("arguments")).unwrap();
    let script = fs::read_to_string(bench.path("provision.sh")).unwrap();
    for (key, length) in bench.planned.plan.secrets() {
        let bytes = key_bytes(key, length);
        for text in [&arguments, &script] {
            for order in [bytes.clone(), bytes.iter().rev().copied().collect()] {
                let hex: String = order[..8]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert!(!text.to_lowercase().contains(&hex), "{key} in {text}");
            }
        }
    }
    let left: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().collect();
    let left = left
        .iter()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count();
    assert_eq!(left, 0, "the script leaves a folder behind");
}

#[test]
fn a_script_that_is_stopped_and_resumed_ends_in_the_predicted_file() {
    // Two halves of a key, and coded blocks.
    for (id, stride) in [(ChipId::Esp32S3, 3), (ChipId::Esp32, 2)] {
        let bench = longest(id);
        let runs = stopped_and_resumed(&bench, stride);
        let again = bench.run(&["--status"]);
        let steps = bench.planned.plan.steps.len();
        assert!(text(&again).contains(&format!("{steps} of {steps} steps are done")));
        no_key_in_arguments(&bench);
        println!("{id}: {steps} steps in {runs} runs");
    }
}

#[test]
fn a_key_that_was_burnt_without_its_protections_is_finished() {
    let bench = longest(ChipId::Esp32C3);
    let mut torn = bench.planned.present.efuses().clone();
    let key = key_bytes(KeyName::Flash, 32);
    let reversed: Vec<u8> = key.iter().rev().copied().collect();
    let first = bench.planned.plan.steps[0].burn.keys()[0];
    assert_eq!(first.key, KeyName::Flash);
    torn.burn_block(first.number, 0, &reversed).unwrap();
    fs::write(bench.path("chip.bin"), virt::encode(&torn)).unwrap();
    let status = bench.run(&["--status"]);
    assert!(text(&status).contains("0 of"), "{}", text(&status));
    assert!(
        text(&status).contains("the next one in part"),
        "{}",
        text(&status)
    );
    bench.burns(&["--steps", "1"]);
    assert!(bench.file() == bench.predicted(1));

    // The same with somebody else's key, and with a chip that took another way.
    let mut other = bench.planned.present.efuses().clone();
    other.burn_block(first.number, 0, &key).unwrap();
    let mut elsewhere = bench.planned.present.efuses().clone();
    elsewhere.burn("DIS_PAD_JTAG", 1).unwrap();
    for efuses in [other, elsewhere] {
        let before = virt::encode(&efuses);
        fs::write(bench.path("chip.bin"), &before).unwrap();
        let refused = bench.run(&["--yes"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            text(&refused).contains("neither before nor after"),
            "{}",
            text(&refused)
        );
        assert!(bench.file() == before);
    }

    // Keys that are missing, short or blank.
    bench.reset();
    let path = bench.path("it's flash-key.bin");
    for (bytes, expected) in [
        (&[0x55; 32][..], "one byte repeated"),
        (&[1, 2, 3][..], "expected 32 bytes"),
    ] {
        fs::write(&path, bytes).unwrap();
        let refused = bench.run(&["--yes"]);
        assert!(text(&refused).contains(expected), "{}", text(&refused));
    }
    fs::remove_file(&path).unwrap();
    let refused = bench.run(&["--yes"]);
    assert!(
        text(&refused).contains("cannot be read"),
        "{}",
        text(&refused)
    );
    assert!(bench.file() == bench.predicted(0));
}

/// `cargo xtask efuse-plans --full`.
#[test]
#[ignore = "takes minutes"]
fn scripts_of_every_chip_end_in_the_predicted_file() {
    let (mut scripts, mut runs) = (0, 0);
    for silicon in silicons() {
        let plans = silicon.plans().0;
        let share = (plans.len() / 3).max(1);
        for planned in plans.into_iter().skip(share / 2).step_by(share) {
            let developing = planned
                .wish
                .flash_encryption
                .is_some_and(|wish| wish.mode == EncryptionMode::Development);
            let bench = Bench::new(planned);
            runs += stopped_and_resumed(&bench, if developing { 2 } else { 1 });
            no_key_in_arguments(&bench);
            scripts += 1;
        }
        println!("{}: {scripts} scripts so far", silicon.chip.name());
    }
    println!("{scripts} scripts, stopped and resumed in {runs} runs: each as the twin predicts");
}

/// The script is of the bash that is everywhere.
#[test]
fn a_script_parses() {
    let bench = longest(ChipId::Esp32C2);
    let checked = Command::new("bash")
        .arg("-n")
        .arg(bench.path("provision.sh"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(Path::new(&bench.path("provision.sh")).exists());
}
