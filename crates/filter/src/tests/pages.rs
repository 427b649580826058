//! `docs/filters.md` lists what the tables of the code have.

use super::query;
use crate::{Meaning, NAMED_CONDITIONS};
use domain::session::Field;
use std::path::Path;

/// The rows of the page's tables.
fn rows() -> Vec<String> {
    let kinds = |field: Field| match field.info().kinds {
        [_, _, _] => "all".to_owned(),
        some => some.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", "),
    };
    let fields = Field::all().map(|field| {
        let info = field.info();
        let examples = info.examples.iter().map(|example| format!("`{example}`")).collect::<Vec<_>>();
        format!("| `{}` | {} | {} | {} |", info.name, kinds(field), info.help, examples.join(", "))
    });
    let words = Field::all().flat_map(|field| {
        // The full names of states have the rows of their short names.
        field.words().filter(|word| !word.name.contains('.')).map(move |word| {
            let values = word.values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>();
            format!("| `{}:{}` | {} | {} |", field.name(), word.name, word.help, values.join(", "))
        })
    });
    let named = NAMED_CONDITIONS.iter().map(|named| {
        let meaning = match named.meaning {
            Meaning::Filter(text) => format!("`{text}`"),
            Meaning::Parents => String::new(),
        };
        format!("| `{}:{}` | {} | {meaning} |", named.prefix, named.name, named.help)
    });
    fields.chain(words).chain(named).collect()
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/filters.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_has_all_rows() {
    let page = page();
    let missing = rows().into_iter().filter(|row| !page.contains(row.as_str())).collect::<Vec<_>>();
    assert!(missing.is_empty(), "docs/filters.md lacks these rows:\n{}", missing.join("\n"));
}

#[test]
fn the_examples_of_the_page_are_read() {
    let page = page();
    let blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("filter\n"));
    let lines = blocks.flat_map(str::lines).collect::<Vec<_>>();
    assert!(lines.len() > 10);
    for line in lines {
        query(line.split("  #").next().unwrap());
    }
}
