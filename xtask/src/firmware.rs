//! The firmware for the ESP32-C3: builds both releases, and has every judge look at the images. Tests
//! its TLS client on the host, and checks the C example for ESP-IDF.
//!
//! The judges are `espseal image verify`, esptool's `image-info`, and `espseal rehearse`: a virtual
//! ESP32-C3 with secure boot and flash encryption burnt, that starts the images. The bootloader
//! is ESP-IDF's as espflash carries it; the rehearsal takes it for one built with secure boot, flash
//! encryption and rollback, as a maker's own is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::{nostd, oracles, process};

/// What to build.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder for the images [default: target/firmware/images]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Project whose firmware it is: the folder that `espseal init` made [default: the example product]
    #[arg(long, value_name = "DIR")]
    product: Option<PathBuf>,
    /// Build the images for Wi-Fi as well, which takes minutes
    #[arg(long)]
    wifi: bool,
    /// Let release 1 update itself to release 2, as machine code behind ESP-IDF's bootloader: some
    /// three minutes
    #[arg(long)]
    update: bool,
}

impl Arguments {
    /// What `cargo xtask test` runs.
    pub(crate) const SHARE: Self = Self {
        into: None,
        product: None,
        wifi: false,
        update: false,
    };
}

/// A firmware as `build.sh` names it, and its two releases.
struct Firmware {
    name: &'static str,
    images: [&'static str; 2],
    committed: bool,
}

/// The app over a serial line: what the demo updates.
const LINE: Firmware = Firmware {
    name: "esp32c3",
    images: ["esp32c3-release-1.bin", "esp32c3-release-2.bin"],
    committed: true,
};
/// The same app over Wi-Fi.
const WIFI: Firmware = Firmware {
    name: "esp32c3-wifi",
    images: ["esp32c3-wifi-release-1.bin", "esp32c3-wifi-release-2.bin"],
    committed: false,
};
/// The bootloader in the package `espflash`.
const BOOTLOADER: &str = "packages/espflash-4.7.0/resources/bootloaders/esp32c3-bootloader.bin";
/// The partition table that the firmware is made for.
const PARTITIONS: &str = "firmware/images/esp32c3-partitions.csv";

/// Builds, then checks.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    oracles::install()?;
    nostd::install_target()?;
    let workspace = process::workspace();
    let target = workspace.join("target/firmware");
    let images = arguments
        .into
        .clone()
        .unwrap_or_else(|| target.join("images"));
    process::run(process::cargo().args(["build", "--quiet", "--package", "espseal"]))?;
    let judges = Judges {
        espseal: workspace.join("target/debug/espseal"),
        esptool: esptool(),
        scratch: target,
    };
    check_c()?;
    test_https(&judges.espseal)?;
    let all = [Some(LINE), arguments.wifi.then_some(WIFI)];
    for firmware in all.into_iter().flatten() {
        let start = Instant::now();
        let product = arguments.product.as_deref();
        build(&firmware, &judges.scratch, &images, product)?;
        println!("{} built in {} s", firmware.name, start.elapsed().as_secs());
        for name in firmware.images {
            judges.look_at(&images.join(name))?;
            if firmware.committed {
                compare(&images, name)?;
            }
        }
        judges.rehearse(&firmware, &images, &workspace.join(PARTITIONS))?;
    }
    match arguments.update {
        true => judges.update(),
        false => Ok(()),
    }
}

/// Says whether the image is the committed one; the agent may have changed since.
fn compare(images: &Path, name: &str) -> Result<()> {
    let committed = process::workspace().join("firmware/images").join(name);
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let verdict = match read(&images.join(name))? == read(&committed)? {
        true => "is the demo's image, byte for byte",
        false => "is not the demo's image: firmware/build.sh makes that anew",
    };
    println!("  {verdict}");
    Ok(())
}

/// Lets the host's C compiler look at the example for ESP-IDF, against stub headers.
fn check_c() -> Result<()> {
    process::run(
        Command::new("cc")
            .current_dir(process::workspace().join("firmware/esp-idf"))
            .args(["-std=gnu17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
            .args(["-I", "stubs", "-I", "main", "main/update.c"]),
    )?;
    println!("firmware/esp-idf/main/update.c: syntax and types hold");
    Ok(())
}

/// Runs the tests of the firmware's TLS client, against `espseal serve` and an impostor.
fn test_https(espseal: &Path) -> Result<()> {
    process::run(
        process::cargo()
            .current_dir(process::workspace().join("firmware/https"))
            .args(["test", "--quiet", "--locked"])
            .env("ESPSEAL", espseal),
    )
}

/// Runs `firmware/build.sh`, the one place that knows the commands.
fn build(firmware: &Firmware, target: &Path, images: &Path, product: Option<&Path>) -> Result<()> {
    let mut script = Command::new("sh");
    script
        .current_dir(process::workspace())
        .args(["firmware/build.sh", "--into"])
        .arg(images)
        .arg(firmware.name)
        .env("CARGO_TARGET_DIR", target)
        .env("ESPTOOL", esptool());
    if let Some(product) = product {
        let product = fs::canonicalize(product)
            .with_context(|| format!("cannot find {}", product.display()))?;
        script.env("ESPSEAL_PRODUCT", product);
    }
    process::run(&mut script)
}

/// The pinned esptool, which the oracles hold.
fn esptool() -> PathBuf {
    oracles::folder().join("venv/bin/esptool")
}

/// Who looks at the images.
struct Judges {
    espseal: PathBuf,
    esptool: PathBuf,
    scratch: PathBuf,
}

impl Judges {
    /// Structure, checksum, digest: by ours and by the vendor's tool.
    fn look_at(&self, image: &Path) -> Result<()> {
        process::run(
            Command::new(&self.espseal)
                .args(["image", "verify"])
                .arg(image),
        )?;
        let said = process::output(Command::new(&self.esptool).arg("image-info").arg(image))?;
        refuse_invalid(&said)?;
        println!("  esptool image-info: checksum and hash valid");
        Ok(())
    }

    /// Starts both releases on a virtual device with every lock burnt.
    fn rehearse(&self, firmware: &Firmware, images: &Path, partitions: &Path) -> Result<()> {
        let folder = tempfile::tempdir_in(&self.scratch)
            .with_context(|| format!("cannot write to {}", self.scratch.display()))?;
        let project = folder.path().join("product");
        process::output(Command::new(&self.espseal).arg("init").arg(&project))?;
        let bootloader = folder.path().join("bootloader.bin");
        // Sets the flash size in the bootloader's header, as flashing it would.
        process::output(
            Command::new(&self.esptool)
                .args(["--chip", "esp32c3", "merge-bin", "--flash-size", "4MB"])
                .arg("--output")
                .arg(&bootloader)
                .arg("0x0")
                .arg(oracles::folder().join(BOOTLOADER)),
        )?;
        let mut rehearse = Command::new(&self.espseal);
        rehearse
            .args(["rehearse", "--chip", "esp32c3", "--bootloader"])
            .arg(&bootloader)
            .arg("--partitions")
            .arg(partitions)
            .args(
                firmware
                    .images
                    .map(|name| format!("--app={}", images.join(name).display())),
            )
            .arg("--secure-boot-key")
            .arg(project.join("keys/secure-boot.pem"))
            .args(["--flash-encryption", "release", "--rollback", "on"])
            .args(["--bootloader-secure-boot", "on"])
            .args(["--bootloader-flash-encryption", "on"]);
        let said = process::output(&mut rehearse)?;
        let verdict = said.lines().next().unwrap_or_default();
        ensure!(verdict.starts_with("BOOTS"), "it does not boot: {verdict}");
        println!("espseal rehearse, secure boot and flash encryption on: {verdict}");
        Ok(())
    }
}

impl Judges {
    /// Runs `firmware/rehearse/update.py`, in a Python environment of its own.
    fn update(&self) -> Result<()> {
        process::run(process::cargo().args([
            "build",
            "--quiet",
            "--package",
            "emulation",
            "--bin",
            "bridge",
        ]))?;
        let venv = self.scratch.join("unicorn");
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        process::run(
            Command::new(venv.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(UNICORN),
        )?;
        let workspace = process::workspace();
        process::run(
            Command::new(venv.join("bin/python"))
                .arg("-u")
                .arg(workspace.join("firmware/rehearse/update.py"))
                .arg(self.rom()?)
                .arg(&self.espseal)
                .arg(workspace.join("target/debug/bridge"))
                .arg(&self.esptool)
                .arg(oracles::folder().join(BOOTLOADER))
                .env("CARGO_TARGET_DIR", &self.scratch),
        )
    }

    /// Where the package `esp-rom-sys` names the ROM's functions.
    fn rom(&self) -> Result<PathBuf> {
        let metadata = process::output(
            process::cargo()
                .current_dir(process::workspace().join("firmware/esp32c3"))
                .args(["metadata", "--format-version=1", "--locked"]),
        )?;
        let metadata: serde_json::Value =
            serde_json::from_str(&metadata).context("cargo metadata gave no JSON")?;
        let packages = metadata.get("packages").and_then(|all| all.as_array());
        let manifest = packages
            .into_iter()
            .flatten()
            .find(|package| {
                package
                    .get("name")
                    .is_some_and(|name| name == "esp-rom-sys")
            })
            .and_then(|package| package.get("manifest_path")?.as_str())
            .context("the firmware needs no esp-rom-sys any more")?;
        Ok(Path::new(manifest).with_file_name("ld/esp32c3/rom"))
    }
}

/// What the machine-code run needs of Python.
const UNICORN: [&str; 2] = ["unicorn==2.1.4", "cryptography==50.0.2"];

/// Fails when esptool found a checksum or hash that is not right, or none.
fn refuse_invalid(said: &str) -> Result<()> {
    for line in ["Checksum: ", "Validation hash: "] {
        let found = said.lines().find(|said| said.starts_with(line));
        let found = found.with_context(|| format!("esptool image-info says no `{line}`"))?;
        ensure!(found.ends_with("(valid)"), "esptool says: {found}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_checksum_and_a_valid_hash_pass() {
        let good = "Checksum: 0xd0 (valid)\nValidation hash: 3ef5 (valid)\n";
        assert!(refuse_invalid(good).is_ok());
        let bad = "Checksum: 0xd0 (invalid - calculated 0xd1)\nValidation hash: 3ef5 (valid)\n";
        assert!(refuse_invalid(bad).is_err());
        assert!(refuse_invalid("Checksum: 0xd0 (valid)\n").is_err());
    }
}
