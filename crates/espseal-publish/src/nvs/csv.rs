//! Rows of a CSV file, as Python's `csv.DictReader` gives them to the original.
//!
//! The first row names the columns, which may stand in any order, among others. Lines that start with
//! `#` are left out, even inside quotes; `\r\n` and `\r` count as `\n`; empty lines are no rows. A field
//! in quotes holds commas, line ends, and `""` for a quote.
//!
//! Source: Python `Modules/_csv.c`, dialect `excel`.

use zeroize::Zeroizing;

use super::error::RowProblem;

/// Columns that every file has.
const COLUMNS: [&str; 4] = ["key", "type", "encoding", "value"];

/// One row. Fields that a short row does not have are `None`.
pub struct Row {
    /// Number of the line that it starts on, from 1.
    pub line: usize,
    fields: [Option<Zeroizing<String>>; 4],
}

impl Row {
    /// A row that stands in no file of its own; `line` is where its value comes from.
    #[must_use]
    pub fn new(line: usize, [key, kind, encoding]: [&str; 3], value: Option<&str>) -> Self {
        let own = |text: &str| Some(Zeroizing::new(text.to_owned()));
        Self {
            line,
            fields: [own(key), own(kind), own(encoding), value.and_then(own)],
        }
    }

    /// The key, or the name of a namespace.
    #[must_use]
    pub fn key(&self) -> &str {
        self.field(0).unwrap_or_default()
    }

    /// `namespace`, `data` or `file`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.field(1).unwrap_or_default()
    }

    /// What the value becomes.
    #[must_use]
    pub fn encoding(&self) -> &str {
        self.field(2).unwrap_or_default()
    }

    /// The value, or the name of a file.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.field(3)
    }

    fn field(&self, index: usize) -> Option<&str> {
        let field = self.fields.get(index)?.as_ref();
        field.map(|text| text.as_str())
    }
}

/// Reads all rows behind the one that names the columns.
///
/// # Errors
/// The line and what is wrong with it.
pub fn rows(text: &str) -> Result<Vec<Row>, (usize, RowProblem)> {
    let unix = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
    let mut records = Records {
        lines: (1..).zip(unix.split_inclusive('\n')),
    };
    let (line, header) = records.next().unwrap_or((1, Vec::new()));
    let mut columns = [0; 4];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        // Of columns of one name, the last one counts.
        let found = header.iter().rposition(|field| field.as_str() == name);
        *column = found.ok_or((line, RowProblem::NoColumn { name }))?;
    }
    let mut rows = Vec::new();
    for (line, mut record) in records {
        let mut surplus = record.iter().skip(header.len());
        if surplus.any(|field| !field.is_empty()) {
            let (found, expected) = (record.len(), header.len());
            return Err((line, RowProblem::Surplus { found, expected }));
        }
        let fields = columns.map(|column| record.get_mut(column).map(std::mem::take));
        rows.push(Row { line, fields });
    }
    Ok(rows)
}

/// Reads records of any number of fields, with the lines that they start on.
#[must_use]
pub fn records(text: &str) -> Vec<(usize, Vec<Zeroizing<String>>)> {
    let unix = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
    let records = Records {
        lines: (1..).zip(unix.split_inclusive('\n')),
    };
    records.collect()
}

/// Records of fields, with the lines that they start on.
struct Records<I> {
    /// Numbered lines with their ends.
    lines: I,
}

impl<'a, I: Iterator<Item = (usize, &'a str)>> Iterator for Records<I> {
    type Item = (usize, Vec<Zeroizing<String>>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = Record::default();
        let mut start = None;
        for (number, line) in self.lines.by_ref() {
            if line.starts_with('#') || (start.is_none() && line == "\n") {
                continue;
            }
            start.get_or_insert(number);
            if record.take(line) == State::Ended {
                break;
            }
        }
        if record.state != State::Ended {
            record.end_field();
        }
        Some((start?, record.fields))
    }
}

/// A record in the making.
#[derive(Default)]
struct Record {
    fields: Vec<Zeroizing<String>>,
    field: Zeroizing<String>,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before the first character of a field.
    #[default]
    Start,
    /// In a field without quotes, or behind its closing quote.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote between quotes: it closes, or a second one follows.
    Quote,
    /// At the end of the record.
    Ended,
}

impl Record {
    /// Takes a line with its end.
    fn take(&mut self, line: &str) -> State {
        for character in line.chars() {
            self.state = match (self.state, character) {
                (State::Quoted, '"') => State::Quote,
                (State::Quoted, _) => self.push(character, State::Quoted),
                (State::Quote, '"') => self.push(character, State::Quoted),
                (State::Start, '"') => State::Quoted,
                (_, ',') => {
                    self.end_field();
                    State::Start
                }
                (_, '\n') => {
                    self.end_field();
                    State::Ended
                }
                _ => self.push(character, State::Plain),
            };
        }
        self.state
    }

    fn push(&mut self, character: char, next: State) -> State {
        self.field.push(character);
        next
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<(usize, [Option<String>; 4])> {
        let text = format!("key,type,encoding,value\n{text}");
        let rows = rows(&text).map_err(|(line, problem)| format!("{line}: {problem}"));
        let own = |field: Option<Zeroizing<String>>| field.map(|text| text.to_string());
        let rows = rows.unwrap().into_iter();
        rows.map(|row| (row.line, row.fields.map(own))).collect()
    }

    fn full(line: usize, all: [&str; 4]) -> (usize, [Option<String>; 4]) {
        (line, all.map(|text| Some(text.into())))
    }

    #[test]
    fn comments_empty_lines_and_line_ends_are_as_python_has_them() {
        let text = "# c\r\n\r\na,data,u8,1\r\n#b,data,u8,2\rc,data,u8,3\n\n";
        let expected = [
            full(4, ["a", "data", "u8", "1"]),
            full(6, ["c", "data", "u8", "3"]),
        ];
        assert_eq!(fields(text), expected);
    }

    #[test]
    fn quotes_hold_commas_line_ends_and_quotes() {
        let text = "a,data,string,\"x,\"\"y\"\"\n# left out\nz\"tail\"\nb,data,string,q\"q\"\n";
        let expected = [
            full(2, ["a", "data", "string", "x,\"y\"\nztail\""]),
            full(5, ["b", "data", "string", "q\"q\""]),
        ];
        assert_eq!(fields(text), expected);
        let open = fields("a,data,string,\"x\ny\n");
        assert_eq!(open, [full(2, ["a", "data", "string", "x\ny\n"])]);
    }

    #[test]
    fn short_rows_have_no_value_and_long_ones_are_refused_unless_empty() {
        assert_eq!(fields("ns,namespace")[0].1[2..], [None, None]);
        assert_eq!(
            fields("a,data,u8,1,,")[0],
            full(2, ["a", "data", "u8", "1"])
        );
        let long = rows("key,type,encoding,value\na,data,string,hello, world\n");
        let Err((2, RowProblem::Surplus { found: 5, .. })) = long else {
            panic!("accepted");
        };
    }

    #[test]
    fn columns_stand_in_any_order_and_none_is_missing() {
        let mixed = rows("value,note,encoding,type,key\n1,n,u8,data,a").unwrap_or_default();
        let row = mixed.first().unwrap();
        let found = (row.key(), row.kind(), row.encoding(), row.value());
        assert_eq!(found, ("a", "data", "u8", Some("1")));
        for text in [
            "",
            "key,type,encoding\n",
            "a,data,u8,1\n",
            "\u{feff}key,type,encoding,value",
        ] {
            assert!(
                matches!(rows(text), Err((1, RowProblem::NoColumn { .. }))),
                "{text:?}"
            );
        }
    }
}
