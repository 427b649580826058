//! Values as numbers.

use domain::session::{FieldValue, FieldValueRef, ValueField};
use foldhash::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// The number of a value of a field.
pub(crate) type Term = u32;

#[derive(Debug, Clone)]
enum StoredValue {
    Id(Uuid),
    Text(Arc<str>),
}

/// Numbers all values of all fields. A number is never given to another value.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    ids: HashMap<(ValueField, Uuid), Term>,
    texts: HashMap<ValueField, HashMap<Arc<str>, Term>>,
    values: Vec<(ValueField, StoredValue)>,
    by_field: HashMap<ValueField, Vec<Term>>,
}

impl Dictionary {
    /// The number of a value, which is new when `values` grows.
    pub(crate) fn intern(&mut self, field: ValueField, value: FieldValueRef<'_>) -> Term {
        if let Some(term) = self.find(field, value) {
            return term;
        }
        let term = Term::try_from(self.values.len()).expect("fewer values than 2^32");
        match value {
            FieldValueRef::Id(id) => {
                self.ids.insert((field, id), term);
                self.values.push((field, StoredValue::Id(id)));
            }
            FieldValueRef::Text(text) => {
                let text: Arc<str> = text.into();
                self.texts.entry(field).or_default().insert(text.clone(), term);
                self.values.push((field, StoredValue::Text(text)));
            }
        }
        self.by_field.entry(field).or_default().push(term);
        term
    }

    /// The number of a value that some session has had.
    pub(crate) fn find(&self, field: ValueField, value: FieldValueRef<'_>) -> Option<Term> {
        match value {
            FieldValueRef::Id(id) => self.ids.get(&(field, id)).copied(),
            FieldValueRef::Text(text) => self.texts.get(&field)?.get(text).copied(),
        }
    }

    /// The numbers of all values of a field.
    pub(crate) fn terms_of(&self, field: ValueField) -> &[Term] {
        self.by_field.get(&field).map_or(&[], Vec::as_slice)
    }

    /// The field of a value.
    pub(crate) fn field(&self, term: Term) -> ValueField {
        self.values[term as usize].0
    }

    /// The value with a number.
    pub(crate) fn value(&self, term: Term) -> FieldValue {
        match &self.values[term as usize].1 {
            StoredValue::Id(id) => FieldValue::Id(*id),
            StoredValue::Text(text) => FieldValue::Text(text.as_ref().to_owned()),
        }
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let texts = self.values.iter().map(|(_, value)| match value {
            StoredValue::Text(text) => text.len() + 16 + 32,
            StoredValue::Id(_) => 40,
        });
        texts.sum::<usize>()
            + self.values.capacity() * size_of::<(ValueField, StoredValue)>()
            + self.len() * 4
    }
}
