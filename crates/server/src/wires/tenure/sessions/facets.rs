//! `GET /tenure/v1/sessions/facets`: how many sessions have each value of some fields.

use super::HandlerResult;
use super::visible::{Visible, check_names, read_zone};
use crate::app::App;
use crate::failure::Failure;
use crate::http::query::Query;
use crate::operations::sessions::facets::{CountedField, ValueCounts, count_values};
use crate::operations::sessions::queries::{self, name_values};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use domain::Refusal;
use domain::session::{Field, FieldValue, ValueField};
use protocol::sessions::{FacetValue, Facets};
use store::VisibleSessions;

/// The most values of a field.
const MOST_VALUES: usize = 50;
/// The most fields of one request.
const MOST_FIELDS: usize = 20;

/// `GET /sessions/facets`.
pub async fn list(Visible(visible): Visible, State(app): State<App>, query: Query) -> HandlerResult {
    check_names(&query, &["filter", "by", "scope", "timezone"])?;
    let fields = read_fields(&query)?;
    let text = query.text("filter")?.unwrap_or_default();
    let filter = queries::read_filter(&app, &visible, text, read_zone(&query)?).await?;
    let counted =
        fields.iter().map(|field| CountedField { field: *field, filter: filter.filter_without(*field) });
    let counted = counted.collect::<Vec<_>>();
    let (total, counts) = count_values(&app, &visible, &filter.filter(), &counted, MOST_VALUES).await?;
    let mut facets = Facets { total, filter_as_read: filter.text(), ..Facets::default() };
    for counts in counts {
        let name = counts.field.name().to_owned();
        if counts.others > 0 {
            facets.others.insert(name.clone(), counts.others as u64);
        }
        facets.facets.insert(name, write_values(&app, &visible, counts).await?);
    }
    Ok(Json(facets).into_response())
}

fn read_fields(query: &Query) -> Result<Vec<ValueField>, Failure> {
    let Some(names) = query.list("by") else { return Ok(vec![ValueField::Kind, ValueField::State]) };
    let expected = || {
        let all = ValueField::ALL.map(ValueField::name).join(", ");
        Refusal::invalid("by", format!("1 to {MOST_FIELDS} of {all}"))
    };
    let mut fields = Vec::new();
    for name in &names {
        match Field::parse(name) {
            Some(Field::Value(field)) if !fields.contains(&field) => fields.push(field),
            Some(Field::Value(_)) => {}
            _ => return Err(expected().into()),
        }
    }
    if fields.is_empty() || fields.len() > MOST_FIELDS { Err(expected().into()) } else { Ok(fields) }
}

/// The values of a field with what people call them.
pub async fn write_values(
    app: &App,
    visible: &VisibleSessions,
    counts: ValueCounts,
) -> Result<Vec<FacetValue>, Failure> {
    let ids = counts.values.iter().filter_map(|facet| match facet.value {
        FieldValue::Id(id) => Some(id),
        FieldValue::Text(_) => None,
    });
    let names = name_values(app, visible, counts.field, ids).await?;
    let values = counts.values.iter().map(|facet| match &facet.value {
        FieldValue::Text(text) => FacetValue { value: text.clone(), name: None, count: facet.count },
        FieldValue::Id(id) => {
            let name = names.get(id).map(|(name, _)| name.clone());
            FacetValue { value: id.to_string(), name, count: facet.count }
        }
    });
    Ok(values.collect())
}
