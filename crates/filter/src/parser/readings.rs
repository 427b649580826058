//! The two readings of a text with AND and OR side by side.

use super::{Joint, Level};

/// How the terms of a level read when OR binds tighter, and when AND does.
pub(super) fn write_readings(level: &Level, text: &str) -> Vec<String> {
    let or_first = write_groups(level, text, |joint| joint == Joint::Or);
    let and_first = write_groups(level, text, |joint| joint != Joint::Or);
    vec![or_first, and_first]
}

/// The terms, with parentheses around those that are bound together.
fn write_groups(level: &Level, text: &str, is_bound: impl Fn(Joint) -> bool) -> String {
    let mut groups = String::new();
    let mut group = Vec::new();
    let joints = level.joints.iter().map(|(joint, _)| Some(*joint)).chain([None]);
    for (term, joint) in level.terms.iter().zip(joints) {
        group.push(term.span.slice(text));
        let separator = joint.map_or("", separator);
        if joint.is_some_and(&is_bound) {
            group.push(separator);
            continue;
        }
        let joined = group.concat();
        groups.push_str(&if group.len() > 1 { format!("({joined})") } else { joined });
        groups.push_str(separator);
        group.clear();
    }
    groups
}

fn separator(joint: Joint) -> &'static str {
    match joint {
        Joint::Side => " ",
        Joint::And => " AND ",
        Joint::Or => " OR ",
    }
}
