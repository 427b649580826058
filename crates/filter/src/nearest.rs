//! Suggestions for words that were not understood: those that differ by a few letters.

/// The most suggestions for one word.
const MOST: usize = 4;

/// The candidates that are nearest to a word, if they are near enough for a typing mistake. Without any, those that begin
/// with the word.
pub(crate) fn find_nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    let candidates = candidates.into_iter().collect::<Vec<_>>();
    let distances = candidates.iter().map(|candidate| measure_distance(&word, candidate)).collect::<Vec<_>>();
    let fewest = distances.iter().copied().min().unwrap_or(usize::MAX);
    let mut found = if fewest <= length.div_ceil(3).max(1) && fewest < length {
        let nearest = candidates.iter().zip(&distances).filter(|(_, distance)| **distance == fewest);
        nearest.map(|(candidate, _)| (*candidate).to_owned()).collect::<Vec<_>>()
    } else {
        let begin = candidates.iter().filter(|candidate| length > 1 && candidate.starts_with(&word));
        begin.map(|candidate| (*candidate).to_owned()).collect()
    };
    found.dedup();
    found.truncate(MOST);
    found
}

/// The edit distance: the number of letters to add, remove, change or swap with the next one.
fn measure_distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.chars().collect::<Vec<_>>(), to.chars().collect::<Vec<_>>());
    // A word is much longer than any candidate only by mistake: do not compare a whole text.
    if from.len() > to.len() + 16 {
        return from.len() - to.len();
    }
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (at, letter) in from.iter().enumerate() {
        let mut row = vec![at + 1];
        for (column, other) in to.iter().enumerate() {
            let changed = rows[at][column] + usize::from(letter != other);
            let mut least = changed.min(rows[at][column + 1] + 1).min(row[column] + 1);
            let is_swap = at > 0 && column > 0 && from[at - 1] == *other && *letter == to[column - 1];
            if is_swap {
                least = least.min(rows[at - 1][column - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let words = ["state", "tags", "created", "origin", "id"];
        for (word, expected) in [
            ("stat", vec!["state"]),
            ("STATE", vec!["state"]),
            ("tsate", vec!["state"]),
            ("tag", vec!["tags"]),
            ("creatd", vec!["created"]),
            ("cre", vec!["created"]),
            ("x", vec![]),
            ("something", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(find_nearest(word, words), expected, "{word}");
        }
    }

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("yesterdy", "yesterday", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(measure_distance(from, to), expected, "{from} {to}");
        }
    }
}
