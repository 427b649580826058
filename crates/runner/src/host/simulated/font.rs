//! A font of 3 by 5 dots, just enough to read typed text on a small screenshot.

/// Distance from one letter to the next, in dots.
pub(super) const ADVANCE: i64 = 4;

/// The letters. `ROWS` has the five rows of three dots of each, as octal digits, top row first.
const LETTERS: &str = " ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-_/()@#+=&%*'\"";
const ROWS: [u16; 57] = [
    0o00000, 0o25755, 0o65656, 0o34443, 0o65556, 0o74647, 0o74644, 0o34553, 0o55755, 0o72227, 0o11152,
    0o55655, 0o44447, 0o57755, 0o65555, 0o25552, 0o65644, 0o25563, 0o65655, 0o34216, 0o72222, 0o55557,
    0o55552, 0o55775, 0o55255, 0o55222, 0o71247, 0o75557, 0o26227, 0o61247, 0o61216, 0o55711, 0o74616,
    0o34757, 0o71244, 0o75757, 0o75716, 0o00002, 0o00024, 0o02020, 0o02024, 0o22202, 0o61202, 0o00700,
    0o00007, 0o11244, 0o24442, 0o21112, 0o25743, 0o57575, 0o02720, 0o07070, 0o25253, 0o51245, 0o52725,
    0o22000, 0o55000,
];

/// The dots of a letter. Small letters look like capitals; a character that the font does not have is a box.
pub(super) fn dots(letter: char) -> impl Iterator<Item = (i64, i64)> {
    let index = LETTERS.chars().position(|known| known == letter.to_ascii_uppercase());
    let rows = index.and_then(|index| ROWS.get(index).copied()).unwrap_or(0o75557);
    (0..15).filter(move |bit| rows >> (14 - bit) & 1 == 1).map(|bit| (bit % 3, bit / 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_its_rows() {
        assert_eq!(LETTERS.chars().count(), ROWS.len());
        assert_eq!(dots('i').collect::<Vec<_>>().len(), 9);
        assert_eq!(dots(' ').count(), 0);
        assert_eq!(dots('漢').count(), 12);
    }
}
