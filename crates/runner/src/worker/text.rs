//! Splits a command's output into whole characters and whole lines.

/// Longest line, in bytes; a longer one is split.
const MAX_LINE_BYTES: usize = 8 << 10;

/// Decodes text that arrives in pieces. Invalid UTF-8 becomes U+FFFD, and so does NUL, which databases do not accept.
#[derive(Debug, Default)]
pub(crate) struct Utf8Decoder {
    /// The start of a character whose rest is still missing: at most three bytes.
    tail: Vec<u8>,
}

impl Utf8Decoder {
    /// Returns all characters that are complete with these bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        self.tail.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.tail.len());
        let mut rest = self.tail.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(good) => {
                    text.push_str(good);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(good));
                    rest = bad;
                    // No length means that more bytes may complete the character.
                    let Some(length) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[length..];
                }
            }
        }
        self.tail = rest.to_vec();
        replace_nul(text)
    }

    /// Returns the rest at the end of the input.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.tail)).into_owned()
    }
}

/// Replaces NUL by U+FFFD.
pub(crate) fn replace_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Splits text into lines, without their line breaks.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    line: String,
}

impl LineSplitter {
    /// Returns the lines that are complete with this text.
    pub(crate) fn take(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            while self.line.trim_end_matches('\n').len() > MAX_LINE_BYTES {
                let rest = self.line.split_off(self.line.floor_char_boundary(MAX_LINE_BYTES));
                lines.push(std::mem::replace(&mut self.line, rest));
            }
            if self.line.ends_with('\n') {
                lines.push(strip_line_break(&std::mem::take(&mut self.line)));
            }
        }
        lines
    }

    /// Returns the last line, if it had no line break.
    pub(crate) fn finish(&mut self) -> Option<String> {
        Some(strip_line_break(&std::mem::take(&mut self.line))).filter(|line| !line.is_empty())
    }
}

fn strip_line_break(line: &str) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_survive_every_way_to_cut_them() {
        let text = "aé€𝄞\u{10ffff}z";
        for size in 1..=text.len() {
            let mut decoder = Utf8Decoder::default();
            let pieces: Vec<String> = text.as_bytes().chunks(size).map(|piece| decoder.take(piece)).collect();
            assert_eq!(pieces.concat() + &decoder.finish(), text, "in pieces of {size}");
        }
    }

    #[test]
    fn invalid_bytes_are_replaced_and_the_rest_is_kept() {
        for bytes in [&b"a\xffb\xc3(c\0d\xe2\x82"[..], b"\xed\xa0\x80", b"\xf0\x9f", b"\x80\x80x"] {
            let mut decoder = Utf8Decoder::default();
            let all: String = bytes.iter().map(|byte| decoder.take(&[*byte])).collect();
            let expected = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
            assert_eq!(all + &decoder.finish(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn lines_are_whole_and_limited() {
        let mut lines = LineSplitter::default();
        assert_eq!(lines.take("a\nb"), ["a"]);
        assert_eq!(lines.take("c\r\n\nd"), ["bc", ""]);
        assert_eq!(lines.finish(), Some("d".to_owned()));
        assert_eq!(lines.finish(), None);

        let long = "é".repeat(MAX_LINE_BYTES) + "\n";
        let pieces = lines.take(&long);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_LINE_BYTES + 1));
        assert_eq!(pieces.concat() + "\n", long);
    }
}
