//! What a command says when it did what was asked: for people, or as one JSON document.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::CommandResult;

/// How answers are written.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    json: bool,
}

impl Printer {
    /// For people, or with `json` as one JSON document.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Tells of something that was done: one sentence, or the document.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print(self, sentence: &str, document: &impl Serialize) -> CommandResult<()> {
        if self.json { self.print_document(document) } else { write_line(sentence) }
    }

    /// Tells of a list: a table for people, or an array with one document for each row.
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

    /// Writes a line as it is, of what has a form of its own.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print_line(self, text: &str) -> CommandResult<()> {
        write_line(text)
    }

    fn print_document(self, document: &impl Serialize) -> CommandResult<()> {
        // Straight from the struct, whose fields stand in a sensible order; a `Value` would sort them.
        write_line(&serde_json::to_string_pretty(document).map_err(io::Error::from)?)
    }
}

/// A column of a table: its heading and what it says of a row.
pub struct Column<T> {
    heading: &'static str,
    cell: fn(&T) -> String,
}

impl<T> Column<T> {
    /// A column with this heading.
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

/// Names are people's own words: one with a line break or a terminal's escape in it must not draw over the rest.
fn one_line(cell: &str) -> String {
    cell.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Writes a line. A reader that went away early (`tenure org list | head`) is no failure.
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
