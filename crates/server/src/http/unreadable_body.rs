//! Describes why a body cannot be read without quoting it, because it can have a password in the wrong place.

/// Serde's message without the texts that it quotes.
pub fn describe_error(error: &serde_json::Error) -> String {
    let message = error.to_string();
    for (before, after, left) in [
        ("invalid type: string \"", "\", expected ", "invalid type: string, expected "),
        ("invalid value: string \"", "\", expected ", "invalid value: string, expected "),
        ("unknown variant `", "`, expected ", "unknown variant, expected "),
        ("unknown field `", "`, expected ", "unknown field, expected "),
    ] {
        // From the right: the quoted text can have the same words.
        if let Some((_, expected)) = message.strip_prefix(before).and_then(|rest| rest.rsplit_once(after)) {
            return format!("{left}{expected}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are checked")]
    struct Body {
        number: u8,
        #[serde(default)]
        word: Option<Word>,
    }

    #[derive(Debug, Deserialize)]
    enum Word {
        Yes,
    }

    #[test]
    fn sent_values_are_not_echoed() {
        let secret = "a secret\", expected `b`, expected more";
        let wrong: [(Value, &str); 6] = [
            (json!(secret), "invalid type: string, expected "),
            (json!({ "number": secret }), "invalid type: string, expected u8"),
            (json!({ "number": 1, "word": secret }), "unknown variant, expected "),
            (json!({ "number": 1, secret: 1 }), "unknown field, expected "),
            (json!({ "number": [secret] }), "invalid type: sequence, expected u8"),
            (json!({ "number": { secret: 1 } }), "invalid type: map, expected u8"),
        ];
        for (body, words) in wrong {
            let message = describe_error(&serde_json::from_str::<Body>(&body.to_string()).unwrap_err());
            assert!(message.starts_with(words) && !message.contains("secret"), "{body}: {message}");
        }
        let message = describe_error(&serde_json::from_str::<Body>("{\"secret").unwrap_err());
        assert!(message.contains("EOF") && !message.contains("secret"), "{message}");
    }
}
