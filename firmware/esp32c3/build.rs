//! Writes the product that is built into the firmware: who it is, and the root it trusts.
//!
//! Both come from the folder that `espseal init` made, named by `ESPSEAL_PRODUCT`; without it, from
//! `product/`, an example whose keys nobody has. `ESPSEAL_CHANNEL` names the channel; its first one
//! is taken otherwise.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::{Table, Value};

/// The chip that this firmware is for, as `espseal.toml` names it.
const CHIP: &str = "esp32c3";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=ESPSEAL_PRODUCT");
    println!("cargo::rerun-if-env-changed=ESPSEAL_CHANNEL");
    let own = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("product");
    let folder = env::var_os("ESPSEAL_PRODUCT").map_or(own, PathBuf::from);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let path = folder.join("espseal.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let project: Table = text.parse()?;
    let (name, group) = channel(&project)?;
    let root = latest_root(&folder.join("roots"))?;
    fs::copy(&root, out.join("root.cose"))?;
    let chip = chip(&project)?;
    let (table_offset, signature) = (table_offset(chip)?, signature_rule(chip));
    let authority = authority(&folder)?;
    fs::write(out.join("authority.der"), authority)?;
    let constant = format!(
        "BuiltIn {{ product: Product({}), vendor: VendorId({}), class: ClassId({}), \
         channel: {name:?}, group: {group}, table_offset: {table_offset:#x}, \
         signature: SignatureRule::{signature}, \
         root: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/root.cose\")), base_url: {:?}, \
         authority: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/authority.der\")) }}",
        id(&project, "product")?,
        id(&project, "vendor")?,
        id(&project, "class")?,
        text_of(&project, "base-url")?,
    );
    fs::write(out.join("product.rs"), constant)?;
    Ok(())
}

/// Name and group of the channel.
fn channel(project: &Table) -> Result<(String, i64), Box<dyn Error>> {
    let wanted = env::var("ESPSEAL_CHANNEL").ok();
    let channels = entries(project, "channel");
    let channel = channels
        .into_iter()
        .find(|channel| {
            wanted.is_none() || channel.get("name").and_then(Value::as_str) == wanted.as_deref()
        })
        .ok_or("espseal.toml has no such channel")?;
    let group = channel.get("group").and_then(Value::as_integer);
    Ok((
        text_of(channel, "name")?.to_owned(),
        group.ok_or("the channel has no group")?,
    ))
}

/// The entry of this chip.
fn chip(project: &Table) -> Result<&Table, Box<dyn Error>> {
    entries(project, "chip")
        .into_iter()
        .find(|chip| chip.get("chip").and_then(Value::as_str) == Some(CHIP))
        .ok_or_else(|| format!("espseal.toml has no chip {CHIP}").into())
}

/// Where the bootloader looks for the partition table.
fn table_offset(chip: &Table) -> Result<i64, Box<dyn Error>> {
    let offset = chip
        .get("partition-table-offset")
        .and_then(Value::as_integer);
    offset.ok_or_else(|| "the chip has no partition-table-offset".into())
}

/// A product with secure boot demands signatures always; one without, for development, where a key
/// is burnt all the same.
fn signature_rule(chip: &Table) -> &'static str {
    match chip.get("secure-boot-digests").and_then(Value::as_array) {
        Some(digests) if digests.is_empty() => "WhenBurnt",
        _ => "Required",
    }
}

/// The root with the highest version: `roots/<version>.cose`.
fn latest_root(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let version = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
    fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "cose")
        })
        .max_by_key(version)
        .ok_or_else(|| format!("{} holds no root", folder.display()).into())
}

/// The certificate that signs the server's, in DER: that of `ca/ca.pem`, or of `ESPSEAL_AUTHORITY`.
fn authority(folder: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=ESPSEAL_AUTHORITY");
    let own = folder.join("ca/ca.pem");
    let path = env::var_os("ESPSEAL_AUTHORITY").map_or(own, PathBuf::from);
    println!("cargo::rerun-if-changed={}", path.display());
    let pem = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    base64(body.trim_end_matches('=')).ok_or_else(|| format!("{} is no PEM", path.display()).into())
}

/// Decodes base64 without padding (RFC 4648).
fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// The tables of an array of tables.
fn entries<'a>(project: &'a Table, key: &str) -> Vec<&'a Table> {
    let array = project.get(key).and_then(Value::as_array);
    array
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect()
}

/// A 16-byte id as the source text of an array.
fn id(project: &Table, key: &str) -> Result<String, Box<dyn Error>> {
    let hex = text_of(project, key)?;
    let bytes = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2).unwrap_or_default(), 16))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes: [u8; 16] = bytes
        .try_into()
        .map_err(|_| format!("{key} has not 16 bytes"))?;
    Ok(format!("{bytes:?}"))
}

fn text_of<'a>(table: &'a Table, key: &str) -> Result<&'a str, Box<dyn Error>> {
    let text = table.get(key).and_then(Value::as_str);
    text.ok_or_else(|| format!("espseal.toml has no {key}").into())
}

/// Reads a variable that cargo sets for build scripts.
fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
