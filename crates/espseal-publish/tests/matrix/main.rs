//! Every chip, every scheme, every case: the rehearsal boots the right release and refuses each case for its
//! own reason.
//!
//! `cargo xtask matrix` runs this and shows the table. What each cell has to be is predicted from the
//! configuration alone ([`prediction`]); a cell that is something else, a release that does not boot and
//! a scheme that boots although the chip does not have it are surprises, and the exit code is 1.
#![allow(clippy::expect_used, reason = "whatever fails here fails the test")]

mod configuration;
mod prediction;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use configuration::{Configuration, configurations};
use espseal_format::chip::CHIPS;
use espseal_publish::rehearsal::report::{Report, Verdict, rehearse};
use espseal_publish::rehearsal::signer::Strangers;
use prediction::Expected;
use table::Row;

fn main() -> ExitCode {
    // `cargo test` passes arguments for its own harness; a filter that does not name the matrix skips it.
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    if filter.is_some_and(|word| !"matrix".contains(&word)) {
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let strangers = Strangers::default();
    let makers = configuration::Makers::default();
    let mut rows = Vec::new();
    let mut surprises = Vec::new();
    for chip in CHIPS {
        for configuration in configurations(chip) {
            let row = run(&configuration, &makers, &strangers);
            surprises.extend(row.surprises.iter().cloned());
            rows.push(row);
        }
    }
    print!("{}", table::Table(&rows));
    let cells: usize = rows.iter().map(|row| row.cells.len()).sum();
    println!(
        "{} configurations, {cells} cells, {} surprises, {:.1} s",
        rows.len(),
        surprises.len(),
        start.elapsed().as_secs_f64()
    );
    for surprise in &surprises {
        println!("SURPRISE {surprise}");
    }
    match surprises.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run(
    configuration: &Configuration,
    makers: &configuration::Makers,
    strangers: &Strangers,
) -> Row {
    let mut row = Row::new(configuration);
    let report = configuration
        .product(makers)
        .map_err(|error| error.to_string())
        .and_then(|product| rehearse(&product, strangers).map_err(|error| error.to_string()));
    match (report, configuration.impossible()) {
        (Ok(report), None) => judge(&mut row, configuration, &report),
        (Ok(report), Some(why)) => {
            row.hole = Some(why);
            if matches!(report.verdict, Verdict::Boots(_)) {
                row.surprise(format!("boots although {why}"));
            }
        }
        (Err(error), None) => row.surprise(format!("cannot be rehearsed: {error}")),
        (Err(_), Some(why)) => row.hole = Some(why),
    }
    row
}

fn judge(row: &mut Row, configuration: &Configuration, report: &Report) {
    if !matches!(report.verdict, Verdict::Boots(_)) {
        let log = report.boots.last().map(|boot| boot.log.to_string());
        row.surprise(format!(
            "the release does not boot: {:?}\n{}",
            report.verdict,
            log.unwrap_or_default()
        ));
        return;
    }
    if report.warnings != prediction::warnings(configuration) {
        row.surprise(format!("warns of {:?}", report.warnings));
    }
    for case in &report.cases {
        let Expected(expected) = prediction::expect(configuration, case.case);
        row.cells.push((case.case, case.status));
        if case.status != expected {
            row.surprise(format!(
                "{}: {} instead of {expected}: {} / {} / {}",
                case.case, case.status, case.done, case.device, case.reason
            ));
        }
    }
}
