//! The figures of a run, as Markdown and as JSON.

use serde::Serialize;
use std::fmt::Write as _;

/// The median of some figures, and the lowest and the highest of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// The spread of figures; all zero if there are none.
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted = figures.into_iter().filter(|figure| figure.is_finite()).collect::<Vec<_>>();
        sorted.sort_by(f64::total_cmp);
        let at = |position: usize| sorted.get(position).copied().unwrap_or(0.0);
        Spread { median: at(sorted.len() / 2), low: at(0), high: at(sorted.len().saturating_sub(1)) }
    }

    /// A single figure.
    pub fn one(figure: f64) -> Spread {
        Spread { median: figure, low: figure, high: figure }
    }
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Aim {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Aim::AtLeast(least) => figure >= least,
            Aim::AtMost(most) => figure <= most,
        }
    }
}

/// A figure with its name.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    name: &'static str,
    spread: Spread,
    aim: Option<Aim>,
    is_met: Option<bool>,
}

impl Figure {
    /// A figure without an aim.
    pub fn new(name: &'static str, spread: Spread) -> Figure {
        Figure { name, spread, aim: None, is_met: None }
    }

    /// The same figure with an aim, if there is one.
    #[must_use]
    pub fn aim(self, aim: Option<Aim>) -> Figure {
        Figure { aim, is_met: aim.map(|aim| aim.is_met(self.spread.median)), ..self }
    }
}

/// A case with its figures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    name: String,
    figures: Vec<Figure>,
}

impl Row {
    /// A row.
    pub fn new(name: impl Into<String>, figures: Vec<Figure>) -> Row {
        Row { name: name.into(), figures }
    }

    /// Sets the aim of the figure with this name.
    pub fn aim(&mut self, name: &str, aim: Aim) {
        for figure in self.figures.iter_mut().filter(|figure| figure.name == name) {
            *figure = figure.clone().aim(Some(aim));
        }
    }
}

/// Cases with the same figures.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// The name for `--cases`.
    pub name: &'static str,
    title: String,
    text: String,
    rows: Vec<Row>,
    /// How long it took to measure.
    pub seconds: f64,
}

impl Section {
    /// A section. `text` explains it.
    pub fn new(
        name: &'static str,
        title: impl Into<String>,
        text: impl Into<String>,
        rows: Vec<Row>,
    ) -> Section {
        Section { name, title: title.into(), text: text.into(), rows, seconds: 0.0 }
    }
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The facts of the run: what, where, when.
    pub facts: Vec<(&'static str, String)>,
    /// The sections.
    pub sections: Vec<Section>,
}

impl Report {
    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Report of `bench report`\n\n");
        for (name, value) in &self.facts {
            let _ = writeln!(text, "* {name}: {value}");
        }
        text.push_str("\nFigures are medians, with the lowest and the highest round in parentheses.\n");
        for section in &self.sections {
            write_section(&mut text, section);
        }
        text
    }
}

fn write_section(text: &mut String, section: &Section) {
    let _ = write!(text, "\n## {}\n\n", section.title);
    if !section.text.is_empty() {
        let _ = write!(text, "{}\n\n", section.text);
    }
    let Some(first) = section.rows.first() else { return };
    let names = first.figures.iter().map(|figure| figure.name).collect::<Vec<_>>();
    let _ = writeln!(text, "| case | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
    for row in &section.rows {
        let figures = row.figures.iter().map(show).collect::<Vec<_>>();
        let _ = writeln!(text, "| {} | {} |", row.name, figures.join(" | "));
    }
}

fn show(figure: &Figure) -> String {
    let Spread { median, low, high } = figure.spread;
    let mut text = number(median);
    if low != high {
        let _ = write!(text, " ({}–{})", number(low), number(high));
    }
    if let Some(aim) = figure.aim {
        let wanted = match aim {
            Aim::AtLeast(least) => format!("≥ {}", number(least)),
            Aim::AtMost(most) => format!("≤ {}", number(most)),
        };
        let met = if figure.is_met == Some(true) { "met" } else { "missed" };
        let _ = write!(text, ", aim {wanted}: {met}");
    }
    text
}

fn number(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_and_aims_are_shown() {
        let spread = Spread::new([3.0, 1.0, 2.0]);
        assert_eq!(spread, Spread { median: 2.0, low: 1.0, high: 3.0 });
        let figure = |aim| Figure::new("ratio", spread).aim(aim);
        assert_eq!(show(&figure(None)), "2.00 (1.00–3.00)");
        assert_eq!(show(&figure(Some(Aim::AtLeast(2.0)))), "2.00 (1.00–3.00), aim ≥ 2.00: met");
        assert_eq!(show(&figure(Some(Aim::AtMost(1.5)))), "2.00 (1.00–3.00), aim ≤ 1.50: missed");
        assert_eq!(Spread::new([]), Spread::one(0.0));
    }
}
