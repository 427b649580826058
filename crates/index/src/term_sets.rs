//! Sets of values that rows of a block have, each set once.

use crate::dictionary::Term;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Numbers sets of values.
#[derive(Debug, Default)]
pub(crate) struct TermSets {
    /// Where each set ends in `terms`.
    ends: Vec<u32>,
    terms: Vec<Term>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

fn get<'a>(ends: &[u32], terms: &'a [Term], number: u32) -> &'a [Term] {
    let at = number as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &terms[start as usize..ends[at] as usize]
}

impl TermSets {
    /// The number of sets.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a set.
    pub(crate) fn intern(&mut self, set: &[Term]) -> u32 {
        let TermSets { ends, terms, numbers, hasher } = self;
        let hashed = hasher.hash_one(set);
        if let Some(number) = numbers.find(hashed, |number| get(ends, terms, *number) == set) {
            return *number;
        }
        let number = ends.len() as u32;
        terms.extend_from_slice(set);
        ends.push(u32::try_from(terms.len()).expect("a block has fewer than 2^32 values"));
        numbers.insert_unique(hashed, number, |number| hasher.hash_one(get(ends, terms, *number)));
        number
    }

    /// The set with a number.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> &[Term] {
        get(&self.ends, &self.terms, number)
    }

    /// Gives back memory that was reserved for more sets.
    pub(crate) fn shrink(&mut self) {
        let TermSets { ends, terms, numbers, hasher } = self;
        ends.shrink_to_fit();
        terms.shrink_to_fit();
        numbers.shrink_to_fit(|number| hasher.hash_one(get(ends, terms, *number)));
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        (self.ends.capacity() + self.terms.capacity()) * 4 + self.numbers.allocation_size()
    }
}
