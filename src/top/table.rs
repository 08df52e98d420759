//! Tables of text, without a terminal: columns with a rank, cells with a tone, and what is left out when there is little room.

/// What a cell wants to say beyond its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// A number among others.
    #[default]
    Plain,
    /// Nothing is there, or nothing happens.
    Faint,
    /// A name or a sum.
    Strong,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Bad,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// What stands in it.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    #[must_use]
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl From<String> for Cell {
    /// Faint when it says that there is nothing.
    fn from(text: String) -> Self {
        let nothing = matches!(text.as_str(), "0" | "0 %" | super::format::UNKNOWN);
        Self { tone: if nothing { Tone::Faint } else { Tone::Plain }, text }
    }
}

/// A column: its head, and how early it is left out (the highest rank first; 0 never).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub head: &'static str,
    /// When it is left out.
    pub rank: u8,
}

/// Rows below heads. The first column is a name and begins at the left, all others are numbers and end at the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// How many places a text takes. Ours has no wide characters.
fn wide(text: &str) -> usize {
    text.chars().count()
}

/// Blanks between two columns.
pub const GAP: usize = 2;

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&'static str, u8)]) -> Self {
        let columns = columns.iter().map(|&(head, rank)| Column { head, rank }).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// How wide each column is.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let widest = |at: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| wide(&cell.text));
            cells.chain([wide(head)]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(|(at, column)| widest(at, column.head)).collect()
    }

    /// The table with as many columns as fit into this width.
    #[must_use]
    pub fn fitted(mut self, width: usize) -> Self {
        loop {
            let widths = self.widths();
            let all: usize = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let last = (0..self.columns.len()).rev().max_by_key(|at| self.columns.get(*at).map_or(0, |c| c.rank));
            let Some(last) = last.filter(|at| self.columns.get(*at).is_some_and(|column| column.rank > 0)) else {
                return self;
            };
            if all <= width {
                return self;
            }
            self.columns.remove(last);
            for row in &mut self.rows {
                if last < row.len() {
                    row.remove(last);
                }
            }
        }
    }

    /// The lines, heads first, as text for a pipe.
    #[must_use]
    pub fn plain(&self) -> String {
        let widths = self.widths();
        let line = |cells: Vec<&str>| {
            let mut out = String::new();
            for (at, (cell, width)) in cells.into_iter().zip(&widths).enumerate() {
                let blanks = " ".repeat(width.saturating_sub(wide(cell)));
                let (before, after) = if at == 0 { ("", blanks.as_str()) } else { (blanks.as_str(), "") };
                out.push_str(if at == 0 { "" } else { "  " });
                out.push_str(&[before, cell, after].concat());
            }
            format!("{}\n", out.trim_end())
        };
        let mut lines = line(self.columns.iter().map(|column| column.head).collect());
        for row in &self.rows {
            lines.push_str(&line(row.iter().map(|cell| cell.text.as_str()).collect()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("name", 0), ("msg/s", 0), ("rarely", 2), ("often", 1)]);
        table.row(vec!["a".to_owned().into(), "1,000".to_owned().into(), "–".to_owned().into(), "0".to_owned().into()]);
        table
    }

    #[test]
    fn it_is_aligned_by_what_is_seen() {
        assert_eq!(table().plain(), "name  msg/s  rarely  often\na     1,000       –      0\n");
    }

    #[test]
    fn columns_go_by_their_rank_until_it_fits() {
        let heads = |width| table().fitted(width).columns.iter().map(|column| column.head).collect::<Vec<_>>();
        assert_eq!(heads(26), ["name", "msg/s", "rarely", "often"]);
        assert_eq!(heads(25), ["name", "msg/s", "often"]);
        assert_eq!(heads(17), ["name", "msg/s"]);
        // What may not go stays, however narrow it is.
        assert_eq!(heads(1), ["name", "msg/s"]);
        let rows = table().fitted(25).rows;
        assert_eq!(rows[0].iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>(), ["a", "1,000", "0"]);
    }

    #[test]
    fn nothing_is_faint() {
        assert_eq!(Cell::from("0".to_owned()).tone, Tone::Faint);
        assert_eq!(Cell::from("10".to_owned()).tone, Tone::Plain);
    }
}
