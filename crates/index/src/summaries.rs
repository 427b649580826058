//! Summaries, read back from what the index keeps of sessions.

use crate::block::Row;
use crate::dictionary::{Dictionary, Term};
use crate::organizations::{CELLS, CellMask};
use crate::rows::split;
use crate::sessions::{Index, list_key};
use domain::agent::{Acus, Usage};
use domain::ids::{AgentId, DeviceId, PrincipalId, SessionId};
use domain::principal::PrincipalKind;
use domain::session::{
    AgentSummary, DeviceSummary, EndReason, FieldValue, KindSummary, LoginState, LoginSummary, NumberField,
    SessionKey, SessionKind, SessionState, Summary, ValueField,
};
use domain::time::Micros;
use uuid::Uuid;

impl Index {
    /// What is known of a session, normalized as by [`Summary::normalize`]. Its state does not regard the time.
    pub fn summary(&self, key: &SessionKey) -> Option<Summary> {
        if let Some(summary) = self.recent.get(&list_key(key)) {
            return Some(summary.clone().normalize());
        }
        let (block, number) = split(self.rows.find(key)?);
        let row = self.rows.blocks[usize::from(block)].row(number);
        let values = RowValues { dictionary: &self.rows.dictionary, terms: &row.terms };
        let mut state = SessionState::parse(&values.text(ValueField::State)?)?;
        if state == SessionState::Login(LoginState::Expired) && self.expires_by_itself(key) {
            state = SessionState::Login(LoginState::Open);
        }
        let reason = values.text(ValueField::EndReason).and_then(|name| EndReason::parse(&name));
        Some(Summary {
            key: *key,
            revision: row.revision,
            owner: PrincipalId(values.id(ValueField::Owner)?),
            owner_kind: values.text(ValueField::OwnerKind).and_then(|name| PrincipalKind::parse(&name)),
            state,
            updated: Micros(row.updated),
            ended: row.ended.map(Micros).zip(reason),
            expires: row.expires.map(Micros),
            of_kind: match key.kind {
                SessionKind::Agent => KindSummary::Agent(values.read_agent(&row)),
                SessionKind::Device => KindSummary::Device(values.read_device()),
                SessionKind::Login => KindSummary::Login(values.read_login()),
            },
        })
    }
}

/// The values of a row.
struct RowValues<'a> {
    dictionary: &'a Dictionary,
    terms: &'a [Term],
}

impl RowValues<'_> {
    fn values(&self, field: ValueField) -> impl Iterator<Item = FieldValue> {
        let terms = self.terms.iter().filter(move |term| term.field() == field);
        terms.map(|term| self.dictionary.value(*term))
    }

    /// In the order of their texts.
    fn texts(&self, field: ValueField) -> Vec<String> {
        let texts = self.values(field).filter_map(|value| match value {
            FieldValue::Text(text) => Some(text),
            FieldValue::Id(_) => None,
        });
        let mut texts = texts.collect::<Vec<_>>();
        texts.sort_unstable();
        texts
    }

    fn text(&self, field: ValueField) -> Option<String> {
        self.texts(field).pop()
    }

    fn id(&self, field: ValueField) -> Option<Uuid> {
        self.values(field).find_map(|value| match value {
            FieldValue::Id(id) => Some(id),
            FieldValue::Text(_) => None,
        })
    }

    fn read_agent(&self, row: &Row) -> AgentSummary {
        use ValueField as F;
        let number = |field: NumberField| row.numbers.map_or(0, |numbers| numbers[field as usize]);
        AgentSummary {
            agent: self.id(F::Agent).map(AgentId),
            titled: self.text(F::Titled).is_some(),
            archived: CellMask::ARCHIVED.has(row.cell as usize % CELLS),
            tags: self.texts(F::Tag),
            origin: self.text(F::Origin).unwrap_or_default(),
            model: self.text(F::Model),
            category: self.text(F::Category),
            playbook: self.text(F::Playbook),
            schedule: self.text(F::Schedule),
            automation: self.text(F::Automation),
            repos: self.texts(F::Repository),
            parent: self.id(F::Parent).and_then(SessionId::from_uuid),
            usage: Usage {
                acus: Acus(number(NumberField::Acus)),
                input_tokens: number(NumberField::InputTokens),
                output_tokens: number(NumberField::OutputTokens),
                ..Usage::default()
            },
        }
    }

    fn read_device(&self) -> DeviceSummary {
        use ValueField as F;
        DeviceSummary {
            platform: self.text(F::Platform),
            device: self.id(F::Device).map(DeviceId),
            device_type: self.text(F::DeviceType),
            name: self.text(F::DeviceName),
            version: self.text(F::DeviceVersion),
        }
    }

    fn read_login(&self) -> LoginSummary {
        LoginSummary {
            address: self.text(ValueField::Address),
            client: self.text(ValueField::Client).unwrap_or_default(),
            methods: self.texts(ValueField::Method),
        }
    }
}
