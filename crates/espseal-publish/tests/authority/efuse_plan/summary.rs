//! A chip read by `espefuse summary` is planned as the same chip read from its file.

use espseal_publish::efuse_plan::plan::plan;
use espseal_publish::efuse_plan::present::{Form, Present};
use espseal_publish::efuse_plan::summary::SummaryError;
use espseal_publish::efuse_plan::wish::{BurntKeys, Wish};
use espseal_twin::efuse::virt;
use oracles::Session;

use super::wishes::{material, silicons};

#[test]
fn a_summary_of_espefuse_says_what_its_file_says() {
    let mut session = Session::open("espefuse");
    let folder = tempfile::tempdir().unwrap();
    let (mut fields, mut summaries) = (0, Vec::new());
    for silicon in silicons() {
        let (chip, id) = (silicon.chip, silicon.chip.id);
        let plans = silicon.plans().0;
        let longest = plans
            .iter()
            .max_by_key(|planned| planned.plan.steps.len())
            .unwrap();
        let mut efuses = longest.present.efuses().clone();
        let material = material(&longest.plan);
        for _ in 0..longest.plan.steps.len() / 2 {
            longest.plan.apply_next(&mut efuses, &material).unwrap();
        }
        let file = virt::encode(&efuses);
        std::fs::write(folder.path().join("efuses"), &file).unwrap();
        let target = id.target().unwrap();
        let options = ["--chip", target, "--virt", "--path-efuse-file", "efuses"];
        let command = ["summary", "--format", "json"];
        let answer = session.call(folder.path(), &[&options[..], &command[..]].concat());
        assert!(answer.accepted(), "{}", answer.text());
        let read = Present::parse(id, &answer.output).unwrap();
        assert_eq!(read.form(), Form::Summary);
        let same = Present::parse(id, &file).unwrap();
        for field in chip.efuse.fields {
            let values = [&read, &same].map(|present| present.efuses().read(field.name).unwrap());
            // What espefuse does not list is unknown; it is nothing that a plan asks for.
            let unlisted = !answer.text().contains(&format!("\"{}\"", field.name));
            assert!(
                values[0] == values[1] || unlisted,
                "{} of {target}",
                field.name
            );
            fields += usize::from(!unlisted);
        }
        for entry in chip.efuse.keys {
            let block = usize::from(entry.key.block);
            let blocks = [&read, &same].map(|present| present.efuses().read_block(block));
            assert_eq!(blocks[0], blocks[1], "{} of {target}", entry.key.name);
        }
        let wish = Wish {
            burnt_keys: BurntKeys::Accept,
            ..longest.wish.clone()
        };
        if read.efuses().revision() == silicon.revision {
            let [one, other] = [&read, &same].map(|present| plan(&wish, present).unwrap());
            assert_eq!(one.steps, other.steps, "{target}");
        }
        summaries.push((id, answer.output));
    }
    let mut confused = 0;
    for (id, _) in &summaries {
        for (other, summary) in &summaries {
            if id != other {
                // Chips with the same map cannot be told apart; most have one of their own.
                let refused = matches!(
                    Present::parse(*id, summary).map_err(|error| error.to_string()),
                    Err(message) if message.contains("of another chip") || message.contains("is it of another")
                );
                confused += usize::from(!refused);
            }
        }
    }
    println!(
        "{} summaries, {fields} fields read alike, {confused} summaries of other chips not noticed",
        summaries.len()
    );
    assert!(confused <= 30, "{confused}");
}

#[test]
fn what_is_no_summary_is_refused() {
    use espseal_format::chip::ChipId;
    use espseal_publish::efuse_plan::present::PresentError;
    for text in ["", "nothing", "{", "{}", "{\"WR_DIS\": 5}", "[]"] {
        let error = Present::parse(ChipId::Esp32C3, text.as_bytes()).unwrap_err();
        assert!(matches!(error, PresentError::Summary(_)), "{text}: {error}");
    }
    let entry = |name: &str, raw: &str| format!("\"{name}\": {{\"raw_value\": \"{raw}\"}}");
    let entries = ["0x0", "zz", "0x1ffffffffffffffffff", "-1", "0x"].map(|raw| {
        let all = [
            entry("WR_DIS", raw),
            entry("RD_DIS", "0x0"),
            entry("SPI_BOOT_CRYPT_CNT", "0x0"),
        ];
        format!("{{{}}}", all.join(","))
    });
    for (index, text) in entries.iter().enumerate() {
        let read = Present::parse(ChipId::Esp32C3, text.as_bytes());
        match index {
            0 => assert!(read.is_ok(), "{read:?}"),
            _ => assert!(
                matches!(read, Err(PresentError::Summary(SummaryError::Value { .. }))),
                "{text}: {read:?}"
            ),
        }
    }
}
