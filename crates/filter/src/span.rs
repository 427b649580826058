//! Places in a text.

/// A range of bytes of a text. Both ends are boundaries of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextSpan {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl TextSpan {
    /// The bytes from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> TextSpan {
        TextSpan { start, end }
    }

    /// The empty span before a byte.
    pub fn empty_at(at: usize) -> TextSpan {
        TextSpan::new(at, at)
    }

    /// From the start of this span to the end of another.
    #[must_use]
    pub fn extend_to(self, last: TextSpan) -> TextSpan {
        TextSpan::new(self.start, last.end.max(self.start))
    }

    /// The part of the text in this span.
    pub fn slice(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// The position and the length in Unicode code points, as wires count them.
    pub fn code_points(self, text: &str) -> (usize, usize) {
        let before = text.get(..self.start).unwrap_or(text);
        (before.chars().count(), self.slice(text).chars().count())
    }
}

/// The byte at a position in code points; the end of the text when it is beyond.
pub fn byte_at(text: &str, code_point: usize) -> usize {
    text.char_indices().nth(code_point).map_or(text.len(), |(at, _)| at)
}
