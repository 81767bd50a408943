//! A rehearsal, for people and for scripts: the verdict first.

use std::fmt::Display;
use std::path::PathBuf;

use comfy_table::{Table, presets};
use console::Style;
use espseal_publish::rehearsal::catalogue::{CaseReport, Status};
use espseal_publish::rehearsal::report::{Report, Verdict};
use serde_json::{Value, json};

use super::inputs::Inputs;
use crate::answer::Answer;

/// Says what the rehearsal showed.
pub(super) fn answer(report: &Report, inputs: &Inputs, written: &[PathBuf], json: bool) -> Answer {
    if json {
        return Answer::new(object(report, inputs, written));
    }
    let mut answer = Answer::new(Value::Null).listing(headline(report));
    let warnings = report.warnings.iter().map(ToString::to_string);
    answer = section(answer, "ESP-IDF warns", warnings);
    answer = section(answer, "The bootloader", bootloader(inputs));
    answer = section(answer, "Before flashing", inputs.notes.iter().cloned());
    for (number, boot) in (1..).zip(&report.boots) {
        let title = match number {
            1 => "Switched on for the first time",
            _ => "Switched on again",
        };
        answer = section(
            answer,
            title,
            boot.log.lines().iter().map(ToString::to_string),
        );
    }
    let steps = report.irreversible.iter();
    let steps = steps.map(|step| format!("{step}: {}", step.consequence(report.chip)));
    answer = section(answer, "Irreversible, in this order", steps);
    if !report.cases.is_empty() {
        answer = answer.listing(format_args!("\nWhat goes wrong\n{}", table(&report.cases)));
    }
    section(
        answer,
        "Written",
        written.iter().map(|path| path.display().to_string()),
    )
}

fn section(answer: Answer, title: &str, lines: impl IntoIterator<Item = String>) -> Answer {
    let lines: Vec<_> = lines.into_iter().map(|line| format!("  {line}")).collect();
    match lines.is_empty() {
        true => answer,
        false => answer.listing(format_args!(
            "\n{}\n{}",
            Style::new().bold().apply_to(title),
            lines.join("\n")
        )),
    }
}

/// The verdict in one line.
fn headline(report: &Report) -> String {
    let (good, bad) = (Style::new().green().bold(), Style::new().red().bold());
    let (major, minor) = (report.revision / 100, report.revision % 100);
    let chip = format!("{} v{major}.{minor}", report.chip.name());
    let counts = format!(
        "{} refused, {} harmless, {} findings, {} do not apply, {} surprises",
        report.count(Status::Refused),
        report.count(Status::Harmless),
        report.count(Status::Finding),
        report.count(Status::NotApplicable),
        report.count(Status::Surprise),
    );
    match &report.verdict {
        Verdict::Boots(app) => format!(
            "{} on {chip}, from {} at {}. What goes wrong: {counts}.",
            good.apply_to("BOOTS"),
            app.slot,
            app.offset
        ),
        verdict => format!(
            "{} on {chip}: {}",
            bad.apply_to(word(verdict)),
            reason(verdict)
        ),
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Boots(_) => "BOOTS",
        Verdict::NotLocked { .. } => "BOOTS, BUT NOT LOCKED",
        Verdict::WouldNotBoot(_) => "WOULD NOT BOOT",
        Verdict::WouldBrick(_) => "WOULD BRICK",
        _ => "REFUSED",
    }
}

/// What a bad verdict rests on.
fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Boots(app) => format!("{} runs", app.slot),
        Verdict::NotLocked { running, missing } => {
            format!("{} runs without {missing}", running.slot)
        }
        Verdict::WouldNotBoot(failure) => format!("{failure:?}; nothing irreversible has happened"),
        Verdict::WouldBrick(failure) => {
            format!("{failure:?}, and what is burnt stays burnt; the log says why")
        }
        Verdict::Refused(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

fn bootloader(inputs: &Inputs) -> Vec<String> {
    let version = inputs
        .evidence
        .idf_version
        .iter()
        .map(|version| format!("ESP-IDF {version}"));
    let findings = inputs.evidence.findings.iter();
    version
        .chain(findings.map(|(feature, finding)| format!("{feature}: {finding}")))
        .collect()
}

fn table(cases: &[CaseReport]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "",
        "case",
        "what was done",
        "what the device did",
        "why",
    ]);
    for case in cases {
        let style = match case.status {
            Status::Refused | Status::Harmless => Style::new().green(),
            Status::Finding => Style::new().yellow(),
            Status::NotApplicable => Style::new().dim(),
            Status::Surprise => Style::new().red().bold(),
        };
        let cells: [&dyn Display; 5] = [
            &style.apply_to(case.status),
            &case.case,
            &case.done,
            &case.device,
            &case.reason,
        ];
        table.add_row(cells.map(ToString::to_string));
    }
    table
}

fn object(report: &Report, inputs: &Inputs, written: &[PathBuf]) -> Value {
    let evidence = inputs.evidence.findings.iter();
    json!({
        "chip": report.chip.id.target(),
        "revision": report.revision,
        "verdict": word(&report.verdict).to_lowercase().replace(", ", "-").replace(' ', "-"),
        "reason": reason(&report.verdict),
        "good": report.verdict.is_good(),
        "idf-version": inputs.evidence.idf_version,
        "bootloader": evidence
            .map(|(feature, finding)| json!({"feature": feature.id(), "finding": finding.to_string()}))
            .collect::<Vec<_>>(),
        "notes": inputs.notes,
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "boots": report.boots.iter()
            .map(|boot| boot.log.lines().iter().map(ToString::to_string).collect::<Vec<_>>())
            .collect::<Vec<_>>(),
        "irreversible": report.irreversible.iter()
            .map(|step| json!({"step": step.to_string(), "consequence": step.consequence(report.chip)}))
            .collect::<Vec<_>>(),
        "cases": report.cases.iter()
            .map(|case| json!({
                "case": case.case.id(),
                "status": case.status.to_string(),
                "done": case.done,
                "device": case.device,
                "reason": case.reason,
            }))
            .collect::<Vec<_>>(),
        "written": written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
    })
}
