//! Directives: lines of a command's output that are for the worker, such as `::tenure {"title": "…"}`.

use protocol::work::{ReportedItem, ReportedPullRequest, ReportedUsage};
use serde::Deserialize;
use serde_json::Value;

/// The start of a directive.
const PREFIX: &str = "::tenure ";

/// Longest directive, in bytes; a longer line is output. Servers refuse a request of more than 1 MiB.
const MAX_DIRECTIVE_BYTES: usize = 256 << 10;

/// The state that a turn requests for its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestedState {
    Finished,
    WaitingForUser,
    WaitingForApproval,
}

/// The content of one directive. It may set several fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Directive {
    usage: Option<ReportedUsage>,
    pull_request: Option<ReportedPullRequest>,
    structured_output: Option<Value>,
    title: Option<String>,
    state: Option<RequestedState>,
}

/// A part of the output.
#[derive(Debug, PartialEq)]
pub(crate) enum OutputPart {
    Item(ReportedItem),
    State(RequestedState),
}

/// Separates directives from output. Holds a line back only as long as it may be a directive.
#[derive(Debug, Default)]
pub(crate) struct Directives {
    held: String,
    mid_line: bool,
}

impl Directives {
    /// Returns the parts that are complete with this text.
    pub(crate) fn take(&mut self, text: &str) -> Vec<OutputPart> {
        let (mut parts, mut output) = (Vec::new(), String::new());
        for piece in text.split_inclusive('\n') {
            if self.mid_line {
                output.push_str(piece);
                self.mid_line = !piece.ends_with('\n');
                continue;
            }
            self.held.push_str(piece);
            let may_be = self.held.starts_with(PREFIX) || PREFIX.starts_with(self.held.as_str());
            let whole = self.held.ends_with('\n');
            if may_be && !whole && self.held.len() <= MAX_DIRECTIVE_BYTES {
                continue;
            }
            let line = std::mem::take(&mut self.held);
            self.mid_line = !whole;
            match line.strip_prefix(PREFIX) {
                Some(directive) if whole => {
                    flush_output(&mut output, &mut parts);
                    parse_directive(&line, directive, &mut parts);
                }
                _ => output.push_str(&line),
            }
        }
        flush_output(&mut output, &mut parts);
        parts
    }

    /// Returns the rest at the end of the output.
    pub(crate) fn finish(&mut self) -> Vec<OutputPart> {
        let mut parts = Vec::new();
        let line = std::mem::take(&mut self.held);
        match line.strip_prefix(PREFIX) {
            Some(directive) => parse_directive(&line, directive, &mut parts),
            None => flush_output(&mut line.clone(), &mut parts),
        }
        parts
    }
}

fn flush_output(output: &mut String, parts: &mut Vec<OutputPart>) {
    if !output.is_empty() {
        parts.push(OutputPart::Item(ReportedItem::Output { text: std::mem::take(output) }));
    }
}

/// Parses a directive. An invalid one stays output, so that nothing is lost, and the log says why.
fn parse_directive(line: &str, directive: &str, parts: &mut Vec<OutputPart>) {
    let directive: Directive = match serde_json::from_str(directive) {
        Ok(directive) => directive,
        Err(error) => {
            parts.push(OutputPart::Item(ReportedItem::Output { text: line.to_owned() }));
            let line = format!("tenure worker: the ::tenure line cannot be read: {error}");
            return parts.push(OutputPart::Item(ReportedItem::Log { line }));
        }
    };
    let items = [
        directive.usage.map(ReportedItem::Usage),
        directive.pull_request.map(ReportedItem::PullRequest),
        directive.structured_output.map(|value| ReportedItem::StructuredOutput { value }),
        directive.title.map(|title| ReportedItem::Title { title }),
    ];
    parts.extend(items.into_iter().flatten().map(OutputPart::Item));
    parts.extend(directive.state.map(OutputPart::State));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn output(text: &str) -> OutputPart {
        OutputPart::Item(ReportedItem::Output { text: text.to_owned() })
    }

    /// All parts when the text comes in pieces of this size, with adjacent output joined.
    fn all(text: &str, size: usize) -> Vec<OutputPart> {
        let mut directives = Directives::default();
        let mut parts: Vec<OutputPart> = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            parts.extend(directives.take(std::str::from_utf8(piece).unwrap()));
        }
        parts.extend(directives.finish());
        parts.into_iter().fold(Vec::new(), |mut joined, next| {
            match (joined.last_mut(), next) {
                (
                    Some(OutputPart::Item(ReportedItem::Output { text })),
                    OutputPart::Item(ReportedItem::Output { text: more }),
                ) => text.push_str(&more),
                (_, next) => joined.push(next),
            }
            joined
        })
    }

    #[test]
    fn directives_are_found_however_the_text_is_cut() {
        let text = "hello\n::tenure {\"title\":\"T\",\"state\":\"finished\"}\n::ten\n x ::tenure {}\n\
                    ::tenure {\"usage\":{\"input_tokens\":5,\"acus\":0.5}}\nbye\n\
                    ::tenure {\"structured_output\":[1],\"pull_request\":{\"url\":\"u\"}}";
        let usage = ReportedUsage { input_tokens: 5, acus: 0.5, ..ReportedUsage::default() };
        for size in 1..=text.len() {
            let expected = [
                output("hello\n"),
                OutputPart::Item(ReportedItem::Title { title: "T".into() }),
                OutputPart::State(RequestedState::Finished),
                output("::ten\n x ::tenure {}\n"),
                OutputPart::Item(ReportedItem::Usage(usage)),
                output("bye\n"),
                OutputPart::Item(ReportedItem::PullRequest(ReportedPullRequest {
                    url: "u".into(),
                    state: None,
                })),
                OutputPart::Item(ReportedItem::StructuredOutput { value: json!([1]) }),
            ];
            assert_eq!(all(text, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_invalid_directive_stays_output() {
        for line in ["::tenure {\"colour\":1}\n", "::tenure no\n", "::tenure {\"state\":\"asleep\"}\n"] {
            let parts = all(line, 7);
            assert_eq!(parts[0], output(line));
            assert!(
                matches!(&parts[1], OutputPart::Item(ReportedItem::Log { line }) if line.contains("cannot be read"))
            );
        }
    }

    #[test]
    fn output_is_held_back_only_while_it_may_be_a_directive() {
        let mut directives = Directives::default();
        assert_eq!(directives.take("::ten"), []);
        assert_eq!(directives.take("or"), [output("::tenor")]);
        assert_eq!(directives.take("::tenure "), [output("::tenure ")]);
        let long = format!("\n::tenure {}", "x".repeat(MAX_DIRECTIVE_BYTES));
        assert_eq!(directives.take(&long), [output(&long)]);
    }
}
