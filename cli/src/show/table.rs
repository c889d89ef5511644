//! Tables as kubectl prints them: columns apart by blanks, a header in capitals, no borders.

use comfy_table::{Table, presets::NOTHING};
use jiff::Timestamp;
use serde::Serialize;

use super::output::{self, print};
use crate::command::{DocumentFormat, TableFormat};

/// A line of a table. As YAML or JSON, the same columns are fields.
pub(crate) trait Row: Serialize {
    /// The columns.
    const HEADER: &'static [&'static str];

    /// What stands in them. No cell has a line break.
    fn cells(&self, now: Timestamp) -> Vec<String>;
}

/// Prints lines as they are asked for.
///
/// # Errors
/// As the kernel answers.
pub(crate) fn print_rows<R: Row>(
    rows: &[R],
    format: TableFormat,
    now: Timestamp,
) -> anyhow::Result<()> {
    let format = match format {
        TableFormat::Json => DocumentFormat::Json,
        TableFormat::Table => return print(shown(rows, now)),
        TableFormat::Yaml => DocumentFormat::Yaml,
    };
    print(output::document(&rows, format)?)
}

/// The lines as a table.
pub(crate) fn shown<R: Row>(rows: &[R], now: Timestamp) -> String {
    table(rows, now, output::is_styled())
}

fn table<R: Row>(rows: &[R], now: Timestamp, styled: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(R::HEADER.to_vec());
    table.add_rows(rows.iter().map(|row| row.cells(now)));
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let text = table.trim_fmt();
    match text.split_once('\n') {
        Some((header, rows)) if styled => format!("{BOLD}{header}{PLAIN}\n{rows}\n"),
        Some(_) | None => text + "\n",
    }
}

/// As kubectl: three blanks between two columns.
const GAP: u16 = 3;

const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, &'static str);

    impl Row for Pair {
        const HEADER: &'static [&'static str] = &["NAME", "VALUE"];

        fn cells(&self, _: Timestamp) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_owned()]
        }
    }

    const ROWS: [Pair; 2] = [Pair("longer", ""), Pair("a", "ä☃ b")];

    #[test]
    fn columns_are_apart_by_blanks_and_no_line_ends_with_one() {
        let text = table(&ROWS, Timestamp::UNIX_EPOCH, false);
        assert_eq!(text, "NAME     VALUE\nlonger\na        ä☃ b\n");
    }

    #[test]
    fn only_the_header_stands_out() {
        let text = table(&ROWS, Timestamp::UNIX_EPOCH, true);
        assert!(
            text.starts_with("\u{1b}[1mNAME     VALUE\u{1b}[0m\nlonger\n"),
            "{text}"
        );
    }
}
