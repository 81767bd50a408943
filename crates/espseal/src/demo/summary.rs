//! The table at the end of the demo.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::scene::{Scene, Summary};

/// Draws the summary for a person.
pub(crate) fn draw(summary: &Summary) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["", "what happened", "device", "has to", "did", "refused by"]);
    for scene in &summary.scenes {
        table.add_row(row(scene));
    }
    let passed = summary.scenes.iter().filter(|scene| scene.passed).count();
    let count = summary.scenes.len();
    let seconds = summary.milliseconds / 1000;
    let tenths = summary.milliseconds % 1000 / 100;
    let sizes = &summary.sizes;
    format!(
        "{table}\n\n\
         One ciphertext of {} bytes served every device of a chip. On top of it: {} bytes for a whole group of agents,\n\
         {} bytes an epoch for each agent, {} bytes for each unmodified ESP-IDF device.\n\n\
         {passed} of {count} scenes came out as they had to, in {seconds}.{tenths} s.\n",
        sizes.body, sizes.group_wrap, sizes.agent_wrap, sizes.esp_idf_header,
    )
}

fn row(scene: &Scene) -> [Cell; 6] {
    let mark = if scene.passed {
        Cell::new("ok").fg(Color::Green)
    } else {
        Cell::new("WRONG").fg(Color::Red).add_attribute(Attribute::Bold)
    };
    [
        mark,
        Cell::new(scene.title),
        Cell::new(scene.device),
        Cell::new(scene.expected),
        Cell::new(&scene.observed),
        Cell::new(scene.refused_by.map_or("", |party| party.name())),
    ]
}
