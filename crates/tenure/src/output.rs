//! What a command says when it did what was asked: for people, or as one JSON document.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Result;

/// How answers are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// For people, or with `json` as one JSON document.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Tells of something that was done: one sentence, or the document.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn done(self, sentence: &str, document: &impl Serialize) -> Result<()> {
        if self.json { self.document(document) } else { line(sentence) }
    }

    /// Tells of a list: a table for people, or an array with one document for each row.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn list<T: Serialize>(self, rows: &[T], columns: &[Column<T>], when_empty: &str) -> Result<()> {
        match rows {
            _ if self.json => self.document(&rows),
            [] => line(when_empty),
            _ => line(table(rows, columns).trim_end_matches('\n')),
        }
    }

    /// Writes a line as it is, of what has a form of its own.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn line(self, text: &str) -> Result<()> {
        line(text)
    }

    fn document(self, document: &impl Serialize) -> Result<()> {
        // Straight from the struct, whose fields stand in a sensible order; a `Value` would sort them.
        line(&serde_json::to_string_pretty(document).map_err(io::Error::from)?)
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
fn table<T>(rows: &[T], columns: &[Column<T>]) -> String {
    let headings = columns.iter().map(|column| column.heading.to_uppercase()).collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| one_line(&(column.cell)(row))).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    lines.iter().map(|line| aligned(line, &widths)).collect()
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
}

/// Names are people's own words: one with a line break or a terminal's escape in it must not draw over the rest.
fn one_line(cell: &str) -> String {
    cell.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Writes a line. A reader that went away early (`tenure org list | head`) is no failure.
fn line(text: &str) -> Result<()> {
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
        assert_eq!(table(&rows, &columns), "ID   NAME\na    é long name\nbcd  two lines [2J\n\n");
    }
}
