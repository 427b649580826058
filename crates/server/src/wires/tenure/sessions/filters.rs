//! `/tenure/v1/filter`: what filters are made of, and completion as people type.

use super::HandlerResult;
use super::facets::write_values;
use super::shapes;
use super::visible::{Visible, check_names};
use crate::app::App;
use crate::http::query::Query;
use crate::operations::sessions::facets::{CountedField, count_values};
use crate::operations::sessions::queries::complete_filter;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use domain::session::{Field, Filter, Spread, ValueField};
use filter::{MAX_BYTES, NAMED_CONDITIONS};
use protocol::sessions::{FilterField, FilterFields, FilterWord};
use std::collections::HashMap;

/// The most values of a field.
const MOST_VALUES: usize = 20;

/// `GET /filter/fields`: the fields of the filter language; with `values=true` also the values that visible sessions have.
pub async fn fields(Visible(visible): Visible, State(app): State<App>, query: Query) -> HandlerResult {
    check_names(&query, &["values", "scope"])?;
    let mut values = HashMap::new();
    if query.flag("values")? {
        let counted = ValueField::ALL.into_iter().filter(|field| field.spread() == Spread::Few);
        let counted = counted.map(|field| CountedField { field, filter: Filter::EVERY }).collect::<Vec<_>>();
        let (_, counts) = count_values(&app, &visible, &Filter::EVERY, &counted, MOST_VALUES).await?;
        for counts in counts {
            let field = counts.field;
            values.insert(Field::Value(field), write_values(&app, &visible, counts).await?);
        }
    }
    let fields = Field::all().map(|field| {
        let info = field.info();
        FilterField {
            name: info.name.to_owned(),
            field_type: info.query.name().to_owned(),
            kinds: info.kinds.iter().copied().map(shapes::kind).collect(),
            help: info.help.to_owned(),
            examples: info.examples.iter().map(|example| (*example).to_owned()).collect(),
            words: field
                .words()
                .map(|word| FilterWord { name: word.name.to_owned(), help: word.help.to_owned() })
                .collect(),
            values: values.remove(&field).unwrap_or_default(),
        }
    });
    let fields = fields.collect();
    let conditions = NAMED_CONDITIONS.iter().map(|named| FilterWord {
        name: format!("{}:{}", named.prefix, named.name),
        help: named.help.to_owned(),
    });
    Ok(Json(FilterFields { fields, conditions: conditions.collect() }).into_response())
}

/// `GET /filter/complete`: what can stand at a cursor, which is in code points; without one, at the end.
pub async fn complete(Visible(visible): Visible, State(app): State<App>, query: Query) -> HandlerResult {
    check_names(&query, &["text", "cursor", "scope"])?;
    let text = query.text("text")?.unwrap_or_default();
    let cursor = query.number("cursor", 0..=MAX_BYTES as i64)?.and_then(|at| usize::try_from(at).ok());
    let cursor = cursor.unwrap_or_else(|| text.chars().count());
    Ok(Json(complete_filter(&app, &visible, text, cursor).await?).into_response())
}
