//! NVS images, byte for byte against `esp-idf-nvs-partition-gen` over random CSV files.

mod random;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use espseal_crypto::nvs_encryption::{NvsCipher, NvsKeys};
use espseal_publish::nvs::error::{NvsError, RowProblem};
use espseal_publish::nvs::image::Version;
use espseal_publish::nvs::reading::{self, Finding, Stored};
use espseal_publish::nvs::{keys, source::Source};
use oracles::Session;
use random::{Files, Random};

/// The vendor's generator.
const TOOL: &str = "esp_idf_nvs_partition_gen.nvs_partition_gen";

/// Makes an image with ours, encrypted with `key.bin` if the case says so; and whether each key stands
/// once in its namespace.
fn ours(folder: &Path, case: &Case) -> Result<(Vec<u8>, bool), NvsError> {
    let mut source = Source::new(case.size, case.version)?;
    for csv in &case.csv {
        source.read(&folder.join(csv), folder)?;
    }
    let keys = case.key.map(|_| keys(folder));
    let cipher = keys.as_ref().map(NvsCipher::new);
    let image = source.image.finish(cipher.as_ref()).to_vec();
    Ok((image, source.remarks.is_empty()))
}

fn keys(folder: &Path) -> NvsKeys {
    let bytes = fs::read(folder.join("key.bin")).unwrap();
    NvsKeys::from_partition(&bytes).unwrap()
}

/// The same with the vendor's; `None` when it refuses, or dies of an exception.
fn theirs(session: &mut Session, folder: &Path, case: &Case) -> Option<Vec<u8>> {
    let size = format!("{:#x}", case.size);
    let version = match case.version {
        Version::One => "1",
        Version::Two => "2",
    };
    let verb = if case.key.is_some() {
        "encrypt"
    } else {
        "generate"
    };
    let mut argv = vec![verb];
    argv.extend(case.csv.iter().map(String::as_str));
    argv.extend(["out.bin", &size, "--version", version]);
    if let Some(key) = case.key {
        argv.extend(["--inputkey", key]);
    }
    let _ = fs::remove_file(folder.join("out.bin"));
    let answer = session.call(folder, &argv);
    let image = fs::read(folder.join("out.bin")).ok();
    image.filter(|image| answer.accepted() && !image.is_empty())
}

/// One image to make.
struct Case {
    csv: Vec<String>,
    size: u32,
    version: Version,
    key: Option<&'static str>,
}

/// Why an image is refused here that the original makes.
fn deviation(error: &NvsError) -> Option<&'static str> {
    let NvsError::Row { cause, .. } = error else {
        return None;
    };
    Some(match cause {
        RowProblem::Reopened { .. } => "namespace begun again",
        RowProblem::NoNamespace { .. } => "no namespace",
        RowProblem::Key { .. } => "key empty or not ASCII",
        RowProblem::Kind { .. } => "unknown type",
        RowProblem::Surplus { .. } => "surplus fields",
        RowProblem::WifiKind { .. } => "Wi-Fi key from a file",
        RowProblem::ManyNamespaces { .. } => "too many namespaces",
        RowProblem::Encoding { found } if found.to_lowercase() != *found => "encoding in capitals",
        RowProblem::Value { expected, .. } if expected.starts_with("ASCII") => "binary, not ASCII",
        _ => return None,
    })
}

/// Name of a refusal.
fn name(error: &NvsError) -> String {
    let debug = match error {
        NvsError::Row { cause, .. } => format!("{cause:?}"),
        other => format!("{other:?}"),
    };
    debug.split([' ', '(']).next().unwrap().to_owned()
}

fn compare(cases: u64) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut session = Session::open(TOOL);
    let mut random = Random::new(6);
    let files = Files::write(&mut random, folder);
    let (mut equal, mut encrypted, mut bytes) = (0, 0, 0);
    let mut refused = BTreeMap::<_, u64>::new();
    let mut deviations = BTreeMap::<_, u64>::new();
    for number in 0..cases {
        let case = random.case(folder, &files);
        let (found, expected) = (ours(folder, &case), theirs(&mut session, folder, &case));
        let text = || -> String {
            let texts = case
                .csv
                .iter()
                .map(|csv| fs::read_to_string(folder.join(csv)).unwrap());
            texts.collect::<Vec<_>>().join("\n====\n")
        };
        match (found, expected) {
            (Ok((found, unique)), Some(expected)) => {
                let at = found.iter().zip(&expected).position(|(a, b)| a != b);
                let same = found.len() == expected.len() && at.is_none();
                assert!(same, "case {number} differs at {at:x?}:\n{}", text());
                // Chunks of blobs with one key cannot be told apart.
                let contents = reading::read(&found, cipher(folder, &case).as_ref());
                let sound = contents.findings.is_empty() || !unique;
                assert!(sound, "case {number}: {:?}\n{}", contents.findings, text());
                equal += 1;
                encrypted += u64::from(case.key.is_some());
                bytes += found.len();
            }
            (Err(error), None) => *refused.entry(name(&error)).or_default() += 1,
            (Err(error), Some(_)) => match deviation(&error) {
                Some(reason) => *deviations.entry(reason).or_default() += 1,
                None => panic!("case {number}: refused here only: {error}\n{}", text()),
            },
            (Ok(_), None) => panic!("case {number}: refused there only:\n{}", text()),
        }
    }
    println!(
        "NVS: {cases} CSV sets: {equal} images equal ({encrypted} encrypted, {bytes} bytes), \
         refused by both: {refused:?}, refused here only: {deviations:?}"
    );
    assert!(
        equal * 5 > cases * 2 && refused.len() > 8,
        "the cases are no fair sample"
    );
}

fn cipher(folder: &Path, case: &Case) -> Option<NvsCipher> {
    case.key.map(|_| NvsCipher::new(&keys(folder)))
}

#[test]
fn images_of_random_csv_files_are_those_of_the_vendors_generator() {
    compare(1500);
}

#[test]
#[ignore = "the share above runs in the tests; `cargo xtask nvs --full` runs this"]
fn images_of_many_random_csv_files_are_those_of_the_vendors_generator() {
    compare(20_000);
}

#[test]
fn key_files_are_those_of_the_vendors_generator_in_both_schemes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut session = Session::open(TOOL);
    let mut random = Random::new(7);
    for _ in 0..50 {
        let secret: [u8; 32] = random.bytes(32).try_into().unwrap();
        fs::write(folder.join("hmac.bin"), secret).unwrap();
        let argv = [
            "generate-key",
            "--key_protect_hmac",
            "--kp_hmac_inputkey",
            "hmac.bin",
            "--keyfile",
            "out.bin",
        ];
        let answer = session.call(folder, &argv);
        assert!(answer.accepted(), "{}", answer.text());
        let theirs = fs::read(folder.join("keys/out.bin")).unwrap();
        assert_eq!(*keys::partition(&NvsKeys::from_hmac_key(&secret)), theirs);
    }
    // Keys that it draws are read here, and written back as they were.
    let answer = session.call(folder, &["generate-key", "--keyfile", "drawn.bin"]);
    assert!(answer.accepted(), "{}", answer.text());
    let drawn = fs::read(folder.join("keys/drawn.bin")).unwrap();
    assert_eq!(
        *keys::partition(&NvsKeys::from_partition(&drawn).unwrap()),
        drawn
    );
}

/// Entries as text, in order.
fn listing(image: &[u8], cipher: Option<&NvsCipher>) -> (Vec<String>, Vec<Finding>) {
    let contents = reading::read(image, cipher);
    let line = |entry: &reading::Entry| {
        let value = match &entry.value {
            Stored::Number(number) => number.to_string(),
            Stored::Text(text) => format!("{:?}", text.as_str()),
            Stored::Bytes(bytes) => format!("{} bytes", bytes.len()),
        };
        let namespace = entry.namespace.map(|name| name.to_string());
        format!(
            "{}.{} {} {value}",
            namespace.unwrap_or_default(),
            entry.key,
            entry.kind
        )
    };
    (
        contents.entries.iter().map(line).collect(),
        contents.findings,
    )
}

#[test]
fn image_reads_back_what_its_csv_says_with_the_right_key_only() {
    let csv = format!(
        "key,type,encoding,value\na,namespace,,\nn,data,i16,-2\nbig,data,i64,-9000000000\ns,data,string,\"x, y\"\n\
         b,namespace,,\nblob,data,hex2bin,{}\n",
        "5a".repeat(9000)
    );
    let mut source = Source::new(0x6000, Version::Two).unwrap();
    source
        .rows(Path::new("a.csv"), &csv, Path::new("."))
        .unwrap();
    let expected = [
        "a.n i16 -2",
        "a.big i64 -9000000000",
        "a.s string \"x, y\"",
        "b.blob blob_index 9000 bytes",
    ];
    let plain = source.image.finish(None);
    assert_eq!(listing(&plain, None).0, expected);
    let keys = NvsKeys::from_hmac_key(&[1; 32]);
    let cipher = NvsCipher::new(&keys);
    let image = source.image.finish(Some(&cipher));
    assert_eq!(listing(&image, Some(&cipher)).0, expected);
    let wrong = NvsCipher::new(&NvsKeys::from_hmac_key(&[2; 32]));
    for cipher in [None, Some(&wrong)] {
        let (entries, findings) = listing(&image, cipher);
        assert!(entries.is_empty() && !findings.is_empty());
        assert!(
            findings
                .iter()
                .all(|finding| matches!(finding, Finding::Item { .. }))
        );
    }
    // Damage is found wherever it is in an entry.
    for at in 64..64 + 32 * 4 {
        let mut bad = plain.to_vec();
        bad[at] ^= 0x10;
        assert!(!listing(&bad, None).1.is_empty(), "offset {at:#x}");
    }
}

#[test]
fn full_partition_is_refused_at_the_page_after_the_last() {
    let blob = |bytes: usize| {
        format!(
            "key,type,encoding,value\na,namespace,,\nb,data,hex2bin,{}\n",
            "00".repeat(bytes)
        )
    };
    let build = |size, bytes| {
        let mut source = Source::new(size, Version::Two).unwrap();
        let result = source.rows(Path::new("a.csv"), &blob(bytes), Path::new("."));
        result.map(|()| source.image.finish(None).len())
    };
    // 126 entries: the namespace, a header, 122 of data, the index; one more needs a second page.
    assert_eq!(build(0x1000, 123 * 32).unwrap(), 0x1000);
    let full = build(0x1000, 123 * 32 + 1).unwrap_err();
    assert!(
        full.to_string().contains("`b` does not fit into 1 pages"),
        "{full}"
    );
    assert_eq!(build(0x2000, 123 * 32 + 1).unwrap(), 0x2000);
    // A partition that firmware writes to keeps a page free.
    assert_eq!(build(0x3000, 7900).unwrap(), 0x3000);
    let full = build(0x3000, 8000).unwrap_err();
    assert!(full.to_string().contains("one page more"), "{full}");
    for size in [0, 0xFFF, 0x1001, 0x3800, u32::MAX] {
        assert!(matches!(
            Source::new(size, Version::Two),
            Err(NvsError::Size { .. })
        ));
    }
}

/// What firmware would read as something else than the CSV says is refused, though the original makes
/// an image of it.
#[test]
fn misleading_csv_files_are_refused_that_the_vendors_generator_takes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut session = Session::open(TOOL);
    fs::write(folder.join("name.txt"), b"net").unwrap();
    let many: String = (1..=255)
        .map(|number| format!("n{number},namespace,,\n"))
        .collect();
    for (rows, words) in [
        (
            "a,namespace,,\nb,namespace,,\na,namespace,,\nk,data,u8,1\n",
            "file it under `b`",
        ),
        ("k,data,u8,1\n", "before the first namespace"),
        ("a,namespace,,\né,data,u8,1\n", "is no key"),
        ("a,namespace,,\n,data,u8,1\n", "is no key"),
        ("a,namespace,,\nk,date,u8,1\n", "type `date` is unknown"),
        (
            "a,namespace,,\nk,data,String,text\n",
            "these six in lower case",
        ),
        (
            "a,namespace,,\nk,data,HEX2BIN,00ff\n",
            "these six in lower case",
        ),
        ("a,namespace,,\nk,data,binary,é\n", "no ASCII"),
        ("a,namespace,,\nk,data,string,hello, world\n", "into quotes"),
        (
            "a,namespace,,\nsta.ssid,file,string,name.txt\n",
            "Wi-Fi driver",
        ),
        (&many, "one namespace too many"),
    ] {
        fs::write(
            folder.join("in.csv"),
            format!("key,type,encoding,value\n{rows}"),
        )
        .unwrap();
        let case = Case {
            csv: vec!["in.csv".into()],
            size: 0x6000,
            version: Version::Two,
            key: None,
        };
        let error = ours(folder, &case).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(deviation(&error).is_some(), "{error}");
        assert!(theirs(&mut session, folder, &case).is_some(), "{rows}");
    }
    // A namespace may be named again where that changes nothing.
    let csv = "key,type,encoding,value\na,namespace,,\nk,data,u8,1\na,namespace,,\nl,data,u8,2\n";
    let mut source = Source::new(0x3000, Version::Two).unwrap();
    source.rows(Path::new("in.csv"), csv, folder).unwrap();
}
