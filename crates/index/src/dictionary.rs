//! Values as numbers, and the rows that have each value.

use crate::arena::{Address, Arena};
use crate::posting::Posting;
use domain::session::{FieldValue, FieldValueRef, ValueField, ValueType};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use uuid::Uuid;

/// A value of a field: the field in the upper 5 bits, and the number of the value among those of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term(u32);

const NUMBER_BITS: u32 = 27;

const _: () = assert!(ValueField::ALL.len() <= 1 << (32 - NUMBER_BITS));

impl Term {
    #[inline]
    pub(crate) fn new(field: ValueField, number: u32) -> Term {
        debug_assert!(number < 1 << NUMBER_BITS);
        Term((field as u32) << NUMBER_BITS | number)
    }

    #[inline]
    pub(crate) fn field(self) -> ValueField {
        ValueField::ALL[(self.0 >> NUMBER_BITS) as usize]
    }

    /// Its number among the values of its field.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }
}

/// The address of a number that no value has.
const FREE: Address = Address::MAX;

/// The values of one field.
#[derive(Debug, Default)]
struct FieldValues {
    numbers: HashTable<u32>,
    texts: Vec<Address>,
    postings: Vec<Posting>,
    /// The numbers that no value has.
    free: Vec<u32>,
    /// The value that was looked for last. Sessions one after another often have the same.
    last: u32,
}

/// Numbers all values of all fields. The number of a value that no row has any more is given to another value.
#[derive(Debug)]
pub(crate) struct Dictionary {
    fields: [FieldValues; ValueField::ALL.len()],
    arena: Arena,
    hasher: RandomState,
}

impl Default for Dictionary {
    fn default() -> Dictionary {
        Dictionary {
            fields: std::array::from_fn(|_| FieldValues::default()),
            arena: Arena::default(),
            hasher: RandomState::default(),
        }
    }
}

fn with_bytes<T>(value: FieldValueRef<'_>, take: impl FnOnce(&[u8]) -> T) -> T {
    match value {
        FieldValueRef::Id(id) => take(id.as_bytes()),
        FieldValueRef::Text(text) => take(text.as_bytes()),
    }
}

/// Whether a value is of the type of its field. No session has another one.
fn is_of_type(field: ValueField, value: FieldValueRef<'_>) -> bool {
    match field.value_type() {
        ValueType::Id => matches!(value, FieldValueRef::Id(_)),
        ValueType::Text => matches!(value, FieldValueRef::Text(_)),
    }
}

impl Dictionary {
    /// The number of a value, which may be new.
    pub(crate) fn intern(&mut self, field: ValueField, value: FieldValueRef<'_>) -> Term {
        debug_assert!(is_of_type(field, value));
        let Dictionary { fields, arena, hasher } = self;
        let values = &mut fields[field as usize];
        let number = with_bytes(value, |bytes| {
            let last = values.texts.get(values.last as usize);
            if last.is_some_and(|last| *last != FREE && arena.get(*last) == bytes) {
                return values.last;
            }
            let hashed = hasher.hash_one(bytes);
            let found =
                values.numbers.find(hashed, |number| arena.get(values.texts[*number as usize]) == bytes);
            if let Some(number) = found {
                values.last = *number;
                return values.last;
            }
            let address = arena.insert(bytes);
            let number = values.take_number(address);
            let texts = &values.texts;
            let hash_of = |number: &u32| hasher.hash_one(arena.get(texts[*number as usize]));
            values.numbers.insert_unique(hashed, number, hash_of);
            number
        });
        Term::new(field, number)
    }

    /// The number of a value that some session has.
    pub(crate) fn find(&self, field: ValueField, value: FieldValueRef<'_>) -> Option<Term> {
        let values = &self.fields[field as usize];
        let is_equal = |number: &u32, bytes: &[u8]| self.arena.get(values.texts[*number as usize]) == bytes;
        let find = |bytes: &[u8]| {
            values.numbers.find(self.hasher.hash_one(bytes), |number| is_equal(number, bytes)).copied()
        };
        let number = if is_of_type(field, value) { with_bytes(value, find) } else { None };
        number.map(|number| Term::new(field, number))
    }

    /// Forgets a value that no row has.
    pub(crate) fn release(&mut self, term: Term) {
        let Dictionary { fields, arena, hasher } = self;
        let values = &mut fields[term.field() as usize];
        let number = term.number();
        let address = values.texts[number as usize];
        if address == FREE || !values.postings[number as usize].is_empty() {
            return;
        }
        if let Ok(entry) =
            values.numbers.find_entry(hasher.hash_one(arena.get(address)), |other| *other == number)
        {
            entry.remove();
        }
        arena.remove(address);
        values.texts[number as usize] = FREE;
        values.postings[number as usize] = Posting::default();
        values.free.push(number);
    }

    /// The rows of a value.
    pub(crate) fn posting(&self, term: Term) -> &Posting {
        &self.fields[term.field() as usize].postings[term.number() as usize]
    }

    /// The rows of a value, to be changed.
    pub(crate) fn posting_mut(&mut self, term: Term) -> &mut Posting {
        &mut self.fields[term.field() as usize].postings[term.number() as usize]
    }

    /// All values of a field.
    pub(crate) fn terms_of(&self, field: ValueField) -> impl Iterator<Item = Term> {
        let texts = self.fields[field as usize].texts.iter().enumerate();
        let taken = texts.filter(|(_, address)| **address != FREE);
        taken.map(move |(number, _)| Term::new(field, number as u32))
    }

    /// The value with a number.
    pub(crate) fn value(&self, term: Term) -> FieldValue {
        self.borrow_value(term).to_value()
    }

    /// The value with a number, borrowed.
    pub(crate) fn borrow_value(&self, term: Term) -> FieldValueRef<'_> {
        let field = term.field();
        let bytes = self.arena.get(self.fields[field as usize].texts[term.number() as usize]);
        match field.value_type() {
            ValueType::Id => FieldValueRef::Id(Uuid::from_slice(bytes).unwrap_or_default()),
            ValueType::Text => FieldValueRef::Text(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    /// One more than the largest number of a value of a field.
    pub(crate) fn numbers_of(&self, field: ValueField) -> usize {
        self.fields[field as usize].texts.len()
    }

    /// Gives back memory that was reserved for more values and rows.
    pub(crate) fn shrink(&mut self) {
        let Dictionary { fields, arena, hasher } = self;
        for FieldValues { numbers, texts, postings, free, .. } in fields {
            texts.shrink_to_fit();
            postings.shrink_to_fit();
            postings.iter_mut().for_each(Posting::shrink);
            free.shrink_to_fit();
            numbers.shrink_to_fit(|number| hasher.hash_one(arena.get(texts[*number as usize])));
        }
    }

    /// About how many bytes the values hold, without their rows.
    pub(crate) fn memory(&self) -> usize {
        let of_field = |values: &FieldValues| {
            let numbers = values.texts.capacity() + values.free.capacity();
            numbers * 4 + values.numbers.allocation_size() + values.postings.capacity() * size_of::<Posting>()
        };
        self.arena.memory() + self.fields.iter().map(of_field).sum::<usize>()
    }

    /// About how many bytes the rows of all values hold.
    pub(crate) fn postings_memory(&self) -> usize {
        self.fields.iter().flat_map(|values| &values.postings).map(Posting::memory).sum()
    }

    /// The number of values.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.fields.iter().map(|values| values.numbers.len()).sum()
    }
}

impl FieldValues {
    fn take_number(&mut self, address: Address) -> u32 {
        if let Some(number) = self.free.pop() {
            self.texts[number as usize] = address;
            return number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer than 2^32 values");
        assert!(number < 1 << NUMBER_BITS, "a field has fewer than 2^27 values");
        // There may be millions: doubling them would waste half of the memory.
        if self.texts.len() == self.texts.capacity() {
            let more = 8 + self.texts.len() / 4;
            self.texts.reserve_exact(more);
            self.postings.reserve_exact(more);
        }
        self.texts.push(address);
        self.postings.push(Posting::default());
        number
    }
}
