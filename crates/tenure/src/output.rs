//! The output of a command: text for people, or one JSON document.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::CommandResult;

/// Prints to standard output.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    json: bool,
}

impl Printer {
    /// A printer of text for people, or of JSON documents.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the sentence, or the document as JSON.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print(self, sentence: &str, document: &impl Serialize) -> CommandResult<()> {
        if self.json { self.print_document(document) } else { write_line(sentence) }
    }

    /// Prints a list: a table, or a JSON array with one document for each row. An empty list prints `when_empty`.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print_list<T: Serialize>(
        self,
        rows: &[T],
        columns: &[Column<T>],
        when_empty: &str,
    ) -> CommandResult<()> {
        match rows {
            _ if self.json => self.print_document(&rows),
            [] => write_line(when_empty),
            _ => write_line(format_table(rows, columns).trim_end_matches('\n')),
        }
    }

    /// Prints a line as it is.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print_line(self, text: &str) -> CommandResult<()> {
        write_line(text)
    }

    fn print_document(self, document: &impl Serialize) -> CommandResult<()> {
        // Not through a `Value`, which would sort the fields.
        write_line(&serde_json::to_string_pretty(document).map_err(io::Error::from)?)
    }
}

/// A column of a table: its heading, and how to get its cell from a row.
pub struct Column<T> {
    heading: &'static str,
    cell: fn(&T) -> String,
}

impl<T> Column<T> {
    /// A column with this heading. It is printed in upper case.
    pub fn new(heading: &'static str, cell: fn(&T) -> String) -> Self {
        Self { heading, cell }
    }
}

/// The rows under their headings, each column as wide as its widest cell.
fn format_table<T>(rows: &[T], columns: &[Column<T>]) -> String {
    let headings = columns.iter().map(|column| column.heading.to_uppercase()).collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| one_line(&(column.cell)(row))).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    lines.iter().map(|line| align_cells(line, &widths)).collect()
}

fn align_cells(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
}

/// Replaces control characters: a name with a line break or an escape sequence must not corrupt the table.
fn one_line(cell: &str) -> String {
    cell.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Writes a line. A reader that stops early (`tenure admin org list | head`) is not an error.
fn write_line(text: &str) -> CommandResult<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_stay_on_their_lines() {
        let rows = [("a", "é long name"), ("bcd", "two\nlines\u{1b}[2J"), ("", "")];
        let columns: [Column<(&str, &str)>; 2] =
            [Column::new("id", |row| row.0.to_owned()), Column::new("name", |row| row.1.to_owned())];
        assert_eq!(format_table(&rows, &columns), "ID   NAME\na    é long name\nbcd  two lines [2J\n\n");
    }
}
