//! The values of the rows of a block, in groups of fields.
//!
//! Fields whose values are often the same together share a group, so that a block has few different sets of their values
//! and a row only the number of its set. Rows of a direct group have the number of their value itself: it has many values,
//! and sessions seldom more than one.

use crate::dictionary::Term;
use crate::term_sets::TermSets;
use domain::session::ValueField;

/// The number of groups.
pub(crate) const GROUPS: usize = 6;

/// The group of a field.
pub(crate) fn group_of(field: ValueField) -> usize {
    use ValueField as F;
    match field {
        F::Owner => 1,
        F::Agent | F::Device | F::Address => 2,
        F::Repository => 3,
        F::Tag => 4,
        F::Playbook | F::Schedule | F::Automation | F::Parent => 5,
        _ => 0,
    }
}

/// The fields of a direct group; no fields for a group of sets.
fn direct_fields(group: usize) -> &'static [ValueField] {
    use ValueField as F;
    match group {
        1 => &[F::Owner],
        // No session has two of these.
        2 => &[F::Agent, F::Device, F::Address],
        3 => &[F::Repository],
        _ => &[],
    }
}

/// The sets of values of a group that rows of a block have, and how a row's values become a number.
///
/// In a direct group, a row has 0 without values, an odd number for one value, and else an even number for a set.
#[derive(Debug)]
pub(crate) struct Group {
    direct: &'static [ValueField],
    sets: TermSets,
}

/// What a number of a row stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Coded {
    /// One value.
    One(Term),
    /// The values of a set of the group.
    Set(u32),
}

impl Group {
    pub(crate) fn new(group: usize) -> Group {
        Group { direct: direct_fields(group), sets: TermSets::default() }
    }

    /// The number for some values.
    pub(crate) fn encode(&mut self, terms: &[Term]) -> i64 {
        if self.direct.is_empty() {
            return self.sets.intern(terms).into();
        }
        match terms {
            [] => 0,
            [term] => {
                let which = self.direct.iter().position(|field| *field == term.field()).unwrap_or(0);
                let number = term.number() as usize * self.direct.len() + which;
                number as i64 * 2 + 1
            }
            _ => i64::from(self.sets.intern(terms)) * 2 + 2,
        }
    }

    /// What a number stands for; `None` for no values.
    #[inline]
    pub(crate) fn decode(&self, code: i64) -> Option<Coded> {
        let code = code as u64;
        match self.direct {
            [] => Some(Coded::Set(code as u32)),
            _ if code == 0 => None,
            _ if code.is_multiple_of(2) => Some(Coded::Set((code / 2 - 1) as u32)),
            [field] => Some(Coded::One(Term::new(*field, (code / 2) as u32))),
            fields => {
                let number = (code / 2) as usize;
                let field = fields[number % fields.len()];
                Some(Coded::One(Term::new(field, (number / fields.len()) as u32)))
            }
        }
    }

    /// Visits the values that a number stands for.
    #[inline]
    pub(crate) fn visit_terms(&self, code: i64, mut visit: impl FnMut(Term)) {
        match self.decode(code) {
            None => {}
            Some(Coded::One(term)) => visit(term),
            Some(Coded::Set(set)) => self.sets.get(set).iter().copied().for_each(visit),
        }
    }

    /// The values of a set.
    pub(crate) fn set_at(&self, set: u32) -> &[Term] {
        self.sets.get(set)
    }

    /// The number of sets.
    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Gives back memory that was reserved for more sets.
    pub(crate) fn shrink(&mut self) {
        self.sets.shrink();
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        self.sets.memory()
    }
}
