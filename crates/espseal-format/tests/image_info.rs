//! `esptool image-info` and espseal on the same images, real ones and thousands of broken ones:
//! every field that the tool prints is the same, or both refuse.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use espseal_format::app_desc::{self, AppDescriptor};
use espseal_format::bootloader_desc::{self, BootloaderDescriptor};
use espseal_format::chip::ChipId;
use espseal_format::image::{Compared, ImageError, Memory, Survey, memories};
use espseal_format::read::PastEnd;
use espseal_format::units::Digest;
use oracles::Session;

/// Comparisons of broken images.
const CASES: usize = 3000;

/// What is shown of an image, by the tool's own names.
type Shown = BTreeMap<String, String>;

#[test]
fn thousands_of_images_are_read_as_esptool_image_info_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::open("esptool");
    let mut tool = |bytes: &[u8]| {
        fs::write(folder.path().join("image.bin"), bytes).unwrap();
        let answer = session.call(folder.path(), &["image-info", "image.bin"]);
        match answer.accepted() {
            true => Ok(theirs(&answer.text())),
            false => Err(answer.text()),
        }
    };
    let images = real_images();
    for (path, bytes) in &images {
        let outcome = judge(ours(bytes), tool(bytes));
        assert_eq!(outcome, Ok("equal"), "{}", path.display());
    }
    println!("{} real images equal", images.len());
    let small: Vec<_> = images
        .iter()
        .filter(|(_, bytes)| bytes.len() < 0x8000)
        .collect();
    let random = &mut Random(0x2545_F491_4F6C_DD1D);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in 0..CASES {
        let (path, bytes) = match case % 40 {
            0 => &images[random.next(images.len())],
            _ => small[random.next(small.len())],
        };
        let bytes = broken(random, bytes);
        let outcome = judge(ours(&bytes), tool(&bytes))
            .unwrap_or_else(|difference| panic!("case {case}, {}: {difference}", path.display()));
        *counts.entry(outcome).or_default() += 1;
    }
    println!("{CASES} broken images: {counts:?}");
}

/// Compares two readings; names what they have in common, or why they may differ.
fn judge(
    ours: Result<Shown, Refused>,
    theirs: Result<Shown, String>,
) -> Result<&'static str, String> {
    let is_esp8266 = |text: &str| text.contains("ESP8266");
    match (ours, theirs) {
        // A header that is none of the family's is one of the older chip's for the tool.
        (_, Ok(theirs))
            if theirs
                .get("Detected image type")
                .is_some_and(|chip| is_esp8266(chip)) =>
        {
            Ok("the tool takes it for the image of an ESP8266")
        }
        (_, Err(text)) if is_esp8266(&text) => Ok("the tool takes it for the image of an ESP8266"),
        (Ok(ours), Ok(theirs)) => {
            let differences = differences(&ours, &theirs);
            match (
                differences.is_empty(),
                ours["Detected image type"].starts_with("chip"),
            ) {
                (true, true) => Ok("equal but for a chip number that nobody has assigned"),
                (true, false) => Ok("equal"),
                (false, _) => Err(differences.join("; ")),
            }
        }
        (Err(_), Err(_)) => Ok("refused by both"),
        (Ok(_), Err(text))
            if text.contains("UnicodeDecodeError") || text.contains("struct.error") =>
        {
            Ok("the tool crashes over a descriptor")
        }
        (Ok(_), Err(text)) => Err(format!("only espseal reads it: {text}")),
        // Both make a bootloader refuse the image.
        (Err(ImageError::SegmentLength { .. }), Ok(_)) => Ok("stricter: length of a segment"),
        (
            Err(ImageError::Truncated {
                field: "appended SHA-256",
                ..
            }),
            Ok(_),
        ) => Ok("stricter: the SHA-256 is cut short"),
        (Err(error), Ok(_)) => Err(format!("only the tool reads it: {error}")),
    }
}

/// Fields that differ, but for those that are known to.
fn differences(ours: &Shown, theirs: &Shown) -> Vec<String> {
    let unknown_chip = ours["Detected image type"].starts_with("chip");
    let mut names: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut differences = Vec::new();
    for name in names {
        let (ours, theirs) = (ours.get(name), theirs.get(name));
        let same = match name.as_str() {
            // Depends on the chip, which the tool then guesses from elsewhere.
            "Detected image type" | "Chip ID" | "Flash freq" if unknown_chip => true,
            // Of some chips the tool does not name every divider that ESP-IDF's header has.
            "Flash freq" if theirs.is_none() => true,
            // The tool looks for descriptors by the memories of segments, which differ (see below).
            _ if is_descriptor_field(name) && (ours.is_none() || theirs.is_none()) => true,
            _ if name.starts_with("segment") => match (ours, theirs) {
                (Some(ours), Some(theirs)) => same_segment(ours, theirs),
                _ => false,
            },
            _ => ours == theirs,
        };
        if !same {
            differences.push(format!("{name}: {ours:?}, esptool {theirs:?}"));
        }
    }
    differences
}

/// Whether a field is one of a descriptor's.
fn is_descriptor_field(name: &str) -> bool {
    let fields = [
        "Project name",
        "App version",
        "ELF file SHA256",
        "Minimal eFuse block revision",
        "Maximal eFuse block revision",
        "Secure version",
        "Bootloader version",
        "ESP-IDF",
        "Compile time",
    ];
    fields.contains(&name)
}

/// Memories are compared where both sides know some: the tool also knows the ROMs, and not the upper
/// RAM of the ESP32-P4 from revision 3 on.
fn same_segment(ours: &str, theirs: &str) -> bool {
    let split = |text: &str| {
        let (place, memories) = text.split_at(text.len().min(30));
        (place.to_owned(), memories.trim().to_owned())
    };
    let ((ours, our_memories), (theirs, their_memories)) = (split(ours), split(theirs));
    let comparable = !our_memories.is_empty() && !their_memories.is_empty();
    ours == theirs && (!comparable || our_memories == their_memories)
}

/// Why espseal refuses.
type Refused = ImageError<PastEnd>;

/// What espseal shows.
fn ours(bytes: &[u8]) -> Result<Shown, Refused> {
    let survey = Survey::parse(bytes)?;
    let header = &survey.layout.header;
    let chip = header.chip();
    let mut shown = Shown::new();
    let mut put = |name: &str, value: String| {
        shown.insert(name.to_owned(), value);
    };
    put("Detected image type", chip.to_string());
    put("Entry point", format!("{:#x}", header.entry_addr.get()));
    put("Segments", survey.layout.segments.len().to_string());
    if let Some(size) = header.flash_size().bytes() {
        put("Flash size", format!("{}MB", size >> 20));
    }
    if let Some(mhz) = header.flash_frequency().mhz(chip) {
        put("Flash freq", format!("{mhz}m"));
    }
    if header.spi_mode <= 3 {
        put("Flash mode", header.flash_mode().to_string());
    }
    put("Chip ID", format!("{} ({chip})", chip.to_u16()));
    let revision = |number: u16| format!("v{}.{}", number / 100, number % 100);
    let min = header.min_chip_rev_full.get();
    let legacy = header.min_chip_rev;
    put(
        "Minimal chip revision",
        format!("{}, (legacy min_rev = {legacy})", revision(min)),
    );
    put(
        "Maximal chip revision",
        revision(header.max_chip_rev_full.get()),
    );
    for (index, segment) in survey.layout.segments.iter().enumerate() {
        let types: Vec<_> = memories(chip, segment.load_addr).collect();
        put(
            &format!("segment {index}"),
            format!(
                "{:#07x} {:#010x} {:#010x}  {}",
                segment.data_len,
                segment.load_addr,
                segment.data_offset - 8,
                names(types.iter().map(Memory::to_string))
            ),
        );
    }
    put("Checksum", checksum(&survey.checksum));
    if let Some(hash) = &survey.hash {
        put("Validation hash", validation(hash));
    }
    // The tool looks for descriptors by the memory of the first segment.
    let first = survey
        .layout
        .segments
        .first()
        .map_or(0, |segment| segment.load_addr);
    let first: Vec<_> = memories(chip, first).collect();
    let start = usize::try_from(app_desc::OFFSET).unwrap();
    if first.contains(&Memory::Drom)
        && let Some(desc) = bytes.get(start..).and_then(|rest| rest.first_chunk())
        && let Ok(app) = AppDescriptor::parse(desc)
    {
        put("Project name", whole(&desc[48..80]));
        put("App version", whole(&desc[16..48]));
        put(
            "Compile time",
            format!("{} {}", whole(&desc[96..112]), whole(&desc[80..96])),
        );
        put("ELF file SHA256", Digest(*app.elf_sha256()).to_string());
        put("ESP-IDF", whole(&desc[112..144]));
        let plain = |number: u16| format!("{}.{}", number / 100, number % 100);
        let (min, max) = app.efuse_block_revisions();
        put("Minimal eFuse block revision", plain(min));
        put("Maximal eFuse block revision", plain(max));
        put("Secure version", app.secure_version().to_string());
    }
    let start = usize::try_from(bootloader_desc::OFFSET).unwrap();
    if first == [Memory::Dram]
        && let Some(desc) = bytes.get(start..).and_then(|rest| rest.first_chunk())
        && let Ok(bootloader) = BootloaderDescriptor::parse(desc)
    {
        put("Bootloader version", bootloader.version().to_string());
        put("ESP-IDF", whole(&desc[8..40]));
        put("Compile time", whole(&desc[40..64]));
    }
    Ok(shown)
}

/// A text as the tool shows it: all of the field, also what is behind a NUL.
fn whole(field: &[u8]) -> String {
    printable(&String::from_utf8_lossy(field))
}

/// Leaves out the characters that the tool's terminal library may swallow.
fn printable(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    kept.trim().to_owned()
}

fn checksum(checksum: &Compared<u8>) -> String {
    let (stored, computed) = (checksum.stored, checksum.computed);
    match checksum.holds() {
        true => format!("{stored:#04x} (valid)"),
        false => format!("{stored:#04x} (invalid - calculated {computed:#04x})"),
    }
}

fn validation(hash: &Compared<Digest>) -> String {
    // The tool prints what the image gives, not what is stored.
    let verdict = if hash.holds() { "valid" } else { "invalid" };
    format!("{} ({verdict})", hash.computed)
}

/// Names of memories that both sides know, in one order.
fn names(types: impl Iterator<Item = String>) -> String {
    let mut types: Vec<_> = types.collect();
    types.sort_unstable();
    types.join(" ")
}

/// What the tool shows.
fn theirs(text: &str) -> Shown {
    const ELSEWHERE: [&str; 4] = [
        "BYTE_ACCESSIBLE",
        "MEM_INTERNAL",
        "DIRAM_DRAM",
        "DIRAM_IRAM",
    ];
    let mut shown = Shown::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [index, length, load, offset, ..] = words[..]
            && let Ok(index) = index.parse::<usize>()
        {
            let types = words[4..]
                .iter()
                .map(|word| word.trim_end_matches(',').to_owned());
            let types = names(types.filter(|name| !ELSEWHERE.contains(&name.as_str())));
            shown.insert(
                format!("segment {index}"),
                format!("{length} {load} {offset}  {types}"),
            );
        } else if let Some((name, value)) = line.split_once(": ").or_else(|| line.split_once(':')) {
            const IGNORED: [&str; 5] = [
                "WARNING",
                "Image size",
                "Image version",
                "WP pin",
                "Flash pins drive settings",
            ];
            if !IGNORED.contains(&name) {
                shown.insert(name.to_owned(), printable(value));
            }
        }
    }
    shown
}

/// Breaks an image in one to three places.
fn broken(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let segments = Survey::parse(&bytes).unwrap().layout.segments;
    for _ in 0..=random.next(3) {
        let at = match random.next(8) {
            0..=2 => random.next(24),
            3 | 4 => {
                let data = segments[random.next(segments.len())].data_offset;
                usize::try_from(data).unwrap() - 8 + random.next(8)
            }
            5 => 32 + random.next(256),
            6 => bytes.len() - 1 - random.next(48),
            _ => random.next(bytes.len()),
        };
        let value = u8::try_from(random.next(256)).unwrap();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = match random.next(3) {
                0 => *byte ^ (1 << (value % 8)),
                1 => value,
                _ => [0, 1, 0xFF, 0xEE][usize::from(value % 4)],
            };
        }
    }
    if random.next(6) == 0 {
        bytes.truncate(random.next(bytes.len()));
    }
    if random.next(10) == 0 {
        bytes.extend((0..random.next(100)).map(|_| 0xFF));
    }
    bytes
}

/// Small random numbers from a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

/// Every real image that the packages hold.
fn real_images() -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![
        oracles::cargo_package("espflash", "4.7.0").join("resources/bootloaders"),
        oracles::package("mxdbg", "0.3.2").join("firmware"),
        oracles::package("pinpong", "0.6.2").join("pinpong-0.6.2/pinpong/base"),
    ];
    for version in ["2026.0.4", "2026.0.5"] {
        let root = oracles::package("ivh", version).join("ivh/firmware");
        folders.extend(
            fs::read_dir(root)
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
    }
    let mut images: Vec<_> = folders
        .iter()
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .filter(|(_, bytes)| bytes.first() == Some(&0xE9))
        .collect();
    images.sort();
    let known = |(_, bytes): &(PathBuf, Vec<u8>)| {
        !matches!(
            Survey::parse(bytes).unwrap().layout.header.chip(),
            ChipId::Unknown(_)
        )
    };
    assert!(images.iter().all(known));
    images
}
