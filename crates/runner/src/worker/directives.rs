//! LineSplitter of a command's output that speak to the worker: `::tenure {"title": "…"}`.

use protocol::work::{Item, PullRequest, Usage};
use serde::Deserialize;
use serde_json::Value;

/// How such a line begins.
const PREFIX: &str = "::tenure ";

/// Longest such line, in bytes; a longer one is output. WorkClient refuse a request of more than 1 MiB.
const MAX_DIRECTIVE_BYTES: usize = 256 << 10;

/// The state that a turn asks its session to be left in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestedState {
    Finished,
    WaitingForUser,
    WaitingForApproval,
}

/// What one line may say: all of it at once if it likes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Directive {
    usage: Option<Usage>,
    pull_request: Option<PullRequest>,
    structured_output: Option<Value>,
    title: Option<String>,
    state: Option<RequestedState>,
}

/// What the output turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum OutputPart {
    Item(Item),
    State(RequestedState),
}

/// Takes directives out of output. A line is held back only for as long as it may be one.
#[derive(Debug, Default)]
pub(crate) struct Directives {
    held: String,
    mid_line: bool,
}

impl Directives {
    /// What is known with this text.
    pub(crate) fn take(&mut self, text: &str) -> Vec<OutputPart> {
        let (mut found, mut output) = (Vec::new(), String::new());
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
                    flush_output(&mut output, &mut found);
                    parse_directive(&line, directive, &mut found);
                }
                _ => output.push_str(&line),
            }
        }
        flush_output(&mut output, &mut found);
        found
    }

    /// What was held back when nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<OutputPart> {
        let mut found = Vec::new();
        let line = std::mem::take(&mut self.held);
        match line.strip_prefix(PREFIX) {
            Some(directive) => parse_directive(&line, directive, &mut found),
            None => flush_output(&mut line.clone(), &mut found),
        }
        found
    }
}

fn flush_output(output: &mut String, found: &mut Vec<OutputPart>) {
    if !output.is_empty() {
        found.push(OutputPart::Item(Item::Output { text: std::mem::take(output) }));
    }
}

/// Reads a directive. One that cannot be read stays output, so that nothing is lost, and the log says why.
fn parse_directive(line: &str, directive: &str, found: &mut Vec<OutputPart>) {
    let directive: Directive = match serde_json::from_str(directive) {
        Ok(directive) => directive,
        Err(error) => {
            found.push(OutputPart::Item(Item::Output { text: line.to_owned() }));
            let line = format!("tenure worker: the line ::tenure cannot be read: {error}");
            return found.push(OutputPart::Item(Item::Log { line }));
        }
    };
    let items = [
        directive.usage.map(Item::Usage),
        directive.pull_request.map(Item::PullRequest),
        directive.structured_output.map(|value| Item::StructuredOutput { value }),
        directive.title.map(|title| Item::Title { title }),
    ];
    found.extend(items.into_iter().flatten().map(OutputPart::Item));
    found.extend(directive.state.map(OutputPart::State));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn output(text: &str) -> OutputPart {
        OutputPart::Item(Item::Output { text: text.to_owned() })
    }

    /// All that is found when the text comes in pieces of some size, output joined.
    fn all(text: &str, size: usize) -> Vec<OutputPart> {
        let mut directives = Directives::default();
        let mut found: Vec<OutputPart> = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            found.extend(directives.take(std::str::from_utf8(piece).unwrap()));
        }
        found.extend(directives.finish());
        found.into_iter().fold(Vec::new(), |mut joined, next| {
            match (joined.last_mut(), next) {
                (
                    Some(OutputPart::Item(Item::Output { text })),
                    OutputPart::Item(Item::Output { text: more }),
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
        let usage = Usage { input_tokens: 5, acus: 0.5, ..Usage::default() };
        for size in 1..=text.len() {
            let expected = [
                output("hello\n"),
                OutputPart::Item(Item::Title { title: "T".into() }),
                OutputPart::State(RequestedState::Finished),
                output("::ten\n x ::tenure {}\n"),
                OutputPart::Item(Item::Usage(usage)),
                output("bye\n"),
                OutputPart::Item(Item::PullRequest(PullRequest { url: "u".into(), state: None })),
                OutputPart::Item(Item::StructuredOutput { value: json!([1]) }),
            ];
            assert_eq!(all(text, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_cannot_be_read_stays_output() {
        for line in ["::tenure {\"colour\":1}\n", "::tenure no\n", "::tenure {\"state\":\"asleep\"}\n"] {
            let found = all(line, 7);
            assert_eq!(found[0], output(line));
            assert!(
                matches!(&found[1], OutputPart::Item(Item::Log { line }) if line.contains("cannot be read"))
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
