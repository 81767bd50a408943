//! Installs what the tests compare with: the vendor's tools and real images, by package name.
//!
//! Everything lands under `target/oracles` and is made once; a marker file names the versions, so
//! that a changed pin installs again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{self, on_path, workspace};

/// Python packages of the environment, pinned.
const PYTHON_PACKAGES: [&str; 4] = [
    "esptool==5.6.0",
    "cryptography==50.0.2",
    "cbor2==6.3.0",
    "esp-idf-nvs-partition-gen==0.3.0",
];

/// Python packages that are unpacked and not installed: they hold real images, and the last a copy
/// of ESP-IDF's `gen_esp32part.py`.
const IMAGE_PACKAGES: [(&str, &str); 5] = [
    ("ivh", "2026.0.4"),
    ("ivh", "2026.0.5"),
    ("mxdbg", "0.3.2"),
    ("pinpong", "0.6.2"),
    ("esp-test-utils", "0.6.5"),
];

/// Cargo packages that hold real images.
const CARGO_PACKAGES: [(&str, &str); 3] = [
    ("espflash", "4.7.0"),
    ("esp-idf-part", "0.6.0"),
    ("esp-bootloader-esp-idf", "0.6.0"),
];

/// Where they are.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("ESPSEAL_ORACLES")
        .map_or_else(|| workspace().join("target/oracles"), PathBuf::from)
}

/// Installs every oracle that is not there yet, and says so.
pub(crate) fn install() -> Result<()> {
    let folder = folder();
    fs::create_dir_all(folder.join("packages"))
        .with_context(|| format!("cannot create {}", folder.display()))?;
    python_environment(&folder)?;
    if !on_path("softhsm2-util") {
        debian_packages(&["softhsm2"])?;
    }
    if !on_path("age-keygen") {
        debian_packages(&["age"])?;
    }
    for (name, version) in IMAGE_PACKAGES {
        image_package(&folder, name, version)?;
    }
    cargo_packages(&folder)
}

/// Makes the Python environment with the pinned tools.
fn python_environment(folder: &Path) -> Result<()> {
    let venv = folder.join("venv");
    let marker = venv.join("espseal-pins");
    let pins = PYTHON_PACKAGES.join("\n");
    if fs::read_to_string(&marker).is_ok_and(|found| found == pins) {
        return Ok(());
    }
    println!(
        "installing {} into {}",
        PYTHON_PACKAGES.join(", "),
        venv.display()
    );
    make_venv(&venv)?;
    process::run(
        Command::new(venv.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(PYTHON_PACKAGES),
    )?;
    fs::write(&marker, pins).with_context(|| format!("cannot write {}", marker.display()))
}

/// Makes an empty environment; Debian splits the module that does it into a package of its own.
fn make_venv(venv: &Path) -> Result<()> {
    let make = || {
        process::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(venv),
        )
    };
    if on_path("python3") && make().is_ok() {
        return Ok(());
    }
    debian_packages(&["python3", "python3-venv"])?;
    make()
}

/// Installs Debian packages; needs root, as on a fresh machine or in CI.
pub(crate) fn debian_packages(names: &[&str]) -> Result<()> {
    if !on_path("apt-get") {
        bail!(
            "{} are missing and this is not Debian: install them by hand",
            names.join(", ")
        );
    }
    println!("installing the Debian packages {}", names.join(", "));
    process::run(Command::new("apt-get").args(["update", "-qq"]))?;
    process::run(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(names),
    )
}

/// Downloads and unpacks a Python package.
fn image_package(folder: &Path, name: &str, version: &str) -> Result<()> {
    let target = folder.join("packages").join(format!("{name}-{version}"));
    if target.exists() {
        return Ok(());
    }
    println!("fetching the package {name} {version}");
    let download = folder.join("download").join(format!("{name}-{version}"));
    fs::create_dir_all(&download)
        .with_context(|| format!("cannot create {}", download.display()))?;
    process::run(
        Command::new(folder.join("venv/bin/python"))
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["--no-deps", "--dest"])
            .arg(&download)
            .arg(format!("{name}=={version}")),
    )?;
    let unpacked = folder
        .join("packages")
        .join(format!("{name}-{version}.part"));
    let script = "import shutil,sys,glob,zipfile\n\
        f=glob.glob(sys.argv[1]+'/*')[0]\n\
        zipfile.ZipFile(f).extractall(sys.argv[2]) if f.endswith('.whl') else shutil.unpack_archive(f, sys.argv[2])";
    process::run(
        Command::new(folder.join("venv/bin/python"))
            .args(["-c", script])
            .arg(&download)
            .arg(&unpacked),
    )?;
    fs::rename(&unpacked, &target).with_context(|| format!("cannot create {}", target.display()))
}

/// Lets cargo fetch its packages and links their source folders; they are never compiled.
fn cargo_packages(folder: &Path) -> Result<()> {
    let link =
        |name: &str, version: &str| folder.join("packages").join(format!("{name}-{version}"));
    if CARGO_PACKAGES
        .iter()
        .all(|(name, version)| link(name, version).exists())
    {
        return Ok(());
    }
    println!("fetching cargo packages for their real images");
    let project = folder.join("cargo");
    fs::create_dir_all(project.join("src"))
        .with_context(|| format!("cannot create {}", project.display()))?;
    let dependencies: String = CARGO_PACKAGES
        .iter()
        .map(|(name, version)| {
            format!("{name} = {{ version = \"={version}\", default-features = false }}\n")
        })
        .collect();
    fs::write(
        project.join("Cargo.toml"),
        format!(
            "[workspace]\n[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\n{dependencies}"
        ),
    )?;
    fs::write(project.join("src/lib.rs"), "")?;
    let metadata = process::output(process::cargo().current_dir(&project).args([
        "metadata",
        "--format-version",
        "1",
        "--quiet",
    ]))?;
    for (name, version) in CARGO_PACKAGES {
        let source = source_folder(&metadata, name, version)?;
        let link = link(name, version);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&source, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// Finds a package's folder in the output of `cargo metadata`.
fn source_folder(metadata: &str, name: &str, version: &str) -> Result<PathBuf> {
    let manifest = format!("/{name}-{version}/Cargo.toml\"");
    let end = metadata
        .find(&manifest)
        .with_context(|| format!("cargo did not fetch {name} {version}"))?;
    let start = metadata
        .get(..end)
        .and_then(|text| text.rfind('"'))
        .map_or(0, |quote| quote + 1);
    let parent = metadata.get(start..end).unwrap_or_default();
    Ok(PathBuf::from(format!("{parent}/{name}-{version}")))
}
