//! Names of organizations, service users and keys. They are one line, because they appear in lists and logs.

use crate::Refusal;

/// Maximum length of a name, in characters.
pub const MAX_NAME_CHARS: usize = 256;
/// The name of each user's own organization at Mobile Next, which Tenure does not have.
const PERSONAL: &str = "personal";

/// Checks that a text is one line of at most `most` characters. It can be empty.
///
/// # Errors
/// [`Refusal::Invalid`] for `field`.
pub fn check_line(field: &str, name: &str, most: usize) -> Result<(), Refusal> {
    if name.chars().count() <= most && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("at most {most} characters, none of them a control character")))
}

/// Checks that a name is one line and not blank.
///
/// # Errors
/// [`Refusal::Invalid`] for `name`.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    if check_line("name", name, MAX_NAME_CHARS).is_ok() && !name.trim().is_empty() {
        return Ok(());
    }
    let expected =
        format!("1 to {MAX_NAME_CHARS} characters, not all of them blank and none a control character");
    Err(Refusal::invalid("name", expected))
}

/// Checks the name of an organization.
///
/// # Errors
/// As [`check_name`], and for the name Personal.
pub fn check_organization_name(name: &str) -> Result<(), Refusal> {
    check_name(name)?;
    if name.trim().to_lowercase() == PERSONAL {
        return Err(Refusal::invalid("name", "another name than Personal, which nobody can be told from"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_line() {
        let long = "é".repeat(MAX_NAME_CHARS);
        for (name, optional, wanted, organization) in [
            ("Acme", true, true, true),
            ("Personal", true, true, false),
            (" personal ", true, true, false),
            ("Personal 2", true, true, true),
            ("", true, false, false),
            (" \u{2003}", true, false, false),
            ("a\nb", false, false, false),
            ("a\u{8b}", false, false, false),
            ("a\0", false, false, false),
            (&long, true, true, true),
            (&format!("{long}x"), false, false, false),
        ] {
            assert_eq!(check_line("name", name, MAX_NAME_CHARS).is_ok(), optional, "{name:?}");
            assert_eq!(check_name(name).is_ok(), wanted, "{name:?}");
            assert_eq!(check_organization_name(name).is_ok(), organization, "{name:?}");
        }
    }
}
