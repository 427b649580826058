//! Device filters: the platform, type, name and version that a client asks for. All filters must match.
//!
//! Source of the attributes and operators: section 4 of the wire's page; also seen in requests of mobilecli 1.0.9 and
//! mobilewright 0.0.57.

use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The properties of a device that filters compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceProfile {
    /// `android` or `ios`.
    pub platform: String,
    /// `real`, `emulator` or `simulator`.
    pub kind: String,
    /// Its name for people.
    pub name: String,
    /// Version of the operating system.
    pub version: String,
}

impl DeviceProfile {
    /// A description for people: "Pixel 9 (android 16, real)".
    pub fn describe(&self) -> String {
        format!("{} ({} {}, {})", self.name, self.platform, self.version, self.kind)
    }
}

/// One filter, as on the wire and in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object with attribute, operator and value")]
pub struct DeviceFilter {
    /// `platform`, `type`, `name` or `version`.
    pub attribute: String,
    /// `EQUALS`, `STARTS_WITH`, `CONTAINS`, `GREATER_THAN` and so on.
    pub operator: String,
    /// The value to compare with.
    pub value: String,
}

/// Checked filters: each operator fits its attribute, and exactly one filter is for the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFilters {
    platform: String,
    filters: Vec<DeviceFilter>,
}

/// More than any client sends, and few enough to compare with every device.
const MAX_FILTERS: usize = 20;
const MAX_VALUE_CHARS: usize = 200;

const ORDERINGS: [&str; 5] =
    ["EQUALS", "GREATER_THAN", "GREATER_THAN_OR_EQUALS", "LESS_THAN", "LESS_THAN_OR_EQUALS"];

fn operators(attribute: &str) -> Option<&'static [&'static str]> {
    match attribute {
        "platform" | "type" => Some(&["EQUALS"]),
        "name" => Some(&["EQUALS", "STARTS_WITH", "CONTAINS"]),
        "version" => Some(&ORDERINGS),
        _ => None,
    }
}

impl DeviceFilters {
    /// Checks filters.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the wrong filter and the expected value.
    pub fn new(filters: Vec<DeviceFilter>) -> Result<DeviceFilters, Refusal> {
        if filters.len() > MAX_FILTERS {
            return Err(Refusal::invalid("filters", format!("at most {MAX_FILTERS} filters")));
        }
        for (index, filter) in filters.iter().enumerate() {
            check(filter)
                .map_err(|(part, expected)| Refusal::invalid(format!("filters[{index}].{part}"), expected))?;
        }
        let mut platforms = filters.iter().filter(|filter| filter.attribute == "platform");
        match (platforms.next(), platforms.next()) {
            (Some(platform), None) => Ok(DeviceFilters { platform: platform.value.clone(), filters }),
            _ => {
                Err(Refusal::invalid("filters", "exactly one platform filter: EQUALS \"android\" or \"ios\""))
            }
        }
    }

    /// The filter for a platform alone.
    pub fn from_platform(platform: &str) -> DeviceFilters {
        let filter = DeviceFilter {
            attribute: "platform".to_owned(),
            operator: "EQUALS".to_owned(),
            value: platform.to_owned(),
        };
        DeviceFilters { platform: platform.to_owned(), filters: vec![filter] }
    }

    /// The platform that is asked for.
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// The filters as they were sent.
    pub fn as_slice(&self) -> &[DeviceFilter] {
        &self.filters
    }

    /// Whether a device matches all filters.
    pub fn matches(&self, offer: &DeviceProfile) -> bool {
        self.filters.iter().all(|filter| match filter.attribute.as_str() {
            "platform" => offer.platform == filter.value,
            "type" => offer.kind == filter.value,
            "name" => name_matches(filter, &offer.name),
            _ => version_matches(filter, &offer.version),
        })
    }

    /// A description for people: "platform ios, version ≥ 18, name starting with iPhone".
    pub fn describe(&self) -> String {
        let words = self.filters.iter().map(|filter| {
            let operator = match filter.operator.as_str() {
                "STARTS_WITH" => "starting with ",
                "CONTAINS" => "containing ",
                "GREATER_THAN" => "> ",
                "GREATER_THAN_OR_EQUALS" => "≥ ",
                "LESS_THAN" => "< ",
                "LESS_THAN_OR_EQUALS" => "≤ ",
                _ => "",
            };
            format!("{} {operator}{}", filter.attribute, filter.value)
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

fn check(filter: &DeviceFilter) -> Result<(), (&'static str, String)> {
    let Some(known) = operators(&filter.attribute) else {
        return Err(("attribute", "platform, type, name or version".to_owned()));
    };
    if !known.contains(&filter.operator.as_str()) {
        return Err(("operator", format!("{} for {}", known.join(", "), filter.attribute)));
    }
    if filter.value.is_empty() || filter.value.chars().count() > MAX_VALUE_CHARS {
        return Err(("value", format!("1 to {MAX_VALUE_CHARS} characters")));
    }
    match filter.attribute.as_str() {
        "platform" if !["android", "ios"].contains(&filter.value.as_str()) => {
            Err(("value", "android or ios".to_owned()))
        }
        "type" if !["real", "emulator", "simulator"].contains(&filter.value.as_str()) => {
            Err(("value", "real, emulator or simulator".to_owned()))
        }
        "version" if version_parts(&filter.value).is_none() => {
            Err(("value", "a version such as 18 or 17.5.1".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Ignores case: people type "iphone", and no two devices differ only by case.
fn name_matches(filter: &DeviceFilter, name: &str) -> bool {
    let (name, value) = (name.to_lowercase(), filter.value.to_lowercase());
    match filter.operator.as_str() {
        "STARTS_WITH" => name.starts_with(&value),
        "CONTAINS" => name.contains(&value),
        _ => name == value,
    }
}

fn version_matches(filter: &DeviceFilter, version: &str) -> bool {
    let (Some(wanted), Some(found)) = (version_parts(&filter.value), version_parts(version)) else {
        return false;
    };
    let order = compare_versions(&found, &wanted);
    match filter.operator.as_str() {
        "GREATER_THAN" => order == Ordering::Greater,
        "GREATER_THAN_OR_EQUALS" => order != Ordering::Less,
        "LESS_THAN" => order == Ordering::Less,
        "LESS_THAN_OR_EQUALS" => order != Ordering::Greater,
        _ => order == Ordering::Equal,
    }
}

/// The numbers of a version, up to the first `-`, `+` or space (a build or a preview).
fn version_parts(version: &str) -> Option<Vec<u64>> {
    let numbers = version.split(['-', '+', ' ']).next()?;
    numbers.split('.').map(|part| part.parse().ok()).collect()
}

/// Compares number by number. A missing number counts as 0, so 18 equals 18.0.0.
fn compare_versions(a: &[u64], b: &[u64]) -> Ordering {
    let at = |parts: &[u64], i: usize| parts.get(i).copied().unwrap_or(0);
    (0..a.len().max(b.len()))
        .map(|i| at(a, i).cmp(&at(b, i)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(attribute: &str, operator: &str, value: &str) -> DeviceFilter {
        DeviceFilter { attribute: attribute.into(), operator: operator.into(), value: value.into() }
    }

    fn iphone(version: &str) -> DeviceProfile {
        DeviceProfile {
            platform: "ios".into(),
            kind: "real".into(),
            name: "iPhone 15 Pro".into(),
            version: version.into(),
        }
    }

    #[test]
    fn filters_match() {
        #[rustfmt::skip]
        let table = [
            ("type",    "EQUALS",                 "real",      "18.2",   true),
            ("type",    "EQUALS",                 "simulator", "18.2",   false),
            ("name",    "STARTS_WITH",            "iPhone",    "18.2",   true),
            ("name",    "STARTS_WITH",            "iphone",    "18.2",   true),
            ("name",    "STARTS_WITH",            "Phone",     "18.2",   false),
            ("name",    "CONTAINS",               "15",        "18.2",   true),
            ("name",    "EQUALS",                 "iPhone 15", "18.2",   false),
            ("version", "EQUALS",                 "18",        "18.0.0", true),
            ("version", "EQUALS",                 "18",        "18.2",   false),
            ("version", "EQUALS",                 "18.2.0",    "18.2",   true),
            ("version", "GREATER_THAN",           "18",        "18.0",   false),
            ("version", "GREATER_THAN",           "9",         "10",     true),
            ("version", "GREATER_THAN_OR_EQUALS", "18",        "18.0",   true),
            ("version", "LESS_THAN",              "20",        "19.9.9", true),
            ("version", "LESS_THAN",              "20",        "20",     false),
            ("version", "LESS_THAN_OR_EQUALS",    "17.10",     "17.9",   true),
            ("version", "EQUALS",                 "18",        "",       false),
            ("version", "EQUALS",                 "18",        "18-beta",true),
        ];
        for (attribute, operator, value, version, expected) in table {
            let wanted = DeviceFilters::new(vec![
                filter("platform", "EQUALS", "ios"),
                filter(attribute, operator, value),
            ])
            .unwrap();
            assert_eq!(
                wanted.matches(&iphone(version)),
                expected,
                "{attribute} {operator} {value} on {version}"
            );
        }
    }

    #[test]
    fn invalid_filters_are_refused() {
        let ios = || filter("platform", "EQUALS", "ios");
        #[rustfmt::skip]
        let table = [
            (vec![],                                              "filters"),
            (vec![ios(), ios()],                                  "filters"),
            (vec![filter("platform", "CONTAINS", "i")],           "filters[0].operator"),
            (vec![filter("platform", "EQUALS", "windows")],       "filters[0].value"),
            (vec![ios(), filter("color", "EQUALS", "red")],       "filters[1].attribute"),
            (vec![ios(), filter("name", "GREATER_THAN", "a")],    "filters[1].operator"),
            (vec![ios(), filter("name", "EQUALS", "")],           "filters[1].value"),
            (vec![ios(), filter("type", "EQUALS", "phone")],      "filters[1].value"),
            (vec![ios(), filter("version", "EQUALS", "new")],     "filters[1].value"),
            (vec![ios(); 21],                                     "filters"),
        ];
        for (filters, expected) in table {
            let Err(Refusal::Invalid { field, .. }) = DeviceFilters::new(filters.clone()) else {
                panic!("accepted {filters:?}")
            };
            assert_eq!(field, expected, "{filters:?}");
        }
    }
}
