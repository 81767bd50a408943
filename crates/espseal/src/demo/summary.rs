//! The table at the end of the demo.

use comfy_table::{Cell, ContentArrangement, Table, presets};
use console::{Term, style};

use super::scene::{Scene, Summary};

/// Columns of the table where standard output is no terminal.
const PLAIN_WIDTH: u16 = 160;

/// Draws the summary for a person.
pub(crate) fn draw(summary: &Summary) -> String {
    let width = Term::stdout()
        .size_checked()
        .map_or(PLAIN_WIDTH, |(_, columns)| columns);
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(["", "what happened", "device", "has to", "did", "refused by"])
        .add_rows(summary.scenes.iter().map(row));
    let passed = summary.scenes.iter().filter(|scene| scene.passed).count();
    let count = summary.scenes.len();
    let seconds = summary.milliseconds / 1000;
    let tenths = summary.milliseconds % 1000 / 100;
    let sizes = &summary.sizes;
    let verdict =
        format!("{passed} of {count} scenes came out as they had to, in {seconds}.{tenths} s.");
    let verdict = match summary.passed {
        true => style(verdict).green(),
        false => style(verdict).red().bold(),
    };
    format!(
        "{table}\n\n\
         One ciphertext of {} bytes serves every ESP32-C3 of the fleet. On top of it: {} bytes for a whole group of\n\
         agents, {} bytes an epoch for each agent, {} bytes for each unmodified ESP-IDF device.\n\n\
         {verdict}",
        sizes.body, sizes.group_wrap, sizes.agent_wrap, sizes.esp_idf_header,
    )
}

fn row(scene: &Scene) -> [Cell; 6] {
    [
        Cell::new(if scene.passed { "ok" } else { "WRONG" }),
        Cell::new(scene.title),
        Cell::new(scene.device),
        Cell::new(scene.expected),
        Cell::new(&scene.observed),
        Cell::new(scene.refused_by.map_or("", |party| party.name())),
    ]
}
