//! Quoted texts.

use super::Lexer;
use crate::fault::FaultCode;
use crate::span::TextSpan;

impl Lexer<'_, '_> {
    /// Reads a quoted text, from its opening quote to the closing one.
    pub(super) fn read_quoted(&mut self, quote: char) -> String {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.at = start + at + 1;
                return text;
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match read_escape(&self.text[start + at + 1..]) {
                Some((escaped, length)) => {
                    text.push(escaped);
                    while chars.next_if(|(next, _)| *next <= at + length).is_some() {}
                }
                None => {
                    let span = TextSpan::new(start + at, start + at + 1);
                    self.faults
                        .add(span, FaultCode::Quotation, "an unknown escape")
                        .hint("an escape is \\\" \\' \\\\ \\n \\t or \\u{…}");
                }
            }
        }
        self.at = self.text.len();
        let span = TextSpan::new(start, start + 1);
        let hint = match quote {
            '\'' => "add ', or put a word with an apostrophe in double quotes",
            _ => "add \"",
        };
        self.faults.add(span, FaultCode::Quotation, "a quoted text does not end").hint(hint);
        text
    }
}

/// The character of an escape, and its length in bytes without the backslash.
fn read_escape(rest: &str) -> Option<(char, usize)> {
    match rest.chars().next()? {
        'n' => Some(('\n', 1)),
        't' => Some(('\t', 1)),
        c @ ('"' | '\'' | '\\') => Some((c, 1)),
        'u' => {
            let digits = rest.strip_prefix("u{")?.split('}').next()?;
            let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)?;
            let length = "u{}".len() + digits.len();
            rest[..length.min(rest.len())].ends_with('}').then_some((char::from_u32(number)?, length))
        }
        _ => None,
    }
}
