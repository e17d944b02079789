//! Tables as Litestream prints them.

/// A heading and rows of text.
///
/// Columns are left aligned and two spaces apart; the last is not padded. The heading is there even without rows.
#[derive(Debug, Clone)]
pub struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

/// Spaces between the widest cell of a column and the next column.
const PADDING: usize = 2;

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    #[must_use]
    pub fn new(heading: [&str; COLUMNS]) -> Self {
        Self { rows: vec![heading.map(str::to_owned)] }
    }

    /// Adds a row. Control characters, which would break the table, are written as escapes.
    pub fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row.map(|cell| printable(&cell)));
    }

    /// The whole table, each line with its end.
    #[must_use]
    pub fn render(&self) -> String {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if column + 1 < COLUMNS {
                    let padding = widths[column] - cell.chars().count() + PADDING;
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.push('\n');
        }
        text
    }
}

fn printable(cell: &str) -> String {
    cell.chars().fold(String::new(), |mut text, c| {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<const COLUMNS: usize>(heading: [&str; COLUMNS], rows: &[[&str; COLUMNS]]) -> String {
        let mut table = Table::new(heading);
        rows.iter().for_each(|row| table.push(row.map(str::to_owned)));
        table.render()
    }

    #[test]
    fn generations_look_as_in_litestream() {
        assert_eq!(
            table(
                ["name", "generation", "lag", "start", "end"],
                &[["file", "ce78170cd147879d", "5.6s", "2026-11-20T23:56:30Z", "2026-11-20T23:56:37Z"]]
            ),
            "name  generation        lag   start                 end\n\
             file  ce78170cd147879d  5.6s  2026-11-20T23:56:30Z  2026-11-20T23:56:37Z\n"
        );
    }

    #[test]
    fn snapshots_look_as_in_litestream() {
        assert_eq!(
            table(
                ["replica", "generation", "index", "size", "created"],
                &[["file", "ce78170cd147879d", "0", "386", "2026-11-20T23:56:30Z"]]
            ),
            "replica  generation        index  size  created\n\
             file     ce78170cd147879d  0      386   2026-11-20T23:56:30Z\n"
        );
    }

    #[test]
    fn wal_segments_look_as_in_litestream() {
        assert_eq!(
            table(
                ["replica", "generation", "index", "offset", "size", "created"],
                &[
                    ["file", "ce78170cd147879d", "0", "0", "481", "2026-11-20T23:56:30Z"],
                    ["file", "ce78170cd147879d", "0", "16512", "3090", "2026-11-20T23:56:31Z"],
                    ["file", "ce78170cd147879d", "1", "0", "119", "2026-11-20T23:56:31Z"],
                ]
            ),
            "replica  generation        index  offset  size  created\n\
             file     ce78170cd147879d  0      0       481   2026-11-20T23:56:30Z\n\
             file     ce78170cd147879d  0      16512   3090  2026-11-20T23:56:31Z\n\
             file     ce78170cd147879d  1      0       119   2026-11-20T23:56:31Z\n"
        );
    }

    #[test]
    fn databases_look_as_in_litestream() {
        assert_eq!(
            table(["path", "replicas"], &[["/srv/application/data/app.db", "file,s3"]]),
            "path                          replicas\n/srv/application/data/app.db  file,s3\n"
        );
    }

    #[test]
    fn the_heading_stands_alone_if_need_be() {
        assert_eq!(table(["path", "replicas"], &[]), "path  replicas\n");
    }

    #[test]
    fn empty_wide_and_unprintable_cells_keep_the_columns() {
        assert_eq!(
            table(["a", "b"], &[["", "x"], ["\u{e9}\u{e9}", "y"], ["p\nq", "z"]]),
            "a     b\n      x\n\u{e9}\u{e9}    y\np\\nq  z\n"
        );
    }
}
